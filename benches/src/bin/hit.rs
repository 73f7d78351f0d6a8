//! What does a hit cost, everything on, beside others' hits? CPU per operation and allocations.
//!
//! `cargo run --release -p bellwether-benches --bin hit [rounds]`
//!
//! `hit cold [rounds]`: each lane begins right after another store's, with its lines out of the processor's caches and its
//! detector expecting little.
//!
//! `hit only LANE KEYS HITS` runs one lane alone, to be counted by another program: LANE is a part of
//! its name. The difference between two runs is free of the start:
//! `valgrind --tool=callgrind target/release/hit only or_load 1000 200000`
//!
//! `hit least KEYS ROUNDS` shows the least CPU time per hit of so many short rounds, on one thread: on a machine with other
//! work to do some rounds go undisturbed, hardly ever half of them.

use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use bellwether::{Cache, Clock, Loaded, Policy, Space, Span};
use bellwether_benches::report::{Bar, bars, table};
use bellwether_benches::stats::Spread;
use bellwether_benches::{alloc, cpu, load, machine};
use bytes::Bytes;
use parking_lot::RwLock;
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: alloc::Counting = alloc::Counting;

/// Operations per lane, thread and round: long against the clock's and the scheduler's steps.
const OPERATIONS: usize = 200_000;
const ROUNDS: usize = 15;
const SIZES: [usize; 2] = [1_000, 20_000];
/// Room for all keys twice over, in every store.
const LIMIT: u64 = 64 << 20;
const HOT_ALLOCATION: f64 = 0.80;

const THREADS: usize = 2;

/// Lanes that are compared with each other.
const OURS: &str = "bellwether get().or_load()";
const PLAIN: &str = "bellwether hit()";
const QUICK: &str = "quick_cache 0.7, bare";
const LIMIT_LANE: &str = "the limit: 64 tables + clone";
const MOKA: &str = "moka 0.12 future try_get_with";
const FOYER: &str = "foyer 0.22 get_or_fetch (s3-fifo)";

/// Where the lane of that name stands.
fn nth(lanes: &[Box<dyn Lane>], name: &str) -> usize {
    lanes.iter().position(|lane| lane.name() == name).expect("one of the lanes")
}

/// What a thread asks for: which key each time.
struct Order {
    /// Which of the threads it is.
    thread: usize,
    keys: Vec<u32>,
}

impl Order {
    fn of(thread: usize, keys: Vec<u32>) -> Order {
        Order { thread, keys }
    }
}

/// One way to ask: all of `order`, in this thread. Never misses.
trait Lane: Sync {
    fn name(&self) -> &'static str;
    fn run(&self, runtime: &Runtime, keys: &[Box<[u8]>], order: &Order);
}

/// What every lane does with what it got: look where it is and how long, read none of it.
fn use_it(value: &[u8]) {
    black_box((value.as_ptr(), value.len()));
}

struct Nothing;
impl Lane for Nothing {
    fn name(&self) -> &'static str {
        "(the loop alone)"
    }
    fn run(&self, _: &Runtime, keys: &[Box<[u8]>], order: &Order) {
        order.keys.iter().for_each(|at| use_it(&keys[*at as usize]));
    }
}

type Table = hashbrown::HashTable<(Box<[u8]>, Bytes)>;

struct Limit {
    seed: ahash::RandomState,
    shards: Vec<RwLock<Table>>,
}
impl Limit {
    fn new(keys: &[Box<[u8]>]) -> Limit {
        let seed = ahash::RandomState::new();
        let shards: Vec<_> = (0..64).map(|_| RwLock::new(Table::new())).collect();
        for (n, key) in keys.iter().enumerate() {
            let hash = seed.hash_one(&**key);
            let rehash = |entry: &(Box<[u8]>, Bytes)| seed.hash_one(&*entry.0);
            shards[(hash >> 32) as usize % 64].write().insert_unique(hash, (key.clone(), load::value(n)), rehash);
        }
        Limit { seed, shards }
    }
}

