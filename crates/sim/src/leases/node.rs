//! What does the shared tier hold? The server at work, and how far its replica follows it.

use std::collections::BTreeMap;

use bellwether_core::cell::{Cell, Now, Reply, What, alive};
use bellwether_core::fence::{Fence, Invalidation};
use bellwether_core::time::{Span, Tick};

use super::event::{Answer, Body, Held, Op};
use super::mutant::Mutant;

/// An entry that ends within so long may be over for who hears of it.
const TRAVEL: Span = Span::ms(20);

#[derive(Clone, Copy)]
struct Stored {
    cell: Cell,
    body: Option<Body>,
}

/// A change, as it travels to the replica.
struct Change {
    at: Tick,
    key: u8,
    stored: Option<Stored>,
    /// The place of the newest invalidation that this server had executed.
    invalidated: u64,
}

/// The tier.
pub(super) struct Node {
    cells: BTreeMap<u8, Stored>,
    /// By key, the place of the newest invalidation executed here: for the checks alone.
    invalidated: BTreeMap<u8, u64>,
    log: Vec<Change>,
    /// Its clock stands ahead of the world's by this.
    ahead: Span,
    last: u64,
    broken: Option<Mutant>,
}

/// What a call did, for the checks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Effect {
    /// An entry was stored whose load began before an invalidation that this server had executed.
    pub(super) stored_late: Option<Body>,
    /// A lease was granted while an entry was fresh that no invalidation covers.
    pub(super) granted_beside: Option<Body>,
    /// A lease was granted.
    pub(super) granted: bool,
    /// An invalidation was executed.
    pub(super) raised: bool,
    /// One that came late left alone what came after it.
    pub(super) spared: bool,
}

impl Node {
    pub(super) fn new(ahead: Span, broken: Option<Mutant>) -> Node {
        Node { cells: BTreeMap::new(), invalidated: BTreeMap::new(), log: Vec::new(), ahead, last: 0, broken }
    }

    fn now(&mut self, world: Tick) -> Now {
        // No two calls are executed within one microsecond.
        let at = ((world + self.ahead).0 * 1000).max(self.last + 1);
        self.last = at;
        Now(at)
    }

    /// A replica takes over that lags behind by `lag` and whose clock stands elsewhere.
    pub(super) fn fail_over(&mut self, world: Tick, lag: Span, ahead: Span) {
        let known = world - lag;
        self.cells.clear();
        self.invalidated.clear();
        self.log.retain(|change| change.at <= known);
        for change in &self.log {
            self.invalidated.insert(change.key, change.invalidated);
            match change.stored {
                Some(stored) => drop(self.cells.insert(change.key, stored)),
                None => drop(self.cells.remove(&change.key)),
            }
        }
        (self.ahead, self.last) = (ahead, 0);
    }

    pub(super) fn delete(&mut self, key: u8, world: Tick) {
        self.set(key, None, world);
    }

    fn set(&mut self, key: u8, stored: Option<Stored>, world: Tick) {
        match stored {
            Some(stored) => drop(self.cells.insert(key, stored)),
            None => drop(self.cells.remove(&key)),
        }
        let invalidated = self.invalidated.get(&key).copied().unwrap_or(0);
        self.log.push(Change { at: world, key, stored, invalidated });
    }

