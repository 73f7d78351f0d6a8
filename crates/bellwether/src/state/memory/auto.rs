//! How are entries stored unless somebody chooses otherwise? In parts with locks of their own, under a variant of Clock-Pro.

use std::hint::black_box;
use std::sync::{Arc, PoisonError};

use bellwether_core::evict::Shape;
use bellwether_core::time::Tick;
use crossbeam_utils::sync::{ShardedLock, ShardedLockReadGuard, ShardedLockWriteGuard};

use super::moved::{Found, Left};
use super::part::{Kept, Part};
use crate::entry::{Entry, Resident};
use crate::key::{Key, KeyRef, Seed, Sought};
use crate::place::Place;

/// Share of the store that holds what was asked for more than once. Below 0.81 a circle that just fits does better under
/// plain LRU, from 0.88 on a recorded trace does; both by more than two points a little further. Between them the mean
/// over all traces is highest, and flat. See BENCHMARKS.md.
const HOT_ALLOCATION: f64 = 0.84;
/// What an entry is expected to weigh, for the number of ghosts.
const TYPICAL_WEIGHT: u64 = 1024;
/// Ghosts per entry that finds room.
const GHOSTS: f64 = 0.5;
/// Bytes of a ghost. The ghosts come out of the limit.
const GHOST_BYTES: f64 = 10.7;
/// Keys that are looked up together.
pub(crate) const MANY: usize = 16;
/// Parts among which many keys are looked up together: a bit each.
const MOST_PARTS: u64 = u128::BITS as u64;
/// A part holds at least so many entries, or there are fewer parts.
const LEAST_ENTRIES: u64 = 32;

/// Entries by key, in parts.
pub(super) struct Auto {
    parts: Box<[Locked]>,
    largest: u64,
}

/// A part on lines of its own, behind a lock at which readers don't meet: each thread has one of eight lines to lock it by.
/// Who changes it locks them all. A panic under a lock poisons nothing, as everywhere in the library.
#[repr(align(128))]
struct Locked(ShardedLock<Part>);

impl Locked {
    #[inline(always)]
    fn read(&self) -> ShardedLockReadGuard<'_, Part> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> ShardedLockWriteGuard<'_, Part> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Auto {
    /// A store of `limit` bytes in up to `most` parts, rounded down to a power of two, whose timers begin at `now`.
    pub(super) fn new(limit: u64, most: u64, now: Tick, seed: &Seed) -> Auto {
        let entries = (limit / TYPICAL_WEIGHT).max(16);
        let parts = 1u64 << most.min(MOST_PARTS).min((entries / LEAST_ENTRIES).max(1)).max(1).ilog2();
        let ghosts = entries.div_ceil(parts) as f64 * GHOSTS;
        let capacity = (limit / parts).saturating_sub((ghosts * GHOST_BYTES) as u64);
        let hot = (capacity as f64 * HOT_ALLOCATION) as u64;
        let shape = Shape { capacity, hot, ghosts: ghosts as usize };
        let seed = Arc::new(seed.clone());
        let part = |_| Locked(ShardedLock::new(Part::new(shape, now, seed.clone())));
        Auto { parts: (0..parts).map(part).collect(), largest: hot }
    }

    /// Which part is the one for a hash: by bits that a part's own table does not look at.
    #[inline(always)]
    fn nth(&self, hash: u64) -> usize {
        (hash >> 32) as usize & (self.parts.len() - 1)
    }

    #[inline(always)]
    fn part(&self, hash: u64) -> &Locked {
        &self.parts[self.nth(hash)]
    }

    /// The entry. That it was asked for is counted by whoever serves it, and seen there.
    pub(super) fn get(&self, key: KeyRef<'_>) -> Option<Resident> {
        let part = self.part(key.hash).read();
        part.find(key.hash, |slot| slot.is(key.bytes, &key.space)).map(|kept| kept.entry.clone())
    }

    /// The same, on the path of a hit.
    #[inline(always)]
    pub(super) fn hit(&self, key: &Sought<'_>) -> Option<Resident> {
        let part = self.part(key.hash).read();
        part.find(key.hash, |slot| slot.is(key.bytes, key.space)).map(|kept| kept.entry.clone())
    }

    /// As [`Auto::get`], of up to [`MANY`] keys: `found` has a place for each.
    ///
    /// A lookup waits for memory three times: for the table, the key and the entry. Those of one key wait for each other,
    /// those of different keys need not: the processor begins several lookups at once. But whatever locks or counts makes
    /// it end what it began. So all parts are locked first, in the order of their numbers
    /// (else two who look and two who write could wait in a circle); then everything is looked up and looked at;
    /// then the entries are counted.
    pub(super) fn get_many(&self, keys: &[KeyRef<'_>], found: &mut [Option<Resident>]) {
        debug_assert!(keys.len() <= MANY);
        let wanted = keys.iter().fold(0u128, |wanted, key| wanted | 1 << self.nth(key.hash));
        let mut locked: [Option<ShardedLockReadGuard<'_, Part>>; MANY] = [const { None }; MANY];
        let mut left = wanted;
        for guard in &mut locked {
            let Some(part) = self.parts.get(left.trailing_zeros() as usize) else { break };
            *guard = Some(part.read());
            left &= left - 1;
        }
        let mut seen: [Option<&Kept>; MANY] = [None; MANY];
        for (seen, key) in seen.iter_mut().zip(keys) {
            let before = wanted & ((1 << self.nth(key.hash)) - 1);
            let part = locked.get(before.count_ones() as usize).and_then(Option::as_ref);
            *seen = part.and_then(|part| part.find(key.hash, |slot| slot.is(key.bytes, &key.space)));
        }
        black_box(seen.iter().flatten().fold(0, |all, kept| all ^ Entry::ahead(&kept.entry)));
        found.iter_mut().zip(seen).for_each(|(found, seen)| *found = seen.map(|kept| kept.entry.clone()));
    }

    pub(super) fn insert(&self, key: &Key, entry: Resident) -> Left {
        self.part(key.hash).write().insert(key.by_ref(), entry)
    }

    pub(super) fn remove(&self, key: KeyRef<'_>) -> Option<Resident> {
        // A reader looks first: mostly there is nothing, and eight locks more are to be taken for a change.
        let part = self.part(key.hash);
        part.read().find(key.hash, |slot| slot.is(key.bytes, &key.space))?;
        part.write().remove(key)
    }

    /// Takes out entries past their hard end, until `out` has `most`, each with its space's number; true if there are more.
    pub(super) fn due(&self, now: Tick, most: usize, out: &mut Vec<(u32, Resident)>) -> bool {
        self.parts.iter().any(|part| part.write().due(now, most, out))
    }

    /// All entries, in no order, in steps of at most `most`, so that nobody waits long: those that are there from the first
    /// step to the last, each once.
    pub(super) fn walk(&self, most: usize) -> impl Iterator<Item = Found> + '_ {
        let steps = self.parts.iter().flat_map(move |part| {
            let mut next = Some(Place::FIRST);
            std::iter::from_fn(move || {
                let mut found = Vec::new();
                next = part.read().walk(next?, most, &mut found);
                Some(found)
            })
        });
        steps.flatten()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.read().weight()).sum()
    }

    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(|part| part.read().len()).sum()
    }

