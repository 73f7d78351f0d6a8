//! How often did what happen? Counters that a hit can afford.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bellwether_core::why::Why;

/// So many threads but one count alone; all others share the first stripe.
pub(crate) const STRIPES: usize = 32;

/// Counts outcomes, by [`Why`]: exact, and striped by thread, so that a hit never fights over a
/// cache line with its neighbours, nor pays for an atomic addition where nobody else adds. Clones
/// count together: what a space counted goes on when its policy changes.
#[derive(Clone)]
pub(crate) struct WhyCounts {
    stripes: Arc<[Stripe; STRIPES]>,
}

#[repr(align(128))]
struct Stripe([AtomicU64; Why::COUNT]);

/// Classes of threads that have a stripe.
const CLASSES: usize = 7;

/// The stripe that everybody may add to, and the one of a thread that has none yet.
const SHARED: usize = 0;
/// Stripes that a living thread has to itself.
static TAKEN: [AtomicBool; STRIPES] = [const { AtomicBool::new(false) }; STRIPES];

/// A thread's own stripe, in the counters of every space, for as long as the thread lives.
struct Claim(usize);

impl Claim {
    fn new() -> Claim {
        // Acquire: what the stripe's former thread counted is seen before it is added to.
        let free = |stripe: &usize| !TAKEN[*stripe].swap(true, Ordering::Acquire);
        Claim((SHARED + 1..STRIPES).find(free).unwrap_or(SHARED))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        STRIPE.set(SHARED);
        CLASS.set(0);
        TAKEN[self.0].store(false, Ordering::Release);
    }
}

thread_local! {
    static CLAIM: Claim = Claim::new();
    /// What `CLAIM` holds, for the price of one load: it needs neither a start nor an end.
    static STRIPE: Cell<usize> = const { Cell::new(SHARED) };
    /// Its class.
    static CLASS: Cell<u32> = const { Cell::new(0) };
}

/// The stripe that this thread has to itself, if it has one by now.
#[inline]
pub(crate) fn stripe() -> Option<usize> {
    Some(STRIPE.get()).filter(|stripe| *stripe != SHARED)
}

/// Threads in fewer classes than there are stripes; zero: those without a stripe to themselves.
#[inline]
pub(crate) fn class() -> u32 {
    CLASS.get()
}

/// From now on this thread is of that class.
#[cfg(test)]
pub(crate) fn set_class(class: u32) {
    CLASS.set(class);
}

/// How many living threads have counted anything so far, those that share a stripe left out.
pub(crate) fn threads() -> usize {
    TAKEN.iter().filter(|taken| taken.load(Ordering::Relaxed)).count()
}

impl WhyCounts {
    pub(crate) fn new() -> WhyCounts {
        WhyCounts { stripes: Arc::new(std::array::from_fn(|_| Stripe(std::array::from_fn(|_| AtomicU64::new(0))))) }
    }

    /// Counts, and says how many this thread, or those that share its stripe, have counted so far.
    #[inline]
    pub(crate) fn add(&self, why: Why) -> u64 {
        let stripe = STRIPE.get();
        if stripe == SHARED { self.add_first(why as usize) } else { self.add_own(stripe, why as usize) }
    }

    #[inline]
    fn add_own(&self, stripe: usize, why: usize) -> u64 {
        let count = &self.stripes[stripe % STRIPES].0[why];
        let counted = count.load(Ordering::Relaxed) + 1;
        count.store(counted, Ordering::Relaxed);
        counted
    }

