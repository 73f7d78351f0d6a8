//! What does a hit on a hot key cost when two threads read it, once each has a reference of its own?
//!
//! `cargo run --release -p bellwether-benches --bin hotkey [rounds]`
//!
//! One key read by two threads, and 1,000 keys by Zipf of which the hottest are reacted to; beside it the same when no key
//! is found hot, and bare quick_cache. Threads take references wherever they meet again and again, to a hot key at the first
//! meeting. Keys are announced, which does what detection would do.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use bellwether::{Cache, Measure, Policy, Space, Span};
use bellwether_benches::report::{Bar, bars, table};
use bellwether_benches::stats::Spread;
use bellwether_benches::{cpu, load, machine};
use bytes::Bytes;

/// Hits per lane, thread and round.
const HITS: usize = 200_000;
const ROUNDS: usize = 15;
const KEYS: usize = 1_000;
/// So many of them are reacted to, the hottest; a few of those want the same place, and one of them gets it.
const HOT: usize = 24;
const LIMIT: u64 = 64 << 20;

/// One way to ask: all of `order`, in this thread.
struct Lane {
    name: &'static str,
    hit: Hit,
}

type Hit = Box<dyn Fn(&[u8]) + Sync>;

type Quick = quick_cache::sync::Cache<Box<[u8]>, Bytes, quick_cache::UnitWeighter, ahash::RandomState>;

fn use_it(value: &[u8]) {
    std::hint::black_box((value.as_ptr(), value.len()));
}

fn quick(keys: &[Box<[u8]>]) -> Lane {
    let items = (LIMIT / 1024) as usize;
    let mut options = quick_cache::OptionsBuilder::new();
    options.weight_capacity(items as u64).estimated_items_capacity(items).hot_allocation(0.80);
    let life = quick_cache::sync::DefaultLifecycle::default();
    let cache = Quick::with_options(
        options.build().expect("complete"),
        quick_cache::UnitWeighter,
        ahash::RandomState::new(),
        life,
    );
    keys.iter().enumerate().for_each(|(n, key)| cache.insert(key.clone(), load::value(n)));
    Lane { name: "quick_cache 0.7, bare", hit: Box::new(move |key| use_it(&cache.get(key).expect("resident"))) }
}

/// Those of `keys` at the positions `hot` are reacted to.
fn bellwether(name: &'static str, keys: &[Box<[u8]>], hot: &[u32]) -> Lane {
    let cache = Cache::builder().memory_bytes(LIMIT).build().expect("the defaults make sense");
    let space: Space<[u8], Bytes> = cache.space("bench", Policy::ttl("1h").grace("6h"));
    keys.iter().enumerate().for_each(|(n, key)| assert!(space.put(key, load::value(n)), "kept"));
    let now = cache.clock().now();
    hot.iter().for_each(|at| assert!(space.announce(&keys[*at as usize], now, now + Span::secs(3600))));
    let in_force = || {
        let counts = cache.snapshot().reactions;
        counts.iter().find(|counts| counts.measure == Measure::OwnCopies).map_or(0, |counts| counts.keys)
    };
    let begun = Instant::now();
    while in_force() < hot.len() as u64 {
        assert!(begun.elapsed() < Duration::from_secs(20), "it is reacted to");
        std::thread::sleep(Duration::from_millis(10));
    }
    Lane { name, hit: Box::new(move |key| use_it(&space.hit(key).expect("resident"))) }
}

/// The positions that are asked for most, the hottest first.
fn hottest(orders: &[Vec<u32>]) -> Vec<u32> {
    let mut counts = vec![(0u32, 0u32); KEYS];
    orders.iter().flatten().for_each(|at| counts[*at as usize] = (counts[*at as usize].0 + 1, *at));
    counts.sort_unstable();
    counts.into_iter().rev().take(HOT).map(|(_, at)| at).collect()
}

