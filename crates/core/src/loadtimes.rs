//! How long do loads take here? A small histogram that forgets, for leads, hedges and cost clamps.

use crate::time::Span;

/// Each power of two is cut into this many buckets: a bucket is at most 1/16 of its values wide.
const SUB: u64 = 16;
const SUB_BITS: u32 = SUB.ilog2();
/// Longer loads count as this long: 2^22 - 1 ms, about 70 minutes.
const LONGEST_MS: u64 = (1 << 22) - 1;
const BUCKETS: usize = bucket_of(LONGEST_MS) + 1;
/// All counts are halved after this many loads. Together they stay below twice this, so 16 bits suffice.
const HALVE_EVERY: u16 = 1024;
/// Fewer loads than this give no quantile.
pub const ENOUGH: u64 = 20;
/// The least time after which a stale copy is preferred to further waiting.
pub const HEDGE_FLOOR: Span = Span::ms(50);

/// The service times of an origin's (or a space's) loads: 640 bytes, never the wait for a permit.
///
/// Quantiles are at most 1/16 above the exact ones and never below; older loads weigh half after
/// each 1024. The same samples in the same order give the same answers.
#[derive(Clone, Debug)]
pub struct LoadTimes {
    counts: [u16; BUCKETS],
    /// The sum of `counts`.
    weight: u32,
    /// Loads since the last halving.
    since_halving: u16,
    /// Loads ever.
    count: u64,
    /// Moving average in 1/1024 ms.
    ewma: u64,
}

impl Default for LoadTimes {
    fn default() -> LoadTimes {
        LoadTimes { counts: [0; BUCKETS], weight: 0, since_halving: 0, count: 0, ewma: 0 }
    }
}

impl LoadTimes {
    /// Counts one load that took `took` (ms).
    pub fn record(&mut self, took: Span) {
        let ms = took.0.min(LONGEST_MS);
        self.counts[bucket_of(ms)] += 1;
        self.weight += 1;
        // Weight 1/8 for the newest, as TCP smooths its round trips (RFC 6298, section 2).
        let scaled = ms << 10;
        self.ewma = if self.count == 0 { scaled } else { self.ewma - self.ewma / 8 + scaled / 8 };
        self.count = self.count.saturating_add(1);
        self.since_halving += 1;
        if self.since_halving == HALVE_EVERY {
            self.halve();
        }
    }

    /// Half of the loads took at most this long; `None` before 20 loads.
    pub fn p50(&self) -> Option<Span> {
        self.quantile(50)
    }

    /// 99 of 100 loads took at most this long; `None` before 20 loads.
    pub fn p99(&self) -> Option<Span> {
        self.quantile(99)
    }

    /// Moving average, to the nearest ms; `None` before the first load.
    pub fn ewma(&self) -> Option<Span> {
        (self.count > 0).then_some(Span((self.ewma + 512) >> 10))
    }

    /// Loads recorded ever.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// From here on a stale copy or the declared default is preferred to further waiting:
    /// three times p99, at least 50 ms; `None` before 20 loads.
    pub fn hedge_after(&self) -> Option<Span> {
        self.p99().map(|p99| Span(p99.0 * 3).max(HEDGE_FLOOR))
    }

    /// The upper edge of the bucket that holds the sample of rank `ceil(percent * n / 100)`.
    fn quantile(&self, percent: u32) -> Option<Span> {
        if self.count < ENOUGH {
            return None;
        }
        let rank = (self.weight * percent).div_ceil(100);
        let mut seen = 0;
        let bucket = self.counts.iter().position(|&count| {
            seen += u32::from(count);
            seen >= rank
        })?;
        Some(Span(upper_edge(bucket)))
    }

    /// The odd half of a bucket moves on to the next, so that a thin tail (ten slow loads in ten
    /// buckets) keeps its weight.
    fn halve(&mut self) {
        let mut odd = 0;
        for count in &mut self.counts {
            let whole = *count + odd;
            *count = whole / 2;
            odd = whole % 2;
        }
        self.weight /= 2;
        self.since_halving = 0;
    }
}

/// Values below 32 have a bucket of their own; above, the leading bits choose it.
const fn bucket_of(ms: u64) -> usize {
    if ms < SUB {
        return ms as usize;
    }
    let shift = ms.ilog2() - SUB_BITS;
    (shift as u64 * SUB + (ms >> shift)) as usize
}

