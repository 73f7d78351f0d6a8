//! Does an answer ever reach another key than its own, whatever happens on the way? A shared tier on a real Redis behind a
//! proxy that corrupts, duplicates, slices, delays and resets, with callers that give up at random.
//!
//! `cargo run --release -p bellwether-benches --bin crossed [OPERATIONS]`, a million unless another number is named.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bellwether::shared::{Acquired, Ask, Envelope, Format, Found, Mode, Position, Stored, Tier};
use bellwether::{Fence, Kind, Span};
use bellwether_adapters::tiers::redis::{RedisOptions, RedisTarget, RedisTier};
use bellwether_benches::report::{Bar, bars};
use bellwether_faults::{Direction, Ending, Faults, Proxy};
use bellwether_servers::Redis;
use futures_util::future::join_all;

const OPERATIONS: u64 = 1_000_000;
const KEYS: usize = 256;
const CALLERS: u64 = 64;
/// Between two cuts of all connections.
const CUT_EVERY: Duration = Duration::from_millis(700);

#[derive(Default)]
struct Tally {
    right: AtomicU64,
    missed: AtomicU64,
    failed: AtomicU64,
    given_up: AtomicU64,
    crossed: AtomicU64,
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let operations = std::env::args().nth(1).map_or(OPERATIONS, |n| n.parse().expect("a number of operations"));
    let server = Redis::start(&[]).expect("redis-server in PATH");
    let proxy = Arc::new(Proxy::start(server.address(), 4).await.expect("a proxy"));
    let straight = open(&server.url());
    for n in 0..KEYS {
        store(&straight, n).await;
    }
    let tier = Arc::new(open(&format!("redis://{}", proxy.address())));
    let stir = Faults {
        latency: Duration::from_micros(200),
        jitter: Duration::from_micros(800),
        corrupt: 0.0005,
        duplicate: 0.0005,
        reset: 0.0002,
        ..Faults::NONE
    };
    Direction::BOTH.into_iter().for_each(|direction| proxy.set(direction, stir));
    let (tally, done, began) = (Arc::new(Tally::default()), Arc::new(AtomicBool::new(false)), Instant::now());
    let cutter = {
        let (proxy, done) = (proxy.clone(), done.clone());
        tokio::spawn(async move {
            while !done.load(Ordering::Relaxed) {
                tokio::time::sleep(CUT_EVERY).await;
                proxy.cut(Ending::Reset);
            }
        })
    };
    let callers =
        (0..CALLERS).map(|seed| tokio::spawn(caller(tier.clone(), tally.clone(), seed, operations / CALLERS)));
    join_all(callers).await.into_iter().for_each(|ended| ended.expect("no caller panics"));
    done.store(true, Ordering::Relaxed);
    cutter.await.expect("it ends");
    let told = |count: &AtomicU64| count.load(Ordering::Relaxed);
    println!(
        "{} operations in {:.0} s: {} right, {} misses, {} errors, {} given up; {} connections lost; {:?}\n",
        operations / CALLERS * CALLERS,
        began.elapsed().as_secs_f64(),
        told(&tally.right),
        told(&tally.missed),
        told(&tally.failed),
        told(&tally.given_up),
        tier.counts().lost,
        proxy.counts(),
    );
    println!("{}", bars(&[Bar::exactly("answers of another key", told(&tally.crossed) as f64, 0.0)]));
}

fn open(url: &str) -> RedisTier {
    RedisTier::open(RedisTarget::parse(url).expect("an address"), RedisOptions::default()).expect("a tier")
}

fn name(n: usize) -> Vec<u8> {
    format!("key:{n}").into_bytes()
}

/// Every value names its key, in different lengths.
fn body(n: usize) -> String {
    format!("key:{n};").repeat(1 + n % 90)
}

async fn store(tier: &RedisTier, n: usize) {
    let ask = Ask { lease: Span::secs(5), mode: Mode::Miss, holds: Fence::ZERO, at_least: Fence::ZERO };
    let Ok(Acquired::Granted { token, .. }) = tier.acquire(&name(n), ask).await else { panic!("an empty server") };
    let envelope = Envelope {
        kind: Kind::Value,
        fence: Fence::ZERO,
        age_ms: 5,
        fresh_ms: 3_600_000,
        swr_ms: 0,
        hard_ms: 0,
        invalidated: false,
        cost_ms: 5,
        version: None,
        seen: Position::NONE,
        tags: Vec::new(),
        format: Format::Utf8,
        about: Vec::new(),
        body: body(n).into(),
    };
    assert_eq!(tier.publish(&name(n), token, envelope).await.expect("stored"), Stored::Yes(token));
}

async fn caller(tier: Arc<RedisTier>, tally: Arc<Tally>, seed: u64, operations: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let count = |count: &AtomicU64| {
        count.fetch_add(1, Ordering::Relaxed);
    };
    for _ in 0..operations {
        let n = random.usize(..KEYS);
        let name = name(n);
        let patience = Duration::from_micros(random.u64(300..40_000));
        match tokio::time::timeout(patience, tier.get(&name)).await {
            Ok(Ok(Found::Entry { envelope, .. })) if envelope.body == body(n) => count(&tally.right),
            Ok(Ok(Found::Nothing { .. })) => count(&tally.missed),
            Ok(Ok(other)) => {
                eprintln!("key {n}: {other:?}");
                count(&tally.crossed);
            }
            Ok(Err(_)) => {
                count(&tally.failed);
                // It is being connected again: an answer that comes at once is none that can cross.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Err(_) => count(&tally.given_up),
        }
    }
}
