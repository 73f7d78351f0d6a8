//! Is this key hot? A verdict that does not flutter: it is reached at once and given up late.

use crate::heat::hot::Stage;
use crate::heat::policy::{Bars, LONGEST_HOLD};
use crate::time::{Span, Tick};

/// A key that is hot must be calm for so long before it is not; for its hold where that is shorter: whoever wants short
/// reactions means both.
pub const CALM: Span = Span::secs(30);
/// A key that is watched, about which nothing is done, for so long.
pub const CALM_WATCHED: Span = Span::secs(3);
/// Hot again within so long after it was given up: it flaps.
pub const FLAPS_WITHIN: Span = LONGEST_HOLD;

/// What is held of one key that is hot or watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How hot it is.
    pub stage: Stage,
    /// Since when it is in this stage.
    pub since: Tick,
    /// Before this moment it is not given up.
    pub hold_until: Tick,
    /// For so long it is held, once it is hot.
    pub hold: Span,
    /// Since when it is calm.
    calm: Option<Tick>,
}

/// What a window changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing.
    Stays,
    /// It is hot now.
    Heats,
    /// It is neither hot nor watched any more.
    Leaves,
}

impl Verdict {
    /// The verdict on a key that nobody spoke of before; `hold`: for how long it is held if it is hot.
    pub fn first(rate: f64, bars: &Bars, hold: Span, now: Tick) -> Option<Verdict> {
        let stage = stage(rate, bars)?;
        let hold_until = if stage == Stage::Hot { now + hold } else { now };
        Some(Verdict { stage, since: now, hold_until, hold, calm: None })
    }

    /// A window is over. `peak`: its rate, by which a key heats; `steady`: that of the last second, by which it cools.
    pub fn judge(&mut self, peak: f64, steady: f64, bars: &Bars, now: Tick) -> Turn {
        if self.stage == Stage::Watched && stage(peak, bars) == Some(Stage::Hot) {
            *self = Verdict { stage: Stage::Hot, since: now, hold_until: now + self.hold, calm: None, ..*self };
            return Turn::Heats;
        }
        if steady >= bars.leave {
            self.calm = None;
            return Turn::Stays;
        }
        let calm = *self.calm.get_or_insert(now);
        let enough = if self.stage == Stage::Hot { CALM.at_most(self.hold) } else { CALM_WATCHED };
        if now.since(calm) >= enough && now >= self.hold_until { Turn::Leaves } else { Turn::Stays }
    }

    /// It may not be hot: others are hotter, and there is no room for all.
    pub fn cool(&mut self, now: Tick) {
        *self = Verdict { stage: Stage::Watched, since: now, hold_until: now, calm: None, ..*self };
    }
}

/// For how long a key is held that is hot: `base`, or twice as long as when it was hot before, if that is not long ago.
pub fn hold(base: Span, before: Option<(Tick, Span)>, now: Tick) -> Span {
    match before {
        Some((left, held)) if now.since(left) <= FLAPS_WITHIN => (held + held).at_most(LONGEST_HOLD),
        _ => base,
    }
}

