//! Do refreshes that are due at once take turns, and is everything through in time?

use super::*;
use proptest::prelude::*;

const HOUR: Span = Span::secs(3600);

/// Refreshes per second of virtual time, if `keys` keys are due at the hour and read once a second each.
fn avalanche(keys: u64, ttl: Span, grace: Span, paced: bool) -> Vec<u64> {
    let mut pacer = Pacer::default();
    let start = Tick(10_000_000);
    if paced {
        pacer.measure(keys, ttl, 1, start);
    }
    let mut stale: BTreeSet<u64> = (0..keys).collect();
    let mut seconds = Vec::new();
    while !stale.is_empty() {
        let now = start + Span::secs(seconds.len() as u64);
        let mut begun = Vec::new();
        for key in &stale {
            if pacer.ask(key, 1, start + grace, now) == Pace::Go {
                begun.push(*key);
            }
        }
        // Within the second the queue is looked at whenever it asks for it.
        let mut next = Some(now);
        while let Some(at) = next.filter(|at| *at < now + Span::secs(1)) {
            next = pacer.advance(at, &mut begun);
        }
        for key in &begun {
            assert!(stale.remove(key), "{key} twice");
        }
        seconds.push(begun.len() as u64);
        assert!(now < start + grace, "{} are left when their time is over", stale.len());
    }
    seconds
}

#[test]
fn a_fleet_paces_together_as_one_process_alone() {
    // All keys end together, with half of the ttl left to serve them stale: what waits sets the pace.
    let rate = |instances: u32| {
        let mut pacer = Pacer::drawn(Draw(7));
        pacer.measure(5_000, Span::secs(3_600), instances, Tick(0));
        for key in 0..5_000u32 {
            pacer.ask(&key, 1, Tick(1_800_000), Tick(0));
        }
        pacer.rate().expect("it is paced") * f64::from(instances)
    };
    let alone = rate(1);
    assert!(alone > 3.0, "{alone}/s: faster than the long run's 1.7/s");
    assert!((rate(50) / alone - 1.0).abs() < 0.01, "{} of 50, {alone} alone", rate(50));
}

#[test]
fn s6_an_hourly_avalanche_peaks_below_twice_the_mean_and_ends_in_its_grace() {
    let seconds = avalanche(5_000, HOUR, HOUR, true);
    let mean = 5_000.0 / 3600.0;
    let peak = seconds.iter().max().copied().unwrap_or_default();
    assert!((peak as f64) <= 2.0 * mean, "{peak} in a second, the mean is {mean}");
    assert_eq!(seconds.iter().sum::<u64>(), 5_000);
    let control = avalanche(5_000, HOUR, HOUR, false);
    assert_eq!(control, [5_000], "unpaced, all come at once");
}

#[test]
fn a_short_grace_makes_the_pace_faster_and_even() {
    let seconds = avalanche(6_000, HOUR, Span::secs(600), true);
    let peak = seconds.iter().max().copied().unwrap_or_default();
    assert!(seconds.len() <= 600, "{} s", seconds.len());
    // 6,000 within 0.8 x 600 s are 12.5/s, and the burst of a tenth of a second on top.
    assert!(peak <= 15, "{peak}");
}

#[test]
fn those_whose_time_ends_sooner_don_t_come_together_in_the_end() {
    // 2,000 keys within 75 to 100 s, the shortest asked for last and all equally hot.
    let (now, second) = (Tick(1_000), Span::secs(1));
    let mut pacer = Pacer::default();
    pacer.measure(2_000, Span::secs(100), 1, now);
    for key in 0..2_000u64 {
        pacer.ask(&key, 1, now + Span::ms(100_000 - key * 25 / 2), now);
    }
    let (mut seconds, mut next) = (Vec::new(), Some(now));
    while next.is_some() {
        let (until, mut begun) = (now + Span((seconds.len() as u64 + 1) * second.0), Vec::new());
        while let Some(at) = next.filter(|at| *at < until) {
            next = pacer.advance(at, &mut begun);
        }
        seconds.push(begun.len());
    }
    assert!(seconds.iter().all(|begun| *begun <= 32), "{seconds:?}");
}

