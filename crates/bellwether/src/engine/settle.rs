//! How does a flight end? What was loaded is kept if it may be, and everybody is told, once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bellwether_core::entry::Meta;
use bellwether_core::fence::Floor;
use bellwether_core::guard::unmet::is_unmet;
use bellwether_core::heat::past::Past;
use bellwether_core::read::walk::{Right, Step};
use bellwether_core::why::Why;
use bellwether_core::write::keep::{self, Newness, may_keep};

use crate::engine::cell::{FlightCell, Outcome};
use crate::engine::lead::{Body, Cargo, Leader};
use crate::engine::{Engine, draw};
use crate::entry::{Entry, Resident, relabelled};
use crate::error::Error;
use crate::key::Key;
use crate::observe::shared::add;
use crate::state::flights::{Ending, Landed, Shard};
use crate::state::space::SpaceState;

/// From so many followers on, a flight would have been a stampede.
const STAMPEDE: u32 = 10;

/// Longer keys are not remembered when they are asked for in vain: thousands are.
const LONGEST_UNMET: usize = 256;

/// What became of an entry that was to be kept.
pub(crate) enum Kept {
    Yes,
    TooLarge,
    /// An invalidation or a newer load came first.
    Outdated,
}

impl Leader {
    /// Performs the walk's last step. Returns what may go on to the shared tier.
    pub(crate) fn settle(&mut self, end: Step, cargo: Cargo) -> Option<Resident> {
        let mut stored = None;
        match end {
            Step::Keep(meta) => {
                let meta = self.engine.memory.counts().spread(self.space.id, meta, draw());
                let entry = self.entry(cargo, self.engine.extended(&self.key, meta))?;
                let lone = self.walk.right() == Right::Lone;
                if lone {
                    add(&self.engine.tally.lone);
                }
                self.land(Ending::Succeeded, |shard| {
                    let (kept, doubted) = shard.map_or((None, false), |shard| {
                        let doubted = self.id.is_some_and(|id| shard.is_doubted(&self.key, id));
                        (Some(self.engine.keep(&self.space, shard, &self.key, &entry)), doubted)
                    });
                    // What is too large for this process may still spare others its load; and what may be older than an
                    // invalidation elsewhere is for the tier to take or to refuse.
                    let offered = matches!(kept, Some(Kept::Yes | Kept::TooLarge)) || doubted;
                    stored = offered.then(|| entry.clone());
                    match kept {
                        Some(Kept::TooLarge) => Outcome::Landed(entry, Some(Why::TooLarge)),
                        _ if lone => Outcome::Lone(entry),
                        _ => Outcome::Landed(entry, None),
                    }
                });
            }
            Step::Mark { marker, body, private } => {
                let entry = self.entry(cargo, body)?;
                let marker = Entry::new(&self.key, marker, None, 0, ());
                self.land(Ending::Succeeded, |shard| {
                    let kept = shard.map(|shard| self.engine.keep(&self.space, shard, &self.key, &marker));
                    stored = matches!(kept, Some(Kept::Yes)).then(|| marker.clone());
                    if private { Outcome::Private(entry) } else { Outcome::Landed(entry, Some(Why::Uncacheable)) }
                });
            }
            Step::Fail { why, retry_after, cooling } => {
                self.note_unmet(why);
                let error = match (cargo.body, cooling) {
                    (Body::Error(error), _) => Error::origin(error.class, retry_after, error.source),
                    _ => Error::later(why, retry_after),
                };
                let ending = cooling.map_or(Ending::Neither, Ending::Failed);
                self.land(ending, |_| Outcome::Failed(error));
            }
            Step::Leave => self.land(Ending::Neither, |_| Outcome::Released),
            Step::AwaitTurn
            | Step::Look
            | Step::Probe
            | Step::Acquire(_)
            | Step::Wait(_)
            | Step::Adopt { .. }
            | Step::Admit
            | Step::Load => {}
        }
        self.landed = true;
        stored
    }

    /// Its caller is turned away; the key is loaded later, if it can be loaded unasked.
    fn note_unmet(&self, why: Why) {
        // A load beside the table is one caller's own.
        let worth = || self.id.and_then(|id| self.place(id)).is_some_and(|(class, ..)| is_unmet(why, class));
        if self.space.loads_unasked() && self.key.bytes.len() <= LONGEST_UNMET && worth() {
            let (bytes, now) = (self.key.bytes.len(), self.engine.clock.now());
            self.space.unmet.lock().note(self.key.hash, bytes, now, || self.key.clone());
        }
    }

    fn entry(&self, mut cargo: Cargo, meta: Meta) -> Option<Resident> {
        cargo.aside.past = self.engine.past(&self.key);
        match cargo.body {
            Body::Value(value) => Some(value.into_entry(&self.key, meta, cargo.aside)),
            Body::Missing => Some(Entry::new(&self.key, meta, cargo.aside, 0, ())),
            Body::Same(entry) => Some(relabelled(&entry, meta, cargo.aside, false)),
            Body::Error(_) => None,
        }
    }

    /// Ends the flight under its key's lock, then tells everybody. A load beside the table has no shard to touch.
    pub(crate) fn land(&self, ending: Ending, outcome: impl FnOnce(Option<&mut Shard<Arc<FlightCell>>>) -> Outcome) {
        let engine = &*self.engine;
        let Some(id) = self.id else { return self.cell.complete(outcome(None)) };
        let (outcome, landed) = engine.flights.locked(&self.key, |shard| {
            let outcome = outcome(Some(shard));
            (outcome, engine.flights.land(shard, &self.key, id, ending, engine.clock.now()))
        });
        self.tell(landed, outcome);
    }

    /// Counts the flight, starts its successor and tells everybody.
    pub(crate) fn tell(&self, landed: Option<Landed<Arc<FlightCell>>>, outcome: Outcome) {
        if let Some(landed) = landed {
            self.engine.followers.record(f64::from(landed.flight.followers));
            if landed.flight.followers >= STAMPEDE {
                self.engine.stampedes.fetch_add(1, Ordering::Relaxed);
            }
            if let Some(next) = landed.next {
                next.take_turn();
            }
        }
        self.cell.complete(outcome);
    }
}

impl Engine {
    /// How often the key was read so far: what replaces its entry remembers that.
    pub(crate) fn past(&self, key: &Key) -> Past {
        self.memory.peek(key.by_ref()).map_or(Past::NONE, |entry| entry.carried(self.clock.coarse()))
    }

    /// Stores `entry` unless an invalidation or a newer load came first. Call it under the key's lock.
    pub(crate) fn keep(&self, space: &SpaceState, shard: &Shard<Arc<FlightCell>>, key: &Key, entry: &Resident) -> Kept {
        let floor: Floor = shard.floor(key).merge(self.floor_of(space, entry));
        let newness = |entry: &Entry| Newness { fence: entry.fence(), version: entry.version() };
        let there = self.memory.peek(key.by_ref());
        let there = there.map(|there| keep::Resident { newness: newness(&there), floor: self.floor_of(space, &there) });
        if !may_keep(floor, there, newness(entry)) {
            return Kept::Outdated;
        }
        if !self.memory.put(key, entry.clone()) {
            return Kept::TooLarge;
        }
        self.hold(key, entry);
        Kept::Yes
    }
}
