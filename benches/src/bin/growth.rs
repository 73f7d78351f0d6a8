//! Does a hit cost the same among ten thousand entries and among ten million? CPU per hit by size,
//! beside bare quick_cache, and the longest stop that growing caused.
//!
//! `cargo run --release -p bellwether-benches --bin growth [largest]`

use std::hint::black_box;
use std::time::Duration;

use bellwether::{Cache, Policy, Space};
use bellwether_benches::report::table;
use bellwether_benches::stats::Spread;
use bellwether_benches::{alloc, cpu, load, machine};

#[global_allocator]
static ALLOCATOR: alloc::Counting = alloc::Counting;

const LARGEST: usize = 10_000_000;
const SIZES: [usize; 7] = [10_000, 31_623, 100_000, 316_228, 1_000_000, 3_162_278, LARGEST];
/// Hits per round, of each kind.
const HITS: usize = 300_000;
const ROUNDS: usize = 7;
/// Room for an entry with a small key and value, in every store.
const ROOM: u64 = 400;
/// Length of a key: values are numbers, so that ten million of both fit a small machine.
const KEY: usize = 16;

type Key = [u8; KEY];
type Bare = quick_cache::sync::Cache<Box<[u8]>, u64, quick_cache::UnitWeighter, ahash::RandomState>;

fn key(n: u32) -> Key {
    // Neighbours in number are no neighbours in memory.
    let spread = u128::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    spread.to_be_bytes()
}

/// The same entries in both stores.
struct Stores {
    _cache: Cache,
    space: Space<[u8], u64>,
    bare: Bare,
    /// The longest single store in each, in CPU time.
    longest: [Duration; 2],
    /// Bytes held by each, per entry, key and value included.
    bytes: [f64; 2],
}

impl Stores {
    fn filled(entries: usize) -> Stores {
        let cache = Cache::builder().memory_bytes(ROOM * entries as u64 + (16 << 20)).build().expect("a limit");
        let space: Space<[u8], u64> = cache.space("growth", Policy::ttl("1d"));
        let mut options = quick_cache::OptionsBuilder::new();
        options.weight_capacity(entries as u64 * 2).estimated_items_capacity(entries * 2).hot_allocation(0.80);
        let life = quick_cache::sync::DefaultLifecycle::default();
        let bare = Bare::with_options(
            options.build().expect("complete"),
            quick_cache::UnitWeighter,
            ahash::RandomState::new(),
            life,
        );
        let ours = fill(entries, |n| assert!(space.put(&key(n), u64::from(n)), "kept"));
        let theirs = fill(entries, |n| bare.insert(Box::new(key(n)), u64::from(n)));
        assert_eq!((cache.entries(), bare.len()), (entries as u64, entries), "nothing was evicted");
        Stores { _cache: cache, space, bare, longest: [ours.0, theirs.0], bytes: [ours.1, theirs.1] }
    }

    /// CPU ns per hit of ours and of the bare store.
    fn round(&self, order: &[u32]) -> [f64; 2] {
        let each = |hit: &dyn Fn(&Key)| {
            let before = cpu::thread();
            order.iter().for_each(|n| hit(&key(*n)));
            (cpu::thread() - before).as_nanos() as f64 / order.len() as f64
        };
        let ours = each(&|key| {
            black_box(*self.space.hit(key).expect("resident"));
        });
        let theirs = each(&|key| {
            black_box(self.bare.get(&key[..]).expect("resident"));
        });
        [ours, theirs]
    }
}

/// The longest single call, and the bytes per entry that are held afterwards.
fn fill(entries: usize, put: impl Fn(u32)) -> (Duration, f64) {
    alloc::start();
    // CPU time: what else runs on the machine stops nobody here.
    let longest = (0..entries as u32).map(|n| {
        let begun = cpu::thread();
        put(n);
        cpu::thread() - begun
    });
    let longest = longest.max().unwrap_or_default();
    (longest, alloc::stop().live as f64 / entries as f64)
}

fn main() {
    let largest = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(LARGEST);
    println!("{}; {ROUNDS} interleaved rounds of {HITS} hits, keys of {KEY} B, values of 8 B\n", machine::line());
    let mut rows = Vec::new();
    for size in SIZES.into_iter().filter(|size| *size <= largest) {
        let stores = Stores::filled(size);
        let uniform: Vec<u32> = {
            let mut rng = fastrand::Rng::with_seed(5);
            (0..HITS).map(|_| rng.u32(..size as u32)).collect()
        };
        let mut row = vec![size.to_string()];
        for order in [load::zipf(size, HITS, 7), uniform] {
            let rounds: Vec<[f64; 2]> = (0..=ROUNDS).map(|_| stores.round(&order)).skip(1).collect();
            let of = |pick: &dyn Fn(&[f64; 2]) -> f64| Spread::of(&rounds.iter().map(pick).collect::<Vec<_>>());
            row.push(format!("{:.0}", of(&|ns| ns[0]).median));
            row.push(format!("{:.0}", of(&|ns| ns[1]).median));
            row.push(of(&|ns| ns[0] / ns[1]).to_string());
        }
        row.push(format!("{:.1} ms, {:.1} ms", ms(stores.longest[0]), ms(stores.longest[1])));
        row.push(format!("{:.0}, {:.0}", stores.bytes[0], stores.bytes[1]));
        rows.push(row);
        println!("{size} entries: done");
    }
    let head = [
        "entries",
        "zipf: ns per hit",
        "quick_cache",
        "ratio",
        "uniform: ns per hit",
        "quick_cache",
        "ratio",
        "longest put, CPU: ours, quick_cache",
        "bytes per entry, all in",
    ];
    println!("\n{}\nload average at the end {}", table(&head, &rows), machine::load());
}

fn ms(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}
