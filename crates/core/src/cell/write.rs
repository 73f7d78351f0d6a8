//! What may somebody write who writes under a condition, or changes what is there? Decided where the key is, in one step
//! with the write.

use super::{Cell, Now, What};
use crate::fence::{Fence, Invalidation};
use crate::time::{Span, Tick};

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

/// What is done to a value without another in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is taken away, by whoever is handed it.
    Take,
    /// It gets other ends.
    End(Ending),
}

/// Other ends for a value, counted from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Fresh for so long; zero: it is removed.
    pub fresh: Span,
    /// Served stale while a refresh runs for so long after that.
    pub swr: Span,
    /// Served after a failed load for so long after it was fresh; at least `swr`.
    pub hard: Span,
    /// Compared with how long it would be fresh.
    pub only: Only,
}

/// Under which condition a value gets another end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Only {
    /// In any case.
    #[default]
    Always,
    /// If it comes later.
    Later,
    /// If it comes sooner.
    Sooner,
}

impl Only {
    /// Whether a value that is fresh for `left` may be so for `wanted`.
    pub fn allows(self, left: Span, wanted: Span) -> bool {
        match self {
            Only::Always => true,
            Only::Later => wanted > left,
            Only::Sooner => wanted < left,
        }
    }
}

impl Cell {
    /// Does something to what is there; `None`: nothing is, or the condition does not hold, and nothing changes. What is
    /// changed is above all that the key has had, and every token is void.
    ///
    /// What somebody else stored can be taken, and has no other ends than theirs.
    pub fn change(cell: Option<Cell>, change: Change, at_least: Fence, at: Now) -> Option<(Fence, Cell)> {
        let now = at.tick();
        let held = super::alive(cell, now).filter(|cell| cell.is_there(now))?;
        let removed = || {
            let (raised, next) = Cell::invalidate(Some(held), Invalidation::Remove, at_least, at);
            (raised.fence, next)
        };
        let ending = match change {
            Change::Take => return Some(removed()),
            Change::End(ending) => ending,
        };
        if held.what == What::Foreign || !ending.only.allows(held.fresh_until.since(now), ending.fresh) {
            return None;
        }
        if ending.fresh == Span::ZERO {
            return Some(removed());
        }
        let fence = Cell::next_fence(Some(&held), at, at_least);
        let fresh_until = now + ending.fresh;
        let next = Cell {
            fence,
            token: None,
            lease_until: Tick(0),
            lease: Span::ZERO,
            fresh_until,
            swr_until: fresh_until + ending.swr,
            hard_until: fresh_until + ending.hard.max(ending.swr),
            ..held
        };
        Some((fence, next))
    }

    /// The fence under which something may be written now; `None`: the condition does not hold, or what is there was made, or
    /// removed, less than `late` ago. Whatever is written is above all that the key has had, and every token is void.
    pub fn may_write(cell: Option<Cell>, when: When, late: Span, at_least: Fence, at: Now) -> Option<Fence> {
        let now = at.tick();
        let cell = super::alive(cell, now);
        let newer = cell.is_some_and(|cell| cell.is_newer(late, now));
        let there = cell.is_some_and(|cell| cell.is_there(now));
        let holds = match when {
            When::Always => true,
            When::Absent => !there,
            When::Present => there,
        };
        (holds && !newer).then(|| Cell::next_fence(cell.as_ref(), at, at_least))
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
