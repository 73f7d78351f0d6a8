//! How much do clients make us keep before it is of any use? Half commands and queued ones, of all
//! connections together: each has a limit of its own, but thousands of them would fill the machine.

use crate::allowance::{Allowance, Part};

/// Bytes of all connections' unfinished commands, beyond what each has free.
const MOST_HELD: usize = 256 << 20;
/// Bytes that a connection may hold uncounted, so that a small command that comes in two parts never
/// suffers from those who send large ones.
const FREE: usize = 16 << 10;

/// What all connections hold together.
#[derive(Debug)]
pub(super) struct Total(Allowance);

/// One connection's part of it; given back when dropped.
pub(super) struct Held(Part);

impl Default for Total {
    fn default() -> Total {
        Total(Allowance::of(MOST_HELD))
    }
}

impl Total {
    /// The part of a connection that holds nothing yet.
    pub(super) fn held(&self) -> Held {
        Held(self.0.part())
    }
}

impl Held {
    /// Says that the connection holds `bytes` now. False: that is more than there is room for; they
    /// are to be let go of, and count no more.
    #[inline]
    pub(super) fn set(&mut self, bytes: usize) -> bool {
        let fits = self.0.set(bytes.saturating_sub(FREE));
        if !fits {
            self.0.set(0);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: usize = 16 << 20;

    #[test]
    fn g6_small_commands_never_suffer_from_large_ones_and_who_is_refused_keeps_nothing() {
        let total = Total::default();
        let mut all: Vec<Held> = (0..MOST_HELD / LARGE).map(|_| total.held()).collect();
        assert!(all.iter_mut().all(|held| held.set(FREE + LARGE)));
        let mut small = total.held();
        assert!(small.set(FREE) && !small.set(FREE + 1) && small.set(FREE));
        assert!(!all[0].set(FREE + LARGE + 1), "refused, and so it lets go of all it had");
        assert!(small.set(FREE + LARGE), "which makes room for others");
    }
}
