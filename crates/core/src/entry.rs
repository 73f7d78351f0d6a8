//! What do we know about a value without looking at it? The meta of an entry.

use crate::fence::Fence;
use crate::time::{Span, Tick};

/// What kind of thing an entry says about its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// There is a value.
    Value,
    /// The row does not exist.
    Negative,
    /// The answer may not be kept: callers load side by side, without a flight.
    HitForMiss,
}

/// Meta of an entry: 48 bytes. Windows after `fresh_until` are 32-bit milliseconds (49 days).
///
/// `fresh_until <= swr_until <= hard_until` holds by construction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Drawn before the load read the origin.
    pub fence: Fence,
    /// Start of the load: ages count from here.
    pub born: Tick,
    /// Fresh before this moment.
    pub fresh_until: Tick,
    /// From `fresh_until`: served at once for this many ms while one refresh runs.
    pub swr_ms: u32,
    /// From `fresh_until`: served for this many ms when a load failed; never below `swr_ms`.
    pub hard_ms: u32,
    /// How long the load took, in ms: pure service time, never the wait for a permit.
    pub cost_ms: u32,
    /// Early refresh may begin this many ms ahead of `fresh_until`.
    pub early_ms: u32,
    /// What the entry says.
    pub kind: Kind,
}

impl Meta {
    /// From here to `hard_until` the value is stale.
    pub fn swr_until(&self) -> Tick {
        self.fresh_until + Span(u64::from(self.swr_ms))
    }

    /// From here the entry is expired.
    pub fn hard_until(&self) -> Tick {
        self.fresh_until + Span(u64::from(self.hard_ms))
    }

    /// Before this moment an entry is plainly fresh: no early refresh to think about.
    pub fn calm_until(&self) -> Tick {
        self.fresh_until - Span(u64::from(self.early_ms))
    }

    /// Time since the load began.
    pub fn age(&self, now: Tick) -> Span {
        now.since(self.born)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meta_stays_small() {
        assert!(size_of::<Meta>() <= 48, "{}", size_of::<Meta>());
    }
}
