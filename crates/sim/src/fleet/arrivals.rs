//! Who asks when? Requests as a pure function of seed, millisecond and number: every policy set sees the same.

use std::sync::Arc;

use bellwether_core::draw::Draw;
use bellwether_core::time::Span;

use super::case::{Arrivals, Case, Popularity};

/// Purposes of the seed.
const COUNTS: u64 = 0xA1;
const PICKS: u64 = 0xA2;

/// How many requests come in each millisecond of the run, and who makes them.
pub(crate) struct Crowd {
    counts: Vec<u32>,
    picks: Draw,
    processes: u64,
    keys: u64,
    /// `P(key <= n)`, where keys differ.
    below: Arc<[f64]>,
}

/// One request.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    pub(crate) process: u32,
    pub(crate) key: u32,
    /// For its decision.
    pub(crate) draw: Draw,
}

impl Crowd {
    pub(crate) fn of(case: &Case, seed: u64) -> Crowd {
        let per_ms = case.rate / 1000.0;
        let (counts, picks) = (Draw(seed).fork(COUNTS), Draw(seed).fork(PICKS));
        let table = Poisson::of(per_ms);
        let count = |ms: u64| match case.arrivals {
            Arrivals::Random => table.draw(counts.fork(ms)),
            Arrivals::EvenFor(span) if ms >= span.0 => 0,
            // The n-th request comes at n / rate.
            Arrivals::EvenFor(_) => ((ms + 1) as f64 * per_ms) as u32 - (ms as f64 * per_ms) as u32,
        };
        let counts = (0..case.length.0).map(count).collect();
        let below = match case.popularity {
            Popularity::Equal => Arc::default(),
            Popularity::Zipf(exponent) => masses(case.keys, exponent).into(),
        };
        Crowd { counts, picks, processes: u64::from(case.processes), keys: u64::from(case.keys), below }
    }

    /// Requests in the millisecond that begins at `at`.
    pub(crate) fn count(&self, at: Span) -> u32 {
        usize::try_from(at.0).ok().and_then(|ms| self.counts.get(ms)).copied().unwrap_or(0)
    }

    /// Those requests.
    pub(crate) fn requests(&self, at: Span) -> impl Iterator<Item = Request> + use<> {
        let (of_ms, processes, keys) = (self.picks.fork(at.0), self.processes, self.keys);
        let below = Arc::clone(&self.below);
        (0..u64::from(self.count(at))).map(move |number| {
            let draw = of_ms.fork(number);
            // Multiply and shift: each half of the draw picks evenly.
            let process = ((draw.0 >> 32) * processes) >> 32;
            let low = draw.0 & 0xFFFF_FFFF;
            let key = match below.last() {
                None => (low * keys) >> 32,
                Some(whole) => {
                    let at = low as f64 / (1u64 << 32) as f64 * whole;
                    below.partition_point(|mass| *mass <= at) as u64
                }
            };
            Request { process: process as u32, key: key as u32, draw: draw.fork(0xDEC) }
        })
    }
}

/// What the most popular keys make up together, in their order; the last is the whole.
pub(crate) fn masses(keys: u32, exponent: f64) -> Vec<f64> {
    let mut sum = 0.0;
    let mass = |rank: u32| {
        sum += f64::from(rank).powf(-exponent);
        sum
    };
    (1..=keys).map(mass).collect()
}

/// Counts of a Poisson process, by a table of its distribution.
pub(crate) struct Poisson {
    /// `P(count <= n)`.
    below: Vec<f64>,
    /// Summands: a large mean is the sum of several small ones, which are exact.
    parts: u64,
}

/// Above this mean `exp(-mean)` loses digits.
const LARGEST_MEAN: f64 = 200.0;

impl Poisson {
    pub(crate) fn of(mean: f64) -> Poisson {
        let parts = (mean / LARGEST_MEAN).ceil().max(1.0);
        let mean = mean / parts;
        let mut probability = (-mean).exp();
        let mut below = vec![probability];
        // 12 deviations beyond the mean nothing is left that 53 bits could draw.
        let most = (mean + 12.0 * mean.sqrt() + 30.0) as u32;
        for n in 1..=most {
            probability *= mean / f64::from(n);
            below.push(below[below.len() - 1] + probability);
        }
        Poisson { below, parts: parts as u64 }
    }

    pub(crate) fn draw(&self, draw: Draw) -> u32 {
        let one = |part| {
            let unit = draw.fork(part).unit();
            self.below.partition_point(|below| *below <= unit) as u32
        };
        (0..self.parts).map(one).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_the_mean_and_the_variance_of_a_poisson_process() {
        for mean in [0.3, 20.0, 1000.0] {
            let table = Poisson::of(mean);
            let n = 20_000;
            let counts: Vec<f64> = (0..n).map(|i| f64::from(table.draw(Draw(7).fork(i)))).collect();
            let found = counts.iter().sum::<f64>() / n as f64;
            let variance = counts.iter().map(|c| (c - found).powi(2)).sum::<f64>() / n as f64;
            assert!((found / mean - 1.0).abs() < 0.03, "mean {found} for {mean}");
            assert!((variance / mean - 1.0).abs() < 0.05, "variance {variance} for {mean}");
        }
    }

    #[test]
    fn an_even_crowd_is_exactly_as_large_as_said_and_picks_everybody() {
        let case = &crate::scenarios::ladder(crate::scenarios::Scenario::S1)[0];
        let crowd = Crowd::of(case, 1);
        assert_eq!((0..3000).map(|ms| crowd.count(Span(ms))).sum::<u32>(), 20_000);
        let mut asked = vec![0; case.processes as usize];
        (0..100).flat_map(|ms| crowd.requests(Span(ms))).for_each(|r| asked[r.process as usize] += 1);
        assert!(asked.iter().all(|n| (300..500).contains(n)), "{asked:?}");
    }
}
