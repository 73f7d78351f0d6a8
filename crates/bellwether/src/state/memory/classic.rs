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
use crate::entry::Resident;
use crate::eviction::Eviction;
use crate::key::{ByCarriedHash, Key, KeyRef};

/// What an entry costs here beyond its cost in the store of `auto`: a record with the policy's
/// links (measured: see BENCHMARKS.md).
const RECORD_OVERHEAD: usize = 96;

type Store = foyer_memory::Cache<Slot, (), ByCarriedHash, CacheProperties>;

/// Entries by hash.
pub(super) struct Classic {
    store: Store,
    shards: usize,
    limit: u64,
}

/// What the store calls a key: the entry with its hash. Two of one hash are one to the store.
struct Slot {
    hash: u64,
    entry: Resident,
}

impl Hash for Slot {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}
impl PartialEq for Slot {
    fn eq(&self, other: &Slot) -> bool {
        self.hash == other.hash
    }
}
impl Eq for Slot {}

/// Asks for the entry of a hash that fits.
struct Query<F>(u64, F);

impl<F> Hash for Query<F> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}
impl<F: Fn(&Resident) -> bool> Equivalent<Slot> for Query<F> {
    fn equivalent(&self, slot: &Slot) -> bool {
        self.0 == slot.hash && self.1(&slot.entry)
    }
}

/// Hears of what is pushed out, after the store's lock is gone.
struct Leaving(Arc<Books>);

impl EventListener for Leaving {
    type Key = Slot;
    type Value = ();
    fn on_leave(&self, reason: Event, slot: &Slot, (): &()) {
        match reason {
            Event::Evict => self.0.evicted(std::slice::from_ref(&slot.entry)),
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
            .with_weighter(|slot: &Slot, (): &()| weight(&slot.entry))
            .with_event_listener(Arc::new(Leaving(books)))
            .build();
        Classic { store, shards, limit }
    }

    pub(super) fn get(&self, key: KeyRef<'_>) -> Option<Resident> {
        self.store.get(&Query(key.hash, |entry: &Resident| entry.is_of(key))).map(|found| found.key().entry.clone())
    }

    /// The store has no look that leaves no trace, but it asks the query whether a slot fits.
    pub(super) fn peek(&self, key: KeyRef<'_>) -> Option<Resident> {
        self.seen(key.hash, |entry| entry.is_of(key))
    }

    pub(super) fn insert(&self, key: &Key, entry: Resident) {
        // The handle that comes back would hold the entry in place.
        drop(self.store.insert(Slot { hash: key.hash, entry }, ()));
    }

    pub(super) fn remove(&self, key: KeyRef<'_>) -> Option<Resident> {
        self.store.remove(&Query(key.hash, |entry: &Resident| entry.is_of(key))).map(|found| found.key().entry.clone())
    }

    /// True if the entry of this hash was past its hard end and is gone.
    pub(super) fn remove_due(&self, hash: u64, now: Tick) -> bool {
        self.store.remove(&Query(hash, |entry: &Resident| entry.meta.hard_until() <= now)).is_some()
    }

    /// The entries of these hashes; the store itself can't be walked.
    pub(super) fn entries(&self, hashes: Vec<u64>) -> impl Iterator<Item = Resident> + '_ {
        hashes.into_iter().filter_map(|hash| self.seen(hash, |_| true))
    }

    pub(super) fn bytes(&self) -> u64 {
        self.store.usage() as u64
    }

    pub(super) fn len(&self) -> usize {
        self.store.entries()
    }

    /// What one part of the store may hold, less what a record costs.
    pub(super) fn shard_limit(&self) -> u64 {
        (self.limit / self.shards as u64).saturating_sub(RECORD_OVERHEAD as u64)
    }

    fn seen(&self, hash: u64, fits: impl Fn(&Resident) -> bool) -> Option<Resident> {
        let found = Cell::new(None);
        let look = |entry: &Resident| {
            let fits = fits(entry);
            if fits {
                found.set(Some(entry.clone()));
            }
            fits
        };
        self.store.contains(&Query(hash, look));
        found.into_inner()
    }
}

fn weight(entry: &Resident) -> usize {
    entry.weight as usize + RECORD_OVERHEAD
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