fn stage(rate: f64, bars: &Bars) -> Option<Stage> {
    match rate {
        rate if rate >= bars.enter => Some(Stage::Hot),
        rate if rate >= bars.watch => Some(Stage::Watched),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heat::policy::{HotPolicy, WINDOW};
    use proptest::prelude::*;

    const HOLD: Span = Span::secs(60);

    fn bars() -> Bars {
        HotPolicy::default().bars(1_000.0)
    }

    fn hot(now: Tick) -> Verdict {
        Verdict::first(600.0, &bars(), HOLD, now).expect("above `enter`")
    }

    #[test]
    fn a_key_heats_at_once() {
        let at = Tick(1_000);
        assert_eq!(Verdict::first(249.0, &bars(), HOLD, at), None);
        let mut verdict = Verdict::first(250.0, &bars(), HOLD, at).expect("above `watch`");
        assert_eq!((verdict.stage, verdict.hold_until), (Stage::Watched, at));
        assert_eq!(verdict.judge(500.0, 300.0, &bars(), at + WINDOW), Turn::Heats);
        assert_eq!((verdict.stage, verdict.hold_until), (Stage::Hot, at + WINDOW + HOLD));
    }

    #[test]
    fn it_cools_only_after_its_hold_and_half_a_minute_of_calm() {
        let mut verdict = hot(Tick(0));
        assert_eq!(verdict.judge(0.0, 0.0, &bars(), Tick(1)), Turn::Stays);
        assert_eq!(verdict.judge(0.0, 0.0, &bars(), Tick(59_999)), Turn::Stays, "held");
        assert_eq!(verdict.judge(0.0, 0.0, &bars(), Tick(60_000)), Turn::Leaves);

        let mut verdict = hot(Tick(0));
        assert_eq!(verdict.judge(0.0, 199.0, &bars(), Tick(55_000)), Turn::Stays);
        assert_eq!(verdict.judge(0.0, 201.0, &bars(), Tick(80_000)), Turn::Stays, "not calm: from the start");
        assert_eq!(verdict.judge(0.0, 199.0, &bars(), Tick(80_100)), Turn::Stays);
        assert_eq!(verdict.judge(0.0, 199.0, &bars(), Tick(110_000)), Turn::Stays);
        assert_eq!(verdict.judge(0.0, 199.0, &bars(), Tick(110_100)), Turn::Leaves);
    }

    #[test]
    fn one_that_is_held_for_less_than_half_a_minute_need_not_be_calm_for_longer() {
        let mut verdict = Verdict::first(600.0, &bars(), Span::secs(2), Tick(0)).expect("above `enter`");
        assert_eq!(verdict.judge(0.0, 0.0, &bars(), Tick(1_000)), Turn::Stays);
        assert_eq!(
            verdict.judge(0.0, 0.0, &bars(), Tick(2_999)),
            Turn::Stays,
            "held for two, and calm for not quite two"
        );
        assert_eq!(verdict.judge(0.0, 0.0, &bars(), Tick(3_000)), Turn::Leaves);
    }

    #[test]
    fn between_leave_and_enter_a_hot_key_stays_hot() {
        let mut verdict = hot(Tick(0));
        for second in 1..1_000 {
            assert_eq!(verdict.judge(210.0, 210.0, &bars(), Tick(second * 1_000)), Turn::Stays);
        }
        assert_eq!(verdict.stage, Stage::Hot);
    }

    #[test]
    fn one_that_flaps_is_held_twice_as_long_up_to_a_quarter_of_an_hour() {
        let mut held = hold(HOLD, None, Tick(0));
        let mut holds = vec![held];
        for flap in 1..7u64 {
            held = hold(HOLD, Some((Tick(flap * 100_000), held)), Tick(flap * 100_000 + 50_000));
            holds.push(held);
        }
        assert_eq!(holds, [60, 120, 240, 480, 900, 900, 900].map(Span::secs));
        // The control: long after, it begins anew.
        assert_eq!(hold(HOLD, Some((Tick(0), held)), Tick(FLAPS_WITHIN.0 + 1)), HOLD);
    }

    proptest! {
        #[test]
        fn a_hot_key_is_never_given_up_before_its_hold_nor_while_it_is_warm(
            rates in prop::collection::vec(0.0..1_000.0f64, 1..400),
            step in 100u64..1_000,
        ) {
            let mut verdict = hot(Tick(0));
            let mut calm_since = None;
            for (n, rate) in rates.into_iter().enumerate() {
                let now = Tick((n as u64 + 1) * step);
                if rate >= bars().leave { calm_since = None } else { calm_since = calm_since.or(Some(now)) }
                let turn = verdict.judge(rate, rate, &bars(), now);
                let may = now >= Tick(HOLD.0) && calm_since.is_some_and(|since| now.since(since) >= CALM);
                prop_assert_eq!(turn == Turn::Leaves, may);
                if turn == Turn::Leaves { break }
            }
        }
    }
}
