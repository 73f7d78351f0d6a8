//! Which came first? Fences order loads and invalidations of one key without trusting clocks.

/// An ever-growing 64-bit number (hybrid clock: a process's in microseconds, a tier's in parts of one). A load's fence is
/// drawn before it reads the origin; an entry carries the fence of the load that made it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(pub u64);

impl Fence {
    /// Before everything: what a key without any invalidation has as its floor.
    pub const ZERO: Fence = Fence(0);

    /// The next fence of a process that last gave out `self`: follows the wall clock (µs) but
    /// never stands still or steps back when that clock does.
    #[must_use]
    pub fn next(self, wall_us: u64) -> Fence {
        Fence(wall_us.max(self.0 + 1))
    }

    /// The first fence above this one: what a tier is asked to draw at least by somebody who knows of `self`.
    #[must_use]
    pub fn above(self) -> Fence {
        Fence(self.0.saturating_add(1))
    }
}

/// The newest invalidations that cover something, by verb. Raising is a max-merge: idempotent
/// and free of order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Floor {
    /// Newest *remove*: entries with a fence at or below it do not exist any more.
    pub removed: Fence,
    /// Newest *expire*: entries with a fence at or below it must be loaded anew; their body may
    /// serve as a rescue where the policy says so.
    pub expired: Fence,
}

/// The verb of an invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Invalidation {
    /// Hard: nobody gets the old value any more.
    Remove,
    /// Soft: readers must load; the old body is at most a rescue.
    Expire,
}

impl Floor {
    /// No invalidation yet.
    pub const NONE: Floor = Floor { removed: Fence::ZERO, expired: Fence::ZERO };

    /// The floor of a single invalidation.
    pub fn of(verb: Invalidation, fence: Fence) -> Floor {
        match verb {
            Invalidation::Remove => Floor { removed: fence, expired: Fence::ZERO },
            Invalidation::Expire => Floor { removed: Fence::ZERO, expired: fence },
        }
    }

    /// The higher of both, verb by verb.
    #[must_use]
    pub fn merge(self, other: Floor) -> Floor {
        Floor { removed: self.removed.max(other.removed), expired: self.expired.max(other.expired) }
    }

    /// The newest invalidation of either verb: what a load must have begun after to be kept.
    pub fn newest(self) -> Fence {
        self.removed.max(self.expired)
    }

    /// Whether something made under `fence` is older than an invalidation.
    pub fn covers(self, fence: Fence) -> bool {
        fence <= self.newest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn fences_grow_whatever_the_wall_clock_does(walls in prop::collection::vec(0u64..1000, 1..50)) {
            let mut last = Fence::ZERO;
            for wall in walls {
                let next = last.next(wall);
                prop_assert!(next > last);
                last = next;
            }
        }

        #[test]
        fn merging_floors_is_free_of_order(a in any::<(u64, u64)>(), b in any::<(u64, u64)>(), probe in any::<u64>()) {
            let floor = |(r, e)| Floor { removed: Fence(r), expired: Fence(e) };
            let (a, b) = (floor(a), floor(b));
            prop_assert_eq!(a.merge(b), b.merge(a));
            prop_assert_eq!(a.merge(a), a);
            prop_assert_eq!(a.merge(b).covers(Fence(probe)), a.covers(Fence(probe)) || b.covers(Fence(probe)));
        }
    }
}