    /// Executes one call, at once. `order`: its place among all events.
    pub(super) fn execute(&mut self, key: u8, op: Op, world: Tick, order: u64) -> (Answer, Effect) {
        let at = self.now(world);
        let now = at.tick();
        let held = self.cells.get(&key).copied().filter(|stored| alive(Some(stored.cell), now).is_some());
        let (cell, body) = (held.map(|stored| stored.cell), held.and_then(|stored| stored.body));
        let handed = held.map(|stored| Held { cell: stored.cell, body: stored.body, now });
        let mut effect = Effect::default();
        let answer = match op {
            Op::Get => Answer::Found(handed),
            Op::Acquire(ask) => {
                let (reply, next) = Cell::acquire(cell, ask, at);
                if matches!(reply, Reply::Granted { .. }) {
                    effect.granted = true;
                    effect.granted_beside = self.fresh_and_uncovered(key, now);
                    self.set(key, next.map(|cell| Stored { cell, body: kept(&cell, body) }), world);
                }
                Answer::Asked(reply, handed)
            }
            Op::Publish { token, body, windows, sent } => {
                let entry = entry(&body, windows, now, now.min(sent + self.ahead));
                let next = match self.broken {
                    Some(Mutant::NoFence) => Some(Cell { fence: token, ..entry }),
                    _ => Cell::publish(cell, token, entry, now),
                };
                Answer::Stored(self.store(key, next, body, world, &mut effect))
            }
            Op::Force { body, windows } => {
                let next = Cell { fence: at.fence(), ..entry(&body, windows, now, now) };
                Answer::Stored(self.store(key, Some(next), body, world, &mut effect))
            }
            Op::Renew { token, lease } => {
                let next = Cell::renew(cell, token, lease, now);
                if let Some(cell) = next {
                    self.set(key, Some(Stored { cell, body }), world);
                }
                Answer::Stored(next.is_some())
            }
            Op::Release { token, failed } => {
                let next = Cell::release(cell, token, failed, now);
                if let Ok(next) = next {
                    self.set(key, next.map(|cell| Stored { cell, body: kept(&cell, body) }), world);
                }
                Answer::Stored(next.is_ok())
            }
            Op::Invalidate { verb, at_least, ago } => {
                let soft = self.broken == Some(Mutant::SoftRemoval) && verb == Invalidation::Remove;
                let ago = match self.broken {
                    // Whatever is there came after that.
                    Some(Mutant::SparesAll) if ago > Span::ZERO => Span(u64::MAX),
                    _ => ago,
                };
                let (raised, next) = Cell::invalidate_late(cell, verb, at_least, ago, at);
                let Some(next) = next else {
                    effect.spared = true;
                    return (Answer::Raised(raised), effect);
                };
                let next = match cell {
                    Some(cell) if soft => {
                        Cell { fence: raised.fence, token: None, fresh_until: now.min(cell.fresh_until), ..cell }
                    }
                    _ => next,
                };
                self.invalidated.insert(key, order);
                self.set(key, Some(Stored { cell: next, body: kept(&next, body) }), world);
                effect.raised = true;
                Answer::Raised(raised)
            }
        };
        (answer, effect)
    }

    fn store(&mut self, key: u8, next: Option<Cell>, body: Body, world: Tick, effect: &mut Effect) -> bool {
        let Some(cell) = next else { return false };
        if body.begun < self.invalidated.get(&key).copied().unwrap_or(0) {
            effect.stored_late = Some(body);
        }
        self.set(key, Some(Stored { cell, body: Some(body) }), world);
        true
    }

    fn fresh_and_uncovered(&self, key: u8, now: Tick) -> Option<Body> {
        let stored = self.cells.get(&key)?;
        let fresh = stored.cell.what == What::Value && now + TRAVEL < stored.cell.fresh_until;
        stored.body.filter(|body| fresh && body.begun > self.invalidated.get(&key).copied().unwrap_or(0))
    }
}

/// What of the body is left under this cell.
fn kept(cell: &Cell, body: Option<Body>) -> Option<Body> {
    body.filter(|_| cell.what == What::Value)
}

/// What is stored now, and was sent at `sent`.
fn entry(body: &Body, [fresh, swr, hard]: [Span; 3], now: Tick, sent: Tick) -> Cell {
    Cell {
        what: What::Value,
        fence: Fence::ZERO,
        token: None,
        lease_until: Tick(0),
        lease: Span::ZERO,
        // Ages travel as durations: the load took this long.
        created: sent - Span(u64::from(body.cost_ms)),
        fresh_until: now + fresh,
        swr_until: now + fresh + swr,
        hard_until: now + fresh + hard,
    }
}
