//! Does the limit tell load times that vary from a queue of its own making?

use super::*;

const POOL: u32 = 64;
const BEGINS: Tick = Tick(0);

/// Load times as databases and services have them.
const SPREADS: [Times; 8] = [
    Times::Fixed(Span::ms(80)),
    Times::Lognormal(Span::ms(50), 0.5),
    Times::Lognormal(Span::ms(300), 0.5),
    Times::Lognormal(Span::ms(50), 1.0),
    Times::Lognormal(Span::ms(200), 1.0),
    Times::Lognormal(Span::ms(20), 1.5),
    Times::TwoKinds(Span::ms(1), Span::secs(2), 0.05),
    Times::TwoKinds(Span::ms(1), Span::ms(200), 0.5),
];

/// An origin and its callers.
#[derive(Clone, Copy)]
struct Scene {
    times: Times,
    workers: usize,
    pool: u32,
    one_class: bool,
    timeout: Span,
    patience: Span,
    pace: fn(Tick) -> f64,
    /// Of what it bears, from one moment to the next, and to the last.
    loads: [(f64, u64); 2],
    counted_from: Tick,
}

impl Scene {
    /// It runs everything at once, and its callers wait for as long as it takes.
    fn without_a_queue(times: Times, load: f64, one_class: bool) -> Scene {
        let long = Span::secs(60);
        let loads = [(load, 20_000), (load, 20_000)];
        Scene {
            times,
            workers: usize::MAX,
            pool: POOL,
            one_class,
            timeout: long,
            patience: long,
            pace: |_| 1.0,
            loads,
            counted_from: BEGINS,
        }
    }

    fn play(self, adaptive: bool, seed: u64) -> World {
        let budget = Budget { max_concurrency: self.pool, adaptive, timeout: self.timeout, ..Budget::default() };
        let mut world = World {
            times: self.times,
            workers: self.workers,
            one_class: self.one_class,
            pace: self.pace,
            timeout: self.timeout,
            patience: self.patience,
            draw: Draw(seed),
            ..World::new(&budget, self.counted_from)
        };
        let bears = self.workers.min(self.pool as usize) as f64 / self.times.mean_ms();
        let [(first, until), (second, end)] = self.loads;
        world.asks_at_random(BEGINS, Tick(until), first * bears);
        world.asks_at_random(Tick(until), Tick(end), second * bears);
        world.play();
        world
    }

    /// What is answered per second, of what it bears, on average over some seeds; and of critical callers the share.
    fn goodput(self, adaptive: bool) -> (f64, f64) {
        let seeds = 1..=3;
        let counted = (self.loads[1].1 - self.counted_from.0) as f64;
        let bears = self.workers as f64 / self.times.mean_ms();
        let (good, critical): (Vec<f64>, Vec<f64>) = seeds
            .map(|seed| self.play(adaptive, seed).answers)
            .map(|answers| {
                (answers.in_time.iter().sum::<u64>() as f64 / counted / bears, answers.share(Priority::Critical))
            })
            .unzip();
        let mean = |all: Vec<f64>| all.iter().sum::<f64>() / all.len() as f64;
        (mean(good), mean(critical))
    }
}

#[test]
fn where_nothing_queues_all_are_answered_however_much_load_times_vary() {
    for times in SPREADS {
        for (load, one_class) in [(0.2, false), (0.5, true), (0.5, false), (0.8, true), (0.8, false)] {
            for seed in 1..=2 {
                let scene = Scene::without_a_queue(times, load, one_class);
                let (followed, fixed) = (scene.play(true, seed), scene.play(false, seed));
                let (share, control) = (followed.answers.of_all(), fixed.answers.of_all());
                let told = format!("{times:?} at {load}, one class: {one_class}, seed {seed}");
                println!("{told}: {share:.4}, fixed {control:.4}, limit at least {}", followed.least);
                assert!(share > control - 0.01, "{told}: {share:.4}, with a fixed limit {control:.4}");
            }
        }
    }
}

#[test]
fn where_loads_queue_the_limit_is_found_however_much_their_times_vary() {
    let spreads = [
        Times::Fixed(Span::ms(120)),
        Times::Uniform(Span::ms(120)),
        Times::Lognormal(Span::ms(100), 0.5),
        Times::Lognormal(Span::ms(80), 1.0),
    ];
    for (workers, at_least) in [(6, 0.85), (24, 0.93)] {
        for times in spreads {
            // Three times what it bears, after a calm while and from the first moment.
            for (first, counted_from) in [(0.6, Tick(10_000)), (3.0, BEGINS)] {
                let scene = Scene {
                    workers,
                    timeout: TIMEOUT,
                    patience: PATIENCE,
                    loads: [(first, 10_000), (3.0, 30_000)],
                    counted_from,
                    ..Scene::without_a_queue(times, 0.0, false)
                };
                let (good, critical) = scene.goodput(true);
                println!("{workers} workers, {times:?}, from {first}: goodput {good:.3}, critical {critical:.4}");
                assert!(good > at_least && critical > at_least, "{workers}, {times:?}, {first}: {good} {critical}");
                let pool = if workers == 6 { scene.goodput(false).0 } else { 0.0 };
                assert!(pool < 0.2, "control: a fixed limit of the pool is no protection: {pool}");
            }
        }
    }
}

