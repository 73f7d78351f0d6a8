//! What does a race's origin hold, and what has it seen? One row that changes, loads that are counted.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::sleep;

/// What a load says, and in the end a caller is told: the row's value, `None` if there is no such row.
pub(crate) type Answer = Result<Option<u64>, Failed>;

/// The origin said no; to callers also whatever else a cache says in place of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failed;

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the origin said no")
    }
}
impl std::error::Error for Failed {}

/// What a loader says that panics.
pub(crate) const ON_PURPOSE: &str = "on purpose";

/// How loads end.
#[derive(Clone, Copy, Default)]
pub(crate) enum Mode {
    #[default]
    Answer,
    Refuse,
    Panic,
}

/// What an origin has seen.
#[derive(Clone, Copy, Default)]
pub(crate) struct Seen {
    /// Loads that began.
    pub(crate) loads: u64,
    /// Loads that came to their end, with whatever outcome; one that was dropped did not.
    pub(crate) ended: u64,
    /// Loads under way.
    pub(crate) running: u64,
    /// The most that were under way at once.
    pub(crate) peak: u64,
}

#[derive(Default)]
struct State {
    row: Option<u64>,
    mode: Mode,
    delay: Duration,
    seen: Seen,
}

/// An origin of one row. Clones are the same origin.
#[derive(Clone, Default)]
pub(crate) struct Origin(Arc<Mutex<State>>);

impl Origin {
    /// One whose loads take so long.
    pub(crate) fn new(row: u64, delay: Duration) -> Origin {
        let origin = Origin::default();
        origin.write(Some(row));
        origin.delay(delay);
        origin
    }

    pub(crate) fn write(&self, row: Option<u64>) {
        self.0.lock().row = row;
    }

    pub(crate) fn delay(&self, delay: Duration) {
        self.0.lock().delay = delay;
    }

    pub(crate) fn mode(&self, mode: Mode) {
        self.0.lock().mode = mode;
    }

    pub(crate) fn seen(&self) -> Seen {
        self.0.lock().seen
    }

    pub(crate) fn loads(&self) -> u64 {
        self.seen().loads
    }

    /// Reads the row at once and answers later: what a slow query under MVCC does.
    pub(crate) async fn load(self) -> Answer {
        let (row, mode, delay) = {
            let mut state = self.0.lock();
            let seen = &mut state.seen;
            seen.loads += 1;
            seen.running += 1;
            seen.peak = seen.peak.max(seen.running);
            (state.row, state.mode, state.delay)
        };
        let running = Running(self);
        sleep(delay).await;
        running.0.0.lock().seen.ended += 1;
        match mode {
            Mode::Answer => Ok(row),
            Mode::Refuse => Err(Failed),
            Mode::Panic => panic!("{ON_PURPOSE}"),
        }
    }
}

/// A load under way, until it is dropped.
struct Running(Origin);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.lock().seen.running -= 1;
    }
}
