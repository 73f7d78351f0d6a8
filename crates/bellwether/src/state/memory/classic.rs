//! How are entries stored under a policy of the user's choice? By foyer's memory store, as storage
//! and eviction alone: its fetches, pinned handles and disk are not used.

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bellwether_core::time::Tick;
use foyer_common::event::{Event, EventListener};
use foyer_memory::{
    CacheBuilder, CacheProperties, EvictionConfig, FifoConfig, LfuConfig, LruConfig, S3FifoConfig, SieveConfig,
};
use hashbrown::Equivalent;
use parking_lot::Mutex;

use super::books::Books;
use super::moved::{Found, Left};
use super::slot::Slot;
use super::wheel::Wheel;
use crate::entry::Resident;
use crate::eviction::Eviction;
use crate::key::{ByCarriedHash, Key, KeyRef};
use crate::place::Place;

/// What an entry costs here beyond its cost in the store of `auto`: a record with the policy's
/// links (measured: see BENCHMARKS.md).
pub(super) const LINKS_OVERHEAD: usize = 64;
/// Of what one part may hold, the share that a single entry may have.
const LARGEST_SHARE: f64 = 0.95;

type Store = foyer_memory::Cache<Held, (), ByCarriedHash, CacheProperties>;

/// Entries by hash.
pub(super) struct Classic {
    store: Store,
    timers: Arc<Timers>,
    parts: usize,
    limit: u64,
}

/// When entries end. An entry that has a place there is here: what the store pushes out is told of after its lock is gone.
struct Timers(Mutex<Wheel>);

impl Timers {
    fn come(&self, hash: u64, entry: &Resident) {
        entry.set_place(self.0.lock().add(hash, entry.hard_until()));
    }

    /// False if it has left already.
    fn go(&self, hash: u64, entry: &Resident) -> bool {
        let mut wheel = self.0.lock();
        let place = entry.place();
        if place == Place::NONE {
            return false;
        }
        wheel.cancel(place, hash, entry.hard_until());
        entry.set_place(Place::NONE);
        true
    }
}

/// What the store calls a key: the key, its hash and the entry itself, so that a query can see it.
struct Held {
    hash: u64,
    slot: Slot,
    entry: Resident,
}

impl Hash for Held {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}
impl PartialEq for Held {
    fn eq(&self, other: &Held) -> bool {
        self.hash == other.hash && self.slot == other.slot
    }
}
impl Eq for Held {}

/// Asks for the entry of a hash that fits.
struct Query<F>(u64, F);

impl<F> Hash for Query<F> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}
impl<F: Fn(&Held) -> bool> Equivalent<Held> for Query<F> {
    fn equivalent(&self, held: &Held) -> bool {
        self.0 == held.hash && self.1(held)
    }
}

/// Hears of what is pushed out, after the store's lock is gone.
struct Leaving(Arc<Timers>, Arc<Books>);

impl EventListener for Leaving {
    type Key = Held;
    type Value = ();
    fn on_leave(&self, reason: Event, held: &Held, (): &()) {
        match reason {
            Event::Evict if self.0.go(held.hash, &held.entry) => self.1.evicted(held.slot.parts().0, &held.entry),
            Event::Evict | Event::Replace | Event::Remove | Event::Clear => {}
        }
    }
}

impl Classic {
    /// A store of `limit` bytes in up to `parts` parts.
    pub(super) fn new(policy: Eviction, limit: u64, parts: u64, now: Tick, books: Arc<Books>) -> Classic {
        // Parts are chosen by remainder, tables by the hash's low bits: an odd number keeps the two apart.
        let parts = usize::try_from(parts).unwrap_or(1).saturating_sub(1) | 1;
        let timers = Arc::new(Timers(Mutex::new(Wheel::new(now))));
        let store = CacheBuilder::new(usize::try_from(limit).unwrap_or(usize::MAX))
            .with_shards(parts)
            .with_eviction_config(config(policy))
            .with_hash_builder(ByCarriedHash::default())
            .with_weighter(|held: &Held, (): &()| held.entry.weight as usize + LINKS_OVERHEAD)
            .with_event_listener(Arc::new(Leaving(timers.clone(), books)))
            .build();
        Classic { store, timers, parts, limit }
    }

    pub(super) fn get(&self, key: KeyRef<'_>) -> Option<Resident> {
        self.store.get(&of(key)).map(|found| found.key().entry.clone())
    }

