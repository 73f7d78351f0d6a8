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

impl Cell {
    /// Invalidates the key.
    pub fn invalidate(cell: Option<Cell>, verb: Invalidation, at_least: Fence, at: Now) -> (Raised, Cell) {
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
            _ => Cell { what: What::Tombstone, fence, hard_until: now + TOMBSTONE, ..Cell::empty() },
        };
        (Raised { fence, was_resident }, next)
    }
}
