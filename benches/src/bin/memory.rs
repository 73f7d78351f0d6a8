//! What does an entry cost beyond its key and value, and does the limit hold under bursts?
//!
//! `cargo run --release -p bellwether-benches --bin memory`

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use bellwether::{Budget, Cache, Eviction, Loaded, Policy, Space};
use bellwether_benches::report::{Bar, bars, number, table};
use bellwether_benches::stats::Spread;
use bellwether_benches::{alloc, load, machine};
use bytes::Bytes;
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: alloc::Counting = alloc::Counting;

const ENTRIES: usize = 100_000;
/// Room for all of them with a quarter to spare.
const ROOM: u64 = 160 << 20;
const LIMIT: u64 = 64 << 20;
const LARGEST: usize = 64 << 10;
const BURST: Duration = Duration::from_millis(700);
const ROUNDS: usize = 5;
const THREADS: [usize; 3] = [2, 4, 8];
/// quick_cache's own cost of an entry, which its weigher must add.
const QUICK_OVERHEAD: usize = 53;

type Weigher = fn(&[u8], &Bytes) -> u64;

/// A store under test: keeps a value, and tells how many it holds.
trait Store: Sync {
    fn keep(&self, runtime: &Runtime, key: &[u8], value: Bytes);
    fn len(&self) -> u64;
}

/// Filled by loads, as a cache is.
struct Loads(Cache, Space<[u8], Bytes>);
impl Loads {
    fn new(limit: u64) -> Loads {
        Loads::under(Eviction::Auto, limit)
    }

    fn under(policy: Eviction, limit: u64) -> Loads {
        let budget = Budget { max_concurrency: 64, ..Budget::default() };
        let cache = Cache::builder().memory_bytes(limit).eviction(policy).budget(budget).build();
        let cache = cache.expect("the limits make sense");
        let space = cache.space("memory", Policy::ttl("1h").timeout("10s"));
        Loads(cache, space)
    }
}
impl Store for Loads {
    fn keep(&self, runtime: &Runtime, key: &[u8], value: Bytes) {
        let load = |_| async { Ok::<_, Infallible>(Loaded::value(value)) };
        runtime.block_on(self.1.get(key).or_load(load)).expect("a load that can't fail");
    }
    fn len(&self) -> u64 {
        self.0.snapshot().memory.entries
    }
}

/// Filled by plain writes, each of which is an invalidation as well.
struct Puts(Loads);
impl Puts {
    fn new(limit: u64) -> Puts {
        Puts(Loads::new(limit))
    }
}
impl Store for Puts {
    fn keep(&self, _: &Runtime, key: &[u8], value: Bytes) {
        self.0.1.put(key, value);
    }
    fn len(&self) -> u64 {
        self.0.len()
    }
}

#[derive(Clone)]
struct Weight(Weigher);
impl quick_cache::Weighter<Box<[u8]>, Bytes> for Weight {
    fn weight(&self, key: &Box<[u8]>, value: &Bytes) -> u64 {
        (self.0)(key, value)
    }
}

struct Quick(quick_cache::sync::Cache<Box<[u8]>, Bytes, Weight, ahash::RandomState>);
impl Quick {
    fn new(limit: u64) -> Quick {
        let weigh: Weigher = |key, value| (key.len() + value.len() + QUICK_OVERHEAD) as u64;
        let mut options = quick_cache::OptionsBuilder::new();
        options.weight_capacity(limit).estimated_items_capacity((limit / 1024) as usize).hot_allocation(0.80);
        let options = options.build().expect("complete");
        let life = quick_cache::sync::DefaultLifecycle::default();
        Quick(quick_cache::sync::Cache::with_options(options, Weight(weigh), ahash::RandomState::new(), life))
    }
}
impl Store for Quick {
    fn keep(&self, _: &Runtime, key: &[u8], value: Bytes) {
        self.0.insert(key.into(), value);
    }
    fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

/// Bytes per entry beyond the key's and the value's own (a value's handle is its own), of which reserved before the first; and the blocks of
/// which there is about one per entry.
struct Overhead {
    all: f64,
    reserved: f64,
    blocks: Vec<(usize, i64)>,
}

fn overhead<S: Store>(make: impl Fn(u64) -> S, entries: usize, limit: u64) -> Overhead {
    let runtime = runtime();
    alloc::start();
    let store = make(limit);
    let reserved = alloc::now().live as f64;
    for n in 0..entries {
        store.keep(&runtime, &load::key(n), Bytes::from(vec![n as u8; load::VALUE]));
    }
    let blocks = alloc::blocks(entries as i64 / 2);
    let held = alloc::now().live as f64;
    assert_eq!(store.len(), entries as u64, "nothing was evicted");
    end(store);
    let per_entry = |bytes: f64| bytes / entries as f64;
    let payload = load::KEY + load::VALUE + size_of::<Bytes>();
    Overhead { all: per_entry(held) - payload as f64, reserved: per_entry(reserved), blocks }
}

/// Drops a store and waits until its tasks have let go of it, so that the next count starts clean.
fn end<S: Store>(store: S) {
    drop(store);
    let patience = Instant::now() + Duration::from_secs(5);
    while alloc::now().live > 1 << 20 && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(5));
    }
    alloc::stop();
}

