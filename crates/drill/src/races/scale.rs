//! How much is a drill made of?

use std::time::Duration;

/// Counts and times of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// How often a race is run that is lost only now and then.
    pub(crate) tries: u64,
    /// How long writers and readers storm one key.
    pub(crate) storm: Duration,
    /// How long clients come, cancel and go.
    pub(crate) chaos: Duration,
    /// Callers that give up early.
    pub(crate) impatient: u32,
    /// The time over which they come.
    pub(crate) over: Duration,
    /// How long they wait; a load takes twice as long.
    pub(crate) patience: Duration,
}

/// Callers of a herd, in every run: fewer are no herd.
pub(crate) const CALLERS: usize = 100;

impl Scale {
    /// The whole drill.
    pub(crate) const FULL: Scale = Scale {
        tries: 20,
        storm: Duration::from_secs(3),
        chaos: Duration::from_secs(4),
        impatient: 100,
        over: Duration::from_secs(1),
        patience: Duration::from_millis(50),
    };
    /// Every row, a few seconds: for a busy machine or an unoptimized build.
    pub(crate) const QUICK: Scale = Scale {
        tries: 5,
        storm: Duration::from_millis(600),
        chaos: Duration::from_millis(800),
        impatient: 60,
        over: Duration::from_secs(2),
        patience: Duration::from_millis(150),
    };
}
