//! What may somebody write who writes under a condition? Decided where the key is, in one step with the write.

use super::{Cell, Now, What};
use crate::fence::Fence;
use crate::time::Tick;

/// Under which condition something is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum When {
    /// In any case.
    #[default]
    Always,
    /// If nothing is there.
    Absent,
    /// If something is there.
    Present,
}

impl Cell {
    /// The fence under which something may be written now; `None`: the condition does not hold. Whatever is written is
    /// above all that the key has had, and every token is void.
    pub fn may_write(cell: Option<Cell>, when: When, at_least: Fence, at: Now) -> Option<Fence> {
        let now = at.tick();
        let cell = super::alive(cell, now);
        let there = cell.is_some_and(|cell| cell.is_there(now));
        let holds = match when {
            When::Always => true,
            When::Absent => !there,
            When::Present => there,
        };
        holds.then(|| Cell::next_fence(cell.as_ref(), at, at_least))
    }

    /// Whether there is something for those who ask whether there is: a value that is fresh, or bytes of somebody else.
    /// What is stale is kept for who renews it.
    pub fn is_there(&self, now: Tick) -> bool {
        match self.what {
            What::Value => now < self.fresh_until,
            What::Foreign => now < self.hard_until,
            What::Placeholder | What::Negative | What::Tombstone | What::HitForMiss | What::Failed(_) => false,
        }
    }
}
