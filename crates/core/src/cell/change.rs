//! What does an invalidation leave behind? A fence above everything before it, and no lease.

use super::{Cell, Now, TOMBSTONE, What};
use crate::fence::{Fence, Invalidation};
use crate::time::{Span, Tick};

/// What an invalidation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raised {
    /// Nothing below it will be stored any more.
    pub fence: Fence,
    /// Whether a value was there.
    pub was_resident: bool,
}

/// By so much the clocks of servers may differ of which one takes over from another.
const CLOCKS_DIFFER: Span = Span::ms(25);
/// Two clocks may differ by one part in so many of what they measure.
const DRIFT: u64 = 1024;

/// How long ago something was at least that this process's clock says was `ago`. Zero: nothing is known.
pub fn surely(ago: Span) -> Span {
    Span(ago.0.saturating_sub(ago.0.div_ceil(DRIFT)).saturating_sub(CLOCKS_DIFFER.0))
}

impl Cell {
    /// Invalidates the key.
    pub fn invalidate(cell: Option<Cell>, verb: Invalidation, at_least: Fence, at: Now) -> (Raised, Cell) {
        Cell::invalidate_as_of(cell, verb, at_least, Span::ZERO, at)
    }

    /// Invalidates the key for somebody who was told `ago` that it is, and whom the tier did not hear then. `None` in place
    /// of the next cell: what is there was made after that, and stays, with the lease over it, which is younger still.
    ///
    /// `at_least` is above all that the asker knew of the key: what lies below is of a tier that has forgotten some of it,
    /// and whose moments are not believed.
    pub fn invalidate_late(
        cell: Option<Cell>,
        verb: Invalidation,
        at_least: Fence,
        ago: Span,
        at: Now,
    ) -> (Raised, Option<Cell>) {
        let newer =
            |held: &Cell| held.is_resident(at.tick()) && held.is_newer(ago, at.tick()) && held.fence >= at_least;
        if let Some(held) = super::alive(cell, at.tick()).filter(newer) {
            return (Raised { fence: held.fence, was_resident: false }, None);
        }
        let (raised, next) = Cell::invalidate_as_of(cell, verb, at_least, ago, at);
        (raised, Some(next))
    }

    fn invalidate_as_of(cell: Option<Cell>, verb: Invalidation, at_least: Fence, ago: Span, at: Now) -> (Raised, Cell) {
        let now = at.tick();
        let cell = super::alive(cell, now);
        let fence = Cell::next_fence(cell.as_ref(), at, at_least);
        let was_resident = cell.is_some_and(|cell| cell.is_resident(now) && cell.what != What::Negative);
        let next = match cell {
            Some(held) if verb == Invalidation::Expire && held.what == What::Value => {
                // Past both windows at once; the body is at most a rescue.
                let ended = held.created.min(now);
                Cell {
                    fence,
                    token: None,
                    lease_until: Tick(0),
                    lease: Span::ZERO,
                    fresh_until: ended,
                    swr_until: ended,
                    ..held
                }
            }
            // Its moment is remembered: an older write may come yet.
            _ => {
                let former = cell.filter(|cell| cell.what == What::Tombstone).map_or(Tick(0), |cell| cell.created);
                let created = former.min(now).max(now - ago);
                Cell { what: What::Tombstone, fence, created, hard_until: now + TOMBSTONE, ..Cell::empty() }
            }
        };
        (Raised { fence, was_resident }, next)
    }

    /// Whether what is there was made, or was removed, less than so long ago. Nothing is known of what has no moment, or
    /// one that is still to come because the clock was set back, nor if nobody knows how long ago.
    pub(super) fn is_newer(&self, ago: Span, now: Tick) -> bool {
        let dated = matches!(self.what, What::Value | What::Negative | What::Tombstone);
        dated && ago > Span::ZERO && now - ago < self.created && self.created <= now
    }
}
