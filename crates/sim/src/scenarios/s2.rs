//! S2: a popular key expires again and again.

use bellwether_core::time::Span;

use super::figure::Figure;
use super::ladder::{COLUMNS, Ladder, Shows};
use super::name::Scenario;
use super::study::{Goal, Sizes, Study};
use crate::fleet::{Case, PolicySet};

pub(super) fn cases() -> Vec<Case> {
    vec![Case { says: Scenario::S2.says(), ..Case::default() }]
}

pub(super) fn studies(sizes: &Sizes) -> Vec<Box<dyn Study>> {
    let small = |case| {
        if sizes.small { Case { rate: 2_000.0, length: Span::secs(190), ..case } } else { case }
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
    cases().into_iter().map(|case| study(small(case)).sized(sizes)).collect()
}
