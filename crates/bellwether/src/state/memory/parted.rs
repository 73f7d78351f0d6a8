//! How are entries stored where many are looked up at once? As `auto` does, in parts whose locks are ours.

use std::hint::black_box;

use bellwether_core::time::Tick;
use parking_lot::{RwLock, RwLockReadGuard};

use super::auto::{ByHash, Evicted, HOT_ALLOCATION, Weight, items, options};
use super::books::Books;
use super::slot::{ByKey, Found, Kept, Slot};
use crate::entry::{Entry, Resident};
use crate::key::{Key, KeyRef, Seed};

/// Keys that are looked up together.
pub(crate) const MANY: usize = 16;
/// Parts among which many keys are looked up together: a bit each. Of more each key is looked up by itself.
const MOST_TOGETHER: usize = u128::BITS as usize;
/// A part holds at least so many entries, or there are fewer parts.
const LEAST_ITEMS: u64 = 32;
/// What an entry costs here beyond its cost in [`Auto`](super::auto::Auto): larger slots, in tables with room to grow
/// (measured: see BENCHMARKS.md).
pub(super) const PARTED_OVERHEAD: u32 = 16;

/// Entries by key, in parts with a lock each.
///
/// quick_cache has a store with parts of its own, which is `Auto`'s. These are ours because a lock can then be held over
/// several lookups: see [`Parted::get_many`].
pub(super) struct Parted {
    parts: Box<[RwLock<Part>]>,
    by_key: ByKey,
}

type Part = quick_cache::unsync::Cache<Slot, Kept, Weight, ByKey, Evicted>;

impl Parted {
    /// A store of `limit` bytes in up to `shards` parts, a power of two.
    pub(super) fn new(limit: u64, shards: u64, seed: &Seed) -> Parted {
        let parts = 1u64 << shards.min((items(limit) / LEAST_ITEMS).max(1)).max(1).ilog2();
        let by_key = ByKey::new(seed);
        let part = |_| {
            let weight = Weight(PARTED_OVERHEAD);
            RwLock::new(Part::with_options(options(limit, 1, parts), weight, by_key.clone(), Evicted))
        };
        Parted { parts: (0..parts).map(part).collect(), by_key }
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
        self.part(key.hash).read().get(key).cloned().map(|Kept(entry)| entry)
    }

    /// As [`Parted::get`], of up to [`MANY`] keys: `found` has a place for each.
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
        let mut seen: [Option<&Kept>; MANY] = [None; MANY];
        for (seen, key) in seen.iter_mut().zip(keys) {
            let before = wanted & ((1 << self.place(key.hash)) - 1);
            *seen = locked.get(before.count_ones() as usize).and_then(Option::as_ref).and_then(|part| part.get(key));
        }
        black_box(seen.iter().flatten().fold(0, |all, entry| all ^ Entry::ahead(&entry.0)));
        found.iter_mut().zip(seen).for_each(|(found, seen)| *found = seen.map(|seen| seen.0.clone()));
    }

    pub(super) fn peek(&self, key: KeyRef<'_>) -> Option<Resident> {
        self.part(key.hash).read().peek(&key).map(|kept| kept.0.clone())
    }

    pub(super) fn insert(&self, key: &Key, entry: Resident, books: &Books) {
        let mut evicted = Vec::new();
        self.part(key.hash).write().insert_with_lifecycle(Slot::new(key.by_ref()), Kept(entry), &mut evicted);
        for (slot, entry) in evicted {
            books.evicted(slot.parts().0, self.by_key.of(&slot), &entry);
        }
    }

    pub(super) fn remove(&self, key: KeyRef<'_>) -> Option<Resident> {
        let removed = self.part(key.hash).write().remove(&key);
        removed.map(|(_, Kept(entry))| entry)
    }

    /// The entry of this hash, if it was past its hard end, and its space: it is gone.
    pub(super) fn remove_due(&self, hash: u64, now: Tick) -> Option<(u32, Resident)> {
        let due = |kept: &Kept| kept.0.hard_until() <= now;
        let removed = self.part(hash).write().remove_if(&ByHash::new(hash, &self.by_key), due);
        removed.map(|(slot, Kept(entry))| (slot.parts().0, entry))
    }

    /// The entry of this hash.
    pub(super) fn of_hash(&self, hash: u64) -> Option<Found> {
        let asked = ByHash::new(hash, &self.by_key);
        let entry = self.part(hash).read().peek(&asked).map(|kept| kept.0.clone())?;
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
        (self.part(0).read().capacity() as f64 * HOT_ALLOCATION) as u64 - u64::from(PARTED_OVERHEAD)
    }
}
