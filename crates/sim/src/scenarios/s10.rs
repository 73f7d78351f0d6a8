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
    cases.chain(overloaded(sizes)).collect()
}

const OVERLOADED: [PolicySet; 4] = [PolicySet::Naive, PolicySet::PerProcess, PolicySet::Lease, PolicySet::Full];
/// Requests, as a multiple of what the origin bears.
const TIMES: f64 = 3.0;

/// Nobody asks for a key twice, so that no cache helps: what is left is whom the origin works for. One process has one guard
/// before the whole origin; those of a fleet know nothing of each other. Where each may take all of it the queue is at the
/// origin, which knows no classes.
fn overloaded(sizes: &Sizes) -> Vec<Box<dyn Study>> {
    let (workers, keys, length) =
        if sizes.small { (16, 400_000, Span::secs(25)) } else { (64, 4_000_000, Span::secs(50)) };
    let of = |variant, says, processes, permits| Case {
        variant,
        says,
        processes,
        keys,
        rate: TIMES * f64::from(workers) * 1000.0 / 50.0,
        start: Start::Empty,
        memory: Memory::None,
        ttl: Span::secs(1),
        grace: Span::ZERO,
        load: Span::ms(50),
        capacity: Some(workers),
        permits,
        classes: Some(Span::secs(10)),
        length,
        bin: Span::secs(1),
        ..Case::default()
    };
    let fleet = sizes.processes.unwrap_or(if sizes.small { 2 } else { 4 });
    let share = workers.div_ceil(fleet.max(1));
    let cases = [
        of(
            "overloaded",
            "one process asks for three times what the origin bears, for callers of three classes",
            1,
            workers,
        ),
        of("overloaded, in shares", "the same by processes that may each take their share of the origin", fleet, share),
        of("overloaded, all at once", "the same by processes that may each take the whole origin", fleet, workers),
    ];
    // How many processes there are is said above.
    let sized = |case| overload(case).sized(&Sizes { processes: None, ..*sizes });
    cases.into_iter().map(sized).collect()
}

fn overload(case: Case) -> Ladder {
    Ladder {
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
    }
}
