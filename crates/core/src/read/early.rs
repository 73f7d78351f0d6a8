//! Is it time to refresh a value that is still fresh? By a lead ahead of expiry, or by XFetch.

use crate::draw::Draw;
use crate::entry::{Kind, Meta};
use crate::policy::Early;
use crate::time::{Span, Tick};

/// `-ln u` of the smallest `u` that a draw's 53 bits can give is 36.737: no draw reaches further.
const DEEPEST: f64 = 36.75;
/// A refresh ahead of expiry pays only if more requests than this are expected in the lead.
const WORTH: u64 = 3;

/// How far ahead of expiry a refresh begins: `1.2 * p99 + U(0, 0.2 * p99)`, at most a quarter of
/// the ttl. `p99` is that of the load times, `ttl` the stamped (jittered) one, all in ms.
pub fn lead(p99: Span, ttl: Span, draw: Draw) -> Span {
    let base = Span(p99.0.saturating_mul(6) / 5);
    (base + p99.scale(0.2 * draw.unit())).at_most(Span(ttl.0 / 4))
}

/// The cost that XFetch reckons with: the service time of this load, held within
/// `[ewma / 2, 4 * ewma]` of its like and a tenth of the ttl. Unclamped, one slow load (or a
/// slow origin) makes every request reload.
pub fn xfetch_cost(cost: Span, ewma: Option<Span>, ttl: Span) -> Span {
    let likely = match ewma {
        Some(Span(mean)) => Span(cost.0.clamp(mean / 2, mean.saturating_mul(4))),
        None => cost,
    };
    likely.at_most(Span(ttl.0 / 10))
}

/// The furthest ahead of expiry that any draw can make XFetch reload: `cost * beta * 36.75`,
/// rounded up. Stamped as `early_ms`, it is both an exact gate (before `calm_until` no logarithm
/// can matter) and the scale that [`due`] reckons with, so the clamped cost needs no field of its
/// own. It may exceed the ttl; then the gate is open from the start.
pub fn xfetch_reach(cost: Span, beta: f64) -> Span {
    Span((cost.0 as f64 * beta * DEEPEST).ceil() as u64)
}

