//! What is resident in this process? Storage and eviction are quick_cache's; the byte limit's
//! arithmetic, expiry and the counting of every refusal are ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::entry::Resident;
use crate::key::{ByCarriedHash, KeyRef};
use crate::port::clock::Clock;
use crate::state::wheel::Wheel;
use bellwether_core::time::Tick;

/// Share of the store that holds what was asked for more than once: the best of the sizes tried
/// over eight traces, and the steadiest (quick_cache's own default is 0.97).
const HOT_ALLOCATION: f64 = 0.80;
/// The store refuses what exceeds this share of one shard's limit, silently: so we refuse it aloud.
const LARGEST_SHARE: f64 = 0.95;
/// What an entry is expected to weigh, for the store's ghost list.
const TYPICAL_WEIGHT: u64 = 1024;
/// Expired entries taken out in one go.
const SWEEP_BATCH: usize = 256;
/// Below this a limit is a mistake.
pub(crate) const LEAST_LIMIT: u64 = 64 * 1024;

type Store = quick_cache::sync::Cache<u64, Resident, Weight, ByCarriedHash, Evicted>;

/// The memory tier: one store and one limit for all spaces of a process.
pub(crate) struct Memory {
    store: Store,
    wheel: Mutex<Wheel>,
    limit: u64,
    largest: u64,
    clock: Clock,
    pub(crate) counts: MemoryCounts,
}

/// Why entries left, or never came.
#[derive(Default)]
pub(crate) struct MemoryCounts {
    /// Evicted to make room.
    pub(crate) pressure: AtomicU64,
    /// Of those, still fresh.
    pub(crate) fresh: AtomicU64,
    /// Past their hard end.
    pub(crate) expired: AtomicU64,
    /// Invalidated.
    pub(crate) invalidated: AtomicU64,
    /// Refused because a single entry was too large.
    pub(crate) too_large: AtomicU64,
}

#[derive(Clone)]
struct Weight;
impl quick_cache::Weighter<u64, Resident> for Weight {
    fn weight(&self, _: &u64, entry: &Resident) -> u64 {
        u64::from(entry.weight)
    }
}

/// Collects what an insert pushed out, to be counted after the store's lock is gone.
#[derive(Clone)]
struct Evicted;
impl quick_cache::Lifecycle<u64, Resident> for Evicted {
    type RequestState = Vec<(u64, Resident)>;
    fn on_evict(&self, out: &mut Self::RequestState, hash: u64, entry: Resident) {
        out.push((hash, entry));
    }
}

impl Memory {
    /// A store of `limit` bytes in which values up to `largest_value` bytes must find room.
    pub(crate) fn new(limit: u64, largest_value: u64, clock: Clock) -> Memory {
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
        // An item must fit its shard with room for neighbours: fewer shards for larger values.
        let most = (limit / largest_value.max(1).saturating_mul(4)).max(1);
        // The store rounds up to a power of two, which would make shards smaller than asked.
        let shards = 1u64 << (4 * cores).min(most).ilog2();
        let options = quick_cache::OptionsBuilder::new()
            .weight_capacity(limit)
            .estimated_items_capacity(usize::try_from((limit / TYPICAL_WEIGHT).max(16)).unwrap_or(usize::MAX))
            .shards(usize::try_from(shards).unwrap_or(1))
            .hot_allocation(HOT_ALLOCATION)
            .build()
            .expect("every required option is set");
        let store = Store::with_options(options, Weight, ByCarriedHash::default(), Evicted);
        let largest = (store.shard_capacity() as f64 * LARGEST_SHARE) as u64;
        let wheel = Mutex::new(Wheel::new(clock.now()));
        Memory { store, wheel, limit, largest, clock, counts: MemoryCounts::default() }
    }

    /// The entry, and a note that it was asked for.
    #[inline(never)] // one copy of the lookup; what it returns fits two registers
    pub(crate) fn get(&self, key: KeyRef<'_>) -> Option<Resident> {
        self.store.get(&key.hash).filter(|entry| entry.is_of(key))
    }

    /// The entry, unnoticed.
    pub(crate) fn peek(&self, key: KeyRef<'_>) -> Option<Resident> {
        self.store.peek(&key.hash).filter(|entry| entry.is_of(key))
    }

    /// Keeps `entry` in place of what was there; false if it is too large to be kept.
    ///
    /// Writers of one key come one at a time: they hold the lock of its flights.
    pub(crate) fn put(&self, hash: u64, entry: Resident) -> bool {
        if u64::from(entry.weight) > self.largest {
            self.counts.too_large.fetch_add(1, Ordering::Relaxed);
            self.drop_entry(hash);
            return false;
        }
        let old = self.store.peek(&hash);
        {
            let mut wheel = self.wheel.lock();
            if let Some(old) = &old {
                wheel.cancel(old.timer());
            }
            entry.set_timer(wheel.add(hash, entry.meta.hard_until()));
        }
        let mut evicted = Vec::new();
        self.store.insert_with_lifecycle(hash, entry, &mut evicted);
        // The store also hands back the entry that was replaced: that is no eviction.
        evicted.retain(|(_, entry)| !old.as_ref().is_some_and(|old| Arc::ptr_eq(old, entry)));
        self.count_evicted(&evicted);
        true
    }

    /// Takes the entry out because it was invalidated; true if it was there and not expired.
    pub(crate) fn remove(&self, key: KeyRef<'_>) -> Option<Resident> {
        let entry = self.peek(key)?;
        self.drop_entry(key.hash);
        self.counts.invalidated.fetch_add(1, Ordering::Relaxed);
        Some(entry)
    }

