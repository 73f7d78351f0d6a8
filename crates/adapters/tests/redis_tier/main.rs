//! Does the Redis tier keep its rules against real servers that are frozen, killed, full, wrong and replaced?
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "helpers outside #[test] may panic too: it is the report")]

mod cells;
mod cluster;
mod crossed;
mod health;
mod late;
mod leases;
mod replicas;
mod sentinel;
mod setup;
mod trouble;
mod waiting;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bellwether::shared::{
    Acquired, Ask, Draw, Envelope, Format, Found, Mode, Position, Stored, Tier, TierError, Write,
};
use bellwether::{Fence, Kind, Span};
use bellwether_adapters::tiers::redis::{RedisOptions, RedisTarget, RedisTier};
use bellwether_servers::Redis;
use bytes::Bytes;

/// Nothing here takes longer, however busy the machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// A call that waits for nobody is over within this, however busy the machine: far above what it takes, far below any
/// limit of ours.
const AT_ONCE: Duration = Duration::from_millis(100);
/// A request's budget for the tier.
const BUDGET: Duration = Duration::from_millis(50);

/// Something that blocks, from async code.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("no panic")
}

async fn redis(arguments: &'static [&'static str]) -> Arc<Redis> {
    Arc::new(blocking(move || Redis::start(arguments).expect("redis-server")).await)
}

/// What a server answers to a command of somebody else's client.
async fn call(redis: &Arc<Redis>, words: &[&str]) -> bellwether_servers::Value {
    let (redis, words): (_, Vec<String>) = (redis.clone(), words.iter().map(|&word| word.to_owned()).collect());
    blocking(move || {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        redis.call(&words).expect("an answer")
    })
    .await
}

/// With the limits that users have.
fn open(url: &str) -> RedisTier {
    open_with(url, RedisOptions::default())
}

/// With limits that a busy machine does not reach: for tests of what is answered, not of when.
fn calm(url: &str) -> RedisTier {
    open_with(url, patient())
}

fn patient() -> RedisOptions {
    RedisOptions {
        connect_timeout: PATIENCE,
        answer_timeout: PATIENCE,
        bulk_timeout: PATIENCE,
        patience: PATIENCE,
        ..RedisOptions::default()
    }
}

fn open_with(url: &str, options: RedisOptions) -> RedisTier {
    RedisTier::open(RedisTarget::parse(url).expect("an address"), options).expect("a tier")
}

/// What a plain `SET` does: the fence that it got.
async fn set(tier: &RedisTier, key: &[u8], entry: Envelope) -> Result<Fence, TierError> {
    let wrote = tier.write(key, Write::default(), entry).await?;
    Ok(wrote.stored.expect("without a condition"))
}

fn entry(body: impl Into<Bytes>) -> Envelope {
    Envelope {
        age_ms: 5,
        fresh_ms: 60_000,
        swr_ms: 10_000,
        hard_ms: 100_000,
        cost_ms: 5,
        ..Envelope::of(Kind::Value, body)
    }
}

fn ask(mode: Mode) -> Ask {
    Ask { lease: Span::secs(5), mode, holds: Fence::ZERO, at_least: Fence::ZERO, draw: Draw(fastrand::u64(..)) }
}

async fn granted(tier: &RedisTier, key: &[u8]) -> Fence {
    match tier.acquire(key, ask(Mode::Miss)).await {
        Ok(Acquired::Granted { token, .. }) => token,
        other => panic!("{other:?}"),
    }
}

/// Loads and publishes, as a leader does.
async fn store(tier: &RedisTier, key: &[u8], body: impl Into<Bytes>) -> Fence {
    let token = granted(tier, key).await;
    assert_eq!(tier.publish(key, token, entry(body)).await.expect("stored"), Stored::Yes(token));
    token
}

fn body(found: Result<Found, TierError>) -> Option<Bytes> {
    match found.expect("an answer") {
        Found::Entry { envelope, .. } => Some(envelope.body),
        Found::Nothing { .. } => None,
        other => panic!("{other:?}"),
    }
}

/// Asks again until it is so.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(since.elapsed() < PATIENCE, "{what} never happened");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Bytes that don't get smaller.
fn noise(length: usize) -> Bytes {
    let mut random = fastrand::Rng::with_seed(7);
    (0..length).map(|_| random.u8(..)).collect::<Vec<u8>>().into()
}
