//! How are entries stored unless somebody chooses otherwise? By quick_cache, a variant of Clock-Pro.

use std::cell::Cell;
use std::hash::{Hash, Hasher};

use bellwether_core::time::Tick;
use quick_cache::Equivalent;

use super::books::Books;
use super::slot::{ByKey, Found, Kept, Slot};
use crate::entry::Resident;
use crate::key::{Key, KeyRef, Seed, Sought};

/// Share of the store that holds what was asked for more than once (quick_cache's own default is 0.97). Below 0.81 a
/// circle that just fits does better under plain LRU, from 0.88 on a recorded trace does; both by more than two points a
/// little further. Between them the mean over all traces is highest, and flat. See BENCHMARKS.md.
pub(super) const HOT_ALLOCATION: f64 = 0.84;
/// What an entry is expected to weigh, for the store's list of ghosts: hashes of what was pushed out.
const TYPICAL_WEIGHT: u64 = 1024;
/// Ghosts per entry that finds room, which is the store's own default.
const GHOSTS: f64 = 0.5;
/// Bytes of a ghost: a slot and its place in the index. The ghosts come out of the limit.
const GHOST_BYTES: f64 = 56.0;

/// Entries by key.
pub(super) struct Auto {
    store: quick_cache::sync::Cache<Slot, Kept, Weight, ByKey, Evicted>,
    by_key: ByKey,
}

/// What the stores of `auto` are told: of `limit` bytes in `shards` parts, or of one of so many `parts`.
pub(super) fn options(limit: u64, shards: u64, parts: u64) -> quick_cache::Options {
    let items = items(limit);
    let room = limit - (items as f64 * GHOSTS * GHOST_BYTES) as u64;
    quick_cache::OptionsBuilder::new()
        .weight_capacity(room.div_ceil(parts))
        .estimated_items_capacity(usize::try_from(items.div_ceil(parts)).unwrap_or(usize::MAX))
        .ghost_allocation(GHOSTS)
        .shards(usize::try_from(shards).unwrap_or(1))
        .hot_allocation(HOT_ALLOCATION)
        .build()
        .expect("every required option is set")
}

/// Entries that are expected to find room.
pub(super) fn items(limit: u64) -> u64 {
    (limit / TYPICAL_WEIGHT).max(16)
}

/// What an entry weighs, and so many bytes more.
#[derive(Clone)]
pub(super) struct Weight(pub(super) u32);
impl quick_cache::Weighter<Slot, Kept> for Weight {
    fn weight(&self, _: &Slot, entry: &Kept) -> u64 {
        u64::from(entry.0.weight) + u64::from(self.0)
    }
}

/// Collects what an insert pushed out, to be noted after the store's lock is gone.
#[derive(Clone)]
pub(super) struct Evicted;
impl quick_cache::Lifecycle<Slot, Kept> for Evicted {
    type RequestState = Vec<(Slot, Resident)>;
    fn on_evict(&self, out: &mut Self::RequestState, slot: Slot, Kept(entry): Kept) {
        out.push((slot, entry));
    }
}

/// Asks for the entry of a hash, whatever its key, which it learns.
pub(super) struct ByHash<'a> {
    hash: u64,
    by_key: &'a ByKey,
    /// Space and key.
    pub(super) met: Cell<Option<(u32, Box<[u8]>)>>,
}

impl<'a> ByHash<'a> {
    pub(super) fn new(hash: u64, by_key: &'a ByKey) -> ByHash<'a> {
        ByHash { hash, by_key, met: Cell::new(None) }
    }
}

impl Hash for ByHash<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}
impl Equivalent<Slot> for ByHash<'_> {
    fn equivalent(&self, slot: &Slot) -> bool {
        let fits = self.by_key.of(slot) == self.hash;
        if fits {
            let (space, bytes) = slot.parts();
            self.met.set(Some((space, bytes.into())));
        }
        fits
    }
}

impl Auto {
    /// A store of `limit` bytes in up to `shards` parts, a power of two.
    pub(super) fn new(limit: u64, shards: u64, seed: &Seed) -> Auto {
        let options = options(limit, shards, 1);
        let by_key = ByKey::new(seed);
        let store = quick_cache::sync::Cache::with_options(options, Weight(0), by_key.clone(), Evicted);
        Auto { store, by_key }
    }

    #[inline]
    pub(super) fn get(&self, key: &KeyRef<'_>) -> Option<Resident> {
        self.store.get(key).map(|Kept(entry)| entry)
    }

    /// The same, on the path of a hit.
    #[inline(always)]
    pub(super) fn hit(&self, key: &Sought<'_>) -> Option<Resident> {
        self.store.get(key).map(|Kept(entry)| entry)
    }

    pub(super) fn peek(&self, key: KeyRef<'_>) -> Option<Resident> {
        self.store.peek(&key).map(|Kept(entry)| entry)
    }

    pub(super) fn insert(&self, key: &Key, entry: Resident, books: &Books) {
        let mut evicted = Vec::new();
        self.store.insert_with_lifecycle(Slot::new(key.by_ref()), Kept(entry), &mut evicted);
        for (slot, entry) in evicted {
            books.evicted(slot.parts().0, self.by_key.of(&slot), &entry);
        }
    }

    pub(super) fn remove(&self, key: KeyRef<'_>) -> Option<Resident> {
        self.store.remove(&key).map(|(_, Kept(entry))| entry)
    }

    /// The entry of this hash, if it was past its hard end, and its space: it is gone.
    pub(super) fn remove_due(&self, hash: u64, now: Tick) -> Option<(u32, Resident)> {
        let (slot, Kept(entry)) =
            self.store.remove_if(&ByHash::new(hash, &self.by_key), |Kept(entry)| entry.hard_until() <= now)?;
        Some((slot.parts().0, entry))
    }

    /// The entry of this hash.
    pub(super) fn of_hash(&self, hash: u64) -> Option<Found> {
        let asked = ByHash::new(hash, &self.by_key);
        let Kept(entry) = self.store.peek(&asked)?;
        let (space, bytes) = asked.met.into_inner()?;
        Some((space, bytes, entry))
    }

    pub(super) fn bytes(&self) -> u64 {
        self.store.weight()
    }

    pub(super) fn len(&self) -> usize {
        self.store.len()
    }

    /// What does not fit the part for what is asked for often is not kept at all.
    pub(super) fn largest(&self) -> u64 {
        (self.store.shard_capacity() as f64 * HOT_ALLOCATION) as u64
    }
}
