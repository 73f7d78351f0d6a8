//! Does the limit find what an origin bears, and find back?

use super::*;
use proptest::prelude::*;

/// An origin that runs `workers` loads at once, each `service` microseconds; more share it.
fn rtt(workers: f64, service: f64, inflight: usize) -> u64 {
    (service * (inflight as f64 / workers).max(1.0)) as u64
}

/// Keeps as many loads running as the limit allows, or `wanted`, for `ms`.
fn run(limiter: &mut Limiter, from: u64, ms: u64, wanted: usize, took: impl Fn(usize, u64) -> u64) {
    let mut now = from;
    let mut n = 0;
    while now < from + ms {
        let inflight = limiter.limit().min(wanted).max(1);
        let era = limiter.started(inflight, Tick(now));
        let us = took(inflight, n);
        // So many loads end while one runs.
        for _ in 0..inflight {
            limiter.left(inflight, Tick(now));
            limiter.ended(Sample::Took(us), era, Tick(now));
        }
        now += (us / 1000).max(1);
        n += 1;
    }
}

#[test]
fn it_stays_at_the_pool_where_the_origin_bears_that() {
    let mut limiter = Limiter::new(64);
    run(&mut limiter, 0, 60_000, 64, |inflight, _| rtt(100.0, 20_000.0, inflight));
    assert_eq!(limiter.limit(), 64);
}

#[test]
fn it_shrinks_to_what_the_origin_bears() {
    let mut limiter = Limiter::new(512);
    // What loads take when nobody pushes.
    run(&mut limiter, 0, 5_000, 4, |inflight, _| rtt(16.0, 20_000.0, inflight));
    let mut most = 0;
    for second in 5..35 {
        run(&mut limiter, second * 1000, 1_000, 512, |inflight, _| rtt(16.0, 20_000.0, inflight));
        if second > 15 {
            most = most.max(limiter.limit());
        }
        assert!(limiter.limit() >= 14, "{} at {second} s: workers stand idle", limiter.limit());
    }
    assert!(most < 64, "{most}: the origin's queue is not the place to wait");
}

#[test]
fn while_the_most_important_wait_it_puts_up_with_three_times_what_is_usual_and_no_more() {
    let found = |pressed, workers| {
        let mut limiter = Limiter::new(64);
        run(&mut limiter, 0, 5_000, 4, |inflight, _| rtt(workers, 20_000.0, inflight));
        limiter.press(pressed);
        run(&mut limiter, 5_000, 20_000, 64, |inflight, _| rtt(workers, 20_000.0, inflight));
        limiter.limit()
    };
    assert_eq!(found(true, 25.0), 64, "2.6 times as long");
    assert!(found(false, 25.0) < 50, "the control: {}", found(false, 25.0));
    assert!(found(true, 10.0) < 45, "6.4 times: {}", found(true, 10.0));
}

#[test]
fn an_origin_that_was_overloaded_from_the_start_is_not_held_to_be_slow() {
    let mut limiter = Limiter::new(512);
    run(&mut limiter, 0, 60_000, 512, |inflight, _| rtt(16.0, 20_000.0, inflight));
    assert!((14..64).contains(&limiter.limit()), "{}", limiter.limit());
    let usual = limiter.long_us().unwrap();
    assert!((18_000..30_000).contains(&usual), "{usual}");
}

#[test]
fn a_busy_origin_at_its_usual_pace_sees_no_dip_but_the_first() {
    let mut limiter = Limiter::new(32);
    let mut dips = 0;
    for now in (0..60_000u64).step_by(2) {
        let before = limiter.dip.is_some();
        let era = limiter.started(limiter.limit(), Tick(now));
        limiter.ended(Sample::Took(20_000), era, Tick(now));
        dips += u32::from(limiter.dip.is_some() && !before);
    }
    assert_eq!((dips, limiter.limit()), (1, 32));
}

