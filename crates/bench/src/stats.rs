//! What do the rounds say? Minimum, quartiles and the median.

use std::fmt;
use std::time::Duration;

/// The spread of one measurement over its rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// The smallest.
    pub min: f64,
    /// A quarter is below.
    pub q1: f64,
    /// Half is below.
    pub median: f64,
    /// Three quarters are below.
    pub q3: f64,
}

impl Spread {
    /// Of at least one value.
    pub fn of(values: &[f64]) -> Spread {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |share| quantile(&sorted, share);
        Spread { min: at(0.0), q1: at(0.25), median: at(0.5), q3: at(0.75) }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = if self.median < 20.0 { 2 } else { 0 };
        let Spread { min, q1, median, q3 } = self;
        write!(f, "{median:.places$} [{q1:.places$}..{q3:.places$}] min {min:.places$}")
    }
}

/// The value that `share` of the sorted values lie below, interpolated; zero of none.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let place = share * last as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

/// Percentiles of latencies in ms: p50, p99 and the largest.
pub fn latency(times: &[Duration]) -> [f64; 3] {
    let mut ms: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
    ms.sort_by(f64::total_cmp);
    [0.5, 0.99, 1.0].map(|share| quantile(&ms, share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_tells_minimum_quartiles_and_median() {
        let spread = Spread::of(&[5.0, 1.0, 3.0, 2.0, 4.0]);
        assert_eq!(spread, Spread { min: 1.0, q1: 2.0, median: 3.0, q3: 4.0 });
        assert_eq!(quantile(&[], 0.5), 0.0);
    }
}
