//! Does an answer ever reach another key than its own, whatever happens on the way? A shared tier on a real Redis behind a
//! proxy that corrupts, duplicates, slices, delays and resets, with callers that read, load under leases, remove, and give
//! up at random.
//!
//! `cargo run --release -p bellwether-benches --bin crossed [OPERATIONS]`, a million unless another number is named.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bellwether::shared::{Acquired, Ask, Envelope, Format, Found, Mode, Stored, Tier, Write};
use bellwether::{Fence, Invalidation, Kind, Span};
use bellwether_adapters::tiers::redis::{RedisOptions, RedisTarget, RedisTier};
use bellwether_benches::report::{Bar, bars};
use bellwether_faults::{Direction, Ending, Faults, Proxy};
use bellwether_servers::Redis;
use bytes::Bytes;
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
    written: AtomicU64,
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
        corrupt: 0.003,
        duplicate: 0.002,
        reset: 0.0005,
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
        "{} operations in {:.0} s: {} right, {} misses, {} written, {} errors, {} given up; {} connections lost, {} out of step; {:?}\n",
        operations / CALLERS * CALLERS,
        began.elapsed().as_secs_f64(),
        told(&tally.right),
        told(&tally.missed),
        told(&tally.written),
        told(&tally.failed),
        told(&tally.given_up),
        tier.counts().lost,
        tier.counts().out_of_step,
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

fn ask(mode: Mode) -> Ask {
    Ask {
        lease: Span::secs(1),
        mode,
        holds: Fence::ZERO,
        at_least: Fence::ZERO,
        draw: bellwether::shared::Draw(fastrand::u64(..)),
    }
}

fn envelope(n: usize) -> Envelope {
    Envelope { age_ms: 5, fresh_ms: 3_600_000, cost_ms: 5, format: Format::Utf8, ..Envelope::of(Kind::Value, body(n)) }
}

async fn store(tier: &RedisTier, n: usize) {
    let Ok(Acquired::Granted { token, .. }) = tier.acquire(&name(n), ask(Mode::Miss)).await else {
        panic!("an empty server")
    };
    assert_eq!(tier.publish(&name(n), token, envelope(n)).await.expect("stored"), Stored::Yes(token));
}

/// What an operation handed out.
enum Got {
    /// Key and body, each of which must fit the other.
    Bodies(Vec<(usize, Bytes)>),
    Nothing,
    Written,
    Error,
}

async fn caller(tier: Arc<RedisTier>, tally: Arc<Tally>, seed: u64, operations: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..operations {
        let patience = Duration::from_micros(random.u64(300..40_000));
        let operation = operation(&tier, random.u64(..));
        let counter = match tokio::time::timeout(patience, operation).await {
            Ok(Got::Bodies(bodies)) => match bodies.iter().find(|(n, found)| *found != body(*n)) {
                None => &tally.right,
                Some((n, found)) => {
                    eprintln!("key {n}: {found:?}");
                    &tally.crossed
                }
            },
            Ok(Got::Nothing) => &tally.missed,
            Ok(Got::Written) => &tally.written,
            Ok(Got::Error) => {
                // It is being connected again: an answer that comes at once is none that can cross.
                tokio::time::sleep(Duration::from_millis(1)).await;
                &tally.failed
            }
            Err(_) => &tally.given_up,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Three of four read; of the others most load under a lease, the rest remove.
async fn operation(tier: &RedisTier, dice: u64) -> Got {
    let mut random = fastrand::Rng::with_seed(dice);
    let n = random.usize(..KEYS);
    let done = match random.u8(..100) {
        0..65 => tier.get(&name(n)).await.map(|found| held(n, found)),
        65..75 => {
            let some: Vec<usize> = (0..4).map(|_| random.usize(..KEYS)).collect();
            let names: Vec<Vec<u8>> = some.iter().map(|n| name(*n)).collect();
            let founds = tier.get_many(&names).await;
            founds.map(|founds| some.into_iter().zip(founds).flat_map(|(n, found)| held(n, found)).collect())
        }
        75..95 => return load(tier, n, random.bool()).await,
        95..97 => return written(tier.invalidate(&name(n), Invalidation::Remove, Fence::ZERO, Span::ZERO).await),
        97..99 => return written(tier.invalidate(&name(n), Invalidation::Expire, Fence::ZERO, Span::ZERO).await),
        _ => return written(tier.write(&name(n), Write::default(), envelope(n)).await),
    };
    match done {
        Ok(bodies) if bodies.is_empty() => Got::Nothing,
        Ok(bodies) => Got::Bodies(bodies),
        Err(_) => Got::Error,
    }
}

/// A load: a lease, and a value published under it or the lease given back.
async fn load(tier: &RedisTier, n: usize, publishes: bool) -> Got {
    match tier.acquire(&name(n), ask(Mode::Early)).await {
        Ok(Acquired::Granted { token, .. }) if publishes => written(tier.publish(&name(n), token, envelope(n)).await),
        Ok(Acquired::Granted { token, .. }) => written(tier.release(&name(n), token, None).await),
        Ok(Acquired::Fresh(envelope)) => Got::Bodies(vec![(n, envelope.body)]),
        Ok(Acquired::Denied { stale: Some(envelope), .. }) => Got::Bodies(vec![(n, envelope.body)]),
        Ok(Acquired::Foreign { body, .. }) => Got::Bodies(vec![(n, body)]),
        Ok(_) => Got::Nothing,
        Err(_) => Got::Error,
    }
}

fn held(n: usize, found: Found) -> Vec<(usize, Bytes)> {
    match found {
        Found::Entry { envelope, .. } => vec![(n, envelope.body)],
        Found::Foreign { body, .. } => vec![(n, body)],
        _ => Vec::new(),
    }
}

fn written<T, E>(result: Result<T, E>) -> Got {
    result.map_or(Got::Error, |_| Got::Written)
}
