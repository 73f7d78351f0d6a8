//! Do sound rules keep every guarantee over thousands of seeds, and is each broken rule caught?

use bellwether_core::why::Why;
use bellwether_sim::{Guarantee, Report, Rule, Rules, Scenario, run};

/// Unless `BELLWETHER_SIM_SEEDS` names another number.
const SEEDS: u64 = 6_000;
/// A broken rule must show within this many.
const CAUGHT_WITHIN: u64 = 4_000;

fn simulate(seed: u64, rules: &Rules) -> Report {
    run(seed, &Scenario::drawn(seed), rules)
}

#[test]
fn sound_rules_keep_every_guarantee_whatever_breaks() {
    let named = std::env::var("BELLWETHER_SIM_SEEDS").ok();
    let seeds = named.map_or(SEEDS, |n| n.parse().expect("BELLWETHER_SIM_SEEDS is a number"));
    let mut loads = 0;
    let mut requests = 0;
    let mut at_once = 0;
    let mut seen = std::collections::BTreeMap::new();
    let mut bad = Vec::new();
    for seed in 0..seeds {
        let report = simulate(seed, &Rules::SOUND);
        requests += report.requests;
        loads += report.loads;
        at_once = at_once.max(report.most_at_once.0);
        for (why, n) in &report.answered {
            *seen.entry(*why).or_insert(0u64) += n;
        }
        if !report.violations.is_empty() {
            bad.push(report);
        }
    }
    println!("{seeds} seeds: {requests} requests, {loads} loads, at most {at_once} of a key at once, {seen:?}");
    assert!(bad.is_empty(), "{} seeds of {seeds}; the first:\n{}", bad.len(), bad[0]);
    // The runs went where it hurts, or they prove little.
    assert_eq!(at_once, 2, "two loads of a key were never side by side");
    let reached = [
        Why::Hit,
        Why::StaleRefreshing,
        Why::StaleError,
        Why::StaleShed,
        Why::RescuedInvalidated,
        Why::Default,
        Why::Negative,
        Why::Loaded,
        Why::Coalesced,
        Why::Bypass,
        Why::NotCached,
        Why::Timeout,
        Why::ShedQueue,
        Why::ShedRate,
        Why::ShedPriority,
        Why::Cooling,
        Why::OriginTimeout,
        Why::OriginRefused,
        Why::OriginFailed,
        Why::Rejected,
        Why::TooLarge,
        Why::Uncacheable,
    ];
    let missed: Vec<_> = reached.iter().filter(|why| !seen.contains_key(why)).collect();
    assert!(missed.is_empty(), "never reached: {missed:?}");
}

#[test]
fn the_same_seed_gives_the_same_report() {
    for seed in 0..200 {
        let rules = if seed % 2 == 0 { Rules::SOUND } else { Rules::without(Rule::Fence) };
        let text = |_| format!("{:?}", simulate(seed, &rules));
        assert_eq!(text(1), text(2));
    }
}

/// The guarantees of which one must be seen broken when `rule` is.
fn breaks(rule: Rule) -> &'static [Guarantee] {
    match rule {
        Rule::Fence => &[Guarantee::NoLateWriter, Guarantee::DeleteWins],
        Rule::Overtake | Rule::Outdated | Rule::EveryInvalidation => &[Guarantee::DeleteWins],
        Rule::Recheck | Rule::RefreshRecheck => &[Guarantee::OneLoad],
        // What reads ahead of its turn does not count as reading: those who come after a removal join it.
        Rule::Park => &[Guarantee::OneLoad, Guarantee::DeleteWins],
        Rule::Permit => &[Guarantee::OriginBudget],
        Rule::Cool | Rule::CoolKept => &[Guarantee::CoolDown],
        Rule::Detached | Rule::Deadline => &[Guarantee::BoundedWaiting],
        Rule::Release | Rule::Timeout => &[Guarantee::NothingLost],
        Rule::Supersede => &[Guarantee::NewestStays],
        Rule::Private => &[Guarantee::ReplyBelongs],
    }
}

#[test]
fn every_broken_rule_is_caught() {
    let mut escaped = Vec::new();
    for rule in Rule::ALL {
        let expected = breaks(*rule);
        let caught = (0..CAUGHT_WITHIN)
            .map(|seed| simulate(seed, &Rules::without(*rule)))
            .find(|report| report.violations.iter().any(|violation| expected.contains(&violation.guarantee)));
        match caught {
            Some(report) => println!("without {rule:?}, {report}"),
            None => escaped.push(rule),
        }
    }
    assert!(escaped.is_empty(), "not caught within {CAUGHT_WITHIN} seeds: {escaped:?}");
}