    #[cfg(test)]
    pub(super) fn timers(&self) -> usize {
        self.parts.iter().map(|part| part.read().timers()).sum()
    }

    /// What does not fit the part for what is asked for often is not kept at all.
    pub(super) fn largest(&self) -> u64 {
        self.largest
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::super::part::tests::entry;
    use super::*;

    /// A part has so many lines that readers lock it by, and two readers wait in a circle only if they have the same one:
    /// of these, each shares its line with two others.
    const READERS: usize = 3 * 8;
    const WRITERS: usize = 4;
    /// Each tells so often that it gets on.
    const LEGS: usize = 30;
    /// Far longer than it takes until somebody does.
    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn threads_that_want_many_parts_in_any_order_never_wait_in_a_circle() {
        let seed = Seed::fixed(1);
        let store = Auto::new(16 << 20, MOST_PARTS, Tick(0), &seed);
        let of = |n: u64| KeyRef::new(0, &n.to_be_bytes(), &seed).to_key();
        // Each in a part of its own.
        let keys = (0..MANY).filter_map(|part| (0..).map(of).find(|key| store.nth(key.hash) == part));
        let shared = Arc::new((keys.collect::<Vec<_>>(), store, Barrier::new(READERS + WRITERS)));
        let (tell, told) = channel();
        for nth in 0..READERS + WRITERS {
            let (shared, tell) = (shared.clone(), tell.clone());
            // Nobody waits for its end: it may never come.
            std::thread::spawn(move || {
                let (keys, store, begin) = &*shared;
                begin.wait();
                for leg in 0..LEGS {
                    if nth < READERS {
                        read(store, keys)
                    } else {
                        change(store, keys, (nth * LEGS + leg) as u64)
                    }
                    tell.send(()).expect("somebody listens");
                }
            });
        }
        for _ in 0..(READERS + WRITERS) * LEGS {
            told.recv_timeout(PATIENCE).expect("somebody gets on until all have done");
        }
    }

    fn read(store: &Auto, keys: &[Key]) {
        let mut keys: Vec<KeyRef<'_>> = keys.iter().map(Key::by_ref).collect();
        for _ in 0..100 {
            store.get_many(&keys, &mut [const { None }; MANY]);
            keys.reverse();
        }
    }

    fn change(store: &Auto, keys: &[Key], seed: u64) {
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..800 {
            let key = &keys[rng.usize(..keys.len())];
            store.insert(key, entry(key, 0));
            store.remove(key.by_ref());
        }
    }
}
