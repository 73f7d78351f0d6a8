//! A Memcached fleet goes on without one of its nodes, and takes it in again as it was.

use tokio::time::sleep;

use crate::answer::Answer;
use crate::control::FleetFlaw;
use crate::error::DrillError;
use crate::incidents::check::Check;
use crate::incidents::engine::Nodes;
use crate::incidents::herd::{Call, meanwhile_these};
use crate::incidents::incident::Incident;
use crate::incidents::kind::Kind;
use crate::incidents::plays::added::fill;
use crate::incidents::space::{BUDGET, Space};
use crate::incidents::stage::Stage;
use crate::key::Key;

/// `node-removed`
pub(super) const NODE_REMOVED: Incident = Incident {
    name: "node-removed",
    what: "one of three Memcached nodes is left out, server by server and under load, and is taken in again",
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
/// So many that three points are more than chance.
const KEYS: u64 = 3_000;
/// Of keys that move where one of three nodes goes: a third, and three points.
const MOVED_PERCENT: u64 = 33 + 3;
/// Which node is left out.
const LEFT: usize = 1;
/// Keys that are read meanwhile.
const READ: usize = 50;
/// Rows that are written while servers differ, by one that knows the nodes in use and by one that does not yet, and as many
/// once they agree.
const WRITTEN: u64 = 60;

async fn play(stage: &mut Stage) -> Result<Vec<Check>, DrillError> {
    let (everyone, keys) = ((0..SERVERS).collect::<Vec<_>>(), stage.keys(Space::Long, KEYS));
    let [between, behind, after] = std::array::from_fn(|_| stage.keys(Space::Long, WRITTEN));
    let read: Vec<Key> = keys.iter().take(READ).cloned().collect();
    for some in [&keys, &between, &behind, &after] {
        fill(stage, some).await?;
    }
    let before = stage.loads(&keys);
    let script = async {
        sleep(stage.scale.before).await;
        stage.replace(0, Nodes::Without(LEFT)).await?;
        // Whoever was told first writes while another still uses what is left out, and so does that other.
        stage.overwrite(0, &between, 2).await?;
        fill(stage, &behind).await?;
        stage.overwrite(1, &behind, 2).await?;
        sleep(stage.scale.before / 2).await;
        for server in 1..SERVERS {
            stage.replace(server, Nodes::Without(LEFT)).await?;
        }
        stage.overwrite(0, &after, 2).await?;
        sleep(stage.scale.before).await;
        Ok(())
    };
    let ((), calls) = meanwhile_these(stage, &everyone, &read, script).await?;
    fill(stage, &keys).await?;
    let moved = stage.loads(&keys) - before;
    let mut old = 0;
    for server in everyone {
        for written in [&between, &behind, &after] {
            old += stage.not_at(server, written, 2).await?;
        }
    }
    stage.replace_fleet(Nodes::First).await?;
    let mut returned = 0;
    for written in [&between, &behind, &after] {
        returned += stage.not_at(0, written, 2).await?;
    }
    // Who was connected to a server that is replaced loses its call, and connects to the next.
    let lost = |call: &&Call| call.answer == Answer::Lost;
    let wrong = calls.iter().filter(|call| !call.answer.served() && call.answer != Answer::Lost).count() as u64;
    let note = format!("{} calls at a server as it was replaced", calls.iter().filter(lost).count());
    let (written, servers) = (3 * WRITTEN, SERVERS as u64);
    Ok(vec![
        Check::some_of_100(
            "moved",
            "one of three nodes is left out, server by server: keys that are loaded again, of 100",
            moved,
            keys.len(),
            MOVED_PERCENT,
        ),
        Check::none("errors", "meanwhile: answers other than the row", wrong, calls.len() as u64).note(note),
        Check::none("written", "rows written meanwhile: older ones at any server", old, written * servers),
        Check::none("returned", "it is taken in again: older rows of these", returned, written),
    ])
}