#[test]
fn it_recovers_after_a_slow_phase() {
    for start in [16, 64] {
        let mut limiter = Limiter::new(start);
        run(&mut limiter, 0, 10_000, 999, |_, _| 20_000);
        assert_eq!(limiter.limit() as u32, start);
        run(&mut limiter, 10_000, 10_000, 999, |_, _| 200_000);
        assert!((limiter.limit() as u32) <= start, "{}", limiter.limit());
        run(&mut limiter, 20_000, 10_000, 999, |_, _| 20_000);
        assert_eq!(limiter.limit() as u32, start, "back within ten seconds");
    }
}

#[test]
fn an_origin_that_became_slower_for_good_gets_its_limit_back() {
    let mut limiter = Limiter::new(32);
    run(&mut limiter, 0, 10_000, 999, |_, _| 20_000);
    let mut least = 32;
    for step in 100..600 {
        run(&mut limiter, step * 100, 100, 999, |_, _| 80_000);
        least = least.min(limiter.limit());
    }
    assert!(least < 28, "control: at first it was held to be overloaded: {least}");
    assert_eq!(limiter.limit(), 32, "it was not the limit that made it slow");
}

#[test]
fn one_outlier_does_not_make_it_collapse() {
    let mut limiter = Limiter::new(32);
    run(&mut limiter, 0, 10_000, 999, |_, _| 20_000);
    for n in 0..40 {
        let era = limiter.started(32, Tick(10_000 + n * 10));
        limiter.ended(Sample::Took(if n == 7 { 30_000_000 } else { 20_000 }), era, Tick(10_000 + n * 10));
    }
    assert!(limiter.limit() >= 28, "{}", limiter.limit());
}

#[test]
fn it_does_not_grow_while_it_is_not_used() {
    let mut limiter = Limiter::starting_at(8, 64);
    run(&mut limiter, 0, 30_000, 3, |_, _| 20_000);
    assert_eq!(limiter.limit(), 8);
    run(&mut limiter, 30_000, 10_000, 64, |_, _| 20_000);
    assert!(limiter.limit() > 32, "control: used, it grows: {}", limiter.limit());
}

#[test]
fn an_origin_that_says_no_is_asked_one_at_a_time() {
    let mut limiter = Limiter::new(64);
    let mut now = 0;
    for _ in 0..600 {
        let era = limiter.started(limiter.limit(), Tick(now));
        limiter.ended(Sample::PushedBack, era, Tick(now));
        now += 20;
    }
    assert_eq!(limiter.limit(), 1);
    run(&mut limiter, now, 20_000, 999, |_, _| 20_000);
    assert_eq!(limiter.limit(), 64, "and found again when it answers");
}

/// A limiter that knows what loads take while few run, and then meets as many as the limit allows.
fn pushed(workers: f64, ms: u64) -> Limiter {
    let mut limiter = Limiter::new(512);
    run(&mut limiter, 0, 5_000, 4, |inflight, _| rtt(workers, 20_000.0, inflight));
    run(&mut limiter, 5_000, ms, 512, |inflight, _| rtt(workers, 20_000.0, inflight));
    limiter
}

#[test]
fn a_limit_that_is_far_too_high_falls_at_once_to_what_the_origin_delivers_in_the_usual_time() {
    // 512 at once take 640 ms each: two windows.
    let limiter = pushed(16.0, 2_000);
    assert!((16..40).contains(&limiter.limit()), "{}", limiter.limit());
    let before = pushed(16.0, 600);
    assert!(before.limit() > 400, "control: one window is not enough: {}", before.limit());
}

#[test]
fn a_fall_is_undone_at_once_where_the_origin_has_become_slower() {
    let mut limiter = Limiter::new(64);
    run(&mut limiter, 0, 10_000, 999, |_, _| 20_000);
    let (mut least, mut at) = (64, 0);
    for step in 0..20 {
        run(&mut limiter, 10_000 + step * 100, 100, 999, |_, _| 200_000);
        (least, at) = if limiter.limit() < least { (limiter.limit(), step) } else { (least, at) };
    }
    assert!(least < 30, "control: it fell: {least}");
    assert!(limiter.limit() > 50 && at < 10, "{} after {least} at {at}", limiter.limit());
    assert!(limiter.long_us() > Some(150_000), "{:?}", limiter.long_us());
}

