//! Is what is asked for often noted, in fixed memory, and told once?

use super::*;
use crate::key::Seed;

fn drawn(nth: u64) -> Drawn {
    Drawn { nth, weight: 8 }
}

fn reads(heat: &Heat, key: u64, times: u64) {
    (0..times).for_each(|nth| heat.look(asked(key, format!("key {key}").as_bytes()), read(10), drawn(nth)));
}

fn read(size: u32) -> Access {
    Access::Read { size }
}

/// Counted by this hash.
fn hash(key: u64) -> u64 {
    key << 40 | key
}

fn asked(key: u64, bytes: &[u8]) -> Asked<'_> {
    Asked { key: KeyRef { hash: hash(key), bytes, space: 1 }, seed: 7 }
}

/// Known to the fleet as this.
fn named(key: u64) -> Id {
    id(7, format!("key {key}").as_bytes())
}

#[test]
fn detection_takes_no_more_than_256_kib_whatever_is_asked_for_and_told() {
    use bellwether_core::heat::board::{Seen, Sight};
    use bellwether_core::heat::fleet::Told;
    use bellwether_core::heat::hot::Rates;
    use bellwether_core::heat::policy::WINDOW;
    use bellwether_core::time::{Span, Tick};

    let policy = HotPolicy { capacity: Some(1_000.0), hold: Span::secs(1), ..HotPolicy::default() };
    let (heat, seed) = (Heat::new(policy.clone()), Seed::fixed(7));
    let (bars, mut noted, mut most) = (policy.bars(0.0), Noted::new(), 0);
    let at_rest = heat.bytes();
    for window in 0..600u64 {
        let now = Tick(1_000_000 + window * WINDOW.0);
        let mut judged = heat.judged();
        for sender in 0..100 {
            let told =
                |n: u64| Told { id: Id(n.wrapping_mul(0x9E37) | 1), counts: Counts { reads: n, ..Counts::default() } };
            let told: Vec<Told> = (0..32).map(|n| told(window * 3_200 + sender * 32 + n)).collect();
            judged.view.hear(sender, &told, now);
        }
        judged.view.turn(now);
        let name = format!("a key of a usual length, number {window:06} of many that are asked for");
        for n in 0..400u64 {
            let (id, name) = (Id(window << 32 | n << 8), format!("{name}{n}"));
            judged.know(id, KeyRef::new(1, name.as_bytes(), &seed), 10, n == 0);
        }
        let here = Counts { reads: 60 + window, ..Counts::default() };
        let seen: Vec<Seen> =
            judged.known.keys().map(|id| Seen { id: *id, space: 1, here, elsewhere: Rates::default() }).collect();
        judged.board.judge(&seen, &Sight { length: WINDOW, instances: 1, bars: &bars, policy: &policy, now });
        drop(judged);
        most = most.max(heat.bytes());
        heat.judged().forget();
        turn(&heat, &mut noted);
    }
    println!("detection: {at_rest} bytes at rest, {most} at most");
    assert!(at_rest > 80 << 10 && most > at_rest + (64 << 10), "the control: it was filled");
    assert!(most <= 256 << 10, "{most} bytes");
}

fn turn(heat: &Heat, noted: &mut Noted) {
    let _closed = heat.turn(noted);
}

fn names(noted: &Noted) -> Vec<String> {
    let mut names: Vec<String> = noted.keys().map(|(_, name)| String::from_utf8_lossy(name).into()).collect();
    names.sort();
    names
}

#[test]
fn a_window_tells_what_was_asked_for_in_it_and_no_more() {
    let (heat, mut noted) = (Heat::new(HotPolicy::default()), Noted::new());
    reads(&heat, 1, 5);
    heat.look(asked(2, b"key 2"), Access::Write, drawn(0));
    let closed = heat.turn(&mut noted);
    assert_eq!(names(&noted), ["key 1", "key 2"]);
    assert_eq!(closed.counts(hash(1), 10), Counts { reads: 40, writes: 0, bytes: 400 });
    assert_eq!(closed.counts(hash(2), 10), Counts { reads: 0, writes: 8, bytes: 0 });
    drop(closed);
    let closed = heat.turn(&mut noted);
    assert_eq!((closed.counts(hash(1), 10).reads, names(&noted).len()), (0, 0));
    assert!(closed.is_empty());
}

#[test]
fn large_values_are_counted_by_what_they_cost() {
    let (heat, mut noted) = (Heat::new(HotPolicy::default()), Noted::new());
    (0..3).for_each(|nth| heat.look(asked(1, b"large"), read(64 << 10), drawn(nth)));
    let counts = heat.turn(&mut noted).counts(hash(1), 64 << 10);
    assert_eq!(counts, Counts { reads: 24, writes: 0, bytes: 24 * (64 << 10) });
    assert_eq!(counts.cost(), 24 * 64);
}

