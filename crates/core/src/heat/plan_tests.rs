//! Is the right thing done about a hot key, and undone in time?

use super::*;
use crate::fence::Fence;
use crate::heat::hot::Rates;
use crate::heat::undone::Undone;
use crate::time::Tick;
use proptest::prelude::*;

fn hot(reads: f64, writes: f64, share: f64) -> Hot {
    let rates = Rates { reads, writes, bytes: reads * 100.0 };
    Hot { stage: Stage::Hot, here: rates, fleet: rates, share, since: Tick(0), hold_until: Tick(60_000) }
}

fn situation(hot: Hot) -> Situation {
    let allowed = Allowed { budget: Span::secs(2), extend_ttl: false, memory: false, shared: true, loads: true };
    Situation {
        hot: Some(hot),
        allowed,
        ttl: Span::secs(60),
        value_bytes: 1024,
        instances: 50,
        nodes: 3,
        replicas: 0,
        capacity: 100_000.0,
        heard: false,
        degraded: false,
        announced: false,
        threads: 2,
    }
}

fn planned(s: Situation) -> Reaction {
    plan(&s).expect("it is hot")
}

#[test]
fn a_promotion_lasts_so_long_that_asking_again_takes_a_twentieth_of_a_node() {
    let of = |instances, capacity, budget| {
        let mut s = situation(hot(80_000.0, 0.0, 0.8));
        (s.instances, s.capacity, s.allowed.budget) = (instances, capacity, budget);
        planned(s).promote
    };
    assert_eq!(of(1_000, 20_000.0, Span::secs(2)), Some(Span::secs(1)));
    assert_eq!(of(50, 100_000.0, Span::secs(2)), Some(Span::ms(100)), "never shorter");
    assert_eq!(of(1_000, 1_000.0, Span::secs(9)), Some(Span::secs(2)), "never longer");
    assert_eq!(of(1_000, 1_000.0, Span::ms(700)), Some(Span::ms(700)), "nor longer than the budget");
    assert_eq!(of(50, 100_000.0, Span::ms(20)), Some(Span::ms(20)), "the budget wins over the shortest");
    assert_eq!(of(50, 100_000.0, Span::ZERO), None);
}

#[test]
fn a_copy_that_ends_with_its_invalidation_lasts_as_long_as_the_budget_allows() {
    let of = |heard, budget| {
        let mut s = situation(hot(80_000.0, 0.0, 0.8));
        (s.heard, s.allowed.budget) = (heard, budget);
        planned(s).promote
    };
    assert_eq!(of(true, Span::secs(9)), Some(Span::secs(2)));
    assert_eq!(of(true, Span::ms(700)), Some(Span::ms(700)));
    assert_eq!(of(true, Span::ZERO), None);
    assert_eq!(of(false, Span::secs(9)), Some(Span::ms(100)), "the control: nobody tells of what changed");
}

#[test]
fn what_is_written_as_it_is_read_is_gathered_and_never_split() {
    for heavy in [hot(1_000.0, 201.0, 2.0), hot(900_000.0, 10_001.0, 9.0)] {
        let reaction = planned(situation(heavy));
        assert_eq!((reaction.reason, reaction.copies, reaction.promote), (Reason::WriteHeavy, 1, None));
        assert!(reaction.coalesce.is_some_and(|span| (Span::ms(5)..=Span::ms(20)).contains(&span)));
        assert_eq!(reaction.measures().collect::<Vec<_>>(), [Measure::Coalesce]);
    }
    assert_eq!(planned(situation(hot(1_000.0, 200.0, 2.0))).coalesce, None, "the control: a fifth is not more");
}

#[test]
fn what_must_not_be_held_is_spread_replicas_first() {
    let mut s = situation(hot(90_000.0, 0.0, 0.9));
    s.allowed.budget = Span::ZERO;
    let split = planned(s);
    assert_eq!((split.copies, split.reason), (3, Reason::NodeOverloaded), "ceil(.9 / .25) = 4, but three nodes");
    s.nodes = 9;
    assert_eq!(planned(s).copies, 7, "four would bear it, and each be asked twice as much as the mean");
    s.replicas = 3;
    assert_eq!((planned(s).replicas, planned(s).copies), (None, 7), "replicas lag, and no staleness is allowed");
    s.hot = Some(hot(90_000.0, 2_600.0, 0.9));
    assert_eq!(planned(s).copies, 3, "a fourth copy would cost more than a tenth of a node in writes");
    s.hot = Some(hot(90_000.0, 0.0, 0.2));
    assert_eq!((planned(s).copies, planned(s).reason), (1, Reason::Strict), "the control: a fifth of a node is borne");
    // Held in memory nothing remains to be spread.
    let promoted = planned(situation(hot(90_000.0, 0.0, 0.9)));
    assert_eq!((promoted.copies, promoted.reason), (1, Reason::ReadHeavy));
    // So many instances that even asking again is too much.
    let mut many = situation(hot(900_000.0, 0.0, 90.0));
    (many.instances, many.capacity, many.replicas, many.nodes) = (100_000, 10_000.0, 1, 100);
    many.allowed.budget = Span::secs(3);
    let spread = planned(many);
    assert_eq!(spread.replicas, Some(Span::ms(500)));
    assert!(spread.copies > 1, "{spread:?}");
    // What promotion leaves of the budget is what replicas may lag, and nothing of both is left to an extension.
    many.allowed.budget = Span::ms(2_300);
    let tight = planned(many);
    assert_eq!((tight.replicas, tight.extend, tight.staleness()), (Some(Span::ms(300)), None, Span::ms(2_300)));
    many.allowed.budget = Span::ms(2_099);
    assert_eq!(planned(many).replicas, None, "nobody could say in time that one lags by so little");
}

