//! How are entries stored unless somebody chooses otherwise? By quick_cache, a variant of Clock-Pro.

use bellwether_core::time::Tick;

use super::books::Books;
use crate::entry::Resident;
use crate::key::{ByCarriedHash, Key, KeyRef};

/// Share of the store that holds what was asked for more than once: the best of the sizes tried
/// over eight traces, and the steadiest (quick_cache's own default is 0.97).
const HOT_ALLOCATION: f64 = 0.80;
/// What an entry is expected to weigh, for the store's ghost list.
const TYPICAL_WEIGHT: u64 = 1024;

/// Entries by hash.
pub(super) struct Auto(quick_cache::sync::Cache<u64, Resident, Weight, ByCarriedHash, Evicted>);

#[derive(Clone)]
struct Weight;
impl quick_cache::Weighter<u64, Resident> for Weight {
    fn weight(&self, _: &u64, entry: &Resident) -> u64 {
        u64::from(entry.weight)
    }
}

/// Collects what an insert pushed out, to be noted after the store's lock is gone.
#[derive(Clone)]
struct Evicted;
impl quick_cache::Lifecycle<u64, Resident> for Evicted {
    type RequestState = Vec<Resident>;
    fn on_evict(&self, out: &mut Vec<Resident>, _: u64, entry: Resident) {
        out.push(entry);
    }
}

impl Auto {
    /// A store of `limit` bytes in up to `shards` parts, a power of two.
    pub(super) fn new(limit: u64, shards: u64) -> Auto {
        let options = quick_cache::OptionsBuilder::new()
            .weight_capacity(limit)
            .estimated_items_capacity(usize::try_from((limit / TYPICAL_WEIGHT).max(16)).unwrap_or(usize::MAX))
            .shards(usize::try_from(shards).unwrap_or(1))
            .hot_allocation(HOT_ALLOCATION)
            .build()
            .expect("every required option is set");
        Auto(quick_cache::sync::Cache::with_options(options, Weight, ByCarriedHash::default(), Evicted))
    }

    #[inline]
    pub(super) fn get(&self, key: KeyRef<'_>) -> Option<Resident> {
        self.0.get(&key.hash).filter(|entry| entry.is_of(key))
    }

    pub(super) fn peek(&self, key: KeyRef<'_>) -> Option<Resident> {
        self.0.peek(&key.hash).filter(|entry| entry.is_of(key))
    }

    pub(super) fn insert(&self, key: &Key, entry: Resident, books: &Books) {
        let mut evicted = Vec::new();
        self.0.insert_with_lifecycle(key.hash, entry, &mut evicted);
        books.evicted(&evicted);
    }

    pub(super) fn remove(&self, key: KeyRef<'_>) -> Option<Resident> {
        self.0.remove_if(&key.hash, |entry| entry.is_of(key)).map(|(_, entry)| entry)
    }

    /// True if the entry of this hash was past its hard end and is gone.
    pub(super) fn remove_due(&self, hash: u64, now: Tick) -> bool {
        self.0.remove_if(&hash, |entry| entry.meta.hard_until() <= now).is_some()
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = Resident> + '_ {
        self.0.iter().map(|(_, entry)| entry)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.0.weight()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// What one part of the store may hold.
    pub(super) fn shard_limit(&self) -> u64 {
        self.0.shard_capacity()
    }
}