/// What two threads can reach here that have nothing in common: what they lose, the machine takes.
struct Apart([Limit; THREADS]);
impl Lane for Apart {
    fn name(&self) -> &'static str {
        "the limit, one for each thread"
    }
    fn run(&self, runtime: &Runtime, keys: &[Box<[u8]>], order: &Order) {
        self.0[order.thread].run(runtime, keys, order);
    }
}

impl Lane for Limit {
    fn name(&self) -> &'static str {
        LIMIT_LANE
    }
    fn run(&self, _: &Runtime, keys: &[Box<[u8]>], order: &Order) {
        for at in &order.keys {
            let key = &*keys[*at as usize];
            let hash = self.seed.hash_one(key);
            let shard = self.shards[(hash >> 32) as usize % 64].read();
            let value = shard.find(hash, |entry| *entry.0 == *key).expect("resident").1.clone();
            drop(shard);
            use_it(&value);
        }
    }
}

struct Quick(quick_cache::sync::Cache<Box<[u8]>, Bytes, quick_cache::UnitWeighter, ahash::RandomState>);
impl Quick {
    fn new(keys: &[Box<[u8]>]) -> Quick {
        let items = (LIMIT / 1024) as usize;
        let mut options = quick_cache::OptionsBuilder::new();
        options.weight_capacity(items as u64).estimated_items_capacity(items).hot_allocation(HOT_ALLOCATION);
        let options = options.build().expect("complete");
        let life = quick_cache::sync::DefaultLifecycle::default();
        let cache =
            quick_cache::sync::Cache::with_options(options, quick_cache::UnitWeighter, ahash::RandomState::new(), life);
        keys.iter().enumerate().for_each(|(n, key)| cache.insert(key.clone(), load::value(n)));
        Quick(cache)
    }
}
impl Lane for Quick {
    fn name(&self) -> &'static str {
        QUICK
    }
    fn run(&self, _: &Runtime, keys: &[Box<[u8]>], order: &Order) {
        order.keys.iter().for_each(|at| use_it(&self.0.get(&*keys[*at as usize]).expect("resident")));
    }
}

struct MokaSync(moka::sync::Cache<Box<[u8]>, Bytes, ahash::RandomState>);
impl Lane for MokaSync {
    fn name(&self) -> &'static str {
        "moka 0.12 sync get"
    }
    fn run(&self, _: &Runtime, keys: &[Box<[u8]>], order: &Order) {
        order.keys.iter().for_each(|at| use_it(&self.0.get(&*keys[*at as usize]).expect("resident")));
    }
}

struct MokaFuture(moka::future::Cache<Vec<u8>, Bytes, ahash::RandomState>);
impl Lane for MokaFuture {
    fn name(&self) -> &'static str {
        MOKA
    }
    fn run(&self, runtime: &Runtime, keys: &[Box<[u8]>], order: &Order) {
        runtime.block_on(async {
            for at in &order.keys {
                let init = async { Ok::<Bytes, Infallible>(unreachable_load()) };
                use_it(&self.0.try_get_with_by_ref(&*keys[*at as usize], init).await.expect("resident"));
            }
        });
    }
}

struct Foyer(foyer_memory::Cache<Vec<u8>, Bytes, ahash::RandomState>);
impl Lane for Foyer {
    fn name(&self) -> &'static str {
        FOYER
    }
    fn run(&self, runtime: &Runtime, keys: &[Box<[u8]>], order: &Order) {
        runtime.block_on(async {
            for at in &order.keys {
                let fetch = || async { Ok::<Bytes, Infallible>(unreachable_load()) };
                use_it(self.0.get_or_fetch(&*keys[*at as usize], fetch).await.expect("resident").value());
            }
        });
    }
}

struct OrLoad(&'static str, Space<[u8], Bytes>);
impl Lane for OrLoad {
    fn name(&self) -> &'static str {
        self.0
    }
    fn run(&self, runtime: &Runtime, keys: &[Box<[u8]>], order: &Order) {
        runtime.block_on(async {
            for at in &order.keys {
                let get = self.1.get(&keys[*at as usize]);
                use_it(
                    &get.or_load(|_| async { Ok::<_, Infallible>(Loaded::value(unreachable_load())) })
                        .await
                        .expect("resident"),
                );
            }
        });
    }
}

