//! What does a caller get for what a cell says?

use bellwether::Span;
use bellwether::shared::{Acquired, Envelope as Entry, Found, TierError, TierTrouble};
use bellwether_core::cell::{Cell, Reply, What, alive};
use bytes::Bytes;

use super::slot::Slot;
use crate::tiers::wire::open;

/// What becomes of a step, and what is to be told once it is done.
pub(super) enum Step<R> {
    /// Nothing changes.
    Done(R),
    /// The cell becomes another one, with another body or the one it has.
    Write {
        /// The next cell.
        next: Cell,
        /// Its bytes, where they are new.
        body: Option<Bytes>,
        /// What is told.
        reply: R,
    },
    /// The item goes.
    Delete(R),
}

/// What a reader finds.
pub(super) fn found(slot: Slot) -> Found {
    let now = slot.now.tick();
    let Some(cell) = alive(slot.cell, now) else { return Found::Nothing { lease: None } };
    let lease = cell.held(now);
    match cell.what {
        What::Foreign => Found::Foreign { left: left(&slot), body: slot.raw },
        What::HitForMiss if now < cell.fresh_until => Found::HitForMiss { left: cell.fresh_until.since(now) },
        What::Failed(class) if now < cell.hard_until => Found::Failed { left: cell.hard_until.since(now), class },
        What::Value | What::Negative if cell.is_resident(now) => match entry(&slot) {
            Some(envelope) => Found::Entry { envelope, lease },
            None => Found::Nothing { lease },
        },
        _ => Found::Nothing { lease },
    }
}

/// What somebody gets who asks for a lease.
pub(super) fn acquired(reply: &Reply, slot: &Slot) -> Result<Acquired, TierError> {
    let stale = |stale: bool| if stale { entry(slot) } else { None };
    Ok(match *reply {
        Reply::Granted { token, stale: has } => Acquired::Granted { token, stale: stale(has) },
        Reply::Denied { left, stale: has } => Acquired::Denied { left, stale: stale(has) },
        Reply::Fresh => Acquired::Fresh(entry(slot).ok_or_else(|| TierError {
            kind: TierTrouble::Failed,
            text: "a cell without the entry that it has".to_owned(),
        })?),
        Reply::Failed { left, class, .. } => Acquired::Failed { left, class },
        Reply::HitForMiss { left } => Acquired::HitForMiss { left },
        Reply::Foreign => Acquired::Foreign { body: slot.raw.clone(), left: left(slot) },
    })
}

fn entry(slot: &Slot) -> Option<Entry> {
    open(slot.envelope.clone()?, slot.now.tick().0)
}

fn left(slot: &Slot) -> Option<Span> {
    slot.ttl.map(|seconds| Span::secs(u64::from(seconds)))
}
