//! What is done to the process? Policies, budgets, crowds and faults, drawn from a seed.

use bellwether_core::policy::{Budget, Early, Policy};
use bellwether_core::time::Span;

use crate::world::Dice;

/// What one run is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Of the one space.
    pub policy: Policy,
    /// Of its origin.
    pub budget: Budget,
    /// Keys that are asked for.
    pub keys: u8,
    /// Requests of the run.
    pub requests: u32,
    /// They come within this time, in bursts.
    pub length: Span,
    /// Rows that are written, each followed by an invalidation of some kind.
    pub writes: u32,
    /// The median of a load's service time.
    pub load: Span,
    /// Whether the origin names a version of its rows.
    pub versions: bool,
    /// What goes wrong.
    pub faults: Faults,
}

/// How often what goes wrong: shares of loads, or events of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Faults {
    /// Loads that take ten times as long.
    pub slow: f64,
    /// Loads that never return.
    pub hang: f64,
    /// Loads that end in an error, a panic or a refusal.
    pub fail: f64,
    /// Loads whose answer is garbage.
    pub garbage: f64,
    /// Loads whose answer may not be kept, or not even be shared.
    pub uncacheable: f64,
    /// Entries that are refused because they are too large.
    pub too_large: f64,
    /// Tasks are run up to this much later than they could.
    pub delay: Span,
    /// Callers that give up before their deadline.
    pub impatient: f64,
    /// Loads whose task is aborted.
    pub abort: f64,
    /// Evictions under memory pressure.
    pub evictions: u32,
    /// Jumps of the clock: a suspended machine.
    pub jumps: u32,
}

impl Scenario {
    /// A scenario drawn from `seed`: mostly small, every fault present in some.
    pub fn drawn(seed: u64) -> Scenario {
        let mut dice = Dice::of(seed ^ 0x5CE4_A210);
        let d = &mut dice;
        let load = Span(d.one_of(&[1, 5, 20, 60]));
        let grace = Span(d.one_of(&[0, 0, 150, 2000]));
        let policy = Policy {
            stale_while_revalidate: if d.chance(0.6) { grace } else { Span::ZERO },
            stale_if_error: Span(d.one_of(&[grace.0, 0, 500])),
            timeout: Span(d.one_of(&[30, 100, 400])),
            negative_ttl: Span(d.one_of(&[20, 150])),
            jitter: d.one_of(&[0.0, 0.1, 0.5]),
            early: d.one_of(&[Early::Off, Early::Lead, Early::XFetch { beta: 2.0 }]),
            rescue_invalidated: d.chance(0.3),
            ..Policy::ttl(Span(d.one_of(&[40, 200, 1000])))
        };
        let rate = d.chance(0.4).then(|| d.one_of(&[20.0, 100.0, 500.0]));
        // From dice of their own: what a seed means besides stays what it was.
        let mut guards = Dice::of(seed ^ 0x60A2_D5E1);
        let budget = Budget {
            max_concurrency: d.one_of(&[1, 2, 4, 16]),
            adaptive: guards.chance(0.5),
            breaker: guards.chance(0.5),
            rate,
            refresh_rate: rate.filter(|_| d.chance(0.5)).map(|rate| rate / 4.0),
            timeout: Span(load.0 * 4 + 40),
            queue_wait: Span(d.one_of(&[20, 100, 500])),
            queue_limit: d.one_of(&[1, 4, 1000]),
        };
        let faulty = if d.chance(0.3) { 0.0 } else { d.draw().unit() };
        let faults = Faults {
            slow: 0.3 * faulty * d.draw().unit(),
            hang: 0.2 * faulty * d.draw().unit(),
            fail: d.one_of(&[0.0, 0.1, 0.6]) * faulty,
            garbage: 0.1 * faulty * d.draw().unit(),
            uncacheable: d.one_of(&[0.0, 0.0, 0.05]),
            too_large: d.one_of(&[0.0, 0.0, 0.05]),
            delay: Span(d.one_of(&[0, 1, 5])),
            impatient: d.one_of(&[0.0, 0.1, 0.5]),
            abort: d.one_of(&[0.0, 0.0, 0.05]),
            evictions: d.one_of(&[0, 0, 5]),
            jumps: d.one_of(&[0, 0, 0, 2]),
        };
        Scenario {
            policy,
            budget,
            keys: d.one_of(&[1, 2, 4]),
            requests: d.one_of(&[40, 80, 160]),
            length: Span(d.one_of(&[100, 500, 2000])),
            writes: d.one_of(&[0, 4, 12, 30]),
            load,
            versions: d.chance(0.5),
            faults,
        }
    }
}
