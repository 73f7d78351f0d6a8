//! How are entries stored unless somebody chooses otherwise? By quick_cache, a variant of Clock-Pro.

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::hint::black_box;

use bellwether_core::time::Tick;
use parking_lot::{RwLock, RwLockReadGuard};
use quick_cache::Equivalent;

use super::books::Books;
use super::slot::{ByKey, Found, Slot};
use crate::entry::Resident;
use crate::key::{Key, KeyRef};

/// Share of the store that holds what was asked for more than once: the best of the sizes tried
/// over eight traces, and the steadiest (quick_cache's own default is 0.97).
const HOT_ALLOCATION: f64 = 0.80;
/// What an entry is expected to weigh, for the store's list of ghosts: hashes of what was pushed out.
const TYPICAL_WEIGHT: u64 = 1024;
/// Ghosts per entry that finds room, which is the store's own default.
const GHOSTS: f64 = 0.5;
/// Bytes of a ghost: a slot and its place in the index. The ghosts come out of the limit.
const GHOST_BYTES: f64 = 56.0;

/// Keys that are looked up together.
pub(crate) const MANY: usize = 16;
/// Parts among which many keys are looked up together: a bit each. Of more each key is looked up by itself.
const MOST_TOGETHER: usize = u128::BITS as usize;
/// A part holds at least so many entries, or there are fewer parts.
const LEAST_ITEMS: u64 = 32;

/// Entries by key, in parts with a lock each.
///
/// quick_cache has a store with parts of its own. These are ours because a lock can then be held over several
/// lookups: see [`Auto::get_many`].
pub(super) struct Auto {
    parts: Box<[RwLock<Part>]>,
    by_key: ByKey,
}

type Part = quick_cache::unsync::Cache<Slot, Resident, Weight, ByKey, Evicted>;

#[derive(Clone)]
struct Weight;
impl quick_cache::Weighter<Slot, Resident> for Weight {
    fn weight(&self, _: &Slot, entry: &Resident) -> u64 {
        u64::from(entry.weight)
    }
}

/// Collects what an insert pushed out, to be noted after the store's lock is gone.
#[derive(Clone)]
struct Evicted;
impl quick_cache::Lifecycle<Slot, Resident> for Evicted {
    type RequestState = Vec<(Slot, Resident)>;
    fn on_evict(&self, out: &mut Self::RequestState, slot: Slot, entry: Resident) {
        out.push((slot, entry));
    }
}

/// Asks for the entry of a hash, whatever its key, which it learns.
struct ByHash<'a> {
    hash: u64,
    by_key: &'a ByKey,
    /// Space and key.
    met: Cell<Option<(u32, Box<[u8]>)>>,
}

