//! S2: a popular key expires again and again.

use bellwether_core::time::Span;

use super::figure::Figure;
use super::ladder::{COLUMNS, Ladder, Shows};
use super::name::Scenario;
use super::study::{Goal, Sizes, Study};
use crate::fleet::{Case, PolicySet};

pub(super) fn cases() -> Vec<Case> {
    let at = |variant, says, rate| Case { variant, says, rate, ..Case::default() };
    vec![
        at("", Scenario::S2.says(), 20_000.0),
        at("10,000/s", "one key at 10,000 requests/s expires every minute", 10_000.0),
        at("200,000/s", "one key at 200,000 requests/s expires every minute", 200_000.0),
    ]
}

pub(super) fn studies(sizes: &Sizes) -> Vec<Box<dyn Study>> {
    let small = |case: Case| {
        if sizes.small { Case { rate: case.rate / 10.0, length: Span::secs(190), ..case } } else { case }
    };
    let study = |case| Ladder {
        scenario: Scenario::S2,
        case,
        sets: PolicySet::ALL.to_vec(),
        measure: Figure::LoadsPerPeriod,
        bound: 1.0,
        bound_says: "1 load a period; elapsed / mean(stamped ttl - lead) loads in all",
        columns: COLUMNS.to_vec(),
        goals: vec![
            Goal::at_most(Figure::LoadsPerPeriod, 1.02),
            Goal::at_most(Figure::LoadsRatio, 1.02),
            Goal::at_most(Figure::Blocked, 0.0),
        ],
        shows: Shows::Loads,
        full_says: None,
    };
    // Cases differ in nothing but their rate.
    let cases = cases().into_iter().take(if sizes.rate.is_some() { 1 } else { usize::MAX });
    cases.map(|case| study(small(case)).sized(sizes)).collect()
}
