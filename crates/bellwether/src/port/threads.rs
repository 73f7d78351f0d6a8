//! Does each thread of a runtime get on with its work? One that does not may hold what another waits for.
//!
//! A thread that has read an answer and gets no processor before it hands it on looks like any other from outside, and the other
//! threads' timers end in time. But a runtime counts how often each of its threads sleeps, and how long they are busy: one that is
//! awake while neither number changes has not come through its work.

use std::time::Duration;

use tokio::runtime::Handle;

/// How far each thread had come at some moment.
#[derive(Debug, Default)]
pub(super) struct Threads(Vec<Progress>);

#[derive(Debug, PartialEq, Eq)]
struct Progress {
    /// How often it fell asleep or woke up: odd while it sleeps.
    turns: u64,
    /// Counted when it looks up from its work, at the latest after some tens of tasks.
    busy: Duration,
}

impl Progress {
    fn is_asleep(&self) -> bool {
        self.turns % 2 == 1
    }
}

impl Threads {
    #[cfg(target_has_atomic = "64")]
    pub(super) fn of(runtime: &Handle) -> Threads {
        let told = runtime.metrics();
        let progress = |thread| Progress {
            turns: told.worker_park_unpark_count(thread),
            busy: told.worker_total_busy_duration(thread),
        };
        Threads((0..told.num_workers()).map(progress).collect())
    }

    /// Nothing is counted there.
    #[cfg(not(target_has_atomic = "64"))]
    pub(super) fn of(_: &Handle) -> Threads {
        Threads::default()
    }

    /// Whether a thread has been awake since `before` and has not come through its work.
    pub(super) fn is_stuck_since(&self, before: &Threads) -> bool {
        self.0.iter().zip(&before.0).any(|(now, before)| now == before && !now.is_asleep())
    }
}