/// The most bytes held at once while `threads` write values of all sizes, as a share of the limit.
fn peak<S: Store>(make: fn(u64) -> S, threads: usize) -> f64 {
    alloc::start();
    let store = make(LIMIT);
    let until = Instant::now() + BURST;
    let write = |seed: u64| {
        let (mut rng, runtime) = (fastrand::Rng::with_seed(seed), runtime());
        while Instant::now() < until {
            // Most are small, a few large: sizes spread evenly over their logarithm.
            let size = (rng.f64() * (LARGEST as f64).ln()).exp() as usize;
            store.keep(&runtime, &load::key(rng.usize(..1_000_000)), Bytes::from(vec![1; size]));
        }
    };
    std::thread::scope(|scope| (0..threads).for_each(|n| drop(scope.spawn(move || write(n as u64)))));
    let peak = alloc::now().peak as f64 / LIMIT as f64;
    end(store);
    peak
}

/// What an entry costs under each policy, and what it counts for.
fn by_policy() -> String {
    let row = |policy: Eviction| {
        let cost = overhead(|limit| Puts(Loads::under(policy, limit)), ENTRIES, ROOM);
        let counted = Puts(Loads::under(policy, ROOM));
        counted.keep(&runtime(), &load::key(0), Bytes::from(vec![0; load::VALUE]));
        let payload = load::KEY + load::VALUE + size_of::<Bytes>();
        let counted = counted.0.0.snapshot().memory.bytes as f64 - payload as f64;
        vec![policy.to_string(), number(cost.all), number(counted)]
    };
    table(&["eviction", "bytes per entry beyond key and value", "counted against the limit"], &Eviction::ALL.map(row))
}

/// Blocks of about one per entry, without the key's and the value's bytes where they stand alone.
fn told(blocks: &[(usize, i64)], entries: usize) -> String {
    let per_entry: BTreeMap<usize, i64> = blocks.iter().copied().collect();
    let told = per_entry.iter().map(|(size, count)| format!("{size} B x {:.2}", *count as f64 / entries as f64));
    told.collect::<Vec<_>>().join(", ")
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime of one thread")
}

fn main() {
    println!("{}; {ENTRIES} entries, keys of 64 B, values of 1 KiB\n", machine::line());
    let (loads, puts) = (overhead(Loads::new, ENTRIES, ROOM), overhead(Puts::new, ENTRIES, ROOM));
    let (quick, sparse) = (overhead(Quick::new, ENTRIES, ROOM), overhead(Loads::new, ENTRIES / 10, 256 << 20));
    let row = |name: &str, of: &Overhead, entries: usize| {
        vec![name.to_owned(), number(of.all), number(of.reserved), told(&of.blocks, entries)]
    };
    let head = ["store", "bytes per entry beyond key and value", "of which reserved at the start", "blocks per entry"];
    println!(
        "{}",
        table(
            &head,
            &[
                row("bellwether, limit 160 MiB, filled by loads", &loads, ENTRIES),
                row("bellwether, limit 160 MiB, filled by put", &puts, ENTRIES),
                row("quick_cache 0.7, the same room", &quick, ENTRIES),
                row("bellwether, limit 256 MiB, 5 % full, by loads", &sparse, ENTRIES / 10),
            ]
        )
    );
    println!("{}", by_policy());
    let mut rows = Vec::new();
    let mut worst: f64 = 0.0;
    for threads in THREADS {
        let spread = |peak: &dyn Fn() -> f64| Spread::of(&(0..ROUNDS).map(|_| peak()).collect::<Vec<_>>());
        let (loads, puts) = (spread(&|| peak(Loads::new, threads)), spread(&|| peak(Puts::new, threads)));
        let quick = spread(&|| peak(Quick::new, threads));
        worst = worst.max(loads.q3);
        rows.push(vec![threads.to_string(), loads.to_string(), puts.to_string(), quick.to_string()]);
    }
    println!("bytes held at the peak / limit of 64 MiB, values of 1 B to 64 KiB, {ROUNDS} rounds of {BURST:?}:\n");
    println!(
        "{}",
        table(&["threads", "bellwether, by loads", "bellwether, by put", "quick_cache 0.7, weighed with 53 B"], &rows)
    );
    println!(
        "{}",
        bars(&[
            Bar::at_most("bytes per entry beyond key and value, by loads", loads.all, 160.0),
            Bar::at_most("peak / limit by loads (worst third quartile)", worst, 1.03),
        ])
    );
}
