//! May a load that failed be tried once more? A budget, so that retries never become the load that keeps an origin down.

use crate::time::Tick;

/// Parts of a retry. At this grain one retry a second is the gain per millisecond exactly.
const RETRY: u64 = 1_000;
/// What each load earns: a tenth of a retry.
const EARNED: u64 = RETRY / 10;
/// The most that can be saved up: one failed batch of so many keys may be tried key by key.
const MOST: u64 = 100 * RETRY;

/// One origin's budget: in any time at most a tenth of its first loads, plus one a second, plus what was saved up.
#[derive(Clone, Debug)]
pub struct Retries {
    level: u64,
    filled: Option<Tick>,
}

impl Default for Retries {
    fn default() -> Retries {
        Retries { level: MOST, filled: None }
    }
}

impl Retries {
    /// A load begins, the first of its kind or a retry.
    pub fn earn(&mut self) {
        self.level = (self.level + EARNED).min(MOST);
    }

    /// Takes one retry out of the budget, if there is one.
    pub fn spend(&mut self, now: Tick) -> bool {
        let filled = *self.filled.get_or_insert(now);
        if now > filled {
            self.level = self.level.saturating_add(now.since(filled).0).min(MOST);
            self.filled = Some(now);
        }
        // The retry will earn as any load does: it may not, or retries would bring forth retries.
        let price = RETRY + EARNED;
        let enough = self.level >= price;
        if enough {
            self.level -= price;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn never_more_than_a_tenth_and_one_a_second_and_what_was_saved(
            steps in prop::collection::vec((0u64..50, 0u32..30, 0u32..30), 1..300),
        ) {
            let mut retries = Retries::default();
            let (mut now, mut loads, mut retried) = (9u64, 0u64, 0u64);
            for (gap, first, again) in steps {
                now += gap;
                for _ in 0..first {
                    retries.earn();
                    loads += 1;
                }
                for _ in 0..again {
                    if retries.spend(Tick(now)) {
                        retries.earn();
                        retried += 1;
                    }
                }
                let allowed = loads as f64 / 10.0 + (now - 9) as f64 / 1000.0 + (MOST / RETRY) as f64;
                prop_assert!(retried as f64 <= allowed, "{retried} of {loads} in {now} ms");
            }
        }
    }

    #[test]
    fn a_dead_origin_sees_a_tenth_more_and_not_twice_as_much() {
        let mut retries = Retries::default();
        let mut retried = 0;
        for n in 0..100_000u64 {
            retries.earn();
            if retries.spend(Tick(n)) {
                retries.earn();
                retried += 1;
            }
        }
        // A tenth, one a second, and the hundred saved up.
        assert!((10_100..=10_200).contains(&retried), "{retried}");
    }
}
