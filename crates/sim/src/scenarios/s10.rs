//! S10: the origin becomes slow, or dies, for a minute; or it is asked for three times as much as it bears.

use bellwether_core::time::Span;

use super::figure::Figure;
use super::ladder::{COLUMNS, Ladder, Shows};
use super::name::Scenario;
use super::study::{Goal, Sizes, Study};
use crate::fleet::{Case, Fault, Memory, PolicySet, Start, Trouble};

pub(super) fn cases() -> Vec<Case> {
    let minute = |trouble| Some(Fault { from: Span::secs(60), until: Span::secs(120), trouble });
    let troubled = Case {
        keys: 50,
        ttl: Span::secs(10),
        load: Span::ms(50),
        capacity: Some(64),
        length: Span::secs(240),
        bin: Span::secs(1),
        ..Case::default()
    };
    vec![
        Case {
            variant: "slow",
            says: "the origin is 10 x slower for 60 s",
            fault: minute(Trouble::Slow(10)),
            ..troubled.clone()
        },
        Case {
            variant: "dead",
            says: "the origin is dead for 60 s: every load hangs until it is given up",
            fault: minute(Trouble::Dead),
            ..troubled
        },
    ]
}

pub(super) fn studies(sizes: &Sizes) -> Vec<Box<dyn Study>> {
    let small = |case| {
        if sizes.small {
            Case { rate: 1_000.0, keys: 20, processes: 10, capacity: Some(4), length: Span::secs(150), ..case }
        } else {
            case
        }
    };
    let study = |case| Ladder {
        scenario: Scenario::S10,
        case,
        sets: PolicySet::ALL.to_vec(),
        measure: Figure::Amplification,
        bound: 1.0,
        bound_says: "no more loads than without the fault; 100 % answered from stale",
        columns: [&[Figure::Answered, Figure::Recovered], &COLUMNS[..]].concat(),
        goals: vec![Goal::at_least(Figure::Answered, 1.0), Goal::at_most(Figure::Amplification, 1.1)],
        shows: Shows::Loads,
        full_says: None,
    };
    let cases = cases().into_iter().map(|case| study(small(case)).sized(sizes));
    cases.chain([overloaded(sizes)]).collect()
}

const OVERLOADED: [PolicySet; 4] = [PolicySet::Naive, PolicySet::PerProcess, PolicySet::Lease, PolicySet::Full];
/// Requests, as a multiple of what the origin bears.
const TIMES: f64 = 3.0;

/// Nobody asks for a key twice, so that no cache helps: what is left is whom the origin works for.
fn overloaded(sizes: &Sizes) -> Box<dyn Study> {
    let (workers, processes) = if sizes.small { (16, 2) } else { (64, 4) };
    let case = Case {
        variant: "overloaded",
        says: "the origin is asked for three times as much as it bears, by callers of three classes",
        processes,
        keys: 4_000_000,
        rate: TIMES * f64::from(workers) * 1000.0 / 50.0,
        start: Start::Empty,
        memory: Memory::None,
        ttl: Span::secs(1),
        grace: Span::ZERO,
        load: Span::ms(50),
        capacity: Some(workers),
        permits: workers,
        classes: Some(Span::secs(10)),
        length: Span::secs(50),
        bin: Span::secs(1),
        ..Case::default()
    };
    let study = Ladder {
        scenario: Scenario::S10,
        case,
        sets: OVERLOADED.to_vec(),
        measure: Figure::Goodput,
        bound: 1.0,
        bound_says: "all that the origin bears reaches a caller who still waits",
        columns: vec![
            Figure::Critical,
            Figure::Failed,
            Figure::Loads,
            Figure::LoadsFailed,
            Figure::PeakAtOrigin,
            Figure::WaitP99,
        ],
        goals: vec![Goal::at_least(Figure::Goodput, 0.95), Goal::at_least(Figure::Critical, 0.999)],
        shows: Shows::Answers,
        full_says: None,
    };
    study.sized(sizes)
}