struct PlainHit(Space<[u8], Bytes>);
impl Lane for PlainHit {
    fn name(&self) -> &'static str {
        PLAIN
    }
    fn run(&self, _: &Runtime, keys: &[Box<[u8]>], order: &Order) {
        order.keys.iter().for_each(|at| use_it(&self.0.hit(&keys[*at as usize]).expect("resident")));
    }
}

fn unreachable_load() -> Bytes {
    unreachable!("every key is resident")
}

fn lanes(keys: &[Box<[u8]>], clock: Clock) -> Vec<Box<dyn Lane>> {
    let seed = ahash::RandomState::new;
    let space = || -> Space<[u8], Bytes> {
        let cache = Cache::builder().memory_bytes(LIMIT).clock(clock.clone()).build().expect("the defaults make sense");
        cache.space("bench", Policy::ttl("1h").grace("6h"))
    };
    let (space, tagged) = (space(), space());
    let sync = moka::sync::Cache::builder().max_capacity(LIMIT / 1024).build_with_hasher(seed());
    let future = moka::future::Cache::builder().max_capacity(LIMIT / 1024).build_with_hasher(seed());
    let foyer = foyer_memory::CacheBuilder::new((LIMIT / 1024) as usize)
        .with_eviction_config(foyer_memory::S3FifoConfig::default())
        .with_hash_builder(seed())
        .build();
    let runtime = runtime();
    // Each by itself, as the two below fill themselves: filled in turns, the entries of one would lie between those of the
    // others, several times as far apart as those of who was filled alone.
    keys.iter().enumerate().for_each(|(n, key)| assert!(space.put(key, load::value(n)), "kept"));
    keys.iter().enumerate().for_each(|(n, key)| sync.insert(key.clone(), load::value(n)));
    keys.iter().enumerate().for_each(|(n, key)| runtime.block_on(future.insert(key.to_vec(), load::value(n))));
    keys.iter().enumerate().for_each(|(n, key)| drop(foyer.insert(key.to_vec(), load::value(n))));
    for (n, key) in keys.iter().enumerate() {
        let tagged_value = Loaded::value(load::value(n)).tag("catalogue").tag(format!("category:{}", n % 100));
        assert!(tagged.put(key, tagged_value), "kept");
    }
    sync.run_pending_tasks();
    runtime.block_on(future.run_pending_tasks());
    vec![
        Box::new(Nothing),
        Box::new(Limit::new(keys)),
        Box::new(Quick::new(keys)),
        Box::new(OrLoad(OURS, space.clone())),
        Box::new(PlainHit(space)),
        Box::new(MokaSync(sync)),
        Box::new(MokaFuture(future)),
        Box::new(Foyer(foyer)),
        Box::new(OrLoad("bellwether or_load(), two tags", tagged)),
        Box::new(Apart(std::array::from_fn(|_| Limit::new(keys)))),
    ]
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime of one thread")
}

/// Long enough for a window of the detector of hot keys to end in it: a program in use has no pause before each burst of hits.
const WARM: Duration = Duration::from_millis(150);

/// The lane as in a program that is in use: what the lane before it left in the processor's caches is not its doing, and the
/// second of two lanes of one store would find its entries there, and a detector that expects as much.
fn warm(lane: &dyn Lane, runtime: &Runtime, keys: &[Box<[u8]>], order: &Order) {
    let began = Instant::now();
    while began.elapsed() < WARM {
        lane.run(runtime, keys, order);
    }
}

