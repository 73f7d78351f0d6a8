//! The load failed: what may be answered instead?

use crate::entry::{Kind, Meta};
use crate::fence::Floor;
use crate::policy::Policy;
use crate::read::decide::Demand;
use crate::read::doubt::Standing;
use crate::time::{Span, Tick};
use crate::why::Why;

/// What saves a caller whose load failed, timed out or was shed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rescue {
    /// The resident body, labelled.
    Body(Why),
    /// The space's declared default.
    Default,
    /// Nothing: the caller gets the error.
    Nothing,
}

/// What memory holds of the key.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// Its meta.
    pub meta: &'a Meta,
    /// What covers it.
    pub floor: Floor,
    /// What it is worth beside what others may have invalidated.
    pub standing: Standing,
}

impl Held<'_> {
    /// What nothing covers and nothing speaks against.
    pub fn sound(meta: &Meta) -> Held<'_> {
        Held { meta, floor: Floor::NONE, standing: Standing::Sound }
    }
}

/// Looks for something better than an error, after `cause` kept a load from answering.
///
/// A removed value never comes back (G2); an expired one only where the policy says so; one that nobody could confirm
/// only where the policy has a time for failures, because it may have been removed elsewhere; a caller who demanded a
/// certain age gets that or the error.
pub fn rescue(
    found: Option<Held<'_>>,
    demand: Demand,
    cause: Why,
    has_default: bool,
    now: Tick,
    policy: &Policy,
) -> Rescue {
    let young_enough = |meta: &Meta| match demand {
        Demand::Any => true,
        Demand::MaxAge(most) => meta.age(now) <= most,
        Demand::Fresh | Demand::CachedOnly => false,
    };
    let body = found.filter(|Held { meta, floor, standing }| {
        let trusted = *standing != Standing::Unconfirmed || policy.stale_if_error > Span::ZERO;
        let lives = meta.kind == Kind::Value && now < meta.hard_until() && meta.fence > floor.removed;
        lives && trusted && young_enough(meta)
    });
    if let Some(Held { meta, floor, .. }) = body {
        if !floor.covers(meta.fence) {
            return Rescue::Body(if is_shed(cause) { Why::StaleShed } else { Why::StaleError });
        }
        if policy.rescue_invalidated {
            return Rescue::Body(Why::RescuedInvalidated);
        }
    }
    if has_default && demand == Demand::Any { Rescue::Default } else { Rescue::Nothing }
}