#[test]
fn what_is_done_stays_until_less_speaks_for_it_than_made_it_begin() {
    let mut s = situation(hot(90_000.0, 0.0, 0.24));
    (s.allowed.budget, s.nodes) = (Span::ZERO, 3);
    let done = |before: &Reaction, reads_share: f64, writes: f64| {
        let s = Situation { hot: Some(hot(90_000.0, writes, reads_share)), ..s };
        plan_after(&s, Some(before), 0.8).expect("it is hot")
    };
    let (calm, split) = (planned(s), planned(Situation { hot: Some(hot(90_000.0, 0.0, 0.26)), ..s }));
    assert_eq!((calm.copies, split.copies), (1, 3));
    assert_eq!((done(&split, 0.24, 0.0).copies, done(&split, 0.20, 0.0).copies), (3, 1), "of the share");
    assert_eq!(done(&calm, 0.24, 0.0).copies, 1, "the control: it does not begin there");
    // 100,000 operations a second, a tenth of it for the writes of all copies: 3,333 writes for three.
    assert_eq!((done(&calm, 0.9, 3_500.0).copies, done(&split, 0.9, 3_500.0).copies), (2, 3), "of what writes cost");
    assert_eq!(done(&split, 0.9, 4_500.0).copies, 2);
    let gathered = planned(Situation { hot: Some(hot(90_000.0, 10_001.0, 0.9)), ..s });
    assert_eq!(gathered.reason, Reason::WriteHeavy);
    assert_eq!(done(&gathered, 0.9, 8_500.0).reason, Reason::WriteHeavy);
    assert_ne!(done(&gathered, 0.9, 7_500.0).reason, Reason::WriteHeavy);
    assert_ne!(done(&split, 0.9, 8_500.0).reason, Reason::WriteHeavy, "the control");
    let mut near = situation(hot(90_000.0, 0.0, 0.3));
    (near.replicas, near.allowed.memory, near.instances) = (1, true, 27_000_000);
    let begun = planned(near);
    assert!(begun.replicas.is_some(), "{begun:?}");
    near.hot = Some(hot(90_000.0, 0.0, 0.23));
    assert_eq!(
        (planned(near).replicas, plan_after(&near, Some(&begun), 0.8).expect("hot").replicas),
        (None, begun.replicas)
    );
}

#[test]
fn a_large_value_is_compressed_and_has_no_reference_per_thread() {
    let mut s = situation(hot(500_000.0, 0.0, 0.9));
    (s.value_bytes, s.allowed.memory) = (64 * 1024 + 1, true);
    let large = planned(s);
    assert_eq!((large.compress, large.own_copies, large.reason), (true, false, Reason::LargeValue));
    s.value_bytes = 64 * 1024;
    assert_eq!((planned(s).compress, planned(s).own_copies), (false, true));
    let begun = planned(s);
    s.hot = Some(hot(450_000.0, 0.0, 0.9));
    assert!(!planned(s).own_copies, "a reference of one's own costs more than a count that nobody fights over");
    assert!(plan_after(&s, Some(&begun), 0.8).expect("hot").own_copies, "but stays");
    s.hot = Some(hot(500_000.0, 0.0, 0.9));
    assert!(!planned(Situation { threads: 1, ..s }).own_copies, "one thread fights with nobody");
    s.allowed.memory = false;
    assert!(!planned(s).own_copies && planned(s).promote.is_some(), "references are to what memory answers with");
}

