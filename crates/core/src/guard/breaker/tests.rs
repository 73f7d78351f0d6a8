//! Does a breaker open for what is broken, and for nothing else?

use super::*;
use proptest::prelude::*;

fn call(breaker: &mut Breaker, verdict: Verdict, now: u64) -> bool {
    if !breaker.allows(Tick(now)) {
        return false;
    }
    let round = breaker.start();
    breaker.ended(round, verdict, Tick(now));
    true
}

fn opened() -> (Breaker, u64) {
    let mut breaker = Breaker::new(Draw(0));
    for n in 0..LEAST {
        assert_eq!(breaker.position(), Position::Closed, "{n}");
        call(&mut breaker, Verdict::Bad, 5);
    }
    let until = breaker.open_until().expect("it is open").0;
    (breaker, until)
}

#[test]
fn it_opens_at_half_of_twenty_calls_and_not_before() {
    let (mut breaker, until) = opened();
    assert_eq!((breaker.position(), breaker.opened()), (Position::Open, 1));
    assert!((1005..=1205).contains(&until), "{until}");
    assert!(!call(&mut breaker, Verdict::Good, until - 1));
    let mut mixed = Breaker::new(Draw(0));
    for n in 0..200 {
        call(&mut mixed, if n % 5 < 2 { Verdict::Bad } else { Verdict::Good }, n * 20);
    }
    assert_eq!(mixed.position(), Position::Closed, "control: two in five are not enough");
}

#[test]
fn what_is_older_than_ten_seconds_does_not_count() {
    let mut breaker = Breaker::new(Draw(0));
    for now in (0..100_000).step_by(600) {
        call(&mut breaker, Verdict::Bad, now);
    }
    assert_eq!(breaker.position(), Position::Closed, "never twenty within ten seconds");
    for now in (100_000..112_000).step_by(450) {
        call(&mut breaker, Verdict::Bad, now);
    }
    assert_eq!(breaker.position(), Position::Open);
}

#[test]
fn one_two_four_probes_close_it() {
    let (mut breaker, until) = opened();
    let now = Tick(until);
    for step in [1, 2, 4] {
        let rounds: Vec<Round> = (0..step)
            .map(|_| {
                assert!(breaker.allows(now));
                breaker.start()
            })
            .collect();
        assert!(!breaker.allows(now), "no more than {step} at once");
        assert_eq!(breaker.position(), Position::HalfOpen);
        rounds.into_iter().for_each(|round| breaker.ended(round, Verdict::Good, now));
    }
    assert_eq!(breaker.position(), Position::Closed);
    call(&mut breaker, Verdict::Bad, until);
    assert_eq!(breaker.position(), Position::Closed, "the past is forgotten");
}

#[test]
fn a_failed_probe_opens_it_for_longer_up_to_five_seconds() {
    let (mut breaker, mut until) = opened();
    let mut pauses = Vec::new();
    for _ in 0..5 {
        assert!(call(&mut breaker, Verdict::Bad, until));
        let next = breaker.open_until().expect("open again").0;
        pauses.push(next - until);
        until = next;
    }
    for (pause, least) in pauses.iter().zip([2000, 4000, 5000, 5000, 5000]) {
        assert!((least..=least + least / 5).contains(pause), "{pauses:?}");
    }
}

#[test]
fn a_probe_that_was_given_up_makes_room_for_another() {
    let (mut breaker, until) = opened();
    assert!(breaker.allows(Tick(until)));
    let round = breaker.start();
    assert!(!breaker.allows(Tick(until)));
    breaker.ended(round, Verdict::Untold, Tick(until));
    assert!(breaker.allows(Tick(until)), "or it would never close again");
}

#[test]
fn calls_that_began_before_it_opened_prove_nothing() {
    let mut breaker = Breaker::new(Draw(0));
    let early = breaker.start();
    (0..LEAST).for_each(|_| {
        call(&mut breaker, Verdict::Bad, 5);
    });
    let until = breaker.open_until().expect("open");
    assert!(breaker.allows(until));
    let probe = breaker.start();
    breaker.ended(early, Verdict::Bad, until);
    assert_eq!(breaker.position(), Position::HalfOpen, "the probe's word counts");
    breaker.ended(early, Verdict::Good, until);
    assert!(!breaker.allows(until), "the probe is still under way");
    breaker.ended(probe, Verdict::Good, until);
    assert!(breaker.allows(until));
}

fn rumour(verdict: Verdict, at: u64) -> Rumour {
    Rumour { verdict, at: Tick(at), sure: true }
}

