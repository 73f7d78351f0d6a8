//! S3: the process that loads a popular key dies while it loads.

use bellwether_core::lease;
use bellwether_core::time::Span;

use super::figure::Figure;
use super::ladder::{Ladder, Shows};
use super::name::Scenario;
use super::study::{Goal, Sizes, Study};
use crate::fleet::{Case, PolicySet, Start};

/// One load of a hundred takes longer than this many times the mean (lognormal, sigma 0.3).
const P99: f64 = 1.92;

const SETS: [PolicySet; 5] =
    [PolicySet::Naive, PolicySet::Lock, PolicySet::PerProcess, PolicySet::Lease, PolicySet::Full];

pub(super) fn cases() -> Vec<Case> {
    let crash = Case {
        // Long enough that nobody is turned away: how long they wait is what is asked.
        timeout: Span::secs(5),
        crash: Some(Span::ZERO),
        once: true,
        length: Span::secs(6),
        bin: Span::ms(50),
        ..Case::default()
    };
    vec![
        Case {
            variant: "with a copy",
            says: "the process that refreshes a key at 20,000 requests/s dies in the middle of its load",
            start: Start::Expired,
            ..crash.clone()
        },
        Case {
            variant: "no copy",
            says: "the process that loads a key at 20,000 requests/s dies in the middle; nothing stale is left",
            start: Start::Empty,
            ..crash
        },
    ]
}

pub(super) fn studies(sizes: &Sizes) -> Vec<Box<dyn Study>> {
    let small = |case| if sizes.small { Case { rate: 1_000.0, processes: 10, ..case } } else { case };
    let study = |case: Case| {
        let lease = lease::length(None, case.load_timeout);
        let longest = (lease + case.load.scale(P99)).0 as f64;
        let copy = case.start == Start::Expired;
        let blocked = copy.then_some(Goal::at_most(Figure::Blocked, 0.0));
        let goals = [Goal::at_most(Figure::Loads, 2.0), Goal::at_most(Figure::WaitMax, longest)];
        // Two heartbeats are missed before anybody can know, then the value is loaded; the dead holder had half a
        // load behind it.
        let detect = (lease::presumed_gone(lease) + case.load).0 as f64;
        Ladder {
            scenario: Scenario::S3,
            case,
            sets: SETS.to_vec(),
            measure: Figure::WaitMax,
            bound: if copy { 0.0 } else { detect },
            bound_says: if copy {
                "0 with a stale copy"
            } else {
                "the holder is known to be gone (two heartbeats of a 2 s lease), then one load"
            },
            columns: vec![
                Figure::Loads,
                Figure::Blocked,
                Figure::Failed,
                Figure::Stale,
                Figure::Polls,
                Figure::WaitP50,
                Figure::WaitP999,
            ],
            goals: blocked.into_iter().chain(goals).collect(),
            shows: Shows::Polls,
            full_says: None,
        }
    };
    cases().into_iter().map(|case| study(small(case)).sized(sizes)).collect()
}
