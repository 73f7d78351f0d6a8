//! How long is a key left alone after its load failed? A pause that doubles, so that a broken key can't hammer the origin.

use crate::draw::Draw;
use crate::failure::FailClass;
use crate::time::{Span, Tick};

/// The pause after a first failure.
pub const FIRST: Span = Span::ms(200);
/// The longest pause.
pub const LONGEST: Span = Span::secs(10);
/// So often it doubles: 2^6 * 200 ms is past the longest pause already.
const DOUBLINGS: u32 = 6;
/// A failed probe counts as so many failures: a pause of 5 to 6.4 s, about the breaker's longest.
const PROBED: u32 = 5;
/// Share of a pause that may be taken off at random, so that keys that failed together are not retried together.
pub const JITTER: f64 = 0.20;
/// How long after its pause a failure is remembered: a load that fails within it doubles the
/// pause, a later one starts anew. Twice the longest pause, so that a key asked for only now and
/// then still backs off.
pub const MEMORY: Span = Span::secs(20);

/// The `failed` state of a key. Success, removal and refresh clear it by dropping it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cooling {
    /// No load before this moment: readers are answered at once with the error, a stale value or the default.
    pub until: Tick,
    /// Failures in a row, at least 1.
    pub attempts: u32,
    /// How the last load failed.
    pub class: FailClass,
}

impl Cooling {
    /// The state after a load that failed at `now`; `previous` is the key's state before, if it has one.
    #[must_use]
    pub fn after(previous: Option<&Cooling>, class: FailClass, now: Tick, draw: Draw) -> Cooling {
        let before = previous.filter(|p| !p.forgotten(now)).map_or(0, |p| p.attempts);
        let pause = Span(FIRST.0 << before.min(DOUBLINGS)).at_most(LONGEST);
        let pause = Span(pause.0 - pause.scale(JITTER * draw.unit()).0);
        Cooling { until: now + pause, attempts: before.saturating_add(1), class }
    }

    /// What a failure of another process is here: the tier tells for how long the key is left alone, not how often its
    /// load failed. The pause has doubled as often as it takes to be so long: exact if it is heard of at once, because
    /// jitter takes less than half off, and too few if it is heard of late. Counting it as the first one instead would
    /// keep a whole fleet at its shortest pause, each process beginning anew with every failure of another.
    #[must_use]
    pub fn heard(left: Span, class: FailClass, now: Tick) -> Cooling {
        Cooling { until: now + left, attempts: doublings(left) + 1, class }
    }

    /// When a failure of another process was, at the earliest: of its pause so much is left.
    pub fn heard_since(left: Span, now: Tick) -> Tick {
        let pause = Span(FIRST.0 << doublings(left)).at_most(LONGEST);
        now - Span(pause.0.saturating_sub(left.0))
    }

    /// The key's state before a load of it that failed at `now`. `last`: as far as it is known. `broken`: the breaker of its
    /// origin is not closed. Then the load was a probe, or began before it opened, and what failed is the origin: the key
    /// is left alone for as long as others leave the origin alone, or a fleet would probe one key after the other.
    #[must_use]
    pub fn before(last: Option<Cooling>, broken: bool, class: FailClass, now: Tick) -> Option<Cooling> {
        if !broken || class == FailClass::Rejected {
            return last;
        }
        let attempts = last.filter(|last| !last.forgotten(now)).map_or(0, |last| last.attempts);
        Some(Cooling { until: now, attempts: attempts.max(PROBED), class })
    }

    /// How long the key still cools down; `None` once it may be loaded again.
    pub fn remaining(&self, now: Tick) -> Option<Span> {
        (now < self.until).then(|| self.until.since(now))
    }

    /// Whether the next failure starts anew instead of counting on: the state may be dropped.
    pub fn forgotten(&self, now: Tick) -> bool {
        now >= self.remembered_until()
    }