#[test]
fn what_tells_nothing_of_its_time_makes_no_limit_fall() {
    let limit = |untold| {
        let mut limiter = Limiter::new(512);
        run(&mut limiter, 0, 5_000, 4, |_, _| 20_000);
        for step in 0..80 {
            let now = Tick(5_000 + step * 10);
            let era = limiter.started(300, now);
            limiter.left(300, now);
            limiter.ended(Sample::Took(600_000), era, now);
            (0..untold).for_each(|_| limiter.untold());
        }
        limiter.limit()
    };
    assert!(limit(1) > 200, "a batch for each of them: {}", limit(1));
    assert!(limit(0) < 20, "control: {}", limit(0));
}

#[test]
fn what_has_run_at_its_usual_pace_is_tried_and_twice_as_much_and_no_more_while_nothing_ends() {
    let mut limiter = Limiter::new(512);
    assert_eq!(limiter.tried(Tick(0)), 16, "nothing is known");
    run(&mut limiter, 0, 5_000, 40, |_, _| 200_000);
    let tried = limiter.tried(Tick(5_000));
    assert!((72..=88).contains(&tried), "twice 40: {tried}");
    let now = 5_000 + 401;
    let stalled = limiter.tried(Tick(now));
    assert!((36..=44).contains(&stalled), "none has ended for twice as long as loads take: {stalled}");
    // Loads of 20 ms that are queued are soon gone: more may be tried.
    let mut quick = Limiter::new(4096);
    run(&mut quick, 0, 5_000, 40, |_, _| 20_000);
    let tried = quick.tried(Tick(5_000));
    assert!((450..=550).contains(&tried), "40 for 250 ms: {tried}");
    // Slow, it is known again what is good.
    let slow = pushed(16.0, 3_000).tried(Tick(8_000));
    assert!(slow < 300, "{slow}");
}

#[test]
fn times_that_vary_do_not_starve_an_origin_that_is_not_overloaded() {
    // Exponentially distributed times, as far from constant as queries usually are.
    let mut limiter = Limiter::new(32);
    let mut state = 1u64;
    let (mut sum, mut count) = (0usize, 0usize);
    for step in 0..20_000u64 {
        let era = limiter.started(limiter.limit(), Tick(step * 20));
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let unit = ((state >> 11) as f64 + 1.0) / (1u64 << 53) as f64;
        limiter.ended(Sample::Took((-20_000.0 * unit.ln()) as u64), era, Tick(step * 20));
        (sum, count) = (sum + limiter.limit(), count + 1);
    }
    assert!(sum / count >= 16, "{} on average", sum / count);
}

#[test]
fn another_pool_is_kept_to() {
    let mut limiter = Limiter::new(8);
    limiter.set_pool(20);
    assert_eq!(limiter.limit(), 20, "what was at the old one is at the new one");
    limiter.set_pool(3);
    assert_eq!(limiter.limit(), 3);
    let mut low = Limiter::starting_at(4, 8);
    low.set_pool(20);
    assert_eq!(low.limit(), 4);
}

#[test]
fn g9_a_pool_that_shrinks_within_a_dip_is_kept_to() {
    let mut limiter = Limiter::new(64);
    let mut now = 0;
    while limiter.dip.is_none() {
        now += 20;
        let era = limiter.started(64, Tick(now));
        limiter.ended(Sample::Took(20_000), era, Tick(now));
    }
    assert_eq!(limiter.limit(), 8);
    limiter.set_pool(3);
    assert_eq!(limiter.limit(), 3);
}

proptest! {
    #[test]
    fn it_stays_between_one_and_the_pool(
        pool in 1u32..200,
        start in 0u32..300,
        ends in prop::collection::vec((prop::option::weighted(0.8, prop_oneof![Just(0u64), 1u64..50_000, Just(u64::MAX)]), 0u64..300, 0usize..300), 1..500),
    ) {
        let mut limiter = Limiter::starting_at(start, pool);
        let mut now = 3;
        for (took, gap, running) in ends {
            now += gap;
            let era = limiter.started(running, Tick(now));
            limiter.ended(took.map_or(Sample::PushedBack, Sample::Took), era, Tick(now));
            prop_assert!((1..=pool as usize).contains(&limiter.limit()), "{}", limiter.limit());
        }
    }
}
