//! Who may load a key, in the whole fleet? The shared tier: cells that change by the core's own rules.

use bellwether_core::cell::{Ask, Cell, Now, Reply, What, alive};
use bellwether_core::entry::{Kind, Meta};
use bellwether_core::failure::FailClass;
use bellwether_core::fence::Fence;
use bellwether_core::time::{Span, Tick};

/// The shared tier of a fleet. Its clock is the fleet's.
pub(super) struct SharedTier {
    keys: Vec<Option<Held>>,
}

/// What it keeps of a key.
#[derive(Clone, Copy)]
pub(super) struct Held {
    pub(super) cell: Cell,
    /// How long the value's load took.
    pub(super) cost_ms: u32,
}

impl SharedTier {
    pub(super) fn new(keys: usize) -> SharedTier {
        SharedTier { keys: vec![None; keys] }
    }

    /// What a plain read finds.
    pub(super) fn read(&self, key: usize, now: Tick) -> Option<Held> {
        self.keys[key].filter(|held| now < held.cell.ends())
    }

    /// Asks for the lease.
    pub(super) fn acquire(&mut self, key: usize, ask: Ask, now: Tick) -> Reply {
        let held = self.keys[key];
        let (reply, next) = Cell::acquire(held.map(|held| held.cell), ask, at(now));
        self.set(key, next, held.map_or(0, |held| held.cost_ms));
        reply
    }

    /// A heartbeat.
    pub(super) fn renew(&mut self, key: usize, token: Fence, lease: Span, now: Tick) {
        let held = self.keys[key];
        if let Some(next) = Cell::renew(held.map(|held| held.cell), token, lease, now) {
            self.set(key, Some(next), held.map_or(0, |held| held.cost_ms));
        }
    }

    /// The holder brings a value: stored if its token is the key's. `age`: since it was landed.
    pub(super) fn publish(&mut self, key: usize, token: Fence, meta: &Meta, now: Tick) {
        let entry = value(meta);
        let next = Cell::publish(self.keys[key].map(|held| held.cell), token, entry, now);
        if next.is_some() {
            self.set(key, next, meta.cost_ms);
        }
    }

    /// The holder brings nothing.
    pub(super) fn release(&mut self, key: usize, token: Fence, failed: Option<(Span, FailClass)>, now: Tick) {
        let held = self.keys[key];
        if let Ok(next) = Cell::release(held.map(|held| held.cell), token, failed, now) {
            self.set(key, next, held.map_or(0, |held| held.cost_ms));
        }
    }

    /// What a run begins with.
    pub(super) fn fill(&mut self, key: usize, meta: &Meta, now: Tick) {
        let cell = Cell { fence: meta.fence, ..value(meta) };
        self.set(key, alive(Some(cell), now), meta.cost_ms);
    }

    fn set(&mut self, key: usize, cell: Option<Cell>, cost_ms: u32) {
        self.keys[key] = cell.map(|cell| Held { cell, cost_ms });
    }
}

fn at(now: Tick) -> Now {
    Now(now.0.saturating_mul(1000))
}

fn value(meta: &Meta) -> Cell {
    Cell {
        what: if meta.kind == Kind::Negative { What::Negative } else { What::Value },
        fence: Fence::ZERO,
        token: None,
        lease_until: Tick(0),
        lease: Span::ZERO,
        created: meta.born,
        fresh_until: meta.fresh_until,
        swr_until: meta.swr_until(),
        hard_until: meta.hard_until(),
    }
}
