//! How often was a key read before its entry was replaced? Twelve bits tell, so that no entry is larger for it.

use crate::time::Span;

/// What is known from before counts as if it had been watched for so long: it fades as the new entry ages.
pub const MEMORY: Span = Span::secs(60);

/// Steps of a doubling: two neighbours differ by half a percent, less than a second of silence takes away (1 in 61).
const STEPS: f64 = 128.0;
/// The highest step.
const MOST: f64 = 4_094.0;

/// A rate of reads from before, or that none is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Past(pub u16);

impl Past {
    /// Nothing is known.
    pub const NONE: Past = Past(0);

    /// So many reads a second: told from a thousandth to four million.
    pub fn of(rate: f64) -> Past {
        let step = ((rate * 1000.0).max(1.0).log2() * STEPS).round();
        Past(1 + step.clamp(0.0, MOST) as u16)
    }

    /// Reads a second.
    pub fn rate(self) -> Option<f64> {
        let step = self.0.checked_sub(1)?;
        // Below a thousandth nothing was told.
        Some(if step == 0 { 0.0 } else { (f64::from(step) / STEPS).exp2() / 1000.0 })
    }

    /// What the successor of an entry remembers, which had so many hits in so long.
    pub fn carried(self, hits: u32, watched: Span) -> Past {
        if self == Past::NONE && hits == 0 { Past::NONE } else { Past::of(rate(hits, watched, self.rate())) }
    }
}

/// Reads a second of an entry that had so many hits in so long, given what was known before. What is younger than a
/// second tells little: it counts as that old.
pub fn rate(hits: u32, watched: Span, before: Option<f64>) -> f64 {
    let (known, memory) = before.map_or((0.0, 0), |rate| (rate.max(0.0) * MEMORY.0 as f64, MEMORY.0));
    (f64::from(hits) * 1000.0 + known) / (watched.max(Span::secs(1)).0 + memory) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_entry_is_as_popular_as_its_predecessor_was() {
        assert_eq!(rate(100, Span::secs(10), None), 10.0);
        assert!((rate(0, Span::secs(1), Some(10.0)) - 10.0 * 60.0 / 61.0).abs() < 1e-9);
        assert!(rate(0, Span::secs(6000), Some(10.0)) < 0.1, "and loses that when nobody asks");
        assert_eq!(rate(0, Span::secs(1), Some(f64::NEG_INFINITY)), 0.0);
    }

    #[test]
    fn a_rate_is_told_within_a_hundredth() {
        for rate in [0.01, 0.5, 1.0, 7.0, 333.0, 1e4, 2e6] {
            let told = Past::of(rate).rate().expect("it is known");
            assert!((told / rate - 1.0).abs() < 0.01, "{rate}: {told}");
        }
        assert_eq!(Past::of(0.0).rate(), Some(0.0));
        assert_eq!((Past::of(f64::NAN), Past::of(f64::INFINITY), Past::NONE.rate()), (Past(1), Past(4095), None));
    }

    #[test]
    fn a_burst_outlives_refreshes_and_fades() {
        let burst = Past::NONE.carried(10_000, Span::secs(1));
        let mut past = burst;
        for _ in 0..10 {
            past = past.carried(0, Span::secs(1));
        }
        let (first, later) = (burst.rate().unwrap_or_default(), past.rate().unwrap_or_default());
        assert!((0.82..0.87).contains(&(later / first)), "ten quiet lives of a second: {first} {later}");
        for _ in 0..1000 {
            past = past.carried(0, Span::secs(60));
        }
        assert!(past.rate().is_some_and(|rate| rate < 0.01), "{past:?}");
        assert_eq!(Past::NONE.carried(0, Span::secs(5)), Past::NONE, "nobody asked: nothing is known");
    }
}
