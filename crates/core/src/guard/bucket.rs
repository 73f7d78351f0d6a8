//! Is there a token for one more load? A token bucket in integers: it neither drifts nor overflows.

use crate::time::{Span, Tick};

/// Parts of a token. At this grain a rate in micro-tokens per second is the gain per millisecond
/// exactly, so no remainder is ever lost or rounded up.
const TOKEN: u64 = 1_000_000_000;

/// A token bucket: at most `rate * T + burst` tokens in any window of length `T` (to the
/// clock's millisecond). A clock that stands still or steps back refills nothing.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// Parts of a token that one millisecond brings = micro-tokens per second.
    gain: u64,
    /// The most the bucket holds, in parts of a token.
    burst: u64,
    /// What it holds, in parts of a token.
    level: u64,
    /// The latest moment up to which it has been refilled; `None` before the first use.
    filled: Option<Tick>,
}

impl Bucket {
    /// A full bucket: `rate_per_s` in tokens per second (kept to a millionth, rounded down),
    /// `burst` in tokens, at least one, or no token could ever be taken. A rate that is zero,
    /// negative or NaN refills nothing.
    pub fn new(rate_per_s: f64, burst: f64) -> Bucket {
        // Float to integer casts saturate, and NaN gives 0.
        let gain = (rate_per_s * 1e6) as u64;
        let burst = ((burst.max(1.0) * TOKEN as f64) as u64).max(TOKEN);
        Bucket { gain, burst, level: burst, filled: None }
    }

    /// The bucket of an origin that names only its rate: a burst of a tenth of a second, at least 1.
    pub fn of_rate(rate_per_s: f64) -> Bucket {
        Bucket::new(rate_per_s, rate_per_s / 10.0)
    }

    /// As [`Bucket::of_rate`], holding what this one holds at `now`, as far as it fits.
    #[must_use]
    pub fn at_rate(mut self, rate_per_s: f64, now: Tick) -> Bucket {
        self.refill(now);
        let next = Bucket::of_rate(rate_per_s);
        Bucket { level: self.level.min(next.burst), filled: self.filled, ..next }
    }

    /// Takes one token.
    ///
    /// # Errors
    /// The time from `now` until there is a token, if nobody takes it before.
    pub fn take(&mut self, now: Tick) -> Result<(), Span> {
        match self.wait(now) {
            Span::ZERO => {
                self.level -= TOKEN;
                Ok(())
            }
            wait => Err(wait),
        }
    }

    /// A token comes back unused, as far as it fits.
    pub fn give_back(&mut self) {
        self.level = self.level.saturating_add(TOKEN).min(self.burst);
    }

    /// Holds no more than this part of a token from `now` on.
    pub fn drain_to(&mut self, share: f64, now: Tick) {
        self.refill(now);
        self.level = self.level.min((share.clamp(0.0, 1.0) * TOKEN as f64) as u64);
    }

    /// Holds this part of a token at `now`, whatever it held.
    pub fn set_to(&mut self, share: f64, now: Tick) {
        self.refill(now);
        self.level = ((share.clamp(0.0, 1.0) * TOKEN as f64) as u64).min(self.burst);
    }

    /// Time from `now` until there is a token; zero if there is one.
    pub fn wait(&mut self, now: Tick) -> Span {
        self.refill(now);
        match TOKEN.saturating_sub(self.level) {
            0 => Span::ZERO,
            // After a step back of the clock nothing flows before the old moment is reached again.
            missing => self.time_for(missing) + self.filled.unwrap_or(now).since(now),
        }
    }

    /// How long `tokens` take to flow in; `u64::MAX` ms if they never do.
    pub fn span_of(&self, tokens: u64) -> Span {
        self.time_for(tokens.saturating_mul(TOKEN))
    }

    fn time_for(&self, parts: u64) -> Span {
        match self.gain {
            _ if parts == 0 => Span::ZERO,
            0 => Span(u64::MAX),
            gain => Span(parts.div_ceil(gain)),
        }
    }

