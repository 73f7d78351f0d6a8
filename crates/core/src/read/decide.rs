//! Serve, serve and refresh, or load? The decision behind every read.

use crate::draw::Draw;
use crate::entry::{Kind, Meta};
use crate::fence::Floor;
use crate::policy::Policy;
use crate::read::early;
use crate::time::{Span, Tick};
use crate::why::Why;

/// What a reader asks for beyond "the key".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Demand {
    /// Whatever the policy allows.
    #[default]
    Any,
    /// Nothing whose load began longer ago than this.
    MaxAge(Span),
    /// Join or start a load, whatever is resident.
    Fresh,
    /// Only what is resident: never load.
    CachedOnly,
}

impl Demand {
    /// The demand that meets both.
    #[must_use]
    pub fn stricter(self, other: Demand) -> Demand {
        match (self, other) {
            (Demand::Fresh, _) | (_, Demand::Fresh) => Demand::Fresh,
            (Demand::MaxAge(a), Demand::MaxAge(b)) => Demand::MaxAge(a.at_most(b)),
            (age @ Demand::MaxAge(_), _) | (_, age @ Demand::MaxAge(_)) => age,
            (Demand::CachedOnly, _) => other,
            (Demand::Any, _) => Demand::Any,
        }
    }
}

/// An entry as the decision sees it.
#[derive(Clone, Copy, Debug)]
pub struct Resident<'a> {
    /// Its meta.
    pub meta: &'a Meta,
    /// How often it was served since it was stored (approximate; drives early refresh).
    pub hits: u32,
}

/// What to do with a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Answer from the entry.
    Serve(Why),
    /// Answer from the entry and let one refresh run.
    ServeAndRefresh(Why),
    /// Join the key's flight or start one.
    Load,
    /// The key's answers may not be shared: load under the guard, without a flight.
    LoadAlone,
    /// Nothing resident fits, and the caller forbade a load.
    NotCached,
}

