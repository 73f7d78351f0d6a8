//! How much do clients make us keep before it is of any use? Half commands and queued ones, of all
//! connections together: each has a limit of its own, but thousands of them would fill the machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of all connections' unfinished commands, beyond what each has free.
const MOST_HELD: usize = 256 << 20;
/// Bytes that a connection may hold uncounted, so that a small command that comes in two parts never
/// suffers from those who send large ones.
const FREE: usize = 16 << 10;

/// What all connections hold together.
#[derive(Debug, Default)]
pub(super) struct Total(AtomicUsize);

/// One connection's part of it; given back when dropped.
pub(super) struct Held {
    total: Arc<Total>,
    mine: usize,
}

impl Held {
    pub(super) fn new(total: Arc<Total>) -> Held {
        Held { total, mine: 0 }
    }

    /// Says that the connection holds `bytes` now. False: that is more than there is room for, and
    /// they are to be let go of.
    pub(super) fn set(&mut self, bytes: usize) -> bool {
        let counted = bytes.saturating_sub(FREE);
        if counted <= self.mine {
            if counted < self.mine {
                self.total.0.fetch_sub(self.mine - counted, Ordering::Relaxed);
                self.mine = counted;
            }
            return true;
        }
        let more = counted - self.mine;
        if self.total.0.fetch_add(more, Ordering::Relaxed) + more > MOST_HELD {
            self.total.0.fetch_sub(more, Ordering::Relaxed);
            return false;
        }
        self.mine = counted;
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: usize = 16 << 20;

    #[test]
    fn g6_all_connections_together_are_bounded_and_small_ones_never_suffer() {
        let total = Arc::new(Total::default());
        let fill = || {
            let mut all = Vec::new();
            loop {
                let mut held = Held::new(total.clone());
                if !held.set(FREE + LARGE) {
                    return all;
                }
                all.push(held);
            }
        };
        let mut all = fill();
        assert_eq!(all.len(), MOST_HELD / LARGE);
        let mut small = Held::new(total.clone());
        assert!(small.set(FREE) && !small.set(FREE + 1));
        assert!(all[0].set(FREE + LARGE / 2), "less is always fine");
        assert!(small.set(FREE + LARGE / 2), "and makes room for others");
        drop((small, all));
        assert_eq!((total.0.load(Ordering::Relaxed), fill().len()), (0, MOST_HELD / LARGE), "nothing is lost");
    }
}
