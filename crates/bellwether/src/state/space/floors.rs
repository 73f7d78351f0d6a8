//! What holds against all entries of a space at once? Its newest invalidations, doubts about its copies, its brake.
//!
//! Hits compare with one number, `newest`, which is as high as each of the others at any time: it rises before them. A
//! brake that is on hides what rises behind it, so that nothing may rise while one is released.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bellwether_core::fence::{Fence, Floor, Invalidation};
use bellwether_core::read::doubt::Marks;
use parking_lot::Mutex;

/// The newest invalidations of a space as a whole.
#[derive(Default)]
pub(super) struct Floors {
    removed: AtomicU64,
    expired: AtomicU64,
    /// The highest of all here, for hits.
    newest: AtomicU64,
    /// Copies up to here must be compared with the shared tier before they are served, if it answers.
    suspect: AtomicU64,
    /// Copies up to here must be, whether it answers or not.
    unconfirmed: AtomicU64,
    /// No copy is served.
    braked: AtomicBool,
    /// Keys that were invalidated, here or elsewhere.
    invalidated: AtomicU64,
    /// Held by who raises a floor or moves the brake. Hits and reads never take it.
    moving: Mutex<()>,
}

impl Floors {
    /// The newest invalidations of the space as a whole.
    #[inline]
    pub(super) fn floor(&self) -> Floor {
        Floor {
            removed: Fence(self.removed.load(Ordering::Acquire)),
            expired: Fence(self.expired.load(Ordering::Acquire)),
        }
    }

    /// The newest of them, whatever its verb: as new as those of [`Floors::floor`], or newer.
    #[inline]
    pub(super) fn newest(&self) -> Fence {
        Fence(self.newest.load(Ordering::Acquire))
    }

    /// What is known against its copies.
    #[inline]
    pub(super) fn marks(&self) -> Marks {
        Marks {
            suspect: Fence(self.suspect.load(Ordering::Acquire)),
            unconfirmed: Fence(self.unconfirmed.load(Ordering::Acquire)),
            braked: self.is_braked(),
        }
    }

    /// A key was invalidated, or heard to be.
    pub(super) fn note_invalidation(&self) {
        self.invalidated.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether memory serves nothing of this space.
    #[inline]
    pub(super) fn is_braked(&self) -> bool {
        self.braked.load(Ordering::Acquire)
    }

    /// From now on memory serves nothing of this space; or it does again.
    pub(super) fn brake(&self, on: bool) {
        let _alone = self.moving.lock();
        self.braked.store(on, Ordering::SeqCst);
        let Floors { removed, expired, suspect, unconfirmed, .. } = self;
        let held = [removed, expired, suspect, unconfirmed].into_iter().map(|floor| floor.load(Ordering::SeqCst));
        // Hits look at one number alone.
        let newest = if on { u64::MAX } else { held.max().unwrap_or_default() };
        self.newest.store(newest, Ordering::SeqCst);
    }

    /// Makes copies suspect. Nothing is walked: who reads one compares.
    pub(super) fn doubt(&self, suspect: Fence) {
        self.mark(&self.suspect, suspect);
    }

    /// Copies up to this fence were confirmed too long ago.
    pub(super) fn outlive(&self, unconfirmed: Fence) {
        self.mark(&self.unconfirmed, unconfirmed);
    }

    /// Invalidates the whole space.
    pub(super) fn raise(&self, verb: Invalidation, fence: Fence) {
        let floor = match verb {
            Invalidation::Remove => &self.removed,
            Invalidation::Expire => &self.expired,
        };
        self.mark(floor, fence);
    }

    fn mark(&self, which: &AtomicU64, fence: Fence) {
        let _alone = self.moving.lock();
        // First what hits ask: by the time anybody knows of this floor, nobody is served past it.
        self.newest.fetch_max(fence.0, Ordering::SeqCst);
        which.fetch_max(fence.0, Ordering::SeqCst);
    }

    /// Keys that were invalidated so far.
    pub(super) fn invalidations(&self) -> u64 {
        self.invalidated.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_compare_with_the_highest_of_all_and_a_brake_is_higher_still() {
        let floors = Floors::default();
        floors.raise(Invalidation::Expire, Fence(3));
        floors.doubt(Fence(5));
        floors.raise(Invalidation::Remove, Fence(4));
        assert_eq!((floors.newest(), floors.floor()), (Fence(5), Floor { removed: Fence(4), expired: Fence(3) }));
        floors.outlive(Fence(7));
        floors.raise(Invalidation::Remove, Fence(6));
        let marks = floors.marks();
        assert_eq!((floors.newest(), marks.suspect, marks.unconfirmed), (Fence(7), Fence(5), Fence(7)));
        floors.brake(true);
        assert!(floors.newest() == Fence(u64::MAX) && floors.marks().braked);
        floors.raise(Invalidation::Remove, Fence(9));
        floors.brake(false);
        assert!(floors.newest() == Fence(9) && !floors.is_braked(), "what rose behind the brake holds");
        floors.raise(Invalidation::Remove, Fence(2));
        assert_eq!((floors.newest(), floors.floor().removed), (Fence(9), Fence(9)), "nothing sinks");
    }

    #[test]
    fn an_invalidation_beside_a_brake_that_is_released_is_never_forgotten() {
        const ROUNDS: u64 = 2_000;
        let floors = Floors::default();
        std::thread::scope(|scope| {
            scope.spawn(|| (0..ROUNDS).for_each(|round| floors.brake(round % 2 == 0)));
            scope.spawn(|| (0..ROUNDS).for_each(|round| floors.doubt(Fence(round))));
            for round in 1..=ROUNDS {
                floors.raise(Invalidation::Remove, Fence(round));
                assert!(floors.newest() >= Fence(round), "hits know of it before its writer is told");
            }
        });
        floors.brake(false);
        assert_eq!((floors.newest(), floors.floor().removed), (Fence(ROUNDS), Fence(ROUNDS)));
    }
}