    /// A thread's first count, or any of one that found no stripe to itself.
    ///
    /// By C's convention, by which nothing unwinds: else whoever counts would have to keep what it holds in memory, to be
    /// dropped in that case, and a hit would write its entry there and read it back.
    #[cold]
    extern "C" fn add_first(&self, why: usize) -> u64 {
        // A thread that is being torn down has no stripe any more.
        if let Ok(stripe) = CLAIM.try_with(|claim| claim.0)
            && stripe != SHARED
        {
            STRIPE.set(stripe);
            CLASS.set(1 + ((stripe - 1) % CLASSES) as u32);
            return self.add_own(stripe, why);
        }
        self.stripes[SHARED].0[why].fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn get(&self, why: Why) -> u64 {
        self.stripes.iter().map(|stripe| stripe.0[why as usize].load(Ordering::Relaxed)).sum()
    }
}

/// Upper bounds of the time histograms, in seconds.
pub const TIME_BOUNDS: [f64; 14] =
    [0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Upper bounds of the follower histogram.
pub const FOLLOWER_BOUNDS: [f64; 9] = [0.0, 1.0, 3.0, 10.0, 30.0, 100.0, 1_000.0, 10_000.0, 100_000.0];

/// A histogram with fixed upper bounds. Not for the hit path.
pub(crate) struct Histogram<const N: usize> {
    bounds: &'static [f64; N],
    counts: [AtomicU64; N],
    above: AtomicU64,
    /// In millionths, so that a sum needs no float atomics.
    sum_micro: AtomicU64,
}

impl<const N: usize> Histogram<N> {
    pub(crate) fn new(bounds: &'static [f64; N]) -> Histogram<N> {
        Histogram {
            bounds,
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            above: AtomicU64::new(0),
            sum_micro: AtomicU64::new(0),
        }
    }

    pub(crate) fn record(&self, value: f64) {
        let slot = self.bounds.iter().position(|bound| value <= *bound).map_or(&self.above, |at| &self.counts[at]);
        slot.fetch_add(1, Ordering::Relaxed);
        self.sum_micro.fetch_add((value * 1e6) as u64, Ordering::Relaxed);
    }

    /// Of a time histogram: what has begun at `began_us` of the clock and ends at `now_us`.
    pub(crate) fn record_since(&self, began_us: u64, now_us: u64) {
        self.record(now_us.saturating_sub(began_us) as f64 / 1e6);
    }

    pub(crate) fn read(&self) -> HistogramCounts {
        let mut buckets: Vec<(f64, u64)> =
            self.bounds.iter().zip(&self.counts).map(|(bound, n)| (*bound, n.load(Ordering::Relaxed))).collect();
        buckets.push((f64::INFINITY, self.above.load(Ordering::Relaxed)));
        HistogramCounts { buckets, sum: self.sum_micro.load(Ordering::Relaxed) as f64 / 1e6 }
    }
}

/// A histogram as it stood at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramCounts {
    /// Upper bound (the last is infinite) and how many fell between it and the one before.
    pub buckets: Vec<(f64, u64)>,
    /// Sum of all values.
    pub sum: f64,
}

impl HistogramCounts {
    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, n)| n).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_from_many_threads_add_up() {
        let counts = WhyCounts::new();
        std::thread::scope(|scope| {
            for _ in 0..STRIPES * 2 {
                scope.spawn(|| (0..1000).for_each(|_| _ = counts.add(Why::Hit)));
            }
        });
        assert_eq!(counts.get(Why::Hit), STRIPES as u64 * 2000);
        assert_eq!(counts.get(Why::Loaded), 0);
    }

    #[test]
    fn a_stripe_that_passes_from_thread_to_thread_loses_nothing() {
        let counts = WhyCounts::new();
        for _ in 0..20 {
            std::thread::scope(|scope| {
                for _ in 0..STRIPES {
                    scope.spawn(|| (0..100).for_each(|_| _ = counts.add(Why::Hit)));
                }
            });
        }
        assert_eq!(counts.get(Why::Hit), 20 * STRIPES as u64 * 100);
    }

    #[test]
    fn a_time_below_a_millisecond_falls_into_its_own_bucket() {
        let histogram = Histogram::new(&TIME_BOUNDS);
        [90, 400, 900, 1_900].into_iter().for_each(|took| histogram.record_since(7_000_123, 7_000_123 + took));
        let read = histogram.read();
        assert_eq!(read.buckets.iter().take(4).map(|(_, n)| *n).collect::<Vec<_>>(), [1, 1, 1, 1]);
        assert!((read.sum - 0.003_29).abs() < 1e-9, "{}", read.sum);
    }

    #[test]
    fn a_histogram_keeps_every_value() {
        let histogram = Histogram::new(&FOLLOWER_BOUNDS);
        [0.0, 1.0, 2.0, 1e9].into_iter().for_each(|v| histogram.record(v));
        let read = histogram.read();
        assert_eq!(read.count(), 4);
        assert_eq!((read.buckets[0].1, read.buckets[1].1, read.buckets[2].1), (1, 1, 1));
        assert_eq!(read.buckets.last().map(|b| b.1), Some(1));
    }
}
