//! One server hears nothing more of the others, while keys are removed at one of them: how long does it serve what it
//! has? The entries themselves it can still reach.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::answer::Answer;
use crate::control::FleetFlaw;
use crate::error::DrillError;
use crate::incidents::check::Check;
use crate::incidents::incident::Incident;
use crate::incidents::kind::Kind;
use crate::incidents::space::Space;
use crate::incidents::stage::Stage;
use crate::key::Key;

/// `backplane-lost`
pub(super) const BACKPLANE_LOST: Incident = Incident {
    name: "backplane-lost",
    what: "one server is cut off from the backplane while keys that it holds are removed elsewhere",
    kinds: &[Kind::Redis],
    servers: SERVERS,
    permits: PERMITS,
    controls: &[FleetFlaw::Local],
    elsewhere: true,
    play: |stage| Box::pin(play(stage)),
};

const SERVERS: usize = 3;
/// Loads at once, of each server.
const PERMITS: u64 = 16;
const REMOVER: usize = 0;
const LISTENER: usize = 1;
const CUT_OFF: usize = 2;
const KEYS: u64 = 30;
const LOAD: Duration = Duration::from_millis(20);
/// How late a removal may reach a process that listens.
const ARRIVAL: Duration = Duration::from_secs(1);
/// How long a process may serve what it holds without a word from the backplane: 3 s of silence are a gap, which is
/// noticed within another; a busy machine may add one.
const GAP: Duration = Duration::from_secs(5);
/// How long it is watched: longer than it may take.
const WATCH: Duration = Duration::from_secs(8);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

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
    Ok(vec![
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
    ])
}

/// What a server gave while it was watched.
#[derive(Default)]
struct Watched {
    asked: u64,
    lost: u64,
    /// After the removal.
    last_old: Option<Duration>,
}

async fn watch(stage: &Stage, server: usize, keys: &[Key], removed: Instant) -> Result<Watched, DrillError> {
    let mut watched = Watched::default();
    while removed.elapsed() < WATCH {
        let asked = removed.elapsed();
        for answer in stage.read(server, keys).await? {
            watched.asked += 1;
            match answer {
                Answer::Version(1) => watched.last_old = Some(asked),
                Answer::Version(_) => {}
                _ => watched.lost += 1,
            }
        }
        sleep(PAUSE).await;
    }
    Ok(watched)
}

fn last_old(name: &'static str, what: &'static str, watched: &Watched, limit: Duration) -> Check {
    let last = watched.last_old.unwrap_or_default();
    Check {
        name,
        what: what.into(),
        measured: watched.last_old.map_or_else(|| "none".to_owned(), |last| last.as_millis().to_string()),
        wanted: format!("<= {}", limit.as_millis()).into(),
        ok: last <= limit && watched.asked > 0,
    }
}
