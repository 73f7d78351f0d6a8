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
        let in_dip = limiter.started(inflight);
        let us = took(inflight, n);
        // So many loads end while one runs.
        for _ in 0..inflight {
            limiter.ended(Sample::Took(us), in_dip, Tick(now));
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
        let in_dip = limiter.started(limiter.limit());
        limiter.ended(Sample::Took(20_000), in_dip, Tick(now));
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
    for second in 10..60 {
        run(&mut limiter, second * 1000, 1000, 999, |_, _| 80_000);
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
        let in_dip = limiter.started(32);
        limiter.ended(Sample::Took(if n == 7 { 30_000_000 } else { 20_000 }), in_dip, Tick(10_000 + n * 10));
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
        let in_dip = limiter.started(limiter.limit());
        limiter.ended(Sample::PushedBack, in_dip, Tick(now));
        now += 20;
    }
    assert_eq!(limiter.limit(), 1);
    run(&mut limiter, now, 20_000, 999, |_, _| 20_000);
    assert_eq!(limiter.limit(), 64, "and found again when it answers");
}

#[test]
fn times_that_vary_do_not_starve_an_origin_that_is_not_overloaded() {
    // Exponentially distributed times, as far from constant as queries usually are.
    let mut limiter = Limiter::new(32);
    let mut state = 1u64;
    let (mut sum, mut count) = (0usize, 0usize);
    for step in 0..20_000u64 {
        let in_dip = limiter.started(limiter.limit());
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let unit = ((state >> 11) as f64 + 1.0) / (1u64 << 53) as f64;
        limiter.ended(Sample::Took((-20_000.0 * unit.ln()) as u64), in_dip, Tick(step * 20));
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
        let in_dip = limiter.started(64);
        limiter.ended(Sample::Took(20_000), in_dip, Tick(now));
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
            let in_dip = limiter.started(running);
            limiter.ended(took.map_or(Sample::PushedBack, Sample::Took), in_dip, Tick(now));
            prop_assert!((1..=pool as usize).contains(&limiter.limit()), "{}", limiter.limit());
        }
    }
}

#[test]
fn loads_that_take_as_long_in_a_dip_as_before_say_that_nothing_queues() {
    let middle = Middle { low: 40.0, median: 50.0, high: 60.0 };
    let before = Took { mean: 90.0, middle };
    let usual = Some(Usual { mean: 30.0, median: 20.0 });
    let same = Usual::measured(usual, before, 23.0, 50.0);
    assert_eq!((same.mean, same.median), (90.0, 50.0), "the window's, which had more loads");
    let faster = Usual::measured(usual, before, 23.0, 49.0);
    assert_eq!((faster.mean, faster.median), (33.0, 23.0), "a queue was gone: the mean moves as far as the middle");
}

#[test]
fn when_few_come_any_more_those_that_end_last_say_nothing() {
    let ends = |coming: bool| {
        let mut limiter = Limiter::new(64);
        run(&mut limiter, 0, 5_000, 40, |_, _| 20_000);
        limiter.started(40);
        for n in 0..39 {
            if coming {
                limiter.started(40);
            }
            limiter.ended(Sample::Took(200_000), false, Tick(5_000 + n * 15));
        }
        limiter.limit()
    };
    assert_eq!(ends(false), 64);
    assert!(ends(true) < 62, "control: {}", ends(true));
}

/// A limiter that knows that loads take 20 ms.
fn settled(pool: u32) -> Limiter {
    let mut limiter = Limiter::new(pool);
    run(&mut limiter, 0, 5_000, 4, |_, _| 20_000);
    assert!(limiter.dip.is_none() && limiter.limit() as u32 == pool);
    limiter
}

#[test]
fn callers_are_not_held_up_by_a_dip_that_would_be_over_before_it_taught_anything() {
    // One load ends each 20 ms; so many wait at the origin all the time.
    let dips = |waiting: usize| {
        let mut limiter = settled(waiting as u32);
        (0..500).any(|n| {
            limiter.started(waiting);
            limiter.ended(Sample::Took(20_000 * waiting as u64), false, Tick(5_000 + n * 20));
            limiter.is_dipping()
        })
    };
    assert!(!dips(150), "the last of them would be through after three seconds");
    assert!(dips(60), "control: after one");
}

#[test]
fn a_queue_that_is_worked_off_while_nobody_may_begin_does_not_become_usual() {
    let mut limiter = settled(64);
    (1..=64).for_each(|running| _ = limiter.started(running));
    limiter.set_pool(8);
    // They are through when as many run as may.
    for n in 0..56 {
        limiter.ended(Sample::Took(200_000), false, Tick(5_000 + n * 15));
    }
    assert_eq!(limiter.short_us(), Some(200_000), "control: these windows did count");
    let usual = limiter.usual.map_or(0.0, |usual| usual.median);
    assert!((20_000.0..23_000.0).contains(&usual), "{usual}");
}

