//! A Memcached fleet gets a node more, loses one under load, and finds it again as it was.

use std::time::Duration;

use tokio::time::sleep;

use crate::control::FleetFlaw;
use crate::error::DrillError;
use crate::incidents::check::{Check, part};
use crate::incidents::engine::Nodes;
use crate::incidents::herd::{failed, first_failure, meanwhile};
use crate::incidents::incident::Incident;
use crate::incidents::kind::Kind;
use crate::incidents::space::{BUDGET, Space};
use crate::incidents::stage::Stage;
use crate::key::Key;

/// `node-added`
pub(super) const NODE_ADDED: Incident = Incident {
    name: "node-added",
    what: "a Memcached fleet gets a fourth node, then loses one under load and finds it again",
    kinds: &[Kind::Memcached],
    servers: SERVERS,
    permits: PERMITS,
    controls: &[FleetFlaw::Modulo],
    elsewhere: false,
    budget: BUDGET,
    filters: false,
    play: |stage| Box::pin(play(stage)),
};

const SERVERS: usize = 2;
/// Loads at once, of each server.
const PERMITS: u64 = 16;
const LOAD: Duration = Duration::from_millis(5);
/// Of keys that move where one of four nodes is new: a quarter, and three points.
const MOVED_PERCENT: u64 = 25 + 3;
/// Which node is lost.
const LOST: usize = 1;
/// Keys that are removed while it is lost.
const REMOVED: u64 = 60;
/// From its return until it is used, and what could not be removed there is.
const RECOVERY: Duration = Duration::from_secs(5);

async fn play(stage: &mut Stage) -> Result<Vec<Check>, DrillError> {
    let keys = stage.keys(Space::Long, stage.scale.keys);
    fill(stage, &keys).await?;
    let before = stage.loads(&keys);
    stage.replace_fleet(Nodes::All).await?;
    fill(stage, &keys).await?;
    let moved = stage.loads(&keys) - before;
    let what = "a fourth node: keys that are loaded again, of 100";
    let mut checks = vec![Check::some_of_100("moved", what, moved, keys.len(), MOVED_PERCENT)];
    stage.origin.delay(LOAD);
    checks.extend(part("lost", lost(stage).await)?);
    Ok(checks)
}

/// Asks one server for all: what nobody holds is loaded.
pub(super) async fn fill(stage: &Stage, keys: &[Key]) -> Result<(), DrillError> {
    stage.read(0, keys).await.map(drop)
}

/// It hangs, keys that it holds are removed, it goes on with what it had.
async fn lost(stage: &mut Stage) -> Result<Vec<Check>, DrillError> {
    let (everyone, short) = ((0..SERVERS).collect::<Vec<_>>(), stage.keys(Space::Short, REMOVED));
    let removed = stage.keys(Space::Long, REMOVED);
    fill(stage, &removed).await?;
    let script = async {
        sleep(stage.scale.before).await;
        stage.with_engine(|engine| engine.nodes()[LOST].freeze()).await?;
        sleep(stage.scale.before).await;
        stage.overwrite(0, &removed, 2).await?;
        let old = stage.not_at(0, &removed, 2).await?;
        stage.with_engine(|engine| engine.nodes()[LOST].thaw()).await?;
        sleep(RECOVERY).await;
        Ok(old)
    };
    let (old, calls) = meanwhile(stage, &everyone, &short, script).await?;
    // Nothing in memory: what is read is what the nodes hold.
    stage.replace_fleet(Nodes::All).await?;
    let returned = stage.not_at(0, &removed, 2).await?;
    let note = first_failure(&calls).unwrap_or_else(|| "all served".into());
    Ok(vec![
        Check::none("errors", "a node hangs, and goes on: calls without the row", failed(&calls), calls.len() as u64)
            .note(note),
        Check::none("remover", "keys removed while it hung: older rows at the server that removed", old, REMOVED),
        Check::none("returned", "5 s after it went on: older rows that the nodes hold", returned, REMOVED),
    ])
}