    /// The store has no look that leaves no trace, but it asks the query whether a slot fits.
    pub(super) fn peek(&self, key: KeyRef<'_>) -> Option<Resident> {
        self.seen(key.hash, |held| held.slot.is(key.bytes, &key.space).then(|| held.entry.clone()))
    }

    /// What is pushed out goes to the books by itself.
    pub(super) fn insert(&self, key: &Key, entry: Resident) -> Left {
        // Without a timer from here on: whatever the store does with it is no eviction.
        let replaced = self.peek(key.by_ref()).filter(|old| self.timers.go(key.hash, old));
        self.timers.come(key.hash, &entry);
        // The handle that comes back would hold the entry in place.
        drop(self.store.insert(Held { hash: key.hash, slot: Slot::new(key.by_ref()), entry }, ()));
        Left { replaced, ..Left::default() }
    }

    pub(super) fn remove(&self, key: KeyRef<'_>) -> Option<Resident> {
        let entry = self.store.remove(&of(key)).map(|found| found.key().entry.clone())?;
        self.timers.go(key.hash, &entry).then_some(entry)
    }

    /// Takes out entries past their hard end, until `out` has `most`, each with its space's number; true if there are more.
    pub(super) fn due(&self, now: Tick, most: usize, out: &mut Vec<(u32, Resident)>) -> bool {
        let mut due = Vec::new();
        let more = self.timers.0.lock().turn(now, most - out.len(), &mut due);
        for (_, hash) in due {
            // Between the wheel's turn and here a younger entry may have come: it has its own timer.
            let Some(gone) = self.store.remove(&Query(hash, |held: &Held| held.entry.hard_until() <= now)) else {
                continue;
            };
            let held = gone.key();
            if self.timers.go(hash, &held.entry) {
                out.push((held.slot.parts().0, held.entry.clone()));
            }
        }
        more
    }

    /// All entries, in no order: by the places of the wheel, at most `most` at a time.
    pub(super) fn walk(&self, most: usize) -> impl Iterator<Item = Found> + '_ {
        let mut next = Some(Place::FIRST);
        let steps = std::iter::from_fn(move || {
            let mut places = Vec::with_capacity(most);
            next = self.timers.0.lock().walk(next?, most, &mut places);
            Some(places)
        });
        steps.flatten().filter_map(|(_, hash)| self.of_hash(hash))
    }

    #[cfg(test)]
    pub(super) fn timers(&self) -> usize {
        self.timers.0.lock().len()
    }

    /// The entry of this hash.
    fn of_hash(&self, hash: u64) -> Option<Found> {
        self.seen(hash, |held| {
            let (space, bytes) = held.slot.parts();
            Some((space, bytes.into(), held.entry.clone()))
        })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.store.usage() as u64
    }

    pub(super) fn len(&self) -> usize {
        self.store.entries()
    }

    /// A little less than one part may hold: a larger entry would push out all others there.
    pub(super) fn largest(&self) -> u64 {
        let part = (self.limit / self.parts as u64).saturating_sub(LINKS_OVERHEAD as u64);
        (part as f64 * LARGEST_SHARE) as u64
    }

    /// What `look` makes of the first of this hash that it makes something of.
    fn seen<T>(&self, hash: u64, look: impl Fn(&Held) -> Option<T>) -> Option<T> {
        let seen = Cell::new(None);
        self.store.contains(&Query(hash, |held: &Held| {
            let found = look(held);
            let fits = found.is_some();
            seen.set(found);
            fits
        }));
        seen.into_inner()
    }
}

fn of(key: KeyRef<'_>) -> Query<impl Fn(&Held) -> bool> {
    Query(key.hash, move |held: &Held| held.slot.is(key.bytes, &key.space))
}

fn config(policy: Eviction) -> EvictionConfig {
    match policy {
        Eviction::Auto => unreachable!("auto has a store of its own"),
        // Without the pool for entries of high priority, which all of them would be.
        Eviction::Lru => LruConfig { high_priority_pool_ratio: 0.0 }.into(),
        Eviction::Lfu => LfuConfig::default().into(),
        Eviction::Fifo => FifoConfig::default().into(),
        Eviction::S3Fifo => S3FifoConfig::default().into(),
        Eviction::Sieve => SieveConfig.into(),
    }
}