impl<'a> ByHash<'a> {
    fn new(hash: u64, by_key: &'a ByKey) -> ByHash<'a> {
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
    pub(super) fn new(limit: u64, shards: u64, seed: &ahash::RandomState) -> Auto {
        let items = (limit / TYPICAL_WEIGHT).max(16);
        let room = limit - (items as f64 * GHOSTS * GHOST_BYTES) as u64;
        let parts = 1u64 << shards.min((items / LEAST_ITEMS).max(1)).max(1).ilog2();
        let by_key = ByKey(seed.clone());
        let part = |_| {
            let options = quick_cache::OptionsBuilder::new()
                .weight_capacity(room.div_ceil(parts))
                .estimated_items_capacity(usize::try_from(items.div_ceil(parts)).unwrap_or(usize::MAX))
                .ghost_allocation(GHOSTS)
                .hot_allocation(HOT_ALLOCATION)
                .build()
                .expect("every required option is set");
            RwLock::new(Part::with_options(options, Weight, by_key.clone(), Evicted))
        };
        Auto { parts: (0..parts).map(part).collect(), by_key }
    }

    /// The place of the part for a hash: by bits that a part's own table does not look at.
    #[inline]
    fn place(&self, hash: u64) -> usize {
        (hash >> 32) as usize & (self.parts.len() - 1)
    }

    #[inline]
    fn part(&self, hash: u64) -> &RwLock<Part> {
        &self.parts[self.place(hash)]
    }

    #[inline]
    pub(super) fn get(&self, key: &KeyRef<'_>) -> Option<Resident> {
        self.part(key.hash).read().get(key).cloned()
    }

    /// As [`Auto::get`], of up to [`MANY`] keys: `found` has a place for each.
    ///
    /// A lookup waits for memory four times: for the index, the slot, the key and the entry. Those of one key wait for
    /// each other, those of different keys need not: the processor begins several lookups at once. But whatever
    /// locks or counts makes it end what it began. So all parts are locked first, in their order; then everything is
    /// looked up and looked at; then the entries are counted.
    pub(super) fn get_many(&self, keys: &[KeyRef<'_>], found: &mut [Option<Resident>]) {
        debug_assert!(keys.len() <= MANY);
        if self.parts.len() > MOST_TOGETHER {
            found.iter_mut().zip(keys).for_each(|(found, key)| *found = self.get(key));
            return;
        }
        let wanted = keys.iter().fold(0u128, |wanted, key| wanted | 1 << self.place(key.hash));
        let mut locked: [Option<RwLockReadGuard<'_, Part>>; MANY] = [const { None }; MANY];
        let mut left = wanted;
        for guard in &mut locked {
            let Some(part) = self.parts.get(left.trailing_zeros() as usize) else { break };
            *guard = Some(part.read());
            left &= left - 1;
        }
        let mut seen: [Option<&Resident>; MANY] = [None; MANY];
        for (seen, key) in seen.iter_mut().zip(keys) {
            let before = wanted & ((1 << self.place(key.hash)) - 1);
            *seen = locked.get(before.count_ones() as usize).and_then(Option::as_ref).and_then(|part| part.get(key));
        }
        black_box(seen.iter().flatten().fold(0, |all, entry| all ^ entry.fence().0));
        found.iter_mut().zip(seen).for_each(|(found, seen)| *found = seen.cloned());
    }

    pub(super) fn peek(&self, key: KeyRef<'_>) -> Option<Resident> {
        self.part(key.hash).read().peek(&key).cloned()
    }

    pub(super) fn insert(&self, key: &Key, entry: Resident, books: &Books) {
        let mut evicted = Vec::new();
        self.part(key.hash).write().insert_with_lifecycle(Slot::new(key.by_ref()), entry, &mut evicted);
        for (slot, entry) in evicted {
            books.evicted(slot.parts().0, self.by_key.of(&slot), &entry);
        }
    }

    pub(super) fn remove(&self, key: KeyRef<'_>) -> Option<Resident> {
        let removed = self.part(key.hash).write().remove(&key);
        removed.map(|(_, entry)| entry)
    }

    /// The entry of this hash, if it was past its hard end, and its space: it is gone.
    pub(super) fn remove_due(&self, hash: u64, now: Tick) -> Option<(u32, Resident)> {
        let due = |entry: &Resident| entry.hard_until() <= now;
        let removed = self.part(hash).write().remove_if(&ByHash::new(hash, &self.by_key), due);
        removed.map(|(slot, entry)| (slot.parts().0, entry))
    }

    /// The entry of this hash.
    pub(super) fn of_hash(&self, hash: u64) -> Option<Found> {
        let asked = ByHash::new(hash, &self.by_key);
        let entry = self.part(hash).read().peek(&asked).cloned()?;
        let (space, bytes) = asked.met.into_inner()?;
        Some((space, bytes, entry))
    }

    pub(super) fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.read().weight()).sum()
    }

    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(|part| part.read().len()).sum()
    }

    /// What does not fit the part for what is asked for often is not kept at all.
    pub(super) fn largest(&self) -> u64 {
        (self.part(0).read().capacity() as f64 * HOT_ALLOCATION) as u64
    }
}
