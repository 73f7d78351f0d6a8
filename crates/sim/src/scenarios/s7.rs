//! S7: many servers read one key out of their own memory, and out of the shared tier now and then.

use bellwether_core::time::Span;

use super::figure::Figure;
use super::ladder::{Ladder, Shows};
use super::name::Scenario;
use super::study::{Goal, Sizes, Study};
use crate::fleet::{Case, Memory, PolicySet, Start};

/// How long a server believes its copy.
const COPY: Span = Span::secs(2);

pub(super) fn cases() -> Vec<Case> {
    vec![Case {
        says: Scenario::S7.says(),
        rate: 200_000.0,
        start: Start::Together,
        memory: Memory::For(COPY),
        ttl: Span::secs(600),
        length: Span::secs(60),
        bin: Span::secs(1),
        ..Case::default()
    }]
}

pub(super) fn studies(sizes: &Sizes) -> Vec<Box<dyn Study>> {
    let small = |case| if sizes.small { Case { rate: 20_000.0, length: Span::secs(20), ..case } } else { case };
    let study = |case: Case| {
        let bound = f64::from(sizes.processes.unwrap_or(case.processes)) * 1000.0 / COPY.0 as f64;
        Ladder {
            scenario: Scenario::S7,
            case,
            sets: vec![PolicySet::Direct, PolicySet::Apart, PolicySet::Full],
            measure: Figure::SharedReads,
            bound,
            bound_says: "servers / 2 s: each reads the shared tier once in the life of its copy",
            columns: vec![Figure::Loads, Figure::Blocked, Figure::Failed, Figure::WaitP999, Figure::Requests],
            // Copies live up to a tenth shorter, so that servers do not ask together.
            goals: vec![Goal::at_most(Figure::SharedReads, 1.1 * bound), Goal::at_most(Figure::Failed, 0.0)],
            shows: Shows::Polls,
            full_says: None,
        }
    };
    cases().into_iter().map(|case| study(small(case)).sized(sizes)).collect()
}