#[test]
fn the_hottest_go_first_and_a_key_may_get_hotter_while_it_waits() {
    let mut pacer = Pacer::default();
    let (now, until) = (Tick(1_000), Tick(1_000) + HOUR);
    pacer.measure(3_600, HOUR, 1, now); // 1.2 a second
    assert_eq!(pacer.ask(&0, 1, until, now), Pace::Go, "the first token is there");
    for (key, heat) in [(1, 5), (2, 50), (3, 7)] {
        assert_eq!(pacer.ask(&key, heat, until, now), Pace::Wait);
    }
    assert_eq!(pacer.ask(&1, 60, until, now), Pace::Wait);
    let mut out = Vec::new();
    let mut next = pacer.advance(now, &mut out);
    assert!(out.is_empty());
    while let Some(at) = next {
        next = pacer.advance(at, &mut out);
    }
    assert_eq!(out, [1, 2, 3]);
}

#[test]
fn what_can_wait_no_longer_goes_whatever_the_pace() {
    let mut pacer = Pacer::default();
    let now = Tick(1_000);
    pacer.measure(3_600, HOUR, 1, now);
    assert_eq!(pacer.ask(&0, 1, now + HOUR, now), Pace::Go);
    assert_eq!(pacer.ask(&1, 1, now, now), Pace::Go, "its time is over");
    for key in 2..100 {
        assert_eq!(pacer.ask(&key, 9, now + HOUR, now), Pace::Wait);
    }
    assert_eq!(pacer.ask(&100, 1, now + Span::secs(10), now), Pace::Wait);
    let mut out = Vec::new();
    pacer.advance(now + Span::secs(9), &mut out);
    assert!(out.contains(&100) && out.len() < 20, "{out:?}");
}

#[test]
fn a_small_space_is_not_paced_and_one_that_became_small_lets_all_go() {
    let mut pacer = Pacer::default();
    let now = Tick(1_000);
    pacer.measure(PACED_FROM - 1, HOUR, 1, now);
    assert!((0..5_000).all(|key| pacer.ask(&key, 1, now + HOUR, now) == Pace::Go));
    pacer.measure(PACED_FROM, HOUR, 1, now);
    assert_eq!([0, 1].map(|key| pacer.ask(&key, 1, now + HOUR, now)), [Pace::Go, Pace::Wait]);
    pacer.measure(10, HOUR, 1, now);
    let mut out = Vec::new();
    assert_eq!((pacer.advance(now, &mut out), out), (None, vec![1]));
}

#[test]
fn a_refund_lets_another_go_and_instances_share_the_pace() {
    let mut pacer = Pacer::default();
    let (now, until) = (Tick(1_000), Tick(1_000) + HOUR);
    pacer.measure(3_600, HOUR, 10, now);
    assert_eq!(pacer.rate(), Some(0.12));
    assert_eq!([0, 1].map(|key| pacer.ask(&key, 1, until, now)), [Pace::Go, Pace::Wait]);
    pacer.refund(now);
    let mut out = Vec::new();
    assert_eq!((pacer.advance(now, &mut out), out), (None, vec![1]));
}

