//! S9: somebody asks for keys that do not exist.

use bellwether_core::filter::odds::BASE_ODDS;
use bellwether_core::time::Span;

use super::figure::Figure;
use super::ladder::{Ladder, Shows};
use super::name::Scenario;
use super::study::{Goal, Sizes, Study};
use crate::fleet::{Case, Memory, PolicySet, Start};

const SETS: [PolicySet; 4] = [PolicySet::Naive, PolicySet::PerProcess, PolicySet::Lease, PolicySet::Full];
/// Rows that there are: a filter is made of their keys.
const EXISTING: u64 = 1_000_000;
/// So many times what passes the list alone may reach the origin: there is an overlay, and chance.
const NEAR: f64 = 1.5;
/// What such a filter may take of memory for each key that exists.
const BITS: f64 = 20.0;

pub(super) fn cases() -> Vec<Case> {
    vec![Case {
        says: Scenario::S9.says(),
        keys: 1_000_000,
        rate: 100_000.0,
        start: Start::Empty,
        memory: Memory::None,
        missing: true,
        existing: Some(EXISTING),
        load: Span::ms(10),
        capacity: Some(64),
        length: Span::secs(10),
        bin: Span::ms(250),
        ..Case::default()
    }]
}

pub(super) fn studies(sizes: &Sizes) -> Vec<Box<dyn Study>> {
    let small = |case| if sizes.small { Case { keys: 1_000_000, rate: 40_000.0, processes: 10, ..case } } else { case };
    let study = |case: Case| {
        let bound = BASE_ODDS * sizes.rate.unwrap_or(case.rate);
        Ladder {
            scenario: Scenario::S9,
            case,
            sets: SETS.to_vec(),
            measure: Figure::OriginRate,
            bound,
            bound_says: "a filter with fingerprints of 16 bits lets so many pass: 1 in 65,536",
            columns: vec![
                Figure::Loads,
                Figure::BitsPerKey,
                Figure::PeakAtOrigin,
                Figure::LoadsFailed,
                Figure::Blocked,
                Figure::Failed,
                Figure::WaitP99,
            ],
            goals: vec![Goal::at_most(Figure::OriginRate, NEAR * bound), Goal::at_most(Figure::BitsPerKey, BITS)],
            shows: Shows::Loads,
            full_says: Some(
                "all of Bellwether, and a filter of the keys that exist (`filter = true`), which is off by default",
            ),
        }
    };
    cases().into_iter().map(|case| study(small(case)).sized(sizes)).collect()
}