/// Whether the guard, not the origin, stood in the way.
fn is_shed(cause: Why) -> bool {
    matches!(cause, Why::ShedQueue | Why::ShedRate | Why::ShedPriority | Why::BreakerOpen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fence::Fence;

    fn meta() -> Meta {
        Meta {
            fence: Fence(10),
            born: Tick(0),
            fresh_until: Tick(100),
            swr_ms: 0,
            hard_ms: 900,
            cost_ms: 1,
            early_ms: 0,
            kind: Kind::Value,
        }
    }

    fn floor(removed: u64, expired: u64) -> Floor {
        Floor { removed: Fence(removed), expired: Fence(expired) }
    }

    fn ask(meta: Meta, floor: Floor, demand: Demand, cause: Why, default: bool, now: u64, invalidated: bool) -> Rescue {
        let policy = Policy { rescue_invalidated: invalidated, ..Policy::ttl(Span(100)) };
        let held = Held { meta: &meta, floor, standing: Standing::Sound };
        rescue(Some(held), demand, cause, default, Tick(now), &policy)
    }

    #[test]
    fn g2_what_nobody_could_confirm_rescues_only_where_the_policy_has_a_time_for_failures() {
        let ask = |standing, stale_if_error| {
            let policy = Policy { stale_if_error, ..Policy::ttl(Span(100)) };
            // Fresh by its own windows: others may have removed it all the same.
            let held = Held { meta: &meta(), floor: Floor::NONE, standing };
            rescue(Some(held), Demand::Any, Why::OriginFailed, false, Tick(50), &policy)
        };
        for standing in [Standing::Sound, Standing::Suspect] {
            assert_eq!(ask(standing, Span::ZERO), Rescue::Body(Why::StaleError));
        }
        assert_eq!(ask(Standing::Unconfirmed, Span::ZERO), Rescue::Nothing);
        assert_eq!(ask(Standing::Unconfirmed, Span(900)), Rescue::Body(Why::StaleError));
    }

    #[test]
    fn a_stale_body_rescues_and_says_from_what() {
        let body = |cause| ask(meta(), Floor::NONE, Demand::Any, cause, true, 500, false);
        assert_eq!(body(Why::OriginFailed), Rescue::Body(Why::StaleError));
        assert_eq!(body(Why::Timeout), Rescue::Body(Why::StaleError));
        assert_eq!(body(Why::ShedQueue), Rescue::Body(Why::StaleShed));
    }

    #[test]
    fn g2_a_removed_body_never_rescues() {
        assert_eq!(ask(meta(), floor(10, 0), Demand::Any, Why::OriginFailed, false, 500, true), Rescue::Nothing);
    }

    #[test]
    fn an_expired_body_rescues_only_where_the_policy_says_so() {
        let body = |invalidated| ask(meta(), floor(0, 10), Demand::Any, Why::OriginFailed, false, 500, invalidated);
        assert_eq!(body(true), Rescue::Body(Why::RescuedInvalidated));
        assert_eq!(body(false), Rescue::Nothing);
    }

    #[test]
    fn past_its_hard_end_only_the_default_is_left() {
        assert_eq!(ask(meta(), Floor::NONE, Demand::Any, Why::OriginFailed, true, 1000, true), Rescue::Default);
        assert_eq!(ask(meta(), Floor::NONE, Demand::Any, Why::OriginFailed, false, 1000, true), Rescue::Nothing);
    }

    #[test]
    fn a_negative_never_rescues() {
        let negative = Meta { kind: Kind::Negative, ..meta() };
        assert_eq!(ask(negative, Floor::NONE, Demand::Any, Why::OriginFailed, false, 50, true), Rescue::Nothing);
    }

    #[test]
    fn a_demanded_age_is_kept_even_in_need() {
        let aged = |most| ask(meta(), Floor::NONE, Demand::MaxAge(Span(most)), Why::OriginFailed, true, 500, true);
        assert_eq!(aged(500), Rescue::Body(Why::StaleError));
        assert_eq!(aged(499), Rescue::Nothing);
        assert_eq!(ask(meta(), Floor::NONE, Demand::Fresh, Why::OriginFailed, true, 50, true), Rescue::Nothing);
    }

    /// What is resident when a load fails.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Here {
        Nothing,
        Stale,
        PastItsEnd,
        Removed,
        Expired,
        Negative,
    }

    #[test]
    fn whatever_kept_a_load_from_answering_a_stale_value_or_the_default_comes_before_an_error() {
        let shed = [Why::ShedQueue, Why::ShedRate, Why::ShedPriority, Why::BreakerOpen];
        let failed =
            [Why::Timeout, Why::Cooling, Why::OriginTimeout, Why::OriginRefused, Why::OriginFailed, Why::Rejected];
        let helds = [Here::Nothing, Here::Stale, Here::PastItsEnd, Here::Removed, Here::Expired, Here::Negative];
        for cause in shed.into_iter().chain(failed) {
            for (held, default) in helds.into_iter().flat_map(|held| [(held, false), (held, true)]) {
                let kind = if held == Here::Negative { Kind::Negative } else { Kind::Value };
                let found = Meta { kind, ..meta() };
                let floor = match held {
                    Here::Removed => floor(10, 0),
                    Here::Expired => floor(0, 10),
                    _ => Floor::NONE,
                };
                let now = Tick(if held == Here::PastItsEnd { 1000 } else { 500 });
                let found = Held { meta: &found, floor, standing: Standing::Sound };
                let found = Some(found).filter(|_| held != Here::Nothing);
                let got = rescue(found, Demand::Any, cause, default, now, &Policy::ttl(Span(100)));
                let expected = match held {
                    Here::Stale if shed.contains(&cause) => Rescue::Body(Why::StaleShed),
                    Here::Stale => Rescue::Body(Why::StaleError),
                    _ if default => Rescue::Default,
                    _ => Rescue::Nothing,
                };
                assert_eq!(got, expected, "{cause:?}, {held:?} resident, default: {default}");
            }
        }
    }
}
