//! What meta does a loaded value get? Freshness, grace and the moment of its early refresh.

use crate::draw::Draw;
use crate::entry::{Kind, Meta};
use crate::fence::Fence;
use crate::policy::{Early, Policy};
use crate::read::early;
use crate::time::{Span, Tick};

/// How long a key's answer is known to be uncacheable: callers load side by side meanwhile.
pub const HIT_FOR_MISS: Span = Span::secs(10);
/// An entry is fresh for at least this long, or its own followers could not read it.
const SHORTEST: Span = Span::ms(1);

/// Purposes of one stamp's draw.
const JITTER: u64 = 1;
const LEAD: u64 = 2;

/// What is known of a load when it ends.
#[derive(Clone, Copy, Debug)]
pub struct Stamping {
    /// What the load found.
    pub kind: Kind,
    /// The load began to read the origin, permit in hand: ages count from here.
    pub started: Tick,
    /// The load ended: freshness counts from here.
    pub finished: Tick,
    /// Drawn before the load read the origin.
    pub fence: Fence,
    /// The value's own ttl, in place of the policy's.
    pub ttl: Option<Span>,
    /// p99 of the load times ([`crate::loadtimes::LoadTimes::p99`]). While it is unknown, the
    /// lead is reckoned from this load's own cost.
    pub p99: Option<Span>,
    /// Mean load time ([`crate::loadtimes::LoadTimes::ewma`]), which bounds XFetch's cost.
    pub ewma: Option<Span>,
}

/// The meta of what a load found. Sums saturate.
///
/// - `fresh_until = finished + ttl * (1 - U(0, jitter))`, at least 1 ms ahead.
/// - A value's windows are the policy's; `hard = max(stale_while_revalidate, stale_if_error)`.
/// - A negative lives for `negative_ttl` (jittered), a hit-for-miss marker for 10 s (not
///   jittered, an own ttl does not count); neither has a grace or an early refresh.
pub fn stamp(s: Stamping, policy: &Policy, draw: Draw) -> Meta {
    let cost = s.finished.since(s.started);
    let ttl = match s.kind {
        Kind::Value => jittered(s.ttl.unwrap_or(policy.ttl), policy.jitter, draw),
        Kind::Negative => jittered(s.ttl.unwrap_or(policy.negative_ttl), policy.jitter, draw),
        Kind::HitForMiss => HIT_FOR_MISS,
    };
    let mut meta = Meta {
        fence: s.fence,
        born: s.started,
        fresh_until: s.finished + ttl,
        swr_ms: 0,
        hard_ms: 0,
        cost_ms: cost.as_u32(),
        early_ms: 0,
        kind: s.kind,
    };
    if s.kind == Kind::Value {
        meta.swr_ms = policy.stale_while_revalidate.as_u32();
        meta.hard_ms = policy.stale_if_error.as_u32().max(meta.swr_ms);
        meta.early_ms = early_reach(&s, cost, ttl, policy.early, draw).as_u32();
    }
    meta
}

/// The meta of a fresh value that gets its space's whole time again, as if it were written at `now`;
/// `None` for what is no fresh value any more: nothing brings it back.
pub fn renewed(meta: Meta, now: Tick, policy: &Policy) -> Option<Meta> {
    if meta.kind != Kind::Value || now >= meta.fresh_until {
        return None;
    }
    let swr_ms = policy.stale_while_revalidate.as_u32();
    let hard_ms = policy.stale_if_error.as_u32().max(swr_ms);
    Some(Meta { fresh_until: now + policy.ttl, swr_ms, hard_ms, early_ms: 0, ..meta })
}

/// What another process stored, in times that were counted down to the moment it was handed over.
#[derive(Clone, Copy, Debug)]
pub struct Travelled {
    /// What it says.
    pub kind: Kind,
    /// A local fence, drawn before it was asked for.
    pub fence: Fence,
    /// Time since its load began.
    pub age: Span,
    /// Freshness left.
    pub fresh: Span,
    /// Its windows after that.
    pub swr_ms: u32,
    /// At least as long.
    pub hard_ms: u32,
    /// How long its load took.
    pub cost_ms: u32,
}

impl Travelled {
    /// The same, as of so much later.
    #[must_use]
    pub fn later(self, by: Span) -> Travelled {
        let past = Span(by.0.saturating_sub(self.fresh.0)).as_u32();
        Travelled {
            age: self.age + by,
            fresh: Span(self.fresh.0.saturating_sub(by.0)),
            swr_ms: self.swr_ms.saturating_sub(past),
            hard_ms: self.hard_ms.saturating_sub(past),
            ..self
        }
    }
}