/// What runs when an overload begins is worked off for seconds, while nobody may begin: it is not usual for that, and no
/// dip that comes before they are through tells what is.
#[test]
fn an_origin_behind_a_pool_that_is_far_too_large_still_answers_most_of_what_it_can() {
    for (workers, times, at_least) in [
        (6, Times::Fixed(Span::ms(120)), 0.64),
        (6, Times::Lognormal(Span::ms(100), 0.5), 0.67),
        (24, Times::Fixed(Span::ms(120)), 0.75),
    ] {
        let scene = Scene {
            workers,
            pool: 512,
            timeout: TIMEOUT,
            patience: PATIENCE,
            loads: [(0.6, 10_000), (3.0, 40_000)],
            counted_from: Tick(10_000),
            ..Scene::without_a_queue(times, 0.0, false)
        };
        let (good, _) = scene.goodput(true);
        println!("{workers} workers, {times:?}: goodput {good:.3}");
        assert!(good > at_least, "{workers} workers, {times:?}: {good:.3}");
    }
}

/// The first that end are the fastest of those that began.
#[test]
fn an_origin_whose_loads_take_a_second_is_not_held_to_be_slow_after_a_cold_start() {
    for seed in 1..=3 {
        let scene = Scene { pool: 256, ..Scene::without_a_queue(Times::Uniform(Span::secs(1)), 0.8, false) };
        let share = scene.play(true, seed).answers.of_all();
        println!("seed {seed}: {share:.4}");
        assert!(share > 0.99, "seed {seed}: {share:.4}");
    }
}

#[test]
fn an_origin_that_was_ten_times_slower_for_a_while_has_its_limit_back_soon_after() {
    for times in SPREADS {
        let scene = Scene {
            pace: |now| if (5_000..10_000).contains(&now.0) { 10.0 } else { 1.0 },
            loads: [(0.5, 20_000), (0.5, 30_000)],
            counted_from: Tick(20_000),
            ..Scene::without_a_queue(times, 0.5, false)
        };
        let (followed, fixed) = (scene.play(true, 3), scene.play(false, 3));
        let (share, control) = (followed.answers.of_all(), fixed.answers.of_all());
        assert!(share > control - 0.01, "{times:?}: {share:.4}, with a fixed limit {control:.4}");
    }
}

/// Of those whose loads take a second and more then, some can't be measured within a dip: see the next.
#[test]
fn an_origin_that_became_slower_for_good_is_asked_as_much_as_it_bears() {
    for times in SPREADS.into_iter().filter(|times| times.mean_ms() < 300.0) {
        let scene = Scene {
            pace: |now| if now.0 < 10_000 { 1.0 } else { 4.0 },
            loads: [(0.2, 25_000), (0.2, 40_000)],
            counted_from: Tick(25_000),
            ..Scene::without_a_queue(times, 0.2, false)
        };
        for seed in 1..=2 {
            let (followed, fixed) = (scene.play(true, seed), scene.play(false, seed));
            let (share, control) = (followed.answers.of_all(), fixed.answers.of_all());
            assert!(share > control - 0.03, "{times:?}, {seed}: {share:.4}, with a fixed limit {control:.4}");
        }
    }
}

#[test]
fn loads_that_come_to_take_one_and_a_half_seconds_are_measured_within_a_dip() {
    let scene = Scene {
        pace: |now| if now.0 < 10_000 { 1.0 } else { 4.0 },
        loads: [(0.2, 25_000), (0.2, 40_000)],
        counted_from: Tick(25_000),
        ..Scene::without_a_queue(Times::Lognormal(Span::ms(300), 0.5), 0.2, false)
    };
    for seed in 1..=4 {
        let share = scene.play(true, seed).answers.of_all();
        println!("seed {seed}: {share:.4}");
        assert!(share > 0.95, "seed {seed}: {share:.4}");
    }
}

#[test]
fn loads_that_vary_much_and_come_to_take_ten_times_as_long_are_not_held_up_for_those_that_take_longest() {
    let scene = Scene {
        pool: 256,
        pace: |now| if now.0 < 10_000 { 1.0 } else { 10.0 },
        loads: [(0.05, 20_000), (0.05, 50_000)],
        counted_from: Tick(20_000),
        ..Scene::without_a_queue(Times::Lognormal(Span::ms(20), 1.5), 0.05, false)
    };
    let share = (1..=6).map(|seed| scene.play(true, seed).answers.of_all()).sum::<f64>() / 6.0;
    println!("{share:.4}");
    assert!(share > 0.9, "{share:.4}");
}