#[test]
fn a_dip_does_not_take_the_first_that_end_for_all_of_its_loads() {
    let mut limiter = settled(64);
    let mut now = 5_000;
    while !limiter.is_dipping() {
        limiter.started(64);
        limiter.ended(Sample::Took(200_000), false, Tick(now));
        now += 15;
    }
    // Five of the first eight are short, and those that follow them are not.
    (1..=8).for_each(|running| assert!(limiter.started(running)));
    let mut end = |us: u64, after: u64| {
        limiter.started(8);
        limiter.ended(Sample::Took(us), true, Tick(now + after));
        limiter.is_dipping()
    };
    assert!((0..5).all(|_| end(5_000, 5)) && (0..2).all(|_| end(30_000, 30)));
    assert!(end(50_000, 50), "eight have ended, and three run that may be the shortest of all");
    assert!(!end(50_000, 55), "now these have run for as long as the eighth");
    let usual = limiter.usual.map(|usual| usual.median);
    assert_eq!(usual, Some(30_000.0), "of eleven loads the sixth");
}

#[test]
fn where_the_middle_stays_a_few_that_come_to_take_long_are_usual_soon() {
    let usual = Usual { mean: 30.0, median: 20.0 };
    let learned = |low| {
        let took = Took { mean: 90.0, middle: Middle { low, median: 22.0, high: 30.0 } };
        (0..16).fold(usual, |usual, _| usual.learned(took, true, false, SETTLED)).mean
    };
    assert!(learned(15.0) > 60.0, "{}", learned(15.0));
    assert!(learned(21.0) < 33.0, "control: where all take longer it may be a queue: {}", learned(21.0));
}

#[test]
fn of_a_cold_starts_loads_those_that_take_longest_are_usual_as_well() {
    // A hundred begin at once and take from 500 to 1,490 ms.
    let mut limiter = Limiter::new(100);
    (1..=100).for_each(|running| _ = limiter.started(running));
    for ms in (500..1_500).step_by(10) {
        limiter.started(100);
        limiter.ended(Sample::Took(ms * 1000), false, Tick(ms));
    }
    limiter.started(100);
    limiter.ended(Sample::Took(1_000_000), false, Tick(1_500));
    let usual = limiter.long_us();
    assert!(usual.is_some_and(|us| (900_000..1_100_000).contains(&us)), "{usual:?}");
}

#[test]
fn where_half_of_the_loads_are_short_their_mean_stays_what_it_is() {
    let mut usual = Usual { mean: 100.0, median: 1.0 };
    for _ in 0..100 {
        // Half of such windows have a long one in their middle, by chance.
        usual = usual.learned(
            Took { mean: 100.0, middle: Middle { low: 1.0, median: 200.0, high: 200.0 } },
            true,
            false,
            SETTLED,
        );
    }
    assert_eq!(usual.mean, 100.0);
    let queued = Took { mean: 100.0, middle: Middle { low: 900.0, median: 1_000.0, high: 1_100.0 } };
    let usual = (0..100_000).fold(usual, |usual, _| usual.learned(queued, true, false, SETTLED));
    assert!(usual.mean >= 1.0, "a time is never below nothing: {usual:?}");
}

#[test]
fn a_dip_that_nobody_came_to_end_over_night_is_not_the_last_for_days() {
    let mut limiter = settled(64);
    let queue = |limiter: &mut Limiter, from: u64| {
        let ends = (0..500).map(|n| from + n * 15);
        let mut dips = ends.filter(|now| {
            let in_dip = limiter.started(64);
            limiter.ended(Sample::Took(200_000), in_dip, Tick(*now));
            limiter.is_dipping()
        });
        dips.next()
    };
    assert!(queue(&mut limiter, 5_000).is_some());
    let night = 8 * 3_600_000;
    limiter.ended(Sample::Took(20_000), true, Tick(night));
    assert!(!limiter.is_dipping());
    assert!(limiter.next_dip <= Tick(night) + Span::secs(600), "{:?}", limiter.next_dip);
}

#[test]
fn huge_times_and_a_clock_that_stands_still_leave_it_a_limit() {
    for step in [0, 1, 1 << 40, u64::MAX / 1_000] {
        let mut limiter = Limiter::new(64);
        for n in 0..2_000u64 {
            let in_dip = limiter.started(64);
            let sample = if n % 50 == 7 { Sample::PushedBack } else { Sample::Took([0, 1, u64::MAX][n as usize % 3]) };
            limiter.ended(sample, in_dip, Tick(n.saturating_mul(step)));
            assert!((1..=64).contains(&limiter.limit()) && !limiter.limit.is_nan(), "{step} {n}: {limiter:?}");
        }
    }
}