/// The meta here of an entry that another process loaded. Its early refresh is this process's own matter: who finds
/// it due asks for the lease like everybody.
pub fn adopted(t: Travelled, p99: Option<Span>, ewma: Option<Span>, policy: &Policy, now: Tick, draw: Draw) -> Meta {
    let (born, fresh_until) = (now - t.age, now + t.fresh);
    let cost = Span(u64::from(t.cost_ms));
    let mut meta = Meta {
        fence: t.fence,
        born,
        fresh_until,
        swr_ms: t.swr_ms,
        hard_ms: t.hard_ms.max(t.swr_ms),
        cost_ms: t.cost_ms,
        early_ms: 0,
        kind: t.kind,
    };
    if t.kind == Kind::Value {
        let stamping =
            Stamping { kind: t.kind, started: born, finished: born + cost, fence: t.fence, ttl: None, p99, ewma };
        let ttl = fresh_until.since(stamping.finished);
        meta.early_ms = early_reach(&stamping, cost, ttl, policy.early, draw).as_u32();
    }
    meta
}

/// `ttl * (1 - U(0, jitter))`, so that entries stored together do not expire together.
fn jittered(ttl: Span, jitter: f64, draw: Draw) -> Span {
    let ttl = ttl.at_most(Span::LONGEST);
    let off = ttl.scale(jitter.clamp(0.0, 1.0) * draw.fork(JITTER).unit());
    Span(ttl.0.saturating_sub(off.0)).max(SHORTEST)
}

