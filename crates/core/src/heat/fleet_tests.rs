//! What a process may conclude from what others tell.

use super::fleet::{FleetView, MOST_TOLD, Told, tells_every, top};
use super::policy::{HotPolicy, WINDOW};
use super::sketch::Id;
use super::window::Counts;
use crate::draw::Draw;
use crate::time::{Span, Tick};
use proptest::prelude::*;

/// What a look stands for in a busy process of a large fleet.
const LOOK: u64 = 8;

fn told(id: u64, reads: u64) -> Told {
    Told { id: Id(id), counts: Counts { reads, ..Counts::default() } }
}

/// What the fleet sees of 1,000 processes, each of which looks at `looked` accesses in a window, one of them of the hot
/// key; the others of keys that nobody else asks for. What costs at least `from` a second.
fn seen(looked: u64, hot: bool, from: f64) -> Vec<(Id, f64)> {
    let mut view = FleetView::default();
    let mut now = Tick(1_000_000);
    // Until all know how many they are, and one round more.
    for lap in 0..3u64 {
        view.turn(now);
        let every = tells_every(view.instances(now));
        let windows = every.0 / WINDOW.0;
        for process in 0..1_000u64 {
            let draw = Draw(lap).fork(process);
            let own = (0..windows * (looked - 1)).map(|n| told(draw.fork(n).0, LOOK));
            let counted = own.chain(hot.then(|| told(7, windows * LOOK))).collect();
            view.hear(process, &top(counted, draw), now);
        }
        now = now + every;
    }
    view.turn(now);
    view.above(from).map(|(id, rates)| (id, rates.reads)).collect()
}

#[test]
fn a_key_that_is_hot_in_total_and_nowhere_locally_is_found_and_no_other() {
    // 80,000 a second over 1,000 processes: eight each in a window, of which one is looked at.
    let bars = HotPolicy { capacity: Some(100_000.0), ..HotPolicy::default() }.bars(0.0);
    for looked in [5, 60] {
        let found = seen(looked, true, bars.watch);
        assert_eq!(found.len(), 1, "of {looked}: no key but this one, {found:?}");
        assert_eq!(found[0].0, Id(7));
        assert!(found[0].1 >= bars.watch && found[0].1 <= 100_000.0, "of {looked}: {}", found[0].1);
    }
    // The control: without the key nobody is found.
    assert_eq!(seen(60, false, bars.watch), []);
}

#[test]
fn processes_are_counted_without_being_remembered() {
    let mut view = FleetView::default();
    let now = Tick(5_000_000);
    assert_eq!(view.instances(now), 1, "this one");
    for (fleet, near) in [(3u64, 0.0), (50, 0.05), (1_000, 0.05)] {
        (1..fleet).for_each(|process| view.hear(process, &[], now));
        let counted = f64::from(view.instances(now));
        assert!((counted / fleet as f64 - 1.0).abs() <= near, "{counted} of {fleet}");
    }
    assert_eq!(view.instances(now + Span::secs(4)), 1, "those that are silent are gone");
}

#[test]
fn each_process_has_a_place_of_its_own_and_all_see_the_same_order() {
    let (now, fleet) = (Tick(5_000_000), 7u64);
    let place = |own: u64| {
        let mut view = FleetView::default();
        (0..fleet).filter(|other| *other != own).for_each(|other| view.hear(other, &[], now));
        (view.place(own, now) * fleet as f64).round() as u64
    };
    let mut places: Vec<u64> = (0..fleet).map(place).collect();
    places.sort_unstable();
    assert_eq!(places, (0..fleet).collect::<Vec<_>>());
    assert_eq!(FleetView::default().place(3, now), 0.0, "alone");
}

#[test]
fn the_more_processes_the_less_often_each_tells() {
    assert_eq!([0, 1, 100, 200, 1_000, u32::MAX].map(tells_every), [100, 100, 100, 400, 1_000, 1_000].map(Span::ms));
}

#[test]
fn a_round_that_is_over_is_forgotten() {
    let mut view = FleetView::default();
    let mut now = Tick(1_000_000);
    view.turn(now);
    view.hear(1, &[told(7, 1_000)], now);
    now = now + Span::ms(200);
    view.turn(now);
    assert_eq!(view.rates(Id(7)).reads, 5_000.0);
    now = now + Span::ms(200);
    view.turn(now);
    assert_eq!(view.rates(Id(7)).reads, 0.0);
}

#[test]
fn what_a_process_tells_beyond_its_share_is_not_heard() {
    let mut view = FleetView::default();
    view.turn(Tick(1_000_000));
    let flood: Vec<Told> = (0..100_000).map(|id| told(id, 1_000_000)).collect();
    view.hear(1, &flood, Tick(1_000_000));
    view.turn(Tick(1_000_200));
    assert_eq!(view.above(1.0).count(), MOST_TOLD);
}

proptest! {
    #[test]
    fn sums_never_exceed_what_was_told(keys in prop::collection::vec((0u64..4_000, 1u64..50), 1..6_000)) {
        let mut view = FleetView::default();
        let now = Tick(1_000_000);
        view.turn(now);
        let mut exact = std::collections::HashMap::new();
        for (id, count) in &keys {
            *exact.entry(*id).or_insert(0u64) += count;
            view.hear(1, &[told(*id, *count)], now);
        }
        view.turn(now + Span::secs(1));
        prop_assert!(exact.len() < 100 || view.above(0.0).count() > 0);
        for (id, rates) in view.above(0.0) {
            prop_assert!(rates.reads <= exact[&id.0] as f64, "{} of {}", rates.reads, exact[&id.0]);
        }
        // Nobody who has more than so much of the total is lost.
        let total: u64 = exact.values().sum();
        for (id, count) in exact {
            prop_assert!(view.rates(Id(id)).reads >= count as f64 - total as f64 / 448.0 - 1.0);
        }
    }

    #[test]
    fn what_is_told_is_the_most_and_of_equals_a_fair_share(
        counts in prop::collection::vec(0u64..6, 0..200),
        draw: u64,
    ) {
        let counted: Vec<Told> = counts.iter().enumerate().map(|(id, reads)| told(id as u64, *reads)).collect();
        let said = top(counted.clone(), Draw(draw));
        let asked = counted.iter().filter(|told| told.counts.reads > 0).count();
        prop_assert_eq!(said.len(), asked.min(MOST_TOLD));
        let least = said.last().map_or(0, |told| counts[told.id.0 as usize]);
        for one in &said {
            let exact = counts[one.id.0 as usize];
            prop_assert!(one.counts.reads >= exact && exact >= least);
        }
        for (id, exact) in counts.iter().enumerate() {
            prop_assert!(*exact <= least || said.iter().any(|told| told.id == Id(id as u64) && told.counts.reads == *exact));
        }
    }
}
