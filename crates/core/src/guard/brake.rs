//! Does memory save anything in a space, or is it invalidated faster than it is read? Then its tier is off.

use crate::time::Span;

/// How long is looked at before it is judged.
pub const WINDOW: Span = Span::secs(10);
/// Fewer invalidations in a window cost too little to act on.
const LEAST: u64 = 100;
/// It is on again once reads outnumber invalidations by this factor: not at once, or it would flap.
const CALM: u64 = 2;

/// What happened in a space; counts that only grow, or their difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Keys that were invalidated.
    pub invalidations: u64,
    /// Reads that were answered with a fresh value.
    pub hits: u64,
    /// All reads.
    pub reads: u64,
}

impl Traffic {
    /// What came since `before`.
    #[must_use]
    pub fn since(self, before: Traffic) -> Traffic {
        Traffic {
            invalidations: self.invalidations.saturating_sub(before.invalidations),
            hits: self.hits.saturating_sub(before.hits),
            reads: self.reads.saturating_sub(before.reads),
        }
    }
}

/// Whether the memory tier of a space is off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Brake {
    on: bool,
}

impl Brake {
    /// Judges a window. `Some`: the brake is put on, or released.
    pub fn judge(&mut self, window: Traffic) -> Option<bool> {
        let on = match self.on {
            // Nothing is served from memory now: what it would serve is what is read.
            true => window.invalidations.saturating_mul(CALM) >= window.reads && window.invalidations >= LEAST,
            false => window.invalidations > window.hits && window.invalidations >= LEAST,
        };
        (std::mem::replace(&mut self.on, on) != on).then_some(on)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(invalidations: u64, hits: u64, reads: u64) -> Traffic {
        Traffic { invalidations, hits, reads }
    }

    #[test]
    fn a_space_that_is_invalidated_more_than_read_loses_its_memory_and_gets_it_back() {
        let mut brake = Brake::default();
        assert_eq!(brake.judge(window(500, 501, 700)), None, "it still serves more");
        assert_eq!(brake.judge(window(500, 499, 700)), Some(true));
        assert_eq!(brake.judge(window(500, 0, 900)), None, "not calm enough to be released");
        assert_eq!(brake.judge(window(500, 0, 1_001)), Some(false));
        assert_eq!(brake.judge(window(500, 600, 1_001)), None);
    }

    #[test]
    fn few_invalidations_are_no_reason() {
        let mut brake = Brake::default();
        assert_eq!(brake.judge(window(99, 0, 0)), None);
        assert_eq!(brake.judge(window(100, 0, 0)), Some(true));
        assert_eq!(brake.judge(window(0, 0, 0)), Some(false), "a space at rest has its memory");
    }
}