    fn refill(&mut self, now: Tick) {
        let filled = *self.filled.get_or_insert(now);
        if now > filled {
            let gained = now.since(filled).0.saturating_mul(self.gain);
            self.level = self.level.saturating_add(gained).min(self.burst);
            self.filled = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The largest number of admissions above `rate * T + burst` over all windows; <= 0 is within.
    fn excess(admitted: &[u64], rate: f64, burst: f64) -> f64 {
        let mut worst = f64::MIN;
        for (i, first) in admitted.iter().enumerate() {
            for (j, last) in admitted.iter().enumerate().skip(i) {
                let allowed = rate * (last - first) as f64 / 1000.0 + burst;
                worst = worst.max((j - i + 1) as f64 - allowed);
            }
        }
        worst
    }

    #[test]
    fn control_a_counter_per_second_breaks_the_bound() {
        // Ten at the end of one second and ten at the start of the next.
        let admitted: Vec<u64> = [999; 10].into_iter().chain([1000; 10]).collect();
        assert!(excess(&admitted, 10.0, 1.0) > 8.0);
    }

    proptest! {
        #[test]
        fn g9_no_window_sees_more_than_rate_times_t_plus_burst(
            start in prop_oneof![Just(0u64), Just(u64::MAX - 2000), any::<u64>()],
            rate in 0.01f64..5000.0,
            burst in 0.0f64..20.0,
            // Mostly a clock that stands still, then small and large steps, and steps back.
            steps in prop::collection::vec(prop_oneof![4 => Just(0i64), 3 => 1i64..5, 1 => 5i64..3000, 1 => -20i64..0], 1..300),
        ) {
            let mut bucket = Bucket::new(rate, burst);
            // Time as the bucket can know it: the latest moment it was shown.
            let (mut now, mut latest, mut admitted) = (start, 0, Vec::new());
            for step in steps {
                now = now.saturating_add_signed(step);
                latest = latest.max(now);
                if bucket.take(Tick(now)).is_ok() {
                    admitted.push(latest);
                }
            }
            prop_assert!(excess(&admitted, rate, burst.max(1.0)) < 1e-6);
        }

        #[test]
        fn the_announced_wait_is_exact(rate in 0.01f64..5000.0, used in 1usize..40, gap in 0u64..50) {
            let mut bucket = Bucket::new(rate, 3.0);
            let mut now = Tick(77);
            for _ in 0..used {
                if let Err(wait) = bucket.take(now) {
                    prop_assert!(wait > Span::ZERO);
                    prop_assert!(bucket.clone().take(now + wait - Span(1)).is_err());
                    prop_assert!(bucket.clone().take(now + wait).is_ok());
                    now = now + Span(gap);
                }
            }
        }
    }

    #[test]
    fn an_hour_of_thirds_does_not_drift() {
        // A burst of 2: what is over when a token is taken must fit beside the next.
        let mut bucket = Bucket::new(1000.0 / 3.0, 2.0);
        let taken = (0..3_600_000).filter(|ms| bucket.take(Tick(*ms)).is_ok()).count();
        assert!((1_199_999..=1_200_001).contains(&taken), "{taken}");
    }

    #[test]
    fn a_wait_after_a_step_back_of_the_clock_is_exact_too() {
        let mut bucket = Bucket::new(10.0, 1.0);
        assert_eq!(bucket.take(Tick(1000)), Ok(()));
        assert_eq!(bucket.take(Tick(400)), Err(Span(700)));
        assert_eq!(bucket.take(Tick(1100)), Ok(()));
    }

    #[test]
    fn the_ends_of_the_range_neither_overflow_nor_open_the_gate() {
        let mut bucket = Bucket::new(f64::MAX, f64::MAX);
        assert_eq!(bucket.take(Tick(0)), Ok(()));
        assert_eq!(bucket.take(Tick::NEVER), Ok(()));
        for nothing in [0.0, -1.0, f64::NAN] {
            let mut bucket = Bucket::of_rate(nothing);
            assert_eq!(bucket.take(Tick(0)), Ok(()), "the burst");
            assert_eq!(bucket.take(Tick::NEVER), Err(Span(u64::MAX)));
        }
    }

    #[test]
    fn the_default_burst_is_a_tenth_of_a_second_and_at_least_one() {
        for (rate, burst) in [(100.0, 10), (5.0, 1)] {
            let mut bucket = Bucket::of_rate(rate);
            assert_eq!((0..50).filter(|_| bucket.take(Tick(9)).is_ok()).count(), burst);
        }
    }
}
