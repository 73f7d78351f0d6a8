//! S8: the whole fleet starts with nothing.

use bellwether_core::time::Span;

use super::figure::Figure;
use super::ladder::{Ladder, Shows};
use super::name::Scenario;
use super::study::{Goal, Sizes, Study};
use crate::fleet::{Case, Memory, PolicySet, Popularity, Start, masses};

/// How many of the requests must be hits.
const FULL: f64 = 0.99;
/// What the design allows: a quarter longer than nothing could be faster than.
const MOST_TIME: f64 = 1.25;

const SETS: [PolicySet; 5] =
    [PolicySet::Naive, PolicySet::PerProcess, PolicySet::Ramp, PolicySet::Lease, PolicySet::Full];
/// Without a grace what lies on a disk is of no use: as many sets as show that.
const WITH_A_COPY: [PolicySet; 3] = [PolicySet::Naive, PolicySet::Lease, PolicySet::Full];

pub(super) fn cases() -> Vec<Case> {
    let cold = Case {
        processes: 1_000,
        keys: 40_000,
        popularity: Popularity::Zipf(0.99),
        rate: 20_000.0,
        start: Start::Empty,
        memory: Memory::None,
        ttl: Span::secs(3_600),
        grace: Span::secs(3_600),
        load: Span::ms(50),
        capacity: Some(64),
        // A thousand instances share 64 workers: none has a pool of its own for more.
        permits: 1,
        length: Span::secs(90),
        bin: Span::secs(1),
        ..Case::default()
    };
    vec![
        Case { variant: "empty", says: "1,000 instances and their shared tier start with nothing", ..cold.clone() },
        Case {
            variant: "hot list",
            says: "1,000 instances start with nothing but the lists of what was read most",
            hot_list: true,
            ..cold.clone()
        },
        Case {
            variant: "snapshot",
            says: "1,000 instances start with what lay on disk: 95 of 100 keys, all past their ttl",
            start: Start::Snapshot,
            ..cold
        },
    ]
}

/// An oracle fills the keys in the order of their popularity, at the origin's capacity.
struct Oracle {
    filled: Span,
    failures: f64,
}

fn oracle(case: &Case) -> Oracle {
    let below = match case.popularity {
        Popularity::Zipf(exponent) => masses(case.keys, exponent),
        Popularity::Equal => (1..=case.keys).map(f64::from).collect(),
    };
    let whole = below.last().copied().unwrap_or(1.0);
    let per_second = f64::from(case.capacity.unwrap_or(u32::MAX)) * 1000.0 / case.load.0 as f64;
    let enough = below.partition_point(|mass| *mass < FULL * whole) + 1;
    let mut failures = 0.0;
    let mut before = 0.0;
    for (rank, mass) in below.iter().enumerate() {
        // Its requests of the time before, but for those who wait until it comes.
        let fails = ((rank + 1) as f64 / per_second - case.timeout.0 as f64 / 1000.0).max(0.0);
        failures += case.rate * (mass - before) / whole * fails;
        before = *mass;
    }
    Oracle { filled: Span((1000.0 * enough as f64 / per_second) as u64), failures }
}

pub(super) fn studies(sizes: &Sizes) -> Vec<Box<dyn Study>> {
    let small = |case| {
        if sizes.small {
            Case { processes: 50, keys: 4_000, rate: 2_000.0, capacity: Some(16), length: Span::secs(40), ..case }
        } else {
            case
        }
    };
    let study = |case: Case| {
        let best = oracle(&Case { rate: sizes.rate.unwrap_or(case.rate), ..case.clone() });
        let empty = case.start == Start::Empty;
        let sets = if empty && !case.hot_list { SETS.to_vec() } else { WITH_A_COPY.to_vec() };
        let (bound, filled) = (best.filled.0 as f64, Goal::at_most(Figure::Filled, MOST_TIME * best.filled.0 as f64));
        let answered = Goal::at_most(Figure::Failures, if empty { MOST_TIME * best.failures } else { 0.0 });
        Ladder {
            scenario: Scenario::S8,
            case,
            sets,
            measure: if empty { Figure::Filled } else { Figure::Failures },
            bound: if empty { bound } else { 0.0 },
            bound_says: if empty {
                "an oracle that fills the most popular keys first, at the origin's capacity"
            } else {
                "there is a copy of nearly everything"
            },
            columns: vec![
                if empty { Figure::Failures } else { Figure::Filled },
                Figure::Failed,
                Figure::Loads,
                Figure::LoadsFailed,
                Figure::PeakAtOrigin,
                Figure::Stale,
                Figure::WaitP99,
            ],
            goals: if empty { vec![filled, answered] } else { vec![answered] },
            shows: Shows::Failures,
            full_says: None,
        }
    };
    cases().into_iter().map(|case| study(small(case)).sized(sizes)).collect()
}
