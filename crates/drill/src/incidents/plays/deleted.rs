//! A row is written and its key removed at one server while another loads it.

use std::time::Duration;

use tokio::time::sleep;

use crate::answer::Answer;
use crate::control::FleetFlaw;
use crate::error::DrillError;
use crate::incidents::check::Check;
use crate::incidents::incident::Incident;
use crate::incidents::kind::Kind;
use crate::incidents::space::{BUDGET, Space};
use crate::incidents::stage::{Stage, get};

/// `delete-during-load`
pub(super) const DELETE_DURING_LOAD: Incident = Incident {
    name: "delete-during-load",
    what: "a row is written and its key removed at one server while another loads it",
    kinds: &[Kind::Redis],
    servers: SERVERS,
    permits: PERMITS,
    controls: &[FleetFlaw::Lock, FleetFlaw::Coalescing, FleetFlaw::Local],
    elsewhere: true,
    budget: BUDGET,
    filters: false,
    play: |stage| Box::pin(play(stage)),
};

const SERVERS: usize = 3;
/// Loads at once, of each server.
const PERMITS: u64 = 16;
/// Who loads, who removes, and who has nothing to do with it.
const LOADER: usize = 0;
const REMOVER: usize = 1;
const THIRD: usize = 2;
const LOAD: Duration = Duration::from_millis(30);
/// How late a removal may reach another process: a live backplane takes some milliseconds.
const ARRIVAL: Duration = Duration::from_secs(1);

async fn play(stage: &Stage) -> Result<Vec<Check>, DrillError> {
    stage.origin.delay(LOAD);
    let keys = stage.keys(Space::Long, stage.scale.tries);
    let unreachable = |error| DrillError::Unreachable { target: "a server".into(), error };
    let [mut loader, mut remover, mut third] =
        [stage.connect(LOADER).await?, stage.connect(REMOVER).await?, stage.connect(THIRD).await?];
    let (mut here, mut there) = (0, 0);
    for key in &keys {
        let word = ["GET", key.name.as_str()];
        loader.send(&[&word]).await.map_err(unreachable)?;
        stage.until_loads(key, 1).await?;
        stage.write(key, 2);
        remover.call(&["DEL", &key.name]).await.map_err(unreachable)?;
        // What the loader's caller gets began before: it may be either version.
        loader.read().await.map_err(unreachable)?;
        there += u64::from(get(&mut third, key).await != Answer::Version(2));
        here += u64::from(get(&mut remover, key).await != Answer::Version(2));
    }
    sleep(ARRIVAL).await;
    let mut late = 0;
    for server in 0..SERVERS {
        late += stage.not_at(server, &keys, 2).await?;
    }
    let tries = keys.len() as u64;
    Ok(vec![
        Check::none("remover", "older rows at the server that removed", here, tries),
        Check::none("third", "older rows at a server that held nothing", there, tries),
        Check::none("later", "older rows at any server, 1 s later", late, SERVERS as u64 * tries),
    ])
}
