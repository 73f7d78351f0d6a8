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
use quick_cache::Equivalent;

use super::books::Books;
use super::slot::{Found, Slot};
use crate::entry::Resident;
use crate::eviction::Eviction;
use crate::key::{ByCarriedHash, Key, KeyRef};

/// What an entry costs here beyond its cost in the store of `auto`: a record with the policy's
/// links (measured: see BENCHMARKS.md).
pub(super) const RECORD_OVERHEAD: usize = 64;
/// Of what one part may hold, the share that a single entry may have.
const LARGEST_SHARE: f64 = 0.95;

type Store = foyer_memory::Cache<Held, (), ByCarriedHash, CacheProperties>;

/// Entries by hash.
pub(super) struct Classic {
    store: Store,
    shards: usize,
    limit: u64,
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
struct Leaving(Arc<Books>);

impl EventListener for Leaving {
    type Key = Held;
    type Value = ();
    fn on_leave(&self, reason: Event, held: &Held, (): &()) {
        match reason {
            Event::Evict => self.0.evicted(held.slot.parts().0, held.hash, &held.entry),
            Event::Replace | Event::Remove | Event::Clear => {}
        }
    }
}

impl Classic {
    /// A store of `limit` bytes in up to `shards` parts.
    pub(super) fn new(policy: Eviction, limit: u64, shards: u64, books: Arc<Books>) -> Classic {
        // Parts are chosen by remainder, tables by the hash's low bits: an odd number keeps the two apart.
        let shards = usize::try_from(shards).unwrap_or(1).saturating_sub(1) | 1;
        let store = CacheBuilder::new(usize::try_from(limit).unwrap_or(usize::MAX))
            .with_shards(shards)
            .with_eviction_config(config(policy))
            .with_hash_builder(ByCarriedHash::default())
            .with_weighter(|held: &Held, (): &()| held.entry.weight as usize + RECORD_OVERHEAD)
            .with_event_listener(Arc::new(Leaving(books)))
            .build();
        Classic { store, shards, limit }
    }

    pub(super) fn get(&self, key: &KeyRef<'_>) -> Option<Resident> {
        self.store.get(&of(*key)).map(|found| found.key().entry.clone())
    }

    /// The store has no look that leaves no trace, but it asks the query whether a slot fits.
    pub(super) fn peek(&self, key: KeyRef<'_>) -> Option<Resident> {
        self.seen(key.hash, |held| held.slot.is(key.bytes, &key.space).then(|| held.entry.clone()))
    }

    pub(super) fn insert(&self, key: &Key, entry: Resident) {
        // The handle that comes back would hold the entry in place.
        drop(self.store.insert(Held { hash: key.hash, slot: Slot::new(key.by_ref()), entry }, ()));
    }

    pub(super) fn remove(&self, key: KeyRef<'_>) -> Option<Resident> {
        self.store.remove(&of(key)).map(|found| found.key().entry.clone())
    }

    /// The entry of this hash, if it was past its hard end, and its space: it is gone.
    pub(super) fn remove_due(&self, hash: u64, now: Tick) -> Option<(u32, Resident)> {
        let gone = self.store.remove(&Query(hash, |held: &Held| held.entry.hard_until() <= now))?;
        let held = gone.key();
        Some((held.slot.parts().0, held.entry.clone()))
    }

    /// The entry of this hash.
    pub(super) fn of_hash(&self, hash: u64) -> Option<Found> {
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
        let shard = (self.limit / self.shards as u64).saturating_sub(RECORD_OVERHEAD as u64);
        (shard as f64 * LARGEST_SHARE) as u64
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
