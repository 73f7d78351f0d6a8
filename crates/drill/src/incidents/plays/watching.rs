//! How long does a server serve rows that are older than what was removed elsewhere? It is read again and again.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::answer::Answer;
use crate::error::DrillError;
use crate::incidents::check::Check;
use crate::incidents::stage::Stage;
use crate::key::Key;

pub(super) const REMOVER: usize = 0;
pub(super) const LISTENER: usize = 1;
pub(super) const CUT_OFF: usize = 2;
pub(super) const KEYS: u64 = 30;
/// How late a removal may reach a process that listens.
pub(super) const ARRIVAL: Duration = Duration::from_secs(1);
/// How long it is watched: longer than it may take.
const WATCH: Duration = Duration::from_secs(8);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// What a server gave while it was watched.
#[derive(Default)]
pub(super) struct Watched {
    pub(super) asked: u64,
    pub(super) lost: u64,
    /// After the removal.
    last_old: Option<Duration>,
}

pub(super) async fn watch(stage: &Stage, server: usize, keys: &[Key], removed: Instant) -> Result<Watched, DrillError> {
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

pub(super) fn last_old(name: &'static str, what: &'static str, watched: &Watched, limit: Duration) -> Check {
    let last = watched.last_old.unwrap_or_default();
    Check {
        name,
        what: what.into(),
        measured: watched.last_old.map_or_else(|| "none".to_owned(), |last| last.as_millis().to_string()),
        wanted: format!("<= {}", limit.as_millis()).into(),
        ok: last <= limit && watched.asked > 0,
    }
}