/// How far ahead of `fresh_until` a refresh may begin.
fn early_reach(s: &Stamping, cost: Span, ttl: Span, early: Early, draw: Draw) -> Span {
    match early {
        Early::Off => Span::ZERO,
        Early::Lead => early::lead(s.p99.unwrap_or(cost), ttl, draw.fork(LEAD)),
        Early::XFetch { beta } => early::xfetch_reach(early::xfetch_cost(cost, s.ewma, ttl), beta),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn load(kind: Kind) -> Stamping {
        let (started, finished) = (Tick(1000), Tick(1200));
        Stamping { kind, started, finished, fence: Fence(7), ttl: None, p99: None, ewma: None }
    }

    fn graced() -> Policy {
        Policy {
            stale_if_error: Span::secs(3600),
            stale_while_revalidate: Span::secs(30),
            ..Policy::ttl(Span::secs(60))
        }
    }

    #[test]
    fn a_fresh_value_that_is_renewed_keeps_its_grace_and_a_stale_one_stays_stale() {
        let policy = graced();
        let written = stamp(load(Kind::Value), &policy, Draw(0));
        let cut = Meta { fresh_until: Tick(1300), swr_ms: 0, hard_ms: 0, ..written };
        let again = renewed(cut, Tick(1299), &policy).expect("it was fresh");
        assert_eq!(again.fresh_until, Tick(1299) + Span::secs(60));
        assert_eq!((again.swr_ms, again.hard_ms, again.born), (written.swr_ms, written.hard_ms, written.born));
        assert_eq!(renewed(cut, Tick(1300), &policy), None);
        assert_eq!(renewed(Meta { kind: Kind::Negative, ..cut }, Tick(1299), &policy), None);
    }

    #[test]
    fn a_value_is_born_at_the_start_of_its_load_and_fresh_from_its_end() {
        let policy = Policy { jitter: 0.0, ..graced() };
        let meta = stamp(load(Kind::Value), &policy, Draw(1));
        assert_eq!((meta.born, meta.fresh_until, meta.cost_ms, meta.fence), (Tick(1000), Tick(61_200), 200, Fence(7)));
        assert_eq!((meta.swr_ms, meta.hard_ms), (30_000, 3_600_000));
        let own = stamp(Stamping { ttl: Some(Span(50)), ..load(Kind::Value) }, &policy, Draw(1));
        assert_eq!(own.fresh_until, Tick(1250));
    }

    #[test]
    fn g10_an_answer_that_was_read_late_is_that_much_older() {
        let (kind, fence) = (Kind::Value, Fence(3));
        let (age, fresh, swr_ms, hard_ms, cost_ms) = (Span(500), Span(1_000), 300, 900, 20);
        let told = Travelled { kind, fence, age, fresh, swr_ms, hard_ms, cost_ms };
        let at = |by: Span| adopted(told.later(by), None, None, &graced(), Tick(10_000) + by, Draw(0));
        let (prompt, late, very_late) = (at(Span(0)), at(Span(400)), at(Span(1_200)));
        assert_eq!((prompt.born, prompt.fresh_until), (late.born, late.fresh_until));
        assert_eq!(
            (prompt.born, prompt.swr_until(), prompt.hard_until()),
            (very_late.born, very_late.swr_until(), very_late.hard_until())
        );
        assert!(very_late.fresh_until <= Tick(11_200), "stale by the time it was read");
    }

    #[test]
    fn the_larger_stale_window_is_the_hard_one() {
        let policy = Policy { stale_while_revalidate: Span::secs(90), stale_if_error: Span::ZERO, ..graced() };
        assert_eq!(stamp(load(Kind::Value), &policy, Draw(1)).hard_ms, 90_000);
    }

    #[test]
    fn markers_live_as_long_as_they_should_without_grace_or_early_refresh() {
        let policy = graced();
        let negative = stamp(load(Kind::Negative), &policy, Draw(1));
        assert!((Tick(1200 + 4500)..=Tick(1200 + 5000)).contains(&negative.fresh_until));
        let own = Stamping { ttl: Some(Span::secs(99)), ..load(Kind::HitForMiss) };
        let marker = stamp(own, &policy, Draw(1));
        assert_eq!(marker.fresh_until, Tick(11_200));
        for meta in [negative, marker] {
            assert_eq!((meta.swr_ms, meta.hard_ms, meta.early_ms), (0, 0, 0));
        }
    }

    #[test]
    fn an_entry_is_fresh_for_a_millisecond_at_least() {
        let policy = Policy { jitter: 1.0, ..graced() };
        for kind in [Kind::Value, Kind::Negative] {
            let meta = stamp(Stamping { ttl: Some(Span::ZERO), ..load(kind) }, &policy, Draw(1));
            assert_eq!(meta.fresh_until, Tick(1201));
        }
    }

    #[test]
    fn the_lead_follows_p99_or_while_it_is_unknown_this_load() {
        let reach = |p99| stamp(Stamping { p99, ..load(Kind::Value) }, &graced(), Draw(3)).early_ms;
        assert!((240..=280).contains(&reach(None)), "{}", reach(None));
        assert!((1200..=1400).contains(&reach(Some(Span(1000)))));
        let off = Policy { early: Early::Off, ..graced() };
        assert_eq!(stamp(load(Kind::Value), &off, Draw(3)).early_ms, 0);
    }

    #[test]
    fn jitter_spreads_an_avalanche_over_its_whole_share() {
        let policy = Policy { jitter: 0.10, ..graced() };
        let ends: Vec<u64> =
            (0..2000).map(|n| stamp(load(Kind::Value), &policy, Draw(n)).fresh_until.0 - 1200).collect();
        let mean = ends.iter().sum::<u64>() / 2000;
        assert!((56_900..57_100).contains(&mean), "{mean}");
        assert!(ends.iter().any(|e| *e < 54_100) && ends.iter().any(|e| *e > 59_900));
    }

    fn kinds() -> impl Strategy<Value = Kind> {
        prop_oneof![Just(Kind::Value), Just(Kind::Negative), Just(Kind::HitForMiss)]
    }

    fn earlies() -> impl Strategy<Value = Early> {
        prop_oneof![Just(Early::Off), Just(Early::Lead), (0.01f64..1e9).prop_map(|beta| Early::XFetch { beta })]
    }

    fn spans() -> impl Strategy<Value = u64> {
        prop_oneof![0u64..100, 0u64..100_000_000, any::<u64>()]
    }

    proptest! {
        #[test]
        fn windows_are_ordered_and_nothing_overflows(
            kind in kinds(), early in earlies(),
            started in spans(), took in spans(), draw in any::<u64>(),
            ttl in spans(), negative_ttl in spans(), swr in spans(), sie in spans(), jitter in -1.0f64..2.0,
            own in prop::option::of(spans()), p99 in prop::option::of(spans()), ewma in prop::option::of(spans()),
        ) {
            let policy = Policy {
                stale_while_revalidate: Span(swr),
                stale_if_error: Span(sie),
                negative_ttl: Span(negative_ttl),
                jitter,
                early,
                ..Policy::ttl(Span(ttl))
            };
            let started = Tick(started);
            let finished = started + Span(took);
            let own = own.map(Span);
            let s = Stamping { kind, started, finished, fence: Fence(9), ttl: own, p99: p99.map(Span), ewma: ewma.map(Span) };
            let meta = stamp(s, &policy, Draw(draw));

            prop_assert!(meta.fresh_until <= meta.swr_until() && meta.swr_until() <= meta.hard_until());
            prop_assert!(meta.born <= meta.fresh_until && meta.fresh_until >= finished);
            prop_assert!(meta.fresh_until > finished || finished == Tick::NEVER);
            let stamped = meta.fresh_until.since(finished).0;
            let full = match kind {
                Kind::Value => own.unwrap_or(Span(ttl)),
                Kind::Negative => own.unwrap_or(Span(negative_ttl)),
                Kind::HitForMiss => HIT_FOR_MISS,
            }.at_most(Span::LONGEST).max(SHORTEST).0;
            prop_assert!(stamped <= full);
            let least = full as f64 * (1.0 - jitter.clamp(0.0, 1.0));
            prop_assert!(stamped as f64 >= least - 1.0 || meta.fresh_until == Tick::NEVER);
            if kind != Kind::Value {
                prop_assert_eq!((meta.swr_ms, meta.hard_ms, meta.early_ms), (0, 0, 0));
            }
            // Short of the last tick there is, where sums saturate.
            if meta.fresh_until < Tick::NEVER {
                let early_ms = u64::from(meta.early_ms);
                match early {
                    Early::Off => prop_assert_eq!(early_ms, 0),
                    Early::Lead => prop_assert!(early_ms <= stamped / 4),
                    Early::XFetch { beta } => prop_assert!(early_ms as f64 <= (stamped / 10) as f64 * beta * 36.75 + 1.0),
                }
            }
        }
    }
}
