//! One server hears nothing more of the others, while keys are removed at one of them: how long does it serve what it
//! has? At first it can still reach the entries themselves, then not even these.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::apart::{apart, stopped};
use super::watching::{ARRIVAL, CUT_OFF, KEYS, LISTENER, REMOVER, last_old, watch};
use crate::control::FleetFlaw;
use crate::error::DrillError;
use crate::incidents::check::Check;
use crate::incidents::incident::Incident;
use crate::incidents::kind::Kind;
use crate::incidents::space::{BUDGET, Space};
use crate::incidents::stage::Stage;

/// `backplane-lost`
pub(super) const BACKPLANE_LOST: Incident = Incident {
    name: "backplane-lost",
    what: "one server is cut off from the backplane, then from everything, then stopped, while keys that it holds are removed elsewhere",
    kinds: &[Kind::Redis],
    servers: SERVERS,
    permits: PERMITS,
    controls: &[FleetFlaw::Local],
    elsewhere: true,
    budget: BUDGET,
    filters: false,
    play: |stage| Box::pin(play(stage)),
};

const SERVERS: usize = 3;
/// Loads at once, of each server.
const PERMITS: u64 = 16;
const LOAD: Duration = Duration::from_millis(20);
/// How long a process may serve what it holds without a word from the backplane: 3 s of silence are a gap, which is
/// noticed within another; a busy machine may add one.
const GAP: Duration = Duration::from_secs(5);

async fn play(stage: &Stage) -> Result<Vec<Check>, DrillError> {
    stage.origin.delay(LOAD);
    let keys = stage.keys(Space::Long, KEYS);
    for server in 0..SERVERS {
        stage.read(server, &keys).await?;
    }
    // Until the backplane has said everything that was there to say.
    sleep(ARRIVAL).await;
    stage.fleet[CUT_OFF].lose_backplane();
    stage.overwrite(REMOVER, &keys, 2).await?;
    let removed = Instant::now();
    let here = stage.not_at(REMOVER, &keys, 2).await?;
    let (listening, alone) =
        tokio::join!(watch(stage, LISTENER, &keys, removed), watch(stage, CUT_OFF, &keys, removed));
    let (listening, alone) = (listening?, alone?);
    stage.fleet[CUT_OFF].reconnect();
    sleep(2 * ARRIVAL).await;
    let healed = stage.not_at(CUT_OFF, &keys, 2).await?;
    // It listens again.
    sleep(GAP).await;
    stage.overwrite(REMOVER, &keys, 3).await?;
    sleep(ARRIVAL).await;
    let again = stage.not_at(CUT_OFF, &keys, 3).await?;
    let mut checks = vec![
        Check::none("remover", "older rows at the server that removed", here, KEYS),
        last_old("listener", "a server that listens: the last older row, ms after the removal", &listening, ARRIVAL),
        last_old("cut-off", "the server that hears nothing: the last older row, ms after the removal", &alone, GAP),
        Check::none(
            "errors",
            "calls of these two without the row",
            listening.lost + alone.lost,
            listening.asked + alone.asked,
        ),
        Check::none("healed", "older rows at it, 2 s after it hears again", healed, KEYS),
        Check::none("again", "keys removed once more: older rows at it, 1 s later", again, KEYS),
    ];
    checks.extend(apart(stage).await?);
    checks.extend(stopped(stage).await?);
    Ok(checks)
}
