//! How long did requests take? Counts by time, within 2 %, in a few KiB whatever is recorded.

use std::time::Duration;

/// Steps between one power of two and the next.
const STEPS: u64 = 64;
/// Powers of two above the first `STEPS` microseconds: up to over an hour.
const POWERS: usize = 26;

/// Times in microseconds.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: vec![0; STEPS as usize * (POWERS + 1)], total: 0 }
    }
}

impl Histogram {
    /// Adds a time.
    pub(crate) fn record(&mut self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let at = Histogram::place(us).min(self.counts.len() - 1);
        self.counts[at] += 1;
        self.total += 1;
    }

    /// Which count a time belongs to: exact below `STEPS`, then `STEPS` counts for each doubling.
    fn place(us: u64) -> usize {
        if us < STEPS {
            return us as usize;
        }
        let power = us.ilog2() - STEPS.ilog2();
        (u64::from(power) * STEPS + (us >> power)) as usize
    }

    /// The middle of the times that a count stands for, in ms.
    fn ms(at: usize) -> f64 {
        let at = at as u64;
        let us = match at.checked_sub(2 * STEPS) {
            None => at as f64,
            Some(_) => {
                let power = at / STEPS - 1;
                let low = (at - power * STEPS) << power;
                low as f64 + (1u64 << power) as f64 / 2.0
            }
        };
        us / 1000.0
    }

    /// The time in ms that `share` of all are not above; zero of none.
    pub fn quantile(&self, share: f64) -> f64 {
        let wanted = (share * self.total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Histogram::ms(at);
            }
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_two_percent() {
        for us in [1u64, 63, 64, 127, 128, 1000, 99_999, 5_000_000, 3_000_000_000] {
            let mut histogram = Histogram::default();
            histogram.record(Duration::from_micros(us));
            let found = histogram.quantile(0.99) * 1000.0;
            assert!((found / us as f64 - 1.0).abs() < 0.02, "{us} us: {found}");
        }
        let mut histogram = Histogram::default();
        (1..=100).for_each(|ms| histogram.record(Duration::from_millis(ms)));
        assert!((histogram.quantile(0.5) - 50.0).abs() < 1.0, "{}", histogram.quantile(0.5));
        assert!((histogram.quantile(0.99) - 99.0).abs() < 2.0);
        assert_eq!(Histogram::default().quantile(0.5), 0.0);
    }

    #[test]
    fn places_never_go_back() {
        let places: Vec<usize> = (0..100_000).map(Histogram::place).collect();
        assert!(places.windows(2).all(|pair| pair[0] <= pair[1] && pair[1] - pair[0] <= 1));
    }
}