#[test]
fn where_fewer_are_looked_at_the_counts_are_the_same() {
    let (heat, mut noted) = (Heat::new(HotPolicy::default()), Noted::new());
    let counted = |heat: &Heat, noted: &mut Noted| {
        let draws = (0..200_000).filter_map(|nth| heat.sampling().draw(nth));
        draws.for_each(|drawn| heat.look(asked(1, b"key"), read(10), drawn));
        heat.turn(noted).counts(hash(1), 10).reads
    };
    let closely = counted(&heat, &mut noted);
    heat.sample_for(2_000_000, 1);
    assert!(heat.sampling() != Sampling::FULL);
    let thinly = counted(&heat, &mut noted);
    for reads in [closely, thinly] {
        assert!((190_000..210_000).contains(&reads), "{reads}");
    }
    heat.sample_for(2_000_000, 1_000);
    assert!(heat.sampling() <= Sampling::one_in(3), "each of many sees little of a key that all of them ask for");
    heat.sample_for(2_000_000, 1);
    let (busy, mut sampling) = (heat.sampling(), Vec::new());
    for _ in 0..10 {
        heat.sample_for(1_000, 1);
        sampling.push(heat.sampling());
    }
    assert!(sampling[0].weight() * 2 >= busy.weight(), "a burst has pauses");
    assert!(sampling.is_sorted_by(|one, next| next <= one) && sampling.last() == Some(&Sampling::FULL));
}

#[test]
fn what_is_hot_inside_a_window_wakes_the_control_once() {
    let heat = Heat::new(HotPolicy { capacity: Some(8_000.0), ..HotPolicy::default() });
    heat.watch_for(1);
    let woken = || futures_util::FutureExt::now_or_never(heat.alarm.notified()).is_some();
    reads(&heat, 1, 49);
    assert!(!woken(), "392 of 400");
    reads(&heat, 1, 100);
    assert!(woken() && !woken());
    let (_, keys) = heat.so_far();
    assert!(keys.iter().any(|(_, name)| name == b"key 1"));
    reads(&heat, 2, 50);
    assert!(woken(), "another one, in the same window");
    // In the next one both are no news, and a third one is.
    heat.settle([1, 2].map(named).into_iter());
    turn(&heat, &mut Noted::new());
    reads(&heat, 1, 400);
    reads(&heat, 2, 400);
    assert!(!woken());
    reads(&heat, 3, 50);
    assert!(woken());
}

#[test]
fn a_flood_of_keys_is_noted_up_to_a_bound_and_then_only_what_stands_out() {
    let (heat, mut noted) = (Heat::new(HotPolicy::default()), Noted::new());
    for _ in 0..10 {
        (10..5_000).for_each(|id| reads(&heat, id, 1));
        reads(&heat, 1, 500);
        turn(&heat, &mut noted);
        assert!(noted.keys.len() <= MOST_NOTED && noted.names.len() <= NOTED_BYTES);
    }
    assert!(names(&noted).contains(&"key 1".to_owned()), "{:?}", names(&noted));
    // Names that are long find less room, and that is counted.
    (10..20).for_each(|key| heat.look(asked(key, &[key as u8; 4096]), read(0), drawn(key)));
    assert!(heat.dropped.load(Ordering::Relaxed) > 0);
    turn(&heat, &mut noted);
    // In the first window of another flood as well, where it is hot.
    (10..5_000).for_each(|id| reads(&heat, id, 1));
    reads(&heat, 2, 700);
    assert!(heat.so_far().1.iter().any(|(_, name)| name == b"key 2"));
    // Once the flood is over, what is asked for seldom is noted again.
    (0..32).for_each(|_| turn(&heat, &mut noted));
    reads(&heat, 7, 1);
    turn(&heat, &mut noted);
    assert_eq!(names(&noted), ["key 7"]);
}

#[test]
fn a_key_that_others_find_hot_is_noted_when_it_is_asked_for() {
    let (heat, mut noted) = (Heat::new(HotPolicy::default()), Noted::new());
    heat.note_at.store(100, Ordering::Relaxed);
    reads(&heat, 7, 1);
    turn(&heat, &mut noted);
    assert_eq!(names(&noted).len(), 0);
    heat.note_at.store(100, Ordering::Relaxed);
    heat.want([named(7)].into_iter());
    reads(&heat, 7, 1);
    turn(&heat, &mut noted);
    assert_eq!(names(&noted), ["key 7"]);
}