/// Whether this request should start an early refresh of a fresh entry. `hits` counts the
/// requests that the entry has answered since it was stored.
///
/// - Lead: `now` is within the lead and `rate * lead > 3`, where `rate = hits / time since stored`.
///   True for every request from then on: the caller coalesces them into one flight.
/// - XFetch (Vattani et al., VLDB 2015, section 3): `now - cost * beta * ln(u) >= fresh_until`.
///   `beta` was applied when the entry was stamped.
pub fn due(meta: &Meta, hits: u32, early: Early, now: Tick, draw: Draw) -> bool {
    if now < meta.calm_until() || meta.early_ms == 0 || meta.kind != Kind::Value {
        return false;
    }
    match early {
        Early::Off => false,
        Early::Lead => {
            let stored = meta.born + Span(u64::from(meta.cost_ms));
            // An entry stamped under XFetch, before the policy changed, may reach too far for a lead.
            let lead = Span(u64::from(meta.early_ms)).at_most(Span(meta.fresh_until.since(stored).0 / 4));
            let hits_in_lead = u64::from(hits).saturating_mul(lead.0);
            now >= meta.fresh_until - lead && hits_in_lead > now.since(stored).0.saturating_mul(WORTH)
        }
        Early::XFetch { .. } => {
            // In (0, 1]: the logarithm of 0 would reload at any time.
            let u = 1.0 - draw.unit();
            let reach = f64::from(meta.early_ms) * (-u.ln() / DEEPEST);
            reach >= meta.fresh_until.since(now).0 as f64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fence::Fence;
    use proptest::prelude::*;

    const RAREST: Draw = Draw(u64::MAX);

    fn entry(early_ms: Span, ttl: u64) -> Meta {
        Meta {
            fence: Fence(1),
            born: Tick(1000),
            fresh_until: Tick(1100 + ttl),
            swr_ms: 0,
            hard_ms: 0,
            cost_ms: 100,
            early_ms: early_ms.as_u32(),
            kind: Kind::Value,
        }
    }

    proptest! {
        #[test]
        fn a_lead_is_1_2_to_1_4_p99_and_at_most_a_quarter_of_the_ttl(p99 in any::<u64>(), ttl in any::<u64>(), draw in any::<u64>()) {
            prop_assert!(lead(Span(p99), Span(ttl), Draw(draw)).0 <= ttl / 4);
            let p99 = p99 % 1_000_000;
            let free = lead(Span(p99), Span(u64::MAX), Draw(draw)).0;
            prop_assert!((p99 * 12 / 10..=p99 * 14 / 10 + 1).contains(&free), "{}", free);
        }

        #[test]
        fn xfetch_cost_is_at_most_a_tenth_of_the_ttl_and_within_its_like(cost in any::<u64>(), ewma in prop::option::of(any::<u64>()), ttl in any::<u64>()) {
            let found = xfetch_cost(Span(cost), ewma.map(Span), Span(ttl)).0;
            prop_assert!(found <= ttl / 10);
            if let Some(ewma) = ewma {
                prop_assert!(found <= ewma.saturating_mul(4));
                prop_assert!(found >= (ewma / 2).min(ttl / 10));
            }
        }

        #[test]
        fn the_gate_of_xfetch_is_exact(cost in 0u64..5000, beta in 0.1f64..8.0, near in 0.0f64..2.0, draw in any::<u64>()) {
            // The paper's formula, without any gate, asked around the moment at which it turns.
            let u = 1.0 - Draw(draw).unit();
            let reach = cost as f64 * beta * -u.ln();
            let meta = entry(xfetch_reach(Span(cost), beta), 10_000_000);
            let left = (reach * near) as u64;
            let now = meta.fresh_until - Span(left);
            let found = due(&meta, 0, Early::XFetch { beta }, now, Draw(draw));
            // `early_ms` is rounded up by less than 1 ms of 36.75 times the cost.
            if (reach - left as f64).abs() > 1.0 {
                prop_assert_eq!(found, reach > left as f64);
            }
            let ahead = meta.calm_until() - Span(1);
            let rarest = due(&meta, 0, Early::XFetch { beta }, ahead, RAREST);
            prop_assert!(!rarest);
        }
    }

    #[test]
    fn the_rarest_draw_stays_within_the_gate() {
        let deepest = -(1.0 - RAREST.unit()).ln();
        assert!(deepest > 36.7 && deepest < DEEPEST, "{deepest}");
    }

    #[test]
    fn a_lead_needs_its_time_and_enough_requests() {
        let meta = entry(Span(300), 10_000); // stored at 1100, fresh until 11 100
        let asks = |hits, now| due(&meta, hits, Early::Lead, Tick(now), Draw(0));
        assert!(!asks(u32::MAX, 10_799) && asks(u32::MAX, 10_800));
        // rate * lead = hits / 9700 ms * 300 ms > 3
        assert!(!asks(97, 10_800) && asks(98, 10_800));
        for early in [Early::Off, Early::XFetch { beta: 1.0 }] {
            assert!(!due(&meta, u32::MAX, early, Tick(10_800), Draw(0)));
        }
    }

    #[test]
    fn markers_and_entries_without_a_lead_are_never_refreshed_early() {
        for early in [Early::Lead, Early::XFetch { beta: 4.0 }] {
            let last = Tick(11_099);
            assert!(due(&entry(Span(300), 10_000), u32::MAX, early, last, RAREST));
            assert!(!due(&entry(Span::ZERO, 10_000), u32::MAX, early, last, RAREST));
            for kind in [Kind::Negative, Kind::HitForMiss] {
                assert!(!due(&Meta { kind, ..entry(Span(300), 10_000) }, u32::MAX, early, last, RAREST));
            }
        }
    }

    #[test]
    fn a_reach_of_xfetch_is_no_lead_after_a_change_of_policy() {
        let meta = entry(Span(60_000), 10_000);
        assert!(!due(&meta, u32::MAX, Early::Lead, Tick(8599), Draw(0)));
        assert!(due(&meta, u32::MAX, Early::Lead, Tick(8600), Draw(0)));
    }

    const COST: u64 = 100;
    const TTL: u64 = 60 * COST;

    /// Loads of one period, one request per ms, each with a draw of its own. Without a lease
    /// every request that is due loads, until the first load is done.
    fn loads_of_a_period(beta: f64, one_at_a_time: bool, draws: &mut u64) -> u32 {
        let meta = entry(xfetch_reach(xfetch_cost(Span(COST), None, Span(TTL)), beta), TTL);
        let (mut loads, mut done) = (0, Tick::NEVER);
        let mut now = meta.fresh_until - Span(TTL);
        while now < done {
            *draws += 1;
            let busy = one_at_a_time && done != Tick::NEVER;
            if !busy && due(&meta, 0, Early::XFetch { beta }, now, Draw(2024).fork(*draws)) {
                loads += 1;
                done = done.min(now + Span(COST));
            }
            now = now + Span(1);
        }
        loads
    }

    #[test]
    fn xfetch_without_a_lease_makes_e_to_the_1_over_beta_loads_per_period_and_one_when_coalesced() {
        let mut draws = 0;
        for (beta, periods) in [(1.0f64, 4000), (2.0, 2000), (4.0, 1500)] {
            let mut total = |one: bool, n: u32| (0..n).map(|_| loads_of_a_period(beta, one, &mut draws)).sum::<u32>();
            let mean = f64::from(total(false, periods)) / f64::from(periods);
            let theory = (1.0 / beta).exp();
            assert!((mean / theory - 1.0).abs() < 0.05, "beta {beta}: {mean} loads, theory {theory}");
            assert_eq!(total(true, 100), 100, "beta {beta}, coalesced");
        }
    }

    #[test]
    fn a_slow_origin_does_not_run_away_because_the_cost_is_clamped() {
        // Queue wait leaked into the cost: 50 times what its like take, and longer than the ttl.
        let leaked = Span(50 * COST * 2);
        let late = entry(Span(0), TTL).fresh_until - Span(TTL / 2);
        let share = |cost| {
            let meta = entry(xfetch_reach(cost, 1.0), TTL);
            (0..20_000).filter(|n| due(&meta, 0, Early::XFetch { beta: 1.0 }, late, Draw(5).fork(*n))).count()
        };
        assert!(share(leaked) > 10_000, "control: unclamped, most requests reload at half of the ttl");
        let clamped = share(xfetch_cost(leaked, Some(Span(COST)), Span(TTL)));
        assert!(clamped < 60, "e^-7.5 of 20,000 are 11, found {clamped}");
    }
}