/// CPU ns per operation, and operations a second of all threads together. Unless `cold`, the lane is in use before that.
fn round(lane: &dyn Lane, keys: &[Box<[u8]>], orders: &[Order], cold: bool) -> (f64, f64) {
    let start = Barrier::new(orders.len());
    let one = |order: &Order| {
        let runtime = runtime();
        if !cold {
            warm(lane, &runtime, keys, order);
        }
        start.wait();
        let (wall, before) = (Instant::now(), cpu::thread());
        lane.run(&runtime, keys, order);
        (cpu::thread() - before, wall.elapsed())
    };
    let took: Vec<(Duration, Duration)> = std::thread::scope(|scope| {
        let threads: Vec<_> = orders.iter().map(|order| scope.spawn(|| one(order))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no lane panics")).collect()
    });
    let operations = (orders.len() * OPERATIONS) as f64;
    let spent: Duration = took.iter().map(|(cpu, _)| *cpu).sum();
    let wall = took.iter().map(|(_, wall)| *wall).max().unwrap_or_default();
    (spent.as_nanos() as f64 / operations, operations / wall.as_secs_f64())
}

/// All rounds of one lane.
#[derive(Default)]
struct Rounds {
    ns: [Vec<f64>; 2],
    rate: [Vec<f64>; 2],
}

fn measure(lanes: &[Box<dyn Lane>], keys: &[Box<[u8]>], rounds: usize, cold: bool) -> Vec<Rounds> {
    let order = |nth| Order::of(nth, load::zipf(keys.len(), OPERATIONS, 7 + nth as u64));
    let orders: Vec<Order> = (0..THREADS).map(order).collect();
    let mut all: Vec<Rounds> = lanes.iter().map(|_| Rounds::default()).collect();
    for n in 0..=rounds {
        for step in 0..lanes.len() {
            // Another lane is first each time, and the first round warms up.
            let at = (step + n) % lanes.len();
            for threads in [1, 2] {
                let (ns, rate) = round(&*lanes[at], keys, &orders[..threads], cold);
                if n > 0 {
                    all[at].ns[threads - 1].push(ns);
                    all[at].rate[threads - 1].push(rate);
                }
            }
        }
    }
    all
}

/// Ratio to `of`, round by round: what disturbs a round disturbs both.
fn ratio(of: &[f64], to: &[f64]) -> Spread {
    Spread::of(&of.iter().zip(to).map(|(a, b)| a / b).collect::<Vec<_>>())
}

/// Hits of a window, where time is driven by hand: 3 million a second.
const WINDOW_HITS: usize = 300_000;

/// One lane alone; false if the arguments ask for something else.
fn only(args: &[String]) -> bool {
    let [word, lane, keys, hits] = args else { return false };
    let (Ok(keys), Ok(hits)) = (keys.parse(), hits.parse()) else { return false };
    let keys = load::keys(keys);
    // What counts instructions has no vDSO, from which the machine's clock is read.
    let clock = Clock::manual();
    let lanes = lanes(&keys, clock.clone());
    let Some(lane) = lanes.iter().find(|known| word == "only" && known.name().contains(lane.as_str())) else {
        return false;
    };
    let runtime = runtime();
    // As many in a window as a busy program has: before the first one is over it is not known that there are many.
    for hits in load::zipf(keys.len(), hits, 7).chunks(WINDOW_HITS) {
        lane.run(&runtime, &keys, &Order::of(0, hits.to_vec()));
        clock.advance(Span::ms(100));
        // What ends a window runs on a thread of its own.
        std::thread::sleep(Duration::from_millis(30));
    }
    true
}

/// Hits per round of `least`: few enough to pass within a turn of the scheduler.
const SHORT: usize = 40_000;

/// The least time of each lane; false if the arguments ask for something else.
fn least(args: &[String]) -> bool {
    let [word, keys, rounds] = args else { return false };
    let (Ok(keys), Ok(rounds), "least") = (keys.parse::<usize>(), rounds.parse::<usize>(), word.as_str()) else {
        return false;
    };
    let (keys, runtime) = (load::keys(keys), runtime());
    let (lanes, order) = (lanes(&keys, Clock::system()), Order::of(0, load::zipf(keys.len(), SHORT, 7)));
    let mut all = vec![Vec::new(); lanes.len()];
    for n in 0..rounds {
        for step in 0..lanes.len() {
            let at = (step + n) % lanes.len();
            warm(&*lanes[at], &runtime, &keys, &order);
            let before = cpu::thread();
            lanes[at].run(&runtime, &keys, &order);
            all[at].push((cpu::thread() - before).as_nanos() as f64 / SHORT as f64);
        }
    }
    let least = |at: usize| all[at].iter().copied().fold(f64::INFINITY, f64::min);
    let rows: Vec<_> = (0..lanes.len())
        .map(|at| {
            let (ns, ratio) = (least(at), least(at) / least(nth(&lanes, QUICK)));
            vec![lanes[at].name().to_owned(), format!("{ns:.1}"), format!("{ratio:.2}")]
        })
        .collect();
    println!("{} keys, {rounds} rounds of {SHORT} hits:\n", keys.len());
    println!("{}", table(&["hit", "least CPU ns", "x quick_cache"], &rows));
    true
}

fn main() {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let cold = args.first().is_some_and(|word| word == "cold");
    if cold {
        args.remove(0);
    }
    if args.len() > 1 {
        let usage = "expected `hit [cold] [rounds]`, `hit only LANE KEYS HITS` or `hit least KEYS ROUNDS`";
        assert!(only(&args) || least(&args), "{usage}, found {args:?}");
        return;
    }
    let rounds = args.first().and_then(|n| n.parse().ok()).unwrap_or(ROUNDS);
    let began = if cold { ", each right after another store's" } else { "" };
    println!("{}; {rounds} interleaved rounds of {OPERATIONS} hits per thread{began}\n", machine::line());
    let mut verdicts = Vec::new();
    for size in SIZES {
        let keys = load::keys(size);
        let lanes = lanes(&keys, Clock::system());
        let all = measure(&lanes, &keys, rounds, cold);
        let of = |name: &str| &all[nth(&lanes, name)];
        let (ours, quick) = (of(OURS), of(QUICK));
        let row = |lane: &dyn Lane, rounds: &Rounds| {
            let by_cpu = ratio(&rounds.ns[0], &rounds.ns[1]).median * 2.0;
            let by_wall = ratio(&rounds.rate[1], &rounds.rate[0]).median;
            vec![
                lane.name().to_owned(),
                Spread::of(&rounds.ns[0]).to_string(),
                ratio(&rounds.ns[0], &quick.ns[0]).to_string(),
                Spread::of(&rounds.ns[1]).to_string(),
                format!("{by_cpu:.2} ({by_wall:.2})"),
            ]
        };
        let rows: Vec<_> = lanes.iter().zip(&all).map(|(lane, rounds)| row(&**lane, rounds)).collect();
        println!("{size} keys of 64 B, values of 1 KiB, Zipf {}:\n", load::SKEW);
        let head = ["hit", "CPU ns, 1 thread", "x quick_cache", "CPU ns, 2 threads", "scale by CPU (by wall)"];
        println!("{}", table(&head, &rows));
        let against = |other: &str| ratio(&ours.ns[0], &of(other).ns[0]).median;
        let name = |other: &str| format!("{size} keys: or_load / {other}");
        verdicts.extend([
            Bar::at_most(name("quick_cache"), against(QUICK), 1.25),
            Bar::at_most(name("the limit"), against(LIMIT_LANE), 1.45),
            Bar::at_most(name("moka try_get_with"), against(MOKA), 0.25),
            Bar::at_most(name("foyer get_or_fetch"), against(FOYER), 0.5),
            Bar::at_least(format!("{size} keys: scale of or_load"), 2.0 * ratio(&ours.ns[0], &ours.ns[1]).median, 1.8),
        ]);
        for lane in [OURS, PLAIN].map(|name| &lanes[nth(&lanes, name)]) {
            verdicts.push(Bar::exactly(
                format!("{size} keys: allocations per {}", lane.name()),
                allocations(&**lane, &keys),
                0.0,
            ));
        }
    }
    println!("{}\nload average at the end {}", bars(&verdicts), machine::load());
}

fn allocations(lane: &dyn Lane, keys: &[Box<[u8]>]) -> f64 {
    let (runtime, order) = (runtime(), Order::of(0, load::zipf(keys.len(), OPERATIONS, 3)));
    // Entering a runtime for the first time allocates, and so does a thread that takes a reference of its own to a key at
    // which it meets others; hits are what counts. What the cache does meanwhile on a thread of its own, whatever is asked
    // for, is no hit's either.
    warm(lane, &runtime, keys, &order);
    alloc::start();
    let before = alloc::own_calls();
    lane.run(&runtime, keys, &order);
    let calls = alloc::own_calls() - before;
    alloc::stop();
    calls as f64 / OPERATIONS as f64
}