#[test]
fn s6_processes_that_rested_together_do_not_begin_together() {
    let begun = |drawn: bool| {
        let (now, until) = (Tick(100_000_000), Tick(100_000_000) + HOUR);
        let at_once = (0..50u64).filter(|process| {
            let mut pacer = if drawn { Pacer::drawn(Draw(*process)) } else { Pacer::default() };
            pacer.measure(5_000, HOUR, if drawn { 50 } else { 1 }, Tick(0));
            pacer.ask(&1, 1, until, now) == Pace::Go
        });
        at_once.count()
    };
    assert_eq!((begun(true), begun(false)), (0, 50));
    // A token comes to each within 1 / rate, evenly: 50 processes within 30 s.
    let first = |process| {
        let mut pacer = Pacer::drawn(Draw(process));
        pacer.measure(5_000, HOUR, 50, Tick(0));
        let now = Tick(100_000_000);
        assert_eq!(pacer.ask(&1, 1, now + HOUR, now), Pace::Wait);
        pacer.advance(now, &mut Vec::new()).expect("a token comes").since(now)
    };
    let mut firsts: Vec<u64> = (0..50).map(|process| first(process).0).collect();
    firsts.sort_unstable();
    let in_a_second = firsts.iter().map(|at| firsts.iter().filter(|b| (*at..at + 1000).contains(b)).count()).max();
    assert!(in_a_second < Some(12) && firsts[49] <= 30_000, "{in_a_second:?} {firsts:?}");
}

/// When each refresh of `keys` begins that all processes of a fleet find due at once, in ms.
fn begun_by_a_fleet(fleet: u32, keys: u32, turns: bool) -> Vec<u64> {
    let (start, until) = (Tick(50_000_123), Tick(50_000_123) + HOUR);
    let mut pacers: Vec<Pacer<u32>> = (0..fleet).map(|process| Pacer::drawn(Draw(u64::from(process)))).collect();
    for (process, pacer) in pacers.iter_mut().enumerate() {
        if turns {
            let turn = Turn { place: process as f64 / f64::from(fleet), wall_ms: 1_700_000_000_000 };
            pacer.meet(Fellows::Turns(turn), start);
        }
        pacer.measure(u64::from(keys), HOUR, fleet, start);
        for key in 0..keys {
            assert_eq!(pacer.ask(&key, 1, until, start), Pace::Wait);
        }
    }
    let mut begun = Vec::new();
    let mut next: BTreeSet<(Tick, usize)> = (0..pacers.len()).map(|process| (start, process)).collect();
    while let Some((now, process)) = next.pop_first() {
        let mut out = Vec::new();
        next.extend(pacers[process].advance(now, &mut out).map(|at| (at, process)));
        for key in out {
            begun.push(now.0);
            pacers.iter_mut().for_each(|pacer| {
                pacer.withdraw(&key);
            });
        }
    }
    begun
}

#[test]
fn s6_a_fleet_that_takes_turns_keeps_the_pace_in_every_second() {
    let peak =
        |begun: &[u64]| begun.iter().map(|at| begun.iter().filter(|b| (*at..at + 1000).contains(b)).count()).max();
    let begun = begun_by_a_fleet(50, 2_000, true);
    assert_eq!(begun.len(), 2_000);
    // 2,000 within 0.8 hours are 0.69 a second.
    assert!(peak(&begun) <= Some(2), "{:?}", peak(&begun));
    let control = begun_by_a_fleet(50, 2_000, false);
    assert!(peak(&control) >= Some(4), "without turns they coincide by chance: {:?}", peak(&control));
}

#[test]
fn s6_a_turn_that_was_not_used_in_its_time_is_lost() {
    // One of 50, of which each has its turn every 25 s and half a second before the next one.
    let begun_when_woken = |late_ms: u64, turns: bool| {
        let (turn, until) = (Tick(25_000), Tick(25_000) + HOUR);
        let mut pacer = Pacer::drawn(Draw(1));
        if turns {
            pacer.meet(Fellows::Turns(Turn { place: 0.0, wall_ms: 1_700_000_000_000 }), Tick(0));
        }
        pacer.measure(5_000, HOUR, 50, Tick(0));
        let begun = [1, 2, 3].map(|key| pacer.ask(&key, 1, until, Tick(10)));
        assert_eq!(begun[1..], [Pace::Wait; 2]);
        let mut out = Vec::new();
        let next = pacer.advance(turn + Span(late_ms), &mut out).expect("one waits at least");
        // To the second: the bucket's grain is a millisecond or so of a round.
        (out.len(), next.0 / 1_000)
    };
    assert_eq!(begun_when_woken(0, true), (1, 50));
    assert_eq!(begun_when_woken(200, true), (1, 50), "whoever is woken late has its turn");
    assert_eq!(begun_when_woken(300, true), (0, 50), "but not in another's");
    assert_eq!(begun_when_woken(40_000, true), (0, 75));
    assert_eq!(begun_when_woken(40_000, false).0, 1, "control: without turns a token is kept");
}