/// Decides a read from the meta of what was found, the newest invalidation covering it, and the policy.
///
/// `draw` matters only past [`Meta::calm_until`]; before that any value gives the same answer.
///
/// ```
/// use bellwether_core::{draw::Draw, fence::Floor, policy::Policy, time::{Span, Tick}};
/// use bellwether_core::read::decide::{decide, Decision, Demand};
/// let policy = Policy::ttl(Span::secs(60));
/// assert_eq!(decide(None, Floor::NONE, Demand::Any, Tick(0), &policy, Draw(0)), Decision::Load);
/// ```
#[inline]
pub fn decide(
    found: Option<Resident<'_>>,
    floor: Floor,
    demand: Demand,
    now: Tick,
    policy: &Policy,
    draw: Draw,
) -> Decision {
    let refused = if demand == Demand::CachedOnly { Decision::NotCached } else { Decision::Load };
    let Some(Resident { meta, hits }) = found else { return refused };
    if floor.covers(meta.fence) {
        return refused;
    }
    let fresh = now < meta.fresh_until;
    match meta.kind {
        Kind::HitForMiss if fresh && demand != Demand::CachedOnly => return Decision::LoadAlone,
        Kind::HitForMiss => return refused,
        Kind::Negative if !fresh => return refused,
        Kind::Negative | Kind::Value => {}
    }
    match demand {
        Demand::Fresh => return Decision::Load,
        Demand::MaxAge(most) if meta.age(now) > most => return Decision::Load,
        Demand::MaxAge(_) | Demand::Any | Demand::CachedOnly => {}
    }
    match meta.kind {
        Kind::Negative => Decision::Serve(Why::Negative),
        _ if fresh && now >= meta.calm_until() && early::due(meta, hits, policy.early, now, draw) => {
            Decision::ServeAndRefresh(Why::Hit)
        }
        _ if fresh => Decision::Serve(Why::Hit),
        _ if now < meta.swr_until() => Decision::ServeAndRefresh(Why::StaleRefreshing),
        _ => refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fence::Fence;
    use crate::policy::Early;
    use proptest::prelude::*;

    fn meta(kind: Kind) -> Meta {
        Meta {
            fence: Fence(10),
            born: Tick(900),
            fresh_until: Tick(2000),
            swr_ms: 1000,
            hard_ms: 3000,
            cost_ms: 100,
            early_ms: 200,
            kind,
        }
    }

    fn at(now: u64, kind: Kind, floor: Floor, demand: Demand) -> Decision {
        let policy = Policy { early: Early::Off, ..Policy::ttl(Span(1000)) };
        let meta = meta(kind);
        decide(Some(Resident { meta: &meta, hits: 0 }), floor, demand, Tick(now), &policy, Draw(0))
    }

    #[test]
    fn a_value_is_served_refreshed_then_loaded_as_it_ages() {
        let value = |now| at(now, Kind::Value, Floor::NONE, Demand::Any);
        assert_eq!(value(1999), Decision::Serve(Why::Hit));
        assert_eq!(value(2000), Decision::ServeAndRefresh(Why::StaleRefreshing));
        assert_eq!(value(2999), Decision::ServeAndRefresh(Why::StaleRefreshing));
        assert_eq!(value(3000), Decision::Load);
    }

    #[test]
    fn a_negative_has_no_grace() {
        assert_eq!(at(1999, Kind::Negative, Floor::NONE, Demand::Any), Decision::Serve(Why::Negative));
        assert_eq!(at(2000, Kind::Negative, Floor::NONE, Demand::Any), Decision::Load);
    }

    #[test]
    fn an_answer_that_may_not_be_kept_is_loaded_alone_while_its_marker_lives() {
        assert_eq!(at(1999, Kind::HitForMiss, Floor::NONE, Demand::Any), Decision::LoadAlone);
        assert_eq!(at(2000, Kind::HitForMiss, Floor::NONE, Demand::Any), Decision::Load);
        assert_eq!(at(1999, Kind::HitForMiss, Floor::NONE, Demand::CachedOnly), Decision::NotCached);
    }

    #[test]
    fn demands_narrow_what_may_be_served() {
        assert_eq!(at(1100, Kind::Value, Floor::NONE, Demand::MaxAge(Span(200))), Decision::Serve(Why::Hit));
        assert_eq!(at(1101, Kind::Value, Floor::NONE, Demand::MaxAge(Span(200))), Decision::Load);
        assert_eq!(at(1100, Kind::Value, Floor::NONE, Demand::Fresh), Decision::Load);
        assert_eq!(at(3000, Kind::Value, Floor::NONE, Demand::CachedOnly), Decision::NotCached);
        assert_eq!(at(1100, Kind::Negative, Floor::NONE, Demand::MaxAge(Span(100))), Decision::Load);
    }

    #[test]
    fn an_early_refresh_serves_and_refreshes_while_fresh() {
        let policy = Policy { early: Early::Lead, ..Policy::ttl(Span(1000)) };
        let meta = meta(Kind::Value);
        let decide = |now, hits| {
            decide(Some(Resident { meta: &meta, hits }), Floor::NONE, Demand::Any, Tick(now), &policy, Draw(0))
        };
        assert_eq!(decide(1799, 1_000_000), Decision::Serve(Why::Hit));
        assert_eq!(decide(1800, 1_000_000), Decision::ServeAndRefresh(Why::Hit));
        assert_eq!(decide(1800, 0), Decision::Serve(Why::Hit), "nobody asks for it");
    }

    fn any_floor() -> impl Strategy<Value = Floor> {
        (0u64..20, 0u64..20).prop_map(|(r, e)| Floor { removed: Fence(r), expired: Fence(e) })
    }

    fn any_demand() -> impl Strategy<Value = Demand> {
        prop_oneof![
            Just(Demand::Any),
            Just(Demand::Fresh),
            Just(Demand::CachedOnly),
            (0u64..2000).prop_map(|ms| Demand::MaxAge(Span(ms))),
        ]
    }

    fn any_meta() -> impl Strategy<Value = Meta> {
        (0u64..20, 0u64..1000, 0u64..1000, 0u32..1000, 0u32..1000, 0u32..300, 0usize..3).prop_map(
            |(fence, born, ttl, swr, more, early, kind)| Meta {
                fence: Fence(fence),
                born: Tick(born),
                fresh_until: Tick(born + ttl),
                swr_ms: swr,
                hard_ms: swr + more,
                cost_ms: 50,
                early_ms: early,
                kind: [Kind::Value, Kind::Negative, Kind::HitForMiss][kind],
            },
        )
    }

    proptest! {
        #[test]
        fn g2_what_an_invalidation_covers_is_never_served(meta in any_meta(), floor in any_floor(), demand in any_demand(), now in 0u64..4000) {
            let policy = Policy::ttl(Span(100));
            let verdict = decide(Some(Resident { meta: &meta, hits: 9 }), floor, demand, Tick(now), &policy, Draw(now));
            if matches!(verdict, Decision::Serve(_) | Decision::ServeAndRefresh(_)) {
                prop_assert!(meta.fence > floor.removed && meta.fence > floor.expired);
                prop_assert!(Tick(now) < meta.swr_until(), "never served past its promise");
            }
        }

        #[test]
        fn a_demand_is_kept(meta in any_meta(), demand in any_demand(), now in 0u64..4000) {
            let policy = Policy::ttl(Span(100));
            let verdict = decide(Some(Resident { meta: &meta, hits: 9 }), Floor::NONE, demand, Tick(now), &policy, Draw(now));
            let served = matches!(verdict, Decision::Serve(_) | Decision::ServeAndRefresh(_));
            match demand {
                Demand::Fresh => prop_assert!(!served),
                Demand::MaxAge(most) => prop_assert!(!served || meta.age(Tick(now)) <= most),
                Demand::CachedOnly => prop_assert!(served || verdict == Decision::NotCached),
                Demand::Any => {}
            }
        }

        #[test]
        fn before_calm_until_the_draw_does_not_matter(meta in any_meta(), when in any::<u64>(), a in any::<u64>(), b in any::<u64>()) {
            // A tick within the calm, rather than any tick and most of them turned away: cases that are rejected
            // are bounded, and few metas have a long calm. One without any has nothing to show.
            let Some(now) = when.checked_rem(meta.calm_until().0) else { return Ok(()) };
            let policy = Policy { early: Early::XFetch { beta: 4.0 }, ..Policy::ttl(Span(100)) };
            let with = |draw| decide(Some(Resident { meta: &meta, hits: 9 }), Floor::NONE, Demand::Any, Tick(now), &policy, Draw(draw));
            prop_assert_eq!(with(a), with(b));
        }
    }
}
