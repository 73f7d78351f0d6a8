//! What is resident in this process? Storage and eviction are others'; the byte limit's arithmetic,
//! expiry and the counting of every refusal are ours.

mod auto;
mod books;
#[cfg(feature = "foyer")]
mod classic;
pub(crate) mod copies;
mod slot;
mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bellwether_core::time::Tick;

use crate::entry::Resident;
use crate::eviction::Eviction;
use crate::key::{Key, KeyRef};
use crate::port::clock::Clock;
use books::Books;
use copies::Copies;
use slot::Found;
use store::Store;

/// Expired entries taken out in one go.
const SWEEP_BATCH: usize = 256;
/// Below this a limit is a mistake.
pub(crate) const LEAST_LIMIT: u64 = 64 * 1024;

/// The memory tier: one store and one limit for all spaces of a process.
pub(crate) struct Memory {
    store: Store,
    books: Arc<Books>,
    /// References of threads to the hottest of them.
    pub(crate) copies: Copies,
    policy: Eviction,
    limit: u64,
    /// What a store refuses silently, or pushes everything else out for, is refused aloud.
    largest: u64,
}

impl Memory {
    /// A store of `limit` bytes in which values up to `largest_value` bytes must find room; `None`
    /// if this build lacks the policy. `seed` is that of every key's hash.
    pub(crate) fn new(
        policy: Eviction,
        limit: u64,
        largest_value: u64,
        clock: Clock,
        seed: &ahash::RandomState,
    ) -> Option<Memory> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
        // An item must fit its shard with room for neighbours: fewer shards for larger values.
        let most = (limit / largest_value.max(1).saturating_mul(4)).max(1);
        // A store may round up to a power of two, which would make shards smaller than asked.
        let shards = 1u64 << (4 * cores).min(most).ilog2();
        let books = Arc::new(Books::new(clock));
        let store = Store::new(policy, limit, shards, seed, &books)?;
        let largest = store.largest();
        Some(Memory { store, books, copies: Copies::new(), policy, limit, largest })
    }

    /// The entry, and a note that it was asked for.
    ///
    /// The key by reference down to the store: a copy of it is read in larger pieces than it was
    /// written in, and the processor waits for that about as long as for the rest of the lookup.
    #[inline]
    pub(crate) fn get(&self, key: &KeyRef<'_>) -> Option<Resident> {
        self.store.get(key)
    }

    /// The entry, unnoticed.
    pub(crate) fn peek(&self, key: KeyRef<'_>) -> Option<Resident> {
        self.store.peek(key)
    }

    /// Keeps `entry` in place of what was there; false if it is too large to be kept.
    ///
    /// Writers of one key come one at a time: they hold the lock of its flights.
    pub(crate) fn put(&self, key: &Key, entry: Resident) -> bool {
        let _changing = self.copies.changing(key.hash);
        if u64::from(entry.weight) > self.largest {
            self.books.too_large.fetch_add(1, Ordering::Relaxed);
            self.drop_entry(key.by_ref());
            return false;
        }
        let old = self.store.peek(key.by_ref());
        self.books.replaced(key.hash, old.as_ref(), &entry);
        self.store.insert(key, entry, &self.books);
        true
    }

    /// Takes the entry out because it was invalidated, if it was there.
    pub(crate) fn remove(&self, key: KeyRef<'_>) -> Option<Resident> {
        let _changing = self.copies.changing(key.hash);
        let entry = self.drop_entry(key)?;
        self.books.invalidated.fetch_add(1, Ordering::Relaxed);
        Some(entry)
    }

    /// Takes out what is past its hard end, a batch; true if there is more to do.
    pub(crate) fn sweep(&self, now: Tick) -> bool {
        let (due, more) = self.books.due(now, SWEEP_BATCH);
        // Between the wheel's turn and here a younger entry may have come: it has its own timer.
        let gone = due.into_iter().filter(|hash| self.store.remove_due(*hash, now)).count();
        self.books.expired.fetch_add(gone as u64, Ordering::Relaxed);
        more
    }

    /// Entries of all spaces, in no order. Walks the store: for SCAN and the dashboard, never for a request's path.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Found> + '_ {
        self.store.entries(&self.books)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.store.bytes()
    }

    /// What an entry counts against the limit: its weight, and what this policy's store keeps beside it.
    pub(crate) fn cost(&self, entry: &Resident) -> u32 {
        entry.weight.saturating_add(self.store.overhead())
    }

    pub(crate) fn len(&self) -> usize {
        self.store.len()
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
        let entry = self.store.remove(key)?;
        self.books.removed(key.hash, &entry);
        Some(entry)
    }
}
