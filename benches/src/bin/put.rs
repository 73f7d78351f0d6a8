//! What does a `put` cost over a value that is there, on one thread and on two, and what do hits cost beside it?
//!
//! `cargo run --release -p bellwether-benches --bin put [rounds]`

use std::hint::black_box;
use std::sync::Barrier;

use bellwether::{Cache, Policy, Space};
use bellwether_benches::report::table;
use bellwether_benches::stats::Spread;
use bellwether_benches::{cpu, load, machine};
use bytes::Bytes;

/// Operations per lane, thread and round.
const OPERATIONS: usize = 100_000;
const ROUNDS: usize = 11;
const SIZES: [usize; 2] = [1_000, 20_000];
/// Room for all keys twice over.
const LIMIT: u64 = 64 << 20;
/// In the second lane one operation of so many is a put, the others are hits.
const ONE_OF: usize = 10;

type Quick = quick_cache::sync::Cache<Box<[u8]>, Bytes, quick_cache::UnitWeighter, ahash::RandomState>;

/// A cache that is written and read. A value is a clone of one that is there: none is made.
trait Store: Sync {
    fn put(&self, key: &[u8], value: Bytes);
    fn hit(&self, key: &[u8]);
}

impl Store for Space<[u8], Bytes> {
    fn put(&self, key: &[u8], value: Bytes) {
        assert!(Space::put(self, key, value), "kept");
    }
    fn hit(&self, key: &[u8]) {
        black_box(Space::hit(self, key).expect("resident").len());
    }
}

impl Store for Quick {
    fn put(&self, key: &[u8], value: Bytes) {
        self.insert(key.into(), value);
    }
    fn hit(&self, key: &[u8]) {
        black_box(self.get(key).expect("resident").len());
    }
}

fn stores(keys: &[Box<[u8]>]) -> [(&'static str, Box<dyn Store>); 2] {
    let cache = Cache::builder().memory_bytes(LIMIT).build().expect("the defaults make sense");
    let ours: Space<[u8], Bytes> = cache.space("bench", Policy::ttl("1h").grace("6h"));
    let quick = Quick::with(
        (LIMIT / 1024) as usize,
        LIMIT / 1024,
        quick_cache::UnitWeighter,
        ahash::RandomState::new(),
        quick_cache::sync::DefaultLifecycle::default(),
    );
    let stores: [(_, Box<dyn Store>); 2] = [("bellwether", Box::new(ours)), ("quick_cache 0.7, bare", Box::new(quick))];
    for (_, store) in &stores {
        keys.iter().enumerate().for_each(|(n, key)| store.put(key, load::value(n)));
    }
    stores
}

/// CPU ns per operation of as many threads as there are orders, one put in so many operations.
fn round(store: &dyn Store, keys: &[Box<[u8]>], orders: &[Vec<u32>], one_of: usize) -> f64 {
    let (start, value) = (Barrier::new(orders.len()), load::value(1));
    let run = |order: &Vec<u32>| {
        start.wait();
        let before = cpu::thread();
        for (n, at) in order.iter().enumerate() {
            let key = &keys[*at as usize];
            if n % one_of == 0 { store.put(key, value.clone()) } else { store.hit(key) }
        }
        cpu::thread() - before
    };
    let spent: f64 = std::thread::scope(|scope| {
        let threads: Vec<_> = orders.iter().map(|order| scope.spawn(|| run(order))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no operation panics").as_nanos() as f64).sum()
    });
    spent / (orders.len() * OPERATIONS) as f64
}

fn main() {
    let rounds = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(ROUNDS);
    println!("{}; {rounds} interleaved rounds of {OPERATIONS} operations per thread\n", machine::line());
    for size in SIZES {
        let keys = load::keys(size);
        let stores = stores(&keys);
        let orders = [7, 8].map(|seed| load::zipf(size, OPERATIONS, seed));
        let lanes: Vec<_> = stores.iter().flat_map(|store| [(store, 1), (store, ONE_OF)]).collect();
        let mut all = vec![[const { Vec::new() }; 2]; lanes.len()];
        for n in 0..=rounds {
            for step in 0..lanes.len() {
                // Another lane is first each time, and the first round warms up.
                let at = (step + n) % lanes.len();
                let ((_, store), one_of) = lanes[at];
                for threads in [1, 2] {
                    let ns = round(&**store, &keys, &orders[..threads], one_of);
                    if n > 0 {
                        all[at][threads - 1].push(ns);
                    }
                }
            }
        }
        let row = |((name, _), one_of): &(&(&str, _), usize), ns: &[Vec<f64>; 2]| {
            let what = if *one_of == 1 { "put".to_owned() } else { format!("one put, {} hits", one_of - 1) };
            vec![(*name).to_owned(), what, Spread::of(&ns[0]).to_string(), Spread::of(&ns[1]).to_string()]
        };
        let rows: Vec<_> = lanes.iter().zip(&all).map(|(lane, ns)| row(lane, ns)).collect();
        println!("{size} keys of 64 B, values of 1 KiB, Zipf {}:\n", load::SKEW);
        println!("{}", table(&["store", "operation", "CPU ns, 1 thread", "CPU ns, 2 threads"], &rows));
    }
    println!("load average at the end {}", machine::load());
}
