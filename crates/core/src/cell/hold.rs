//! What may a holder do? Publish, beat, give back: each only while its token is the key's.

use super::{Cell, What};
use crate::failure::FailClass;
use crate::fence::Fence;
use crate::time::{Span, Tick};

impl Cell {
    /// Stores what was loaded under `token`; `None`: the token is void, nothing changes.
    ///
    /// `entry` brings what it says and its windows; its fence is the token.
    pub fn publish(cell: Option<Cell>, token: Fence, entry: Cell, now: Tick) -> Option<Cell> {
        super::alive(cell, now).filter(|held| held.token == Some(token))?;
        Some(Cell { fence: token, token: None, lease_until: Tick(0), lease: Span::ZERO, ..entry })
    }

    /// A heartbeat; `None`: the token is void.
    pub fn renew(cell: Option<Cell>, token: Fence, lease: Span, now: Tick) -> Option<Cell> {
        let held = super::alive(cell, now).filter(|held| held.token == Some(token))?;
        Some(Cell { lease_until: now + lease, lease, ..held })
    }

    /// Gives a lease back unused, after a load that failed with a cool-down that everybody sees. `Err`: the token is
    /// void, nothing changes.
    #[expect(clippy::result_unit_err, reason = "there is one way to fail: the token is void")]
    pub fn release(
        cell: Option<Cell>,
        token: Fence,
        failed: Option<(Span, FailClass)>,
        now: Tick,
    ) -> Result<Option<Cell>, ()> {
        let held = super::alive(cell, now).filter(|held| held.token == Some(token)).ok_or(())?;
        let free = Cell { token: None, lease_until: Tick(0), lease: Span::ZERO, ..held };
        Ok(match (failed, held.what) {
            // The token's place is remembered: the next one is above it.
            (None, What::Placeholder) => None,
            (None, _) => Some(free),
            (Some((cool, class)), What::Placeholder) => {
                let until = now + cool;
                Some(Cell { what: What::Failed(class), fence: token, hard_until: until, ..Cell::empty() })
            }
            // A body or a tombstone stays what it is, and the key is left alone.
            (Some((cool, _)), _) => Some(Cell { lease_until: now + cool, ..free }),
        })
    }
}