#[test]
fn what_a_fleet_sees_fail_opens_it_unless_its_own_calls_speak_against_it() {
    let mut breaker = Breaker::new(Draw(0));
    for n in 0..LEAST {
        assert_eq!(breaker.position(), Position::Closed, "{n}");
        breaker.heard(rumour(Verdict::Bad, 90), Tick(100));
    }
    assert_eq!(breaker.position(), Position::Open);
    let mut reaches_it = Breaker::new(Draw(0));
    (0..3).for_each(|_| assert!(call(&mut reaches_it, Verdict::Good, 100)));
    (0..100).for_each(|_| reaches_it.heard(rumour(Verdict::Bad, 90), Tick(100)));
    assert_eq!(reaches_it.position(), Position::Closed, "it is the others who can't reach it");
    let mut alone = Breaker::new(Draw(0));
    (0..100).for_each(|_| alone.heard(rumour(Verdict::Good, 90), Tick(100)));
    (0..LEAST).for_each(|_| assert!(call(&mut alone, Verdict::Bad, 100)));
    assert_eq!(alone.position(), Position::Open, "that others reach it does not help");
}

#[test]
fn old_news_and_one_broken_key_don_t_open_it() {
    let mut breaker = Breaker::new(Draw(0));
    for now in 20_000..20_100 {
        breaker.heard(rumour(Verdict::Bad, now - WINDOW.0), Tick(now));
        breaker.heard(rumour(Verdict::KeyAgain, now), Tick(now));
    }
    assert_eq!(breaker.position(), Position::Closed);
}

#[test]
fn a_probe_that_another_made_stands_for_its_own() {
    let (mut breaker, until) = opened();
    assert!(breaker.allows(Tick(until)));
    breaker.heard(rumour(Verdict::Bad, 5), Tick(until));
    assert_eq!(breaker.position(), Position::HalfOpen, "that was before it opened");
    breaker.heard(rumour(Verdict::Bad, until - 100), Tick(until));
    let next = breaker.open_until().expect("open again").0;
    assert!((until + 1_900..=until + 2_300).contains(&next), "from that failure on: {next}");

    // It is back: one that another process saw, then two and four of its own.
    breaker.heard(Rumour { sure: false, ..rumour(Verdict::Good, until + 50) }, Tick(until + 60));
    assert_eq!(breaker.position(), Position::Open, "a client may have written that");
    breaker.heard(rumour(Verdict::Good, until + 50), Tick(until + 60));
    assert_eq!(breaker.position(), Position::HalfOpen);
    for n in 0..6 {
        assert_eq!(breaker.position(), Position::HalfOpen, "{n}");
        assert!(call(&mut breaker, Verdict::Good, until + 100));
    }
    assert_eq!(breaker.position(), Position::Closed);
}

#[test]
fn whoever_probes_itself_waits_for_its_own_answer() {
    let (mut breaker, until) = opened();
    assert!(breaker.allows(Tick(until)));
    let round = breaker.start();
    breaker.heard(rumour(Verdict::Bad, until), Tick(until));
    assert_eq!(breaker.position(), Position::HalfOpen);
    breaker.ended(round, Verdict::Good, Tick(until));
    assert!(breaker.allows(Tick(until)), "two more");
}

#[test]
fn one_broken_key_does_not_open_it_but_a_probe_that_fails_does() {
    let mut breaker = Breaker::new(Draw(0));
    for now in 0..100 {
        call(&mut breaker, Verdict::KeyAgain, now);
    }
    assert_eq!(breaker.position(), Position::Closed);
    let (mut breaker, until) = opened();
    call(&mut breaker, Verdict::KeyAgain, until);
    assert_eq!(breaker.position(), Position::Open);
}

proptest! {
    #[test]
    fn a_dead_origin_is_probed_at_most_once_a_second(seed in any::<u64>(), gaps in prop::collection::vec(0u64..400, 50..400)) {
        let mut breaker = Breaker::new(Draw(seed));
        let (mut now, mut probes) = (7, Vec::new());
        (0..LEAST).for_each(|_| { call(&mut breaker, Verdict::Bad, now); });
        for gap in gaps {
            now += gap;
            if call(&mut breaker, Verdict::Bad, now) {
                probes.push(now);
            }
        }
        prop_assert!(probes.windows(2).all(|two| two[1] - two[0] >= 1000), "{probes:?}");
        let longest = LONGEST_PAUSE.0 + LONGEST_PAUSE.0 / 5;
        prop_assert!(probes.windows(2).all(|two| two[1] - two[0] <= longest + 400), "{probes:?}");
    }
}
