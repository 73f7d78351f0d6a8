//! What is known of a key that draws more than its share?

use crate::time::Tick;

/// What a key is asked for, per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Reads.
    pub reads: f64,
    /// Writes and invalidations.
    pub writes: f64,
    /// Bytes of the values read.
    pub bytes: f64,
}

/// How hot a key is. A key that is neither is not spoken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// It draws a good part of a node's capacity: looked at, nothing is done.
    Watched,
    /// It draws so much that something is done about it.
    Hot,
}

/// The verdict on one key, at the end of a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hot {
    /// How hot it is.
    pub stage: Stage,
    /// What this process sees of it.
    pub here: Rates,
    /// What the whole fleet sees, as far as it is known here; at least `here`.
    pub fleet: Rates,
    /// The largest share of a node's capacity that `fleet` takes, of operations or of bytes: 1 is all of it.
    pub share: f64,
    /// Since when it is in this stage.
    pub since: Tick,
    /// Before this moment it does not leave it.
    pub hold_until: Tick,
}