    /// From here the failure is forgotten.
    pub fn remembered_until(&self) -> Tick {
        self.until + MEMORY
    }
}

/// How often a pause has doubled of which so much is left, at least.
fn doublings(left: Span) -> u32 {
    (0..DOUBLINGS).take_while(|n| FIRST.0 << n < left.0).count() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pauses_double_from_200_ms_to_10_s() {
        let (mut state, mut now, mut pauses) = (None, Tick(5), Vec::new());
        for _ in 0..9 {
            let next = Cooling::after(state.as_ref(), FailClass::Failed, now, Draw(0));
            pauses.push(next.remaining(now).map(|s| s.0));
            now = next.until;
            assert_eq!(next.remaining(now), None);
            state = Some(next);
        }
        let expected = [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000];
        assert_eq!(pauses, expected.map(Some));
        assert_eq!(state.map(|s| s.attempts), Some(9));
    }

    #[test]
    fn a_fleet_counts_on_where_another_process_left_off() {
        // Two processes take turns at a dead origin; each hears of the other's failure at once.
        for draw in [Draw(0), Draw(u64::MAX), Draw(77)] {
            let (mut known, mut now, mut attempts) = (None::<Cooling>, Tick(5), Vec::new());
            for _ in 0..8 {
                let failed = Cooling::after(known.as_ref(), FailClass::Timeout, now, draw);
                attempts.push(failed.attempts);
                let left = failed.remaining(now).expect("it cools");
                known = Some(Cooling::heard(left, FailClass::Timeout, now));
                now = failed.until;
            }
            assert_eq!(attempts, [1, 2, 3, 4, 5, 6, 7, 8]);
        }
        assert_eq!(Cooling::heard(Span(1), FailClass::Failed, Tick(0)).attempts, 1, "heard late: too few, never none");
        assert_eq!(Cooling::heard(Span(u64::MAX), FailClass::Failed, Tick(0)).attempts, 7);
    }

    #[test]
    fn what_fails_while_the_origin_is_in_trouble_is_left_alone_as_long_as_the_origin() {
        let now = Tick(1_000);
        let pause = |broken, class| {
            let before = Cooling::before(None, broken, class, now);
            Cooling::after(before.as_ref(), class, now, Draw(0)).remaining(now)
        };
        assert_eq!(pause(true, FailClass::Timeout), Some(Span::ms(6_400)));
        assert_eq!(pause(false, FailClass::Timeout), Some(FIRST), "control: the key alone");
        assert_eq!(pause(true, FailClass::Rejected), Some(FIRST), "the origin answered");
        let often = Cooling { until: now, attempts: 9, class: FailClass::Failed };
        assert_eq!(Cooling::before(Some(often), true, FailClass::Failed, now).map(|c| c.attempts), Some(9));
    }

    #[test]
    fn a_failure_long_ago_is_forgotten() {
        let first = Cooling::after(None, FailClass::Timeout, Tick(0), Draw(0));
        let edge = first.until + MEMORY;
        let again = |now| Cooling::after(Some(&first), FailClass::Refused, now, Draw(0)).attempts;
        assert_eq!((again(edge - Span(1)), again(edge)), (2, 1));
    }

    proptest! {
        #[test]
        fn jitter_only_shortens_and_nothing_overflows(attempts in any::<u32>(), until in any::<u64>(), now in any::<u64>(), draw in any::<u64>()) {
            let previous = Cooling { until: Tick(until), attempts, class: FailClass::Failed };
            let next = Cooling::after(Some(&previous), FailClass::Overloaded, Tick(now), Draw(draw));
            let full = Cooling::after(Some(&previous), FailClass::Overloaded, Tick(now), Draw(0));
            prop_assert!(next.until <= full.until && full.until <= Tick(now) + LONGEST);
            let pause = next.until.since(Tick(now));
            prop_assert!(next.until == Tick::NEVER || pause >= Span(160), "{pause}");
            prop_assert!(next.attempts >= 1);
        }
    }
}
