//! How long does an incident last?

use std::time::Duration;

/// Times and counts of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// Callers of each server that ask again and again.
    pub(crate) callers: usize,
    /// Callers of each server that ask for one key at once.
    pub(crate) herd: usize,
    /// Before anything happens.
    pub(crate) before: Duration,
    /// While the engine is frozen, or down.
    pub(crate) trouble: Duration,
    /// Once it should be as before.
    pub(crate) after: Duration,
    /// How often a race is run that is lost only now and then.
    pub(crate) tries: u64,
    /// How often a process is stopped that loads, and how many keys it loads then.
    pub(crate) stops: (u64, u64),
    /// How often two processes stand still for a moment.
    pub(crate) pauses: u64,
    /// Keys of a fleet over Memcached.
    pub(crate) keys: u64,
}

impl Scale {
    /// The whole incident.
    pub(crate) const FULL: Scale = Scale {
        callers: 20,
        herd: 100,
        before: Duration::from_secs(3),
        trouble: Duration::from_secs(10),
        after: Duration::from_secs(4),
        tries: 200,
        stops: (4, 2_500),
        pauses: 30,
        keys: 2_000,
    };
    /// The same in less time: for a busy machine or an unoptimized build.
    pub(crate) const QUICK: Scale = Scale {
        callers: 8,
        herd: 40,
        before: Duration::from_secs(2),
        trouble: Duration::from_secs(4),
        after: Duration::from_secs(3),
        tries: 40,
        stops: (1, 40),
        pauses: 6,
        keys: 2_000,
    };
}