#[test]
fn a_degraded_origin_doubles_the_promotion_up_to_the_budget() {
    let mut s = situation(hot(90_000.0, 0.0, 0.9));
    (s.instances, s.capacity) = (1_000, 20_000.0);
    let of = |mut s: Situation, budget| {
        s.allowed.budget = budget;
        let well = planned(s).promote.unwrap_or_default();
        s.degraded = true;
        (well, planned(s).promote.unwrap_or_default(), planned(s).reason)
    };
    assert_eq!(of(s, Span::secs(9)), (Span::secs(1), Span::secs(2), Reason::OriginDegraded));
    assert_eq!(of(s, Span::ms(1_500)), (Span::secs(1), Span::ms(1_500), Reason::OriginDegraded));
    s.instances = 1_000_000;
    assert_eq!(of(s, Span::secs(9)).1, Span::secs(4), "beyond the usual longest");
}

#[test]
fn freshness_is_extended_only_where_that_is_asked_for_or_the_origin_suffers() {
    let mut s = situation(hot(90_000.0, 0.0, 0.9));
    s.allowed.memory = true;
    let fresh = |s: Situation| planned(s).extend.map(|extend| extend.fresh);
    assert_eq!(fresh(s), Some(Span::ZERO));
    s.allowed.extend_ttl = true;
    assert_eq!(fresh(s), Some(Span::secs(2)));
    (s.allowed.extend_ttl, s.degraded, s.ttl) = (false, true, Span::ms(300));
    assert_eq!(fresh(s), Some(Span::ms(300)), "doubled, no more");
    s.allowed.budget = Span::ZERO;
    assert_eq!(planned(s).extend, None);
}

#[test]
fn an_announced_key_is_prepared_before_it_is_hot_and_a_watched_one_is_left_alone() {
    let watched = Hot { stage: Stage::Watched, ..hot(900.0, 0.0, 0.3) };
    let mut s = situation(watched);
    assert_eq!(plan(&s), None);
    (s.hot, s.announced, s.allowed.memory) = (None, true, true);
    let prepared = planned(s);
    assert_eq!((prepared.reason, prepared.own_copies, prepared.worker), (Reason::Announced, true, true));
    s.hot = Some(hot(1_000.0, 900.0, 0.9));
    assert_eq!(planned(s).reason, Reason::WriteHeavy, "what happens wins over what was said");
}

#[test]
fn a_reaction_is_undone_in_reverse_and_copies_go_after_what_was_sent_there() {
    let whole = Reaction {
        own_copies: true,
        promote: Some(Span::secs(1)),
        compress: true,
        replicas: Some(Span::ms(500)),
        copies: 3,
        extend: Some(Extension { fresh: Span::ZERO, most: Span::secs(1) }),
        worker: true,
        ..nothing(Reason::NodeOverloaded)
    };
    let (mut undone, mut now, mut seen) = (Undone::Nothing, Tick(1_000), Vec::new());
    while undone != Undone::All {
        let left = undone.of(whole);
        if seen.last() != Some(&left) {
            seen.push(left);
        }
        undone = undone.next(&whole, now, Span::ms(500));
        now = now + Span::ms(100);
    }
    let counts: Vec<_> =
        seen.iter().map(|left| (left.worker, left.extend.is_some(), left.copies, left.leaving)).collect();
    assert_eq!(
        counts,
        [
            (true, true, 3, 0),
            (false, true, 3, 0),
            (false, false, 3, 0),
            (false, false, 1, 3),
            (false, false, 1, 0),
            (false, false, 1, 0)
        ]
    );
    assert_eq!(
        seen.iter().map(|left| left.replicas.is_some()).collect::<Vec<_>>(),
        [true, true, true, true, true, false]
    );
    assert!(seen.iter().all(|left| left.own_copies && left.promote.is_some()), "promotion is the last to go");
    assert_eq!(undone.of(whole).measures().count(), 0);
    let until = Undone::Extension.next(&whole, Tick(5_000), Span::ms(500));
    assert_eq!(until, Undone::Routing(Tick(6_000)), "twice the longest request");
    assert_eq!(until.next(&whole, Tick(5_999), Span::ms(500)), until, "not before");
}

#[test]
fn each_reaction_says_what_it_saves_and_costs() {
    let mut s = situation(hot(90_000.0, 100.0, 0.9));
    let promoted = planned(s).estimate(&s);
    assert!(promoted.reads_saved > 80_000.0 && promoted.bytes_held == 50.0 * 1024.0, "{promoted:?}");
    assert_eq!(promoted.staleness, Span::secs(2));
    s.allowed.budget = Span::ZERO;
    let split = planned(s).estimate(&s);
    assert_eq!((split.writes_added, split.bytes_held, split.staleness), (200.0, 2048.0, Span::ZERO));
    assert!((split.reads_saved - 60_000.0).abs() < 1.0, "{split:?}");
    s.hot = Some(hot(1_000.0, 20_000.0, 0.9));
    let gathered = planned(s).estimate(&s);
    assert!(gathered.writes_added < -15_000.0 && gathered.reads_saved == 0.0, "{gathered:?}");
}