/// The largest value in a bucket.
const fn upper_edge(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * SUB {
        return bucket;
    }
    let shift = bucket / SUB - 1;
    ((bucket % SUB + SUB + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(samples: &[u64]) -> LoadTimes {
        let mut times = LoadTimes::default();
        samples.iter().for_each(|ms| times.record(Span(*ms)));
        times
    }

    #[test]
    fn it_stays_small() {
        assert!(size_of::<LoadTimes>() <= 640, "{}", size_of::<LoadTimes>());
    }

    #[test]
    fn every_value_lies_in_the_bucket_that_ends_at_or_above_it() {
        for ms in (0..100_000).chain(LONGEST_MS - 1000..=LONGEST_MS) {
            let edge = upper_edge(bucket_of(ms));
            assert!(edge >= ms && (edge - ms) * SUB <= ms, "{ms} {edge}");
            assert_eq!(bucket_of(edge), bucket_of(ms));
            assert_eq!(bucket_of(edge + 1), bucket_of(ms) + 1);
        }
    }

    proptest! {
        #[test]
        fn quantiles_are_within_a_tenth_of_the_exact_ones(
            samples in prop::collection::vec(prop_oneof![0u64..50, 50u64..3000, 3000u64..LONGEST_MS], 20..1000),
        ) {
            let times = of(&samples);
            let mut sorted = samples.clone();
            sorted.sort_unstable();
            for (found, percent) in [(times.p50(), 50), (times.p99(), 99)] {
                let exact = sorted[(sorted.len() * percent).div_ceil(100) - 1];
                let found = found.map_or(0, |s| s.0);
                prop_assert!(found >= exact && (found - exact) * 10 <= exact, "p{} {} {}", percent, found, exact);
            }
        }

        #[test]
        fn halving_keeps_quantiles_of_a_steady_origin(seed in prop::collection::vec(1u64..4000, 50..200)) {
            let long: Vec<u64> = seed.iter().copied().cycle().take(50_000).collect();
            let mut sorted = seed;
            sorted.sort_unstable();
            let rank = |share: f64| sorted[((sorted.len() as f64 * share) as usize).min(sorted.len() - 1)];
            let times = of(&long);
            // The window is about 1500 loads of the cycle: a quantile may move by a few ranks.
            let (p50, p99) = (times.p50().unwrap().0, times.p99().unwrap().0);
            prop_assert!((rank(0.44)..=rank(0.56) * 11 / 10).contains(&p50), "{}", p50);
            prop_assert!(p99 >= rank(0.96), "{}", p99);
        }

        #[test]
        fn weight_is_the_sum_of_the_counts(samples in prop::collection::vec(any::<u64>(), 0..5000)) {
            let times = of(&samples);
            let sum: u32 = times.counts.iter().map(|c| u32::from(*c)).sum();
            prop_assert_eq!(times.weight, sum);
            prop_assert!(sum < 2 * u32::from(HALVE_EVERY));
            prop_assert_eq!(times.count(), samples.len() as u64);
            prop_assert_eq!(times.p99().is_some(), samples.len() as u64 >= ENOUGH);
        }
    }

    #[test]
    fn a_change_of_the_origin_is_noticed_within_a_few_thousand_loads() {
        let mut times = of(&[10; 5000]);
        assert_eq!((times.p50(), times.p99(), times.ewma()), (Some(Span(10)), Some(Span(10)), Some(Span(10))));
        (0..30).for_each(|_| times.record(Span(1000)));
        assert!(times.p99() >= Some(Span(1000)) && times.p50() == Some(Span(10)));
        (0..10_000).for_each(|_| times.record(Span(20)));
        assert_eq!((times.p50(), times.p99(), times.ewma()), (Some(Span(20)), Some(Span(20)), Some(Span(20))));
    }

    #[test]
    fn a_thin_tail_survives_halving() {
        // One load in fifty is slow, each in a bucket of its own.
        let mut times = LoadTimes::default();
        for n in 0..20_000u64 {
            times.record(Span(if n % 50 == 0 { 1000 + (n / 50 % 16) * 70 } else { 5 }));
        }
        assert!(times.p99() >= Some(Span(1000)), "{:?}", times.p99());
    }

    #[test]
    fn a_hedge_waits_three_p99_at_least_50_ms_and_for_20_loads() {
        assert_eq!(of(&[10; 19]).hedge_after(), None);
        assert_eq!(of(&[10; 20]).hedge_after(), Some(HEDGE_FLOOR));
        assert_eq!(of(&[31; 20]).hedge_after(), Some(Span(93)));
        assert_eq!(LoadTimes::default().ewma(), None);
    }
}