#[test]
fn a_fleet_whose_turns_come_quickly_is_as_fast_as_it_should_be() {
    // Each has its turn every 10 ms: then nobody waits for one.
    let (now, until) = (Tick(1_000), Tick(1_000) + HOUR);
    let mut pacer = Pacer::default();
    pacer.meet(Fellows::Turns(Turn { place: 0.3, wall_ms: 77 }), now);
    pacer.measure(20_000, Span::secs(60), 4, now);
    (0..500u32).for_each(|key| {
        pacer.ask(&key, 1, until, now);
    });
    let mut begun = Vec::new();
    let mut next = Some(now);
    while let Some(at) = next.filter(|at| *at < now + Span::secs(1)) {
        // Whoever wakes it is late now and then.
        next = pacer.advance(at + Span(at.0 % 7), &mut begun);
    }
    let rate = pacer.rate().expect("paced");
    assert!((begun.len() as f64 / rate - 1.0).abs() < 0.15, "{} in a second at {rate}/s", begun.len());
}

#[test]
fn s6_before_the_others_were_heard_nothing_begins_that_can_wait() {
    let (now, until) = (Tick(1_000), Tick(1_000) + Span::secs(100));
    let mut pacer = Pacer::default();
    pacer.meet(Fellows::Unheard, now);
    pacer.measure(3_600, HOUR, 1, now);
    assert_eq!(pacer.ask(&0, 1, until, now), Pace::Wait);
    assert_eq!(pacer.ask(&1, 1, now, now), Pace::Go, "its time is over");
    let mut out = Vec::new();
    assert_eq!(pacer.advance(now, &mut out), Some(until - Span::secs(10)), "in time, whoever is heard");
    assert!(out.is_empty());
    pacer.meet(Fellows::Counted, now + Span::secs(3));
    pacer.measure(3_600, HOUR, 1, now + Span::secs(3));
    pacer.advance(now + Span::secs(3), &mut out);
    assert_eq!(out, [0], "control: once they were");
}

proptest! {
    #[test]
    fn every_key_that_waits_is_named_once_and_in_its_time(
        keys in PACED_FROM..20_000,
        asks in prop::collection::vec((0u16..500, 0u32..9, 1u64..100_000, 0u64..2_000, any::<bool>()), 1..200),
    ) {
        let mut pacer = Pacer::default();
        let mut now = Tick(1_000_000);
        pacer.measure(keys, Span::secs(60), 1, now);
        let mut model: BTreeMap<u16, Tick> = BTreeMap::new();
        let mut next = None;
        for (key, heat, left, pause, withdrawn) in asks {
            let end = now + Span(pause);
            while let Some(at) = next.filter(|at| *at <= end) {
                let mut out = Vec::new();
                next = pacer.advance(at, &mut out);
                for key in out {
                    prop_assert!(model.remove(&key).is_some_and(|until| at <= until), "late, or twice");
                }
            }
            now = end;
            if withdrawn {
                prop_assert_eq!(pacer.withdraw(&key), model.remove(&key).is_some());
            }
            if pacer.ask(&key, heat, now + Span(left), now) == Pace::Wait {
                model.entry(key).or_insert(now + Span(left));
            }
            let mut out = Vec::new();
            next = pacer.advance(now, &mut out);
            for key in out {
                prop_assert!(model.remove(&key).is_some());
            }
            prop_assert_eq!(pacer.waiting(), model.len());
            prop_assert_eq!((pacer.queue.len(), pacer.urgent.len()), (model.len(), model.len()));
        }
    }
}
