//! What does the test tier hold of one key? A cell that the rules of the lease protocol apply to, and its body.

use bellwether_core::cell::{self, Cell, Now, Reply, What, alive};
use bellwether_core::entry::Kind;
use bellwether_core::fence::Fence;
use bellwether_core::time::{Span, Tick};
use bytes::Bytes;

use crate::shared::{Acquired, Ask, Envelope, Found, Stored, Verified};

/// One key.
#[derive(Clone, Default)]
pub(super) struct Slot {
    pub(super) cell: Option<Cell>,
    /// Of a value or a negative, as it was brought.
    entry: Option<Box<Envelope>>,
    /// What somebody else has stored.
    foreign: Bytes,
    /// Rises with every change.
    pub(super) version: u64,
}

impl Slot {
    /// As a program does that knows nothing of leases.
    pub(super) fn overwrite(&mut self, body: Bytes, until: Option<Tick>) {
        self.cell = Some(Cell { hard_until: until.unwrap_or(Tick::NEVER), ..Cell::foreign() });
        self.foreign = body;
    }

    /// As such a program deletes it: fence, lease and all.
    pub(super) fn forget(&mut self) {
        self.cell = None;
    }

    pub(super) fn is_resident(&self, now: Now) -> bool {
        alive(self.cell, now.tick()).is_some_and(|cell| cell.is_resident(now.tick()))
    }

    pub(super) fn is_leased(&self, now: Now) -> bool {
        alive(self.cell, now.tick()).is_some_and(|cell| cell.held(now.tick()).is_some())
    }

    /// The next cell, if there is one; whether there is.
    pub(super) fn keep(&mut self, next: Option<Cell>) -> bool {
        self.cell = next.or(self.cell);
        next.is_some()
    }

    pub(super) fn found(&self, now: Now) -> Found {
        let now = now.tick();
        let Some(cell) = alive(self.cell, now) else { return Found::Nothing { lease: None } };
        let lease = cell.held(now);
        match cell.what {
            What::Foreign => Found::Foreign { body: self.foreign.clone(), left: left(&cell, now) },
            What::HitForMiss if now < cell.fresh_until => Found::HitForMiss { left: cell.fresh_until.since(now) },
            What::Failed(class) if now < cell.hard_until => Found::Failed { left: cell.hard_until.since(now), class },
            _ => self.entry(now).map_or(Found::Nothing { lease }, |envelope| Found::Entry { envelope, lease }),
        }
    }

    pub(super) fn acquire(&mut self, ask: Ask, now: Now) -> Acquired {
        let Ask { lease, mode, holds, at_least, draw } = ask;
        let (reply, next) = Cell::acquire(self.cell, cell::Ask { lease, mode, holds, at_least, draw }, now);
        let now = now.tick();
        let stale = |has: bool| self.entry(now).filter(|_| has);
        let acquired = match reply {
            Reply::Granted { token, stale: has } => Acquired::Granted { token, stale: stale(has) },
            Reply::Denied { left, stale: has } => Acquired::Denied { left, stale: stale(has) },
            Reply::Fresh => Acquired::Fresh(self.entry(now).expect("a cell with an entry has it")),
            Reply::Failed { left, class, .. } => Acquired::Failed { left, class },
            Reply::HitForMiss { left } => Acquired::HitForMiss { left },
            Reply::Foreign => {
                Acquired::Foreign { body: self.foreign.clone(), left: self.cell.and_then(|cell| left(&cell, now)) }
            }
        };
        self.cell = next;
        acquired
    }

    /// Stores an entry under `fence`, if `rule` has a next cell for it.
    pub(super) fn store(
        &mut self,
        fence: Fence,
        envelope: Envelope,
        now: Now,
        rule: impl FnOnce(Option<Cell>, Cell) -> Option<Cell>,
    ) -> Stored {
        let Some(next) = rule(self.cell, cell_of(&envelope, now.tick())) else { return Stored::Refused };
        self.cell = Some(next);
        self.entry = Some(Box::new(envelope));
        Stored::Yes(fence)
    }

    pub(super) fn verified(&self, now: Now) -> Verified {
        match self.entry(now.tick()) {
            Some(entry) if !entry.invalidated => Verified::Holds(entry.fence),
            _ => Verified::Gone,
        }
    }

    /// The entry with its times counted down to now. Past its freshness the windows shrink by what has passed of them.
    fn entry(&self, now: Tick) -> Option<Envelope> {
        let cell = alive(self.cell, now)?;
        let has = matches!(cell.what, What::Value | What::Negative) && cell.is_resident(now);
        let held = self.entry.as_deref().filter(|_| has)?;
        let from = cell.fresh_until.max(now);
        Some(Envelope {
            fence: cell.fence,
            age_ms: now.since(cell.created).0,
            fresh_ms: cell.fresh_until.since(now).0,
            swr_ms: cell.swr_until.since(from).as_u32(),
            hard_ms: cell.hard_until.since(from).as_u32(),
            invalidated: cell.fresh_until <= cell.created,
            ..held.clone()
        })
    }
}

/// How long bytes of somebody else stay.
fn left(cell: &Cell, now: Tick) -> Option<Span> {
    (cell.hard_until != Tick::NEVER).then(|| cell.hard_until.since(now))
}

fn cell_of(envelope: &Envelope, now: Tick) -> Cell {
    let fresh_until = now + Span(envelope.fresh_ms);
    Cell {
        what: match envelope.kind {
            Kind::Value => What::Value,
            Kind::Negative => What::Negative,
            Kind::HitForMiss => What::HitForMiss,
        },
        created: now - Span(envelope.age_ms),
        fresh_until,
        swr_until: fresh_until + Span(envelope.swr_ms.into()),
        hard_until: fresh_until + Span(envelope.hard_ms.max(envelope.swr_ms).into()),
        ..Cell::foreign()
    }
}
