//! What is resident in this process? What is kept, who goes first, when each ends, and the counting of every refusal.

mod auto;
mod books;
#[cfg(feature = "foyer")]
mod classic;
mod moved;
pub(crate) mod own;
mod part;
pub(crate) mod references;
#[cfg(test)]
mod references_tests;
mod slot;
mod store;
#[cfg(test)]
mod tests;
mod wheel;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bellwether_core::entry::Kind;
use bellwether_core::time::Tick;

use crate::entry::Resident;
use crate::eviction::Eviction;
use crate::key::{Key, KeyRef, Seed, Sought};
use crate::port::clock::Clock;
use auto::Auto;
pub(crate) use auto::MANY;
use books::Books;
use moved::Found;
use references::References;
use store::Store;

/// Expired entries taken out in one go.
const SWEEP_BATCH: usize = 64;
/// Places that a walk looks at in one go.
const STEP: usize = 512;
/// Parts per core: a thread rarely waits while another changes the one it wants.
const PARTS: u64 = 16;
/// This part of the largest that a store takes is left to what another end or other tags add to a value that it has.
const RELABELLED: u64 = 64;
/// Below this a limit is a mistake.
pub(crate) const LEAST_LIMIT: u64 = 64 * 1024;
/// The part of the limit that belongs to what has no value: rows that do not exist, keys whose answers may not be
/// kept. A scan over keys that do not exist pushes out others of the kind, never a value.
const NOTHINGS_SHARE: u64 = 20;
/// What has no value is small: parts of its store hold at least so much.
const NOTHINGS_PART: u64 = 64 * 1024;

/// The memory tier: one store and one limit for all spaces of a process.
pub(crate) struct Memory {
    /// Values.
    store: Store,
    /// What has none: another store, so that neither can crowd out the other. Whatever the policy, the same kind.
    nothings: Auto,
    books: Arc<Books>,
    /// References of threads to those at which they meet.
    pub(crate) references: References,
    policy: Eviction,
    limit: u64,
    /// What a store refuses silently, or pushes everything else out for, is refused aloud.
    largest: u64,
}

