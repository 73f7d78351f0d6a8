//! What does a window say of a key's rates? Counts to rates, and what of them is shown.

use crate::heat::hot::Rates;
use crate::heat::policy::UNIT_BYTES;
use crate::time::Span;

/// Times over which shown rates are averaged.
const SHORT: Span = Span::secs(1);
const LONG: Span = Span::secs(10);

/// What a key was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Reads.
    pub reads: u64,
    /// Writes and invalidations.
    pub writes: u64,
    /// Bytes of the values read.
    pub bytes: u64,
}

impl Counts {
    /// All of it, within so long.
    pub fn over(self, length: Span) -> Rates {
        let per_second = 1000.0 / length.0.max(1) as f64;
        let rate = |count: u64| count as f64 * per_second;
        Rates { reads: rate(self.reads), writes: rate(self.writes), bytes: rate(self.bytes) }
    }

    /// What it costs a node: an operation per read or write, or one per KiB where that is more.
    pub fn cost(self) -> u64 {
        self.reads.saturating_add(self.writes).max(self.bytes / UNIT_BYTES)
    }

    /// Both.
    #[must_use]
    pub fn plus(self, other: Counts) -> Counts {
        Counts {
            reads: self.reads.saturating_add(other.reads),
            writes: self.writes.saturating_add(other.writes),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

/// What rates cost a node, in operations a second: one per read or write, or one per KiB where that is more.
pub fn cost(rates: Rates) -> f64 {
    (rates.reads + rates.writes).max(rates.bytes / UNIT_BYTES as f64)
}

/// `each` of both.
pub fn join(one: Rates, other: Rates, each: impl Fn(f64, f64) -> f64) -> Rates {
    Rates {
        reads: each(one.reads, other.reads),
        writes: each(one.writes, other.writes),
        bytes: each(one.bytes, other.bytes),
    }
}

/// A key's rates, averaged over a second and over ten.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Meter {
    second: Average,
    ten: Average,
}

impl Meter {
    /// A window of `length` is over.
    pub fn on(&mut self, rates: Rates, length: Span) {
        self.second.on(rates, length, SHORT);
        self.ten.on(rates, length, LONG);
    }

    /// Averaged over a second.
    pub fn second(&self) -> Rates {
        self.second.read()
    }

    /// Averaged over ten seconds.
    pub fn ten(&self) -> Rates {
        self.ten.read()
    }
}

/// An average that forgets exponentially, and says at once what it knows instead of rising from zero.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Average {
    /// Of reads, writes and bytes. In single precision: there is one for each key that is watched.
    sum: [f32; 3],
    weight: f32,
}

impl Average {
    fn on(&mut self, rates: Rates, length: Span, over: Span) {
        let kept = (-(length.0 as f32) / over.0 as f32).exp();
        for (sum, rate) in self.sum.iter_mut().zip([rates.reads, rates.writes, rates.bytes]) {
            *sum = *sum * kept + rate as f32 * (1.0 - kept);
        }
        self.weight = self.weight * kept + 1.0 - kept;
    }

    fn read(&self) -> Rates {
        let [reads, writes, bytes] =
            self.sum.map(|sum| if self.weight == 0.0 { 0.0 } else { f64::from(sum / self.weight) });
        Rates { reads, writes, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(reads: f64) -> Rates {
        Rates { reads, ..Rates::default() }
    }

    #[test]
    fn large_values_cost_by_the_kilobyte() {
        let small = Counts { reads: 90, writes: 10, bytes: 9_000 };
        assert_eq!(small.cost(), 100);
        assert_eq!(Counts { bytes: 1024 * 1024, ..small }.cost(), 1024);
        assert_eq!(cost(small.over(Span::ms(100))), 1_000.0);
    }

    #[test]
    fn averages_know_at_once_and_forget_in_their_time() {
        let mut meter = Meter::default();
        meter.on(reads(1_000.0), Span::ms(100));
        assert!((meter.second().reads - 1_000.0).abs() < 1e-2 && (meter.ten().reads - 1_000.0).abs() < 1e-2);
        (0..10).for_each(|_| meter.on(reads(0.0), Span::ms(100)));
        assert!(meter.second().reads < meter.ten().reads, "the longer one remembers more");
        (0..100).for_each(|_| meter.on(reads(0.0), Span::ms(100)));
        assert!(meter.second().reads < 1.0);
        // One window of ten seconds says the same as a hundred short ones.
        let mut once = Meter::default();
        once.on(reads(50.0), Span::secs(10));
        once.on(reads(0.0), Span::secs(10));
        assert!(once.second().reads < 0.1 && once.ten().reads < 20.0);
    }

    #[test]
    fn a_window_without_length_divides_by_nothing() {
        assert_eq!(Counts { reads: 1, ..Counts::default() }.over(Span::ZERO).reads, 1_000.0);
    }
}
