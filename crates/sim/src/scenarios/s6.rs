//! S6: thousands of keys that were stored together expire together.

use bellwether_core::time::Span;

use super::figure::Figure;
use super::ladder::{COLUMNS, Ladder, Shows};
use super::name::Scenario;
use super::study::{Goal, Sizes, Study};
use crate::fleet::{Case, PolicySet, Start};

pub(super) fn cases() -> Vec<Case> {
    let hourly = Case {
        keys: 5_000,
        rate: 5_000.0,
        start: Start::Together,
        ttl: Span::secs(3_600),
        grace: Span::secs(3_600),
        length: Span::secs(2 * 3_600 + 600),
        bin: Span::secs(20),
        ..Case::default()
    };
    vec![
        Case {
            variant: "no jitter",
            says: "5,000 keys stored together expire together, every hour",
            jitter: 0.0,
            ..hourly.clone()
        },
        Case { variant: "10 % jitter", says: "5,000 keys stored together, each ttl up to 10 % shorter", ..hourly },
    ]
}

pub(super) fn studies(sizes: &Sizes) -> Vec<Box<dyn Study>> {
    let small = |case| {
        if sizes.small {
            // Smaller spaces are not paced.
            let (ttl, length) = (Span::secs(600), Span::secs(1_300));
            Case { keys: 1_200, processes: 4, rate: 400.0, ttl, grace: ttl, length, ..case }
        } else {
            case
        }
    };
    let study = |case: Case| {
        let mean = f64::from(case.keys) * 1000.0 / case.ttl.0 as f64;
        Ladder {
            scenario: Scenario::S6,
            case,
            sets: PolicySet::ALL.to_vec(),
            measure: Figure::PeakLoads,
            bound: mean,
            bound_says: "keys / ttl: the same loads spread evenly",
            columns: COLUMNS.to_vec(),
            goals: vec![Goal::at_most(Figure::PeakLoads, 2.0 * mean), Goal::at_most(Figure::Failed, 0.0)],
            shows: Shows::Loads,
            full_says: None,
        }
    };
    cases().into_iter().map(|case| study(small(case)).sized(sizes)).collect()
}
