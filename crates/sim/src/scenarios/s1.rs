//! S1: a flash sale finds its key expired; or the key is removed again and again while it is sold.

use bellwether_core::time::Span;

use super::figure::Figure;
use super::ladder::{COLUMNS, Ladder, Shows};
use super::name::Scenario;
use super::storm;
use super::study::{Goal, Sizes, Study};
use crate::fleet::{Arrivals, Case, PolicySet, Start};

pub(super) fn cases() -> Vec<Case> {
    let sale = Case {
        says: "a flash sale's requests, all within 100 ms, on one expired key",
        rate: 200_000.0,
        arrivals: Arrivals::EvenFor(Span::ms(100)),
        start: Start::Expired,
        capacity: Some(100),
        once: true,
        length: Span::secs(3),
        bin: Span::ms(20),
        ..Case::default()
    };
    let cold = Case {
        variant: "no copy",
        says: "the same, on a key that nobody has ever loaded",
        start: Start::Empty,
        ..sale.clone()
    };
    vec![sale, cold]
}

pub(super) fn studies(sizes: &Sizes) -> Vec<Box<dyn Study>> {
    let study = |case: Case| {
        let copy = case.start == Start::Expired;
        Ladder {
            scenario: Scenario::S1,
            case,
            sets: PolicySet::ALL.to_vec(),
            measure: Figure::Loads,
            bound: 1.0,
            bound_says: if copy { "1 load; 0 blocked if any copy exists" } else { "1 load: everybody waits for it" },
            columns: COLUMNS[1..].to_vec(),
            goals: vec![
                Goal::at_most(Figure::Loads, 1.0),
                if copy { Goal::at_most(Figure::Blocked, 0.0) } else { Goal::at_most(Figure::Failed, 0.0) },
            ],
            shows: Shows::Loads,
            full_says: None,
        }
    };
    cases().into_iter().map(|case| study(case).sized(sizes)).chain([storm::study(sizes)]).collect()
}