fn any_situation() -> impl Strategy<Value = Situation> {
    let hot = (0.0..1e7, 0.0..1e6, 0.0..100.0, any::<bool>()).prop_map(|(reads, writes, share, is_hot)| Hot {
        stage: if is_hot { Stage::Hot } else { Stage::Watched },
        ..hot(reads, writes, share)
    });
    let allowed = (0u64..20_000, any::<[bool; 4]>()).prop_map(|(budget, [extend_ttl, memory, shared, loads])| {
        Allowed { budget: Span(budget), extend_ttl, memory, shared, loads }
    });
    let counts = (0u32..100_000, 0u32..1_000, 0u32..5, 0.0..1e7);
    (proptest::option::of(hot), allowed, 1u64..10_000_000, any::<u32>(), counts, any::<[bool; 4]>()).prop_map(
        |(
            hot,
            allowed,
            ttl,
            value_bytes,
            (instances, nodes, replicas, capacity),
            [degraded, announced, threads, heard],
        )| {
            Situation {
                hot,
                allowed,
                ttl: Span(ttl),
                value_bytes,
                instances,
                nodes,
                replicas,
                capacity,
                heard,
                degraded,
                announced,
                threads: 1 + u32::from(threads),
            }
        },
    )
}

fn any_value() -> impl Strategy<Value = Meta> {
    (0u64..1_000_000, 1u64..1_000_000, 0u32..1_000_000, 0u32..1_000_000, 0u32..1_000).prop_map(
        |(born, life, swr_ms, more, early_ms)| Meta {
            fence: Fence(1),
            born: Tick(born),
            fresh_until: Tick(born + life),
            swr_ms,
            hard_ms: swr_ms + more,
            cost_ms: 0,
            early_ms,
            kind: Kind::Value,
        },
    )
}

proptest! {
    #[test]
    fn no_reaction_adds_more_staleness_than_the_budget(
        (s, other, before, part) in (any_situation(), any_situation(), any::<bool>(), 0.0..=1.0),
        meta in any_value(),
        unit in 0.0..1.0,
    ) {
        let before = before.then(|| plan(&other)).flatten();
        let Some(reaction) = plan_after(&s, before.as_ref(), part) else {
            prop_assert!(!s.announced && s.hot.is_none_or(|hot| hot.stage == Stage::Watched));
            return Ok(());
        };
        prop_assert!(reaction.staleness() <= s.allowed.budget, "{reaction:?}");
        let held = promotion(reaction.promote.unwrap_or_default(), unit);
        let longer = reaction.extend.unwrap_or_default().of(meta);
        prop_assert!(longer.hard_until() + held <= meta.hard_until() + s.allowed.budget);
        prop_assert!(longer.fresh_until >= meta.fresh_until && longer.swr_until() >= meta.swr_until());
        prop_assert!(longer.swr_until() <= longer.hard_until() && longer.hard_until() >= meta.hard_until());
        if !s.allowed.extend_ttl && !s.degraded {
            prop_assert_eq!(longer.fresh_until, meta.fresh_until, "freshness is not extended unasked");
        }
        prop_assert!(reaction.copies >= 1 && u32::from(reaction.copies) <= s.nodes.max(1));
        prop_assert!(reaction.copies == 1 || (s.allowed.shared && reaction.reason != Reason::WriteHeavy));
        prop_assert_eq!(plan_after(&s, before.as_ref(), part), Some(reaction), "the same situation, the same reaction");
        prop_assert_eq!(plan_after(&s, Some(&reaction), part), Some(reaction), "and the same once it is done");
    }

    #[test]
    fn undoing_only_ever_takes_away_and_ends(s in any_situation(), step in 1u64..1_000) {
        let Some(whole) = plan(&s) else { return Ok(()) };
        let (mut undone, mut now, mut before) = (Undone::Nothing, Tick(0), Measure::ALL.to_vec());
        for _ in 0..10_000 {
            let left: Vec<Measure> = undone.of(whole).measures().collect();
            prop_assert!(left.iter().all(|measure| before.contains(measure)));
            // In reverse: whatever is left came into force before what has gone. Gathered writes stand apart.
            let gone = whole.measures().filter(|measure| !left.contains(measure) && *measure != Measure::Coalesce);
            if let (Some(first), Some(last)) = (gone.min(), left.iter().filter(|m| **m != Measure::Coalesce).max()) {
                prop_assert!(*last < first, "{last:?} is left, {first:?} is gone");
            }
            before = left;
            if undone == Undone::All {
                break;
            }
            undone = undone.next(&whole, now, Span(500));
            now = now + Span(step);
        }
        prop_assert_eq!(undone, Undone::All);
    }
}
