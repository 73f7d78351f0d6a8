//! What does a shared tier do with one key? The scripts' decisions as data: a cell and a request in, a reply and the
//! next cell out.
//!
//! This is the one place where the rules of the lease protocol are written down to be run: the tier in memory and the
//! simulator use it as it is, and the scripts that run inside Redis are compared with it, step by step.
//!
//! Every moment is one of the tier's own clock.

mod acquire;
mod change;
mod hold;
mod write;

pub use acquire::{Ask, Reply};
pub use change::{Raised, surely};
pub use write::{Change, Ending, Only, When};

use crate::failure::FailClass;
use crate::fence::Fence;
use crate::time::{Span, Tick};

/// How long a removal is remembered: no late writer may take longer.
pub const TOMBSTONE: Span = Span::secs(10);
/// Fences of a tier that lie within a microsecond.
pub const FENCES_PER_US: u64 = 1 << 12;
/// A token lies above what it must be above by a step at random, below this: a millisecond's worth of fences.
///
/// A tier that has forgotten a key, by a failover or because somebody deleted it, and whose clock stands behind, knows
/// nothing of the token that it gave out before. That one is void only if the next is another one. The step is wide
/// enough for that, and no wider: a fence that is ahead of the clock outlives what forgets it, and each lease of a key
/// that is leased all the time adds a step.
pub const TOKEN_STEP: u64 = FENCES_PER_US << 10;

/// What a key holds. `None` in its place: nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// What it says.
    pub what: What,
    /// Under which fence it was stored, or the newest invalidation's.
    pub fence: Fence,
    /// Who may publish; nobody's if `None`.
    pub token: Option<Fence>,
    /// Until when the token holds without a heartbeat. Without a token: the key is left alone until then, because a
    /// load of it failed.
    pub lease_until: Tick,
    /// The lease's length, so that its last heartbeat is known.
    pub lease: Span,
    /// Ages count from here.
    pub created: Tick,
    /// Fresh before.
    pub fresh_until: Tick,
    /// Served at once before, while one refresh runs.
    pub swr_until: Tick,
    /// Served before, where a load fails. The end of a state that is no value.
    pub hard_until: Tick,
}

/// What a cell says of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Somebody loads, or did.
    Placeholder,
    /// There is a value.
    Value,
    /// The row does not exist.
    Negative,
    /// It was removed a moment ago.
    Tombstone,
    /// Answers of this key may not be kept.
    HitForMiss,
    /// Its last load failed.
    Failed(FailClass),
    /// Bytes of somebody else.
    Foreign,
}

/// The tier's time, in microseconds as its server tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now(pub u64);

impl Now {
    /// As the moment that windows are compared with.
    pub fn tick(self) -> Tick {
        Tick(self.0 / 1000)
    }

    /// The lowest fence of this microsecond.
    pub fn fence(self) -> Fence {
        Fence(self.0.saturating_mul(FENCES_PER_US))
    }

    /// When a fence was drawn, by the clock of who drew it.
    pub fn of(fence: Fence) -> Now {
        Now(fence.0 / FENCES_PER_US)
    }
}

impl Cell {
    fn empty() -> Cell {
        Cell {
            what: What::Placeholder,
            fence: Fence::ZERO,
            token: None,
            lease_until: Tick(0),
            lease: Span::ZERO,
            created: Tick(0),
            fresh_until: Tick(0),
            swr_until: Tick(0),
            hard_until: Tick(0),
        }
    }

    /// Bytes that no Bellwether wrote.
    pub fn foreign() -> Cell {
        Cell { what: What::Foreign, hard_until: Tick::NEVER, ..Cell::empty() }
    }

    /// When the tier may forget the key: nothing of it can be of use any more.
    pub fn ends(&self) -> Tick {
        self.hard_until.max(self.lease_until)
    }

    /// Whether there is an entry that may be served, in whatever window.
    pub fn is_resident(&self, now: Tick) -> bool {
        matches!(self.what, What::Value | What::Negative | What::Foreign) && now < self.hard_until
    }

    /// What is left of the lease that somebody holds.
    pub fn held(&self, now: Tick) -> Option<Span> {
        self.token.filter(|_| now < self.lease_until).map(|_| self.lease_until.since(now))
    }

    /// How long the key is still left alone because a load of it failed.
    pub fn cooling(&self, now: Tick) -> Option<Span> {
        let until = match self.what {
            What::Failed(_) => self.hard_until,
            _ if self.token.is_none() => self.lease_until,
            _ => return None,
        };
        (now < until).then(|| until.since(now))
    }

    /// Whether the holder missed two heartbeats.
    fn holder_is_gone(&self, now: Tick) -> bool {
        let renewed = self.lease_until - self.lease;
        now.since(renewed) >= crate::lease::presumed_gone(self.lease)
    }

    /// The next fence of this key: above all that it has seen, and not below what the asker asks for.
    fn next_fence(cell: Option<&Cell>, now: Now, at_least: Fence) -> Fence {
        let seen = cell.map_or(Fence::ZERO, |cell| cell.fence.max(cell.token.unwrap_or_default()));
        now.fence().max(seen.above()).max(at_least)
    }
}

/// What is left of a cell at `now`; a tier forgets what has ended.
pub fn alive(cell: Option<Cell>, now: Tick) -> Option<Cell> {
    cell.filter(|cell| now < cell.ends())
}

#[cfg(test)]
mod late_tests;
#[cfg(test)]
mod tests;