/// CPU ns per hit, and hits a second of all threads together.
fn round(lane: &Lane, keys: &[Box<[u8]>], orders: &[Vec<u32>]) -> (f64, f64) {
    let start = Barrier::new(orders.len());
    let one = |order: &Vec<u32>| {
        start.wait();
        let (wall, before) = (Instant::now(), cpu::thread());
        order.iter().for_each(|at| (lane.hit)(&keys[*at as usize]));
        (cpu::thread() - before, wall.elapsed())
    };
    let took: Vec<(Duration, Duration)> = std::thread::scope(|scope| {
        let threads: Vec<_> = orders.iter().map(|order| scope.spawn(|| one(order))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no lane panics")).collect()
    });
    let hits = (orders.len() * HITS) as f64;
    let spent: Duration = took.iter().map(|(cpu, _)| *cpu).sum();
    let wall = took.iter().map(|(_, wall)| *wall).max().unwrap_or_default();
    (spent.as_nanos() as f64 / hits, hits / wall.as_secs_f64())
}

/// Nanoseconds and rates, each of one thread and of two, a figure for each round.
type Figures = [[Vec<f64>; 2]; 2];

/// By lane: ns and rate of one thread and of two, a figure for each round.
fn measure(lanes: &[Lane], keys: &[Box<[u8]>], orders: &[Vec<u32>], rounds: usize) -> Vec<Figures> {
    let mut all: Vec<Figures> = lanes.iter().map(|_| Default::default()).collect();
    for n in 0..=rounds {
        for step in 0..lanes.len() {
            // Another lane is first each time, and the first round warms up.
            let at = (step + n) % lanes.len();
            for threads in [1, 2] {
                let (ns, rate) = round(&lanes[at], keys, &orders[..threads]);
                if n > 0 {
                    all[at][0][threads - 1].push(ns);
                    all[at][1][threads - 1].push(rate);
                }
            }
        }
    }
    all
}

fn ratio(of: &[f64], to: &[f64]) -> Spread {
    Spread::of(&of.iter().zip(to).map(|(a, b)| a / b).collect::<Vec<_>>())
}

fn show(title: &str, lanes: &[Lane], all: &[Figures]) {
    let row = |lane: &Lane, [ns, rate]: &Figures| {
        let quick = &all[0][0];
        vec![
            lane.name.to_owned(),
            Spread::of(&ns[0]).to_string(),
            Spread::of(&ns[1]).to_string(),
            ratio(&ns[1], &quick[1]).to_string(),
            format!("{:.2} ({:.2})", 2.0 * ratio(&ns[0], &ns[1]).median, ratio(&rate[1], &rate[0]).median),
        ]
    };
    let rows: Vec<_> = lanes.iter().zip(all).map(|(lane, figures)| row(lane, figures)).collect();
    let head = ["hit", "CPU ns, 1 thread", "CPU ns, 2 threads", "x quick_cache, 2 threads", "scale by CPU (by wall)"];
    println!("{title}:\n\n{}", table(&head, &rows));
}

fn main() {
    let rounds = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(ROUNDS);
    println!("{}; {rounds} interleaved rounds of {HITS} hits per thread\n", machine::line());
    let keys = load::keys(KEYS);
    let one: Vec<Vec<u32>> = vec![vec![0; HITS]; 2];
    let lanes = [
        quick(&keys[..1]),
        bellwether("bellwether hit()", &keys[..1], &[]),
        bellwether("bellwether hit(), reacted to", &keys[..1], &[0]),
    ];
    let all = measure(&lanes, &keys, &one, rounds);
    show("One key of 64 B, a value of 1 KiB", &lanes, &all);
    let one_key = ratio(&all[2][0][1], &all[0][0][1]).median;
    let orders: Vec<Vec<u32>> = (0..2).map(|n| load::zipf(keys.len(), HITS, 7 + n)).collect();
    let lanes = [
        quick(&keys),
        bellwether("bellwether hit()", &keys, &[]),
        bellwether("bellwether hit(), the hottest reacted to", &keys, &hottest(&orders)),
    ];
    let all = measure(&lanes, &keys, &orders, rounds);
    show(&format!("{KEYS} keys, Zipf {}", load::SKEW), &lanes, &all);
    let scale = |lane: usize| 2.0 * ratio(&all[lane][0][0], &all[lane][0][1]).median;
    let verdicts = [
        Bar::at_most("one hot key, 2 threads: reacted to / quick_cache".to_owned(), one_key, 0.35),
        Bar::at_least(format!("{KEYS} keys: scale of hit(), reacted to"), scale(2), 1.8),
    ];
    println!("{}\nload average at the end {}", bars(&verdicts), machine::load());
}