impl Memory {
    /// A store of `limit` bytes in which values up to `largest_value` bytes must find room; `None`
    /// if this build lacks the policy. `seed` is that of every key's hash.
    pub(crate) fn new(policy: Eviction, limit: u64, largest_value: u64, clock: Clock, seed: &Seed) -> Option<Memory> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
        // A value must fit its part with room for neighbours: fewer parts for larger values.
        let most = (limit / largest_value.max(1).saturating_mul(4)).max(1);
        let parts = (PARTS * cores).min(most);
        let now = clock.now();
        let books = Arc::new(Books::new(clock));
        let of_nothings = limit / NOTHINGS_SHARE;
        let store = Store::new(policy, limit - of_nothings, parts, now, seed, &books)?;
        let nothings = Auto::new(of_nothings, (PARTS * cores).min((of_nothings / NOTHINGS_PART).max(1)), now, seed);
        let largest = store.largest() - store.largest() / RELABELLED;
        Some(Memory { store, nothings, books, references: References::new(limit), policy, limit, largest })
    }

    /// The entry, and a note that it was asked for, where its store keeps such notes.
    pub(crate) fn get(&self, key: &KeyRef<'_>) -> Option<Resident> {
        self.store.get(*key).or_else(|| self.nothing(key))
    }

    /// The same of values alone, on the path of a hit: call it from one place.
    #[inline(always)]
    pub(crate) fn hit(&self, key: &Sought<'_>) -> Option<Resident> {
        self.store.hit(key)
    }

    /// The same of values alone, for all others who look for one.
    #[inline(never)]
    pub(crate) fn value(&self, key: &KeyRef<'_>) -> Option<Resident> {
        self.store.get(*key)
    }

    /// As [`Memory::get`], of up to [`MANY`] keys: `found` has a place for each.
    pub(crate) fn get_many(&self, keys: &[KeyRef<'_>], found: &mut [Option<Resident>]) {
        self.store.get_many(keys, found);
        for (found, key) in found.iter_mut().zip(keys).filter(|(found, _)| found.is_none()) {
            *found = self.nothing(key);
        }
    }

    /// What is known of a key that has no value.
    #[cold]
    #[inline(never)]
    pub(crate) fn nothing(&self, key: &KeyRef<'_>) -> Option<Resident> {
        self.nothings.get(*key)
    }

    /// The entry, unnoticed.
    pub(crate) fn peek(&self, key: KeyRef<'_>) -> Option<Resident> {
        self.store.peek(key).or_else(|| self.nothings.get(key))
    }

    /// Keeps `entry` in place of what was there; false if it is too large to be kept.
    ///
    /// Writers of one key come one at a time: they hold the lock of its flights.
    pub(crate) fn put(&self, key: &Key, entry: Resident) -> bool {
        let _changing = self.references.changing(key.hash);
        let is_value = entry.kind() == Kind::Value;
        let largest = match (is_value, entry.is_link()) {
            (false, _) => self.nothings.largest(),
            (true, true) => self.store.largest(),
            (true, false) => self.largest,
        };
        if u64::from(entry.weight) > largest {
            self.books.too_large.fetch_add(1, Ordering::Relaxed);
            self.drop_entry(key.by_ref());
            return false;
        }
        self.books.come(key.space, &entry);
        // First the new one: whoever looks meanwhile finds one of the two.
        let left = if is_value { self.store.insert(key, entry) } else { self.nothings.insert(key, entry) };
        let elsewhere = if is_value { self.nothings.remove(key.by_ref()) } else { self.store.remove(key.by_ref()) };
        for old in left.replaced.iter().chain(&elsewhere) {
            self.books.gone(key.space, old);
        }
        for (space, entry) in &left.pushed_out {
            self.books.evicted(*space, entry);
        }
        true
    }

    /// Takes the entry out because it was invalidated, if it was there.
    pub(crate) fn remove(&self, key: KeyRef<'_>) -> Option<Resident> {
        let _changing = self.references.changing(key.hash);
        let entry = self.drop_entry(key)?;
        self.books.invalidated.fetch_add(1, Ordering::Relaxed);
        Some(entry)
    }

    /// Takes out what is past its hard end, a batch; true if there is more to do.
    pub(crate) fn sweep(&self, now: Tick) -> bool {
        let mut ended = Vec::new();
        let more = [self.store.due(now, SWEEP_BATCH, &mut ended), self.nothings.due(now, SWEEP_BATCH, &mut ended)];
        ended.iter().for_each(|(space, entry)| self.books.ended(*space, entry));
        more.contains(&true)
    }

    /// Entries of all spaces, in no order. Walks the store: for SCAN and the dashboard, never for a request's path.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Found> + '_ {
        self.store.walk(STEP).chain(self.nothings.walk(STEP))
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.store.bytes() + self.nothings.bytes()
    }

    /// What has no value: entries, bytes, and their own limit.
    pub(crate) fn nothings(&self) -> (u64, u64, u64) {
        (self.nothings.len() as u64, self.nothings.bytes(), self.limit / NOTHINGS_SHARE)
    }

    /// What an entry counts against the limit: its weight, and what this policy's store keeps beside it.
    pub(crate) fn cost(&self, entry: &Resident) -> u32 {
        entry.weight.saturating_add(if entry.kind() == Kind::Value { self.store.overhead() } else { 0 })
    }

    pub(crate) fn len(&self) -> usize {
        self.store.len() + self.nothings.len()
    }

    /// The largest value that is kept, with all that stands beside it.
    pub(crate) fn largest(&self) -> u64 {
        self.largest
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    pub(crate) fn policy(&self) -> Eviction {
        self.policy
    }

    /// Why entries left, or never came.
    pub(crate) fn counts(&self) -> &Books {
        &self.books
    }

    fn drop_entry(&self, key: KeyRef<'_>) -> Option<Resident> {
        let entry = self.store.remove(key).or_else(|| self.nothings.remove(key))?;
        self.books.gone(key.space, &entry);
        Some(entry)
    }
}
