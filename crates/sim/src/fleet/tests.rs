//! Do the fleet's figures follow from the design, and does a fleet without defence show the stampede?

use bellwether_core::time::Span;

use super::arrivals::Crowd;
use super::case::Case;
use super::compare;
use super::outcome::Outcome;
use super::policy_set::PolicySet;
use super::world::{Calm, Fleet};
use crate::scenarios::{Scenario, ladder};

fn run(case: &Case, set: PolicySet) -> Outcome {
    compare(case, &[set], 1).expect("a sensible case").remove(0)
}

/// A scenario's first case, made smaller where a debug build would take long.
fn case(scenario: Scenario) -> Case {
    ladder(scenario).remove(0)
}

/// S2 with five periods at a tenth of the rate.
fn steady() -> Case {
    Case { rate: 2_000.0, length: Span::secs(300), ..case(Scenario::S2) }
}

fn adds_up(outcome: &Outcome) {
    assert_eq!(outcome.requests, outcome.fresh + outcome.stale + outcome.failed, "{:?}", outcome.policy);
    assert!(!outcome.cut_short && outcome.requests > 0);
}

#[test]
fn s1_a_flash_sale_makes_exactly_one_load_under_the_lease_and_a_stampede_without_defence() {
    let case = case(Scenario::S1);
    let outcomes = compare(&case, &PolicySet::ALL, 1).expect("a sensible case");
    outcomes.iter().for_each(adds_up);
    let of = |set| outcomes.iter().find(|outcome| outcome.policy == set).expect("every set ran");
    assert_eq!(of(PolicySet::Naive).requests, 20_000);
    assert_eq!((of(PolicySet::Lease).loads, of(PolicySet::Lease).failed), (1, 0));
    assert_eq!((of(PolicySet::Lead).loads, of(PolicySet::Lead).blocked), (1, 0), "a copy exists: nobody waits");
    assert_eq!(of(PolicySet::PerProcess).loads, 50);
    // Controls: the stampede is there, and it hurts.
    assert_eq!(of(PolicySet::Naive).loads, 20_000);
    assert!(of(PolicySet::Naive).failed > 10_000);
    assert!(of(PolicySet::Stale).loads > 10_000 && of(PolicySet::Stale).blocked == 0);
}

#[test]
fn s2_a_lead_makes_no_more_loads_than_the_bound_and_blocks_nobody() {
    let case = steady();
    let lead = run(&case, PolicySet::Lead);
    adds_up(&lead);
    assert!(lead.loads >= 5 && lead.loads_ratio() <= 1.02, "{} loads, {} due", lead.loads, lead.due);
    assert_eq!((lead.blocked, lead.failed, lead.loads_per_period()), (0, 0, 1.0));
    let lease = run(&case, PolicySet::Lease);
    assert_eq!(lease.loads_per_period(), 1.0);
    assert!(lease.blocked > 0 && lease.failed == 0, "without grace an expiry is waited for");
    let each = run(&case, PolicySet::PerProcess).loads_per_period();
    assert!((40.0..=50.0).contains(&each), "about one load a process: {each}");
    // Controls.
    let (naive, stale) = (run(&case, PolicySet::Naive), run(&case, PolicySet::Stale));
    assert!(
        naive.loads_per_period() > 100.0 && stale.loads_per_period() > 100.0,
        "{} {}",
        naive.loads_per_period(),
        stale.loads_per_period()
    );
    assert!(stale.blocked == 0 && naive.blocked > 500);
}

#[test]
fn s6_jitter_turns_a_wall_into_a_hill() {
    let small = |case: Case| Case { keys: 500, processes: 5, rate: 2_000.0, length: Span::secs(3_900), ..case };
    let mut cases = ladder(Scenario::S6).into_iter().map(small);
    let (wall, hill) = (cases.next().expect("no jitter"), cases.next().expect("10 %"));
    let peak = |case: &Case| run(case, PolicySet::PerProcess).peak_loads;
    assert!(peak(&wall) > 450, "{}", peak(&wall));
    assert!(peak(&hill) <= 15, "{}", peak(&hill));
}

