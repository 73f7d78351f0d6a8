//! Who may load? The right to, or the reason why not.

use super::{Cell, Now, TOKEN_STEP, What};
use crate::draw::Draw;
use crate::failure::FailClass;
use crate::fence::Fence;
use crate::lease::Mode;
use crate::time::{Span, Tick};

/// A lease that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// How long it is to last without a heartbeat.
    pub lease: Span,
    /// What for.
    pub mode: Mode,
    /// The fence of the entry that the asker holds: what is newer is handed over instead.
    pub holds: Fence,
    /// The token is not below this.
    pub at_least: Fence,
    /// The asker's draw: no two leases of a key have the same token, although the tier may have forgotten one of them.
    pub draw: Draw,
}

impl Ask {
    /// By so many fences the token is above what it must be above.
    pub fn step(&self) -> u64 {
        self.draw.0 % TOKEN_STEP
    }
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The right to load, and to publish under this token. `stale`: the cell's entry may rescue.
    Granted {
        /// Becomes the fence of what is published.
        token: Fence,
        /// Whether the cell has an entry that may rescue.
        stale: bool,
    },
    /// Somebody else loads, so much longer unless it renews.
    Denied {
        /// What is left of the other's lease.
        left: Span,
        /// Whether the cell has an entry that may rescue.
        stale: bool,
    },
    /// The cell's entry is fresh, and newer than what the asker holds.
    Fresh,
    /// The last load failed a moment ago.
    Failed {
        /// How long that holds.
        left: Span,
        /// How it failed.
        class: FailClass,
        /// Whether the cell has an entry that may rescue.
        stale: bool,
    },
    /// Load without a lease.
    HitForMiss {
        /// How long that holds.
        left: Span,
    },
    /// Bytes of somebody else.
    Foreign,
}

impl Cell {
    /// Asks for the right to load.
    pub fn acquire(cell: Option<Cell>, ask: Ask, at: Now) -> (Reply, Option<Cell>) {
        let now = at.tick();
        let cell = super::alive(cell, now);
        let Some(held) = cell else {
            let token = Cell::next_token(None, at, &ask);
            return (Reply::Granted { token, stale: false }, Some(Cell::empty().leased(token, ask.lease, now)));
        };
        if let Some(reply) = held.instead(&ask, now) {
            return (reply, cell);
        }
        let token = Cell::next_token(Some(&held), at, &ask);
        let next = match held.what {
            // What it said is over.
            What::Failed(_) | What::HitForMiss => Cell { fence: held.fence, ..Cell::empty() },
            _ => held,
        };
        (Reply::Granted { token, stale: held.rescues(now) }, Some(next.leased(token, ask.lease, now)))
    }

    /// What the asker gets in place of a lease.
    fn instead(&self, ask: &Ask, now: Tick) -> Option<Reply> {
        let fresh = now < self.fresh_until;
        match self.what {
            What::Foreign => return Some(Reply::Foreign),
            What::HitForMiss if fresh => return Some(Reply::HitForMiss { left: self.fresh_until.since(now) }),
            What::Value | What::Negative if fresh && self.fence > ask.holds => return Some(Reply::Fresh),
            _ => {}
        }
        if let Some(left) = self.cooling(now) {
            let class = match self.what {
                What::Failed(class) => class,
                _ => FailClass::Failed,
            };
            return Some(Reply::Failed { left, class, stale: self.rescues(now) });
        }
        let left = self.held(now)?;
        let backup = ask.mode == Mode::Backup && self.holder_is_gone(now);
        (!backup).then(|| Reply::Denied { left, stale: self.rescues(now) })
    }

    fn next_token(cell: Option<&Cell>, at: Now, ask: &Ask) -> Fence {
        let least = Cell::next_fence(cell, at, ask.at_least);
        Fence(least.0.saturating_add(ask.step()))
    }

    fn rescues(&self, now: Tick) -> bool {
        self.what == What::Value && now < self.hard_until
    }

    fn leased(self, token: Fence, lease: Span, now: Tick) -> Cell {
        Cell { token: Some(token), lease_until: now + lease, lease, ..self }
    }
}
