//! What did the loads of a window take: on average, in the middle, and how far can the middle be trusted?

/// So many are kept. Where more came, each second one is let go, and of those to come only each second is kept.
const KEPT: usize = 64;

/// Times of loads in microseconds: the sum of all, and an even selection to tell the middle of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    sum_us: u64,
    count: u32,
    kept: [u64; KEPT],
    len: usize,
    /// One in so many is kept.
    every: u32,
}

impl Default for Taken {
    fn default() -> Taken {
        Taken { sum_us: 0, count: 0, kept: [0; KEPT], len: 0, every: 1 }
    }
}

impl Taken {
    pub(super) fn add(&mut self, us: u64) {
        self.sum_us = self.sum_us.saturating_add(us);
        let wanted = self.count.is_multiple_of(self.every);
        self.count = self.count.saturating_add(1);
        if !wanted {
            return;
        }
        if self.len == KEPT {
            // The even ones are those that a selection of each second would have kept, and this is one of them.
            (0..KEPT / 2).for_each(|at| self.kept[at] = self.kept[2 * at]);
            self.len = KEPT / 2;
            self.every = self.every.saturating_mul(2);
        }
        self.kept[self.len] = us;
        self.len += 1;
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// At least a microsecond, like all that is told here: a quotient of two zeros says nothing.
    pub(super) fn mean(&self) -> f64 {
        (self.sum_us as f64 / f64::from(self.count.max(1))).max(1.0)
    }

    /// The time that so many took less than. If not so many ended, the longest: those that run still take longer.
    pub(super) fn ranked(&self, rank: u32) -> f64 {
        self.at(&self.sorted(), f64::from(rank))
    }

    /// The middle, and between which bounds it lies for nearly all selections of so many.
    pub(super) fn middle(&self) -> Middle {
        let sorted = self.sorted();
        let last = (self.len as f64 - 1.0).max(0.0);
        // Of n independent times, as many are below the true median as n coins show heads: half of them, and more than
        // the root of n away from that in less than one of twenty windows.
        let reach = (self.len as f64).sqrt();
        Middle {
            low: self.at(&sorted, (last / 2.0 - reach + 0.5).max(0.0)),
            median: self.at(&sorted, last / 2.0 + 0.5),
            high: self.at(&sorted, (last / 2.0 + reach).ceil()),
        }
    }

    fn at(&self, sorted: &[u64; KEPT], rank: f64) -> f64 {
        sorted[(rank as usize).min(self.len.saturating_sub(1))].max(1) as f64
    }

    fn sorted(&self) -> [u64; KEPT] {
        let mut sorted = self.kept;
        sorted[..self.len].sort_unstable();
        sorted
    }
}

/// Where the middle of a window's load times is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Middle {
    pub low: f64,
    pub median: f64,
    pub high: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_many_is_told_from_an_even_selection() {
        let mut taken = Taken::default();
        (1..=10_000u64).for_each(|n| taken.add(n * 7_919 % 10_007));
        let Middle { low, median, high } = taken.middle();
        assert_eq!(taken.count(), 10_000);
        assert!((4_000.0..6_000.0).contains(&median) && low < median && median < high, "{low} {median} {high}");
        assert!((3_000.0..5_000.0).contains(&low) && (5_000.0..7_000.0).contains(&high), "{low} {high}");
    }

    #[test]
    fn a_few_long_ones_move_the_mean_and_not_the_middle() {
        let mut taken = Taken::default();
        (0..20).for_each(|n| taken.add(if n % 10 == 0 { 2_000_000 } else { 1_000 }));
        let Middle { low, median, high } = taken.middle();
        assert!(low == 1_000.0 && median == 1_000.0 && high == 1_000.0 && taken.mean() > 200_000.0);
        assert_eq!((taken.ranked(0), taken.ranked(17), taken.ranked(18)), (1_000.0, 1_000.0, 2_000_000.0));
    }

    #[test]
    fn of_equal_times_everything_is_that_time() {
        let mut taken = Taken::default();
        (0..500).for_each(|_| taken.add(20_000));
        let Middle { low, median, high } = taken.middle();
        assert_eq!((low, median, high, taken.mean(), taken.ranked(99)), (2e4, 2e4, 2e4, 2e4, 2e4));
    }
}