#[test]
fn s10_whatever_the_origin_does_everybody_is_answered_from_stale() {
    for case in ladder(Scenario::S10) {
        let case = Case { rate: 1_000.0, keys: 20, processes: 10, capacity: Some(4), length: Span::secs(150), ..case };
        let lead = run(&case, PolicySet::Lead);
        adds_up(&lead);
        let through = lead.fault.expect("a fault");
        assert_eq!((through.answered, lead.failed), (1.0, 0), "{}", case.variant);
        assert!(through.recovery.is_some_and(|span| span <= Span::secs(15)), "{through:?}");
        // Control: without grace or coalescing the fault is felt.
        let naive = run(&case, PolicySet::Naive).fault.expect("a fault");
        assert!(naive.answered < 0.99, "{} {naive:?}", case.variant);
        assert!(naive.amplification > through.amplification);
    }
}

#[test]
fn counting_requests_while_everything_is_calm_changes_nothing() {
    let mut cases = vec![Case { length: Span::secs(130), rate: 500.0, ..steady() }];
    cases.push(Case {
        ttl: Span::secs(20),
        load: Span::ms(50),
        keys: 3,
        rate: 300.0,
        processes: 4,
        ..cases[0].clone()
    });
    cases.extend(ladder(Scenario::S10).into_iter().map(|case| Case { rate: 200.0, keys: 10, ..case }));
    for case in &cases {
        for set in PolicySet::ALL {
            let crowd = Crowd::of(case, 5);
            let outcome = |calm| Fleet::new(case, set, 5, &crowd, calm).run();
            assert_eq!(outcome(Calm::Counted), outcome(Calm::Decided), "{} {set}", case.variant);
        }
    }
}

/// Loads per period of XFetch alone where all loads take equally long.
fn xfetch(beta: f64) -> f64 {
    // Long enough for the furthest draw; the smaller beta, the more a period's loads differ from the mean.
    let ttl = (beta * 1_650.0) as u64;
    let case = Case {
        rate: 1_000.0,
        ttl: Span(ttl),
        jitter: 0.0,
        load: Span::ms(40),
        spread: 0.0,
        beta,
        length: Span((1_500.0 / beta) as u64 * ttl),
        ..case(Scenario::S2)
    };
    run(&case, PolicySet::XFetch).loads_per_period()
}

#[test]
fn xfetch_alone_makes_e_to_the_one_over_beta_loads_a_period() {
    for beta in [1.0, 2.0, 4.0] {
        let found = xfetch(beta);
        let expected = (1.0f64 / beta).exp();
        println!("beta {beta}: {found:.3} loads a period, expected {expected:.3}");
        assert!((found / expected - 1.0).abs() < 0.05, "beta {beta}: {found} instead of {expected}");
        // Control: another beta's figure is not mistaken for it.
        let other = (1.0 / (beta * 2.0)).exp();
        assert!((found / other - 1.0).abs() > 0.05, "beta {beta} can't be told from {}", beta * 2.0);
    }
}

#[test]
fn every_set_and_seed_sees_the_same_requests_and_another_seed_others() {
    let case = Case { length: Span::secs(70), rate: 500.0, ..steady() };
    let outcomes = compare(&case, &PolicySet::ALL, 9).expect("a sensible case");
    assert!(outcomes.iter().all(|outcome| outcome.requests == outcomes[0].requests));
    assert_eq!(outcomes, compare(&case, &PolicySet::ALL, 9).expect("a sensible case"));
    let other = compare(&case, &[PolicySet::Naive], 10).expect("a sensible case");
    assert_ne!(other[0].requests, outcomes[0].requests);
}

#[test]
fn a_case_without_sense_is_refused() {
    for case in
        [Case { processes: 0, ..steady() }, Case { rate: f64::NAN, ..steady() }, Case { rate: 1e12, ..steady() }]
    {
        assert!(compare(&case, &[PolicySet::Naive], 1).is_err());
    }
}