    /// Takes out what is past its hard end, a batch; true if there is more to do.
    pub(crate) fn sweep(&self, now: Tick) -> bool {
        let mut due = Vec::new();
        let more = self.wheel.lock().turn(now, SWEEP_BATCH, &mut due);
        for hash in due {
            // Between the turn and here a younger entry may have come: it has its own timer.
            if self.store.remove_if(&hash, |entry| entry.meta.hard_until() <= now).is_some() {
                self.counts.expired.fetch_add(1, Ordering::Relaxed);
            }
        }
        more
    }

    /// Entries of all spaces, in no order. Walks the store: for SCAN and the dashboard, never for a request's path.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Resident> + '_ {
        self.store.iter().map(|(_, entry)| entry)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.store.weight()
    }

    pub(crate) fn len(&self) -> usize {
        self.store.len()
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    fn drop_entry(&self, hash: u64) {
        if let Some((_, entry)) = self.store.remove(&hash) {
            self.wheel.lock().cancel(entry.timer());
        }
    }

    fn count_evicted(&self, evicted: &[(u64, Resident)]) {
        if evicted.is_empty() {
            return;
        }
        let now = self.clock.coarse();
        let fresh = evicted.iter().filter(|(_, entry)| now < entry.meta.fresh_until).count();
        self.counts.pressure.fetch_add(evicted.len() as u64, Ordering::Relaxed);
        self.counts.fresh.fetch_add(fresh as u64, Ordering::Relaxed);
        let mut wheel = self.wheel.lock();
        for (_, entry) in evicted {
            wheel.cancel(entry.timer());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Entry;
    use crate::key::Key;
    use bellwether_core::entry::{Kind, Meta};
    use bellwether_core::fence::Fence;
    use bellwether_core::time::Span;

    fn entry(key: &Key, bytes: usize, now: Tick, ttl: Span) -> Resident {
        let meta = Meta {
            fence: Fence(1),
            born: now,
            fresh_until: now + ttl,
            swr_ms: 0,
            hard_ms: 0,
            cost_ms: 1,
            early_ms: 0,
            kind: Kind::Value,
        };
        Entry::new(key, meta, None, bytes, vec![0u8; bytes])
    }

    fn key(n: u64, seed: &ahash::RandomState) -> Key {
        KeyRef::new(0, &n.to_be_bytes(), seed).to_key()
    }

    #[test]
    fn g6_resident_bytes_stay_within_the_limit_under_any_sizes() {
        let (clock, seed) = (Clock::manual(), ahash::RandomState::new());
        let memory = Memory::new(1 << 20, 16 << 10, clock.clone());
        let mut rng = fastrand::Rng::with_seed(7);
        for n in 0..20_000 {
            let key = key(n, &seed);
            memory.put(key.hash, entry(&key, rng.usize(..16 << 10), clock.now(), Span::secs(60)));
            assert!(memory.bytes() <= memory.limit(), "{} > {}", memory.bytes(), memory.limit());
        }
        assert!(memory.bytes() > memory.limit() / 2, "the limit is used: {}", memory.bytes());
        assert_eq!(memory.wheel.lock().len(), memory.len(), "no timer outlives its entry");
        assert!(memory.counts.pressure.load(Ordering::Relaxed) > 10_000);
        assert_eq!(memory.counts.fresh.load(Ordering::Relaxed), memory.counts.pressure.load(Ordering::Relaxed));
    }

    #[test]
    fn what_is_too_large_is_refused_aloud_and_takes_its_predecessor_along() {
        let (clock, seed) = (Clock::manual(), ahash::RandomState::new());
        let memory = Memory::new(256 << 10, 1 << 10, clock.clone());
        let key = key(1, &seed);
        assert!(memory.put(key.hash, entry(&key, 10, clock.now(), Span::secs(60))));
        assert!(!memory.put(key.hash, entry(&key, 200 << 10, clock.now(), Span::secs(60))));
        assert_eq!(memory.counts.too_large.load(Ordering::Relaxed), 1);
        assert!(memory.peek(key.by_ref()).is_none(), "an older value must not outlive a newer one");
    }

    #[test]
    fn a_sweep_frees_what_has_ended_and_only_that() {
        let (clock, seed) = (Clock::manual(), ahash::RandomState::new());
        let memory = Memory::new(1 << 20, 1 << 10, clock.clone());
        for n in 0..1000 {
            let key = key(n, &seed);
            let ttl = if n % 2 == 0 { Span::secs(1) } else { Span::secs(100) };
            memory.put(key.hash, entry(&key, 10, clock.now(), ttl));
        }
        clock.advance(Span::secs(2));
        while memory.sweep(clock.now()) {}
        assert_eq!((memory.len(), memory.counts.expired.load(Ordering::Relaxed)), (500, 500));
        let replaced = key(1, &seed);
        memory.put(replaced.hash, entry(&replaced, 10, clock.now(), Span::secs(500)));
        clock.advance(Span::secs(150));
        while memory.sweep(clock.now()) {}
        assert!(memory.peek(replaced.by_ref()).is_some(), "a replaced entry's old timer does not end the new one");
        assert_eq!(memory.len(), 1);
        clock.advance(Span::secs(500));
        while memory.sweep(clock.now()) {}
        assert_eq!((memory.len(), memory.wheel.lock().len()), (0, 0), "a replaced entry still ends");
        assert_eq!(memory.counts.pressure.load(Ordering::Relaxed), 0, "a replacement is no eviction");
    }
}
