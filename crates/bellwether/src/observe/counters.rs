//! How often did what happen? Counters that a hit can afford.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bellwether_core::time::Span;
use bellwether_core::why::Why;

/// Threads share a stripe only beyond this many: a hit never fights over a cache line with its neighbours.
const STRIPES: usize = 16;

/// Counts outcomes, by [`Why`]: exact, and striped by thread.
pub(crate) struct WhyCounts {
    stripes: Box<[Stripe; STRIPES]>,
}

#[repr(align(128))]
struct Stripe([AtomicU64; Why::COUNT]);

thread_local! {
    static STRIPE: usize = next_stripe();
}

fn next_stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES
}

impl WhyCounts {
    pub(crate) fn new() -> WhyCounts {
        WhyCounts { stripes: Box::new(std::array::from_fn(|_| Stripe(std::array::from_fn(|_| AtomicU64::new(0))))) }
    }

    #[inline]
    pub(crate) fn add(&self, why: Why) {
        // A thread that is being torn down has no stripe any more; its last counts go to the first.
        let stripe = STRIPE.try_with(|s| *s).unwrap_or(0);
        self.stripes[stripe].0[why as usize].fetch_add(1, Ordering::Relaxed);
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

    pub(crate) fn record_span(&self, span: Span) {
        self.record(span.0 as f64 / 1000.0);
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
                scope.spawn(|| (0..1000).for_each(|_| counts.add(Why::Hit)));
            }
        });
        assert_eq!(counts.get(Why::Hit), STRIPES as u64 * 2000);
        assert_eq!(counts.get(Why::Loaded), 0);
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
