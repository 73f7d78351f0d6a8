//! Are the reads of one hot key shared out among real nodes, and is no copy of it ever older than what was removed?
#![cfg(all(feature = "redis", feature = "memcached"))]
#![allow(clippy::unwrap_used, reason = "helpers outside #[test] may panic too: it is the report")]

use std::io::{Read, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bellwether::shared::{Acquired, Ask, Envelope, Found, Mode, Stored, Tier, Write};
use bellwether::{Fence, Invalidation, Kind, Span, SpreadTier};
use bellwether_adapters::tiers::memcached::{MemcachedOptions, MemcachedTier};
use bellwether_adapters::tiers::redis::{RedisOptions, RedisTarget, RedisTier};
use bellwether_servers::{Memcached, RedisCluster};
use futures_util::future::join_all;
use tokio::runtime::Handle;

const PATIENCE: Duration = Duration::from_secs(20);
/// It carries a hash tag of its own.
const KEY: &[u8] = b"{user:7}:cart";
const NODES: u16 = 3;
/// No node answers more than this of what each would on average.
const MOST_OF_MEAN: f64 = 1.3;

/// Nodes of one kind, and how to reach them.
enum Fleet {
    Redis(Arc<RedisCluster>),
    Memcached(Vec<Memcached>),
}

impl Fleet {
    async fn redis() -> Fleet {
        let started = tokio::task::spawn_blocking(|| RedisCluster::start(3, 0).expect("a cluster"));
        Fleet::Redis(Arc::new(started.await.unwrap()))
    }

    fn memcached() -> Fleet {
        Fleet::Memcached((0..3).map(|_| Memcached::start(&["-m", "16"]).unwrap()).collect())
    }

    /// The tier as a process of its own would open it.
    fn tier(&self) -> Arc<dyn Tier> {
        match self {
            Fleet::Redis(cluster) => {
                let seeds: Vec<String> = cluster.addresses().iter().map(ToString::to_string).collect();
                let target = RedisTarget::parse(&format!("redis+cluster://{}", seeds.join(","))).unwrap();
                let options = RedisOptions {
                    connect_timeout: PATIENCE,
                    answer_timeout: PATIENCE,
                    patience: PATIENCE,
                    ..RedisOptions::default()
                };
                Arc::new(RedisTier::open(target, options).unwrap())
            }
            Fleet::Memcached(servers) => {
                let seeds: Vec<String> = servers.iter().map(|server| server.address().to_string()).collect();
                let options =
                    MemcachedOptions { answer_timeout: PATIENCE, patience: PATIENCE, ..MemcachedOptions::default() };
                Arc::new(MemcachedTier::open(&format!("memcached://{}", seeds.join(",")), options).unwrap())
            }
        }
    }

    async fn process(&self) -> SpreadTier {
        let tier = SpreadTier::new(self.tier(), Handle::current());
        // What lies where is known once it was asked for.
        let began = Instant::now();
        while tier.get(b"any").await.is_err() || tier.nodes() < usize::from(NODES) {
            assert!(began.elapsed() < PATIENCE, "the tier is not reached");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tier
    }

    /// Reads that each node has answered so far.
    async fn reads(&self) -> Vec<u64> {
        match self {
            Fleet::Redis(cluster) => {
                let cluster = cluster.clone();
                let of = |line: &str| line.strip_prefix("cmdstat_getrange:calls=")?.split(',').next()?.parse().ok();
                let count = move |at: usize| {
                    let text = cluster.nodes()[at].call(&["INFO", "commandstats"]).unwrap().to_string();
                    text.lines().find_map(of).unwrap_or(0)
                };
                tokio::task::spawn_blocking(move || (0..3).map(count).collect()).await.unwrap()
            }
            Fleet::Memcached(servers) => servers
                .iter()
                .map(|server| {
                    let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
                    stream.write_all(b"stats\r\nquit\r\n").unwrap();
                    let mut text = String::new();
                    stream.read_to_string(&mut text).unwrap();
                    let of = |line: &str| line.strip_prefix("STAT cmd_get ")?.trim().parse().ok();
                    text.lines().find_map(of).unwrap()
                })
                .collect(),
        }
    }

    /// The busiest node's reads beside the mean of all, while `tier` reads the key.
    async fn skew(&self, tier: &SpreadTier) -> f64 {
        let before = self.reads().await;
        // One after the other: whose answers are under way decides otherwise, and on a busy machine that is chance.
        for _ in 0..2_000 {
            assert!(matches!(tier.get(KEY).await, Ok(Found::Entry { .. })));
        }
        let reads: Vec<u64> = self.reads().await.iter().zip(before).map(|(after, before)| after - before).collect();
        let mean = reads.iter().sum::<u64>() as f64 / reads.len() as f64;
        *reads.iter().max().unwrap() as f64 / mean
    }
}

fn entry(version: u64) -> Envelope {
    Envelope {
        age_ms: 5,
        fresh_ms: 60_000,
        swr_ms: 10_000,
        hard_ms: 100_000,
        cost_ms: 5,
        tags: vec![7, 8, 9],
        ..Envelope::of(Kind::Value, version.to_string())
    }
}

/// Loads what the origin has, whatever the tier holds. False: somebody else does.
async fn load(tier: &SpreadTier, origin: &AtomicU64, mode: Mode) -> bool {
    let holds = if mode == Mode::Early { Fence(u64::MAX) } else { Fence::ZERO };
    let ask = Ask { lease: Span::secs(5), mode, holds, at_least: Fence::ZERO, draw: draw() };
    let Ok(Acquired::Granted { token, .. }) = tier.acquire(KEY, ask).await else { return false };
    let version = origin.load(Ordering::SeqCst);
    matches!(tier.publish(KEY, token, entry(version)).await, Ok(Stored::Yes(_)))
}

fn draw() -> bellwether::shared::Draw {
    bellwether::shared::Draw(fastrand::u64(..))
}

fn version(found: Found) -> Option<u64> {
    let Found::Entry { envelope, .. } = found else { return None };
    version_of(&envelope)
}

fn version_of(envelope: &Envelope) -> Option<u64> {
    std::str::from_utf8(&envelope.body).ok()?.parse().ok()
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what} never happened");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn reads_are_shared_out_and_come_back(fleet: Fleet) {
    let (tier, origin) = (fleet.process().await, AtomicU64::new(1));
    assert!(load(&tier, &origin, Mode::Miss).await);
    let before = fleet.skew(&tier).await;
    assert!(before > 2.5, "the control: one node answers all, {before:.2} of the mean");
    tier.spread(KEY, NODES);
    assert!(load(&tier, &origin, Mode::Early).await);
    until("two copies", || tier.counts().filled == 2).await;
    let split = fleet.skew(&tier).await;
    assert!(split <= MOST_OF_MEAN, "{split:.2} of the mean");
    // Who knows of no split reads the key itself.
    assert_eq!(version(fleet.process().await.get(KEY).await.unwrap()), Some(1));
    tier.spread(KEY, 1);
    let merged = fleet.skew(&tier).await;
    println!("the busiest node's reads beside the mean: {before:.2}, split {split:.2}, merged {merged:.2}");
    assert!(merged > 2.5, "{merged:.2} of the mean");
}

async fn write(tier: &SpreadTier, version: u64) {
    tier.write(KEY, Write::default(), entry(version)).await.unwrap();
}

/// The value, how long it stays fresh, and its tags.
async fn value(tier: &SpreadTier) -> (Option<u64>, u64, Vec<u64>) {
    match tier.get(KEY).await.unwrap() {
        Found::Entry { envelope, .. } => (version_of(&envelope), envelope.fresh_ms, envelope.tags),
        other => panic!("{other:?}"),
    }
}

/// Nobody publishes a value once more while a client holds a token for it, nor one that is older than what was removed.
async fn what_may_not_be_published_again_names_no_copies(tier: &SpreadTier) {
    let ask =
        Ask { lease: Span::ms(500), mode: Mode::Early, holds: Fence(u64::MAX), at_least: Fence::ZERO, draw: draw() };
    let Ok(Acquired::Granted { token, .. }) = tier.acquire(KEY, ask).await else { panic!("it is granted") };
    tier.name_copies(KEY, Fence::ZERO);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(matches!(tier.release(KEY, token, None).await, Ok(true)), "the token is as good as it was");
    // What was removed and is back, as after a failover, is left as old as it is.
    tier.name_copies(KEY, Fence(u64::MAX));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(tier.counts().filled, 0, "it names none");
}

/// What is written by clients, and what nobody can load, is split as well: what lies there already, and what comes.
async fn what_was_written_is_shared_out(fleet: Fleet) {
    let tier = fleet.process().await;
    write(&tier, 1).await;
    let (_, fresh_ms, tags) = value(&tier).await;
    tier.spread(KEY, NODES);
    let before = fleet.skew(&tier).await;
    assert!(before > 2.5, "the control: nobody has told what lies there of its copies, {before:.2} of the mean");
    what_may_not_be_published_again_names_no_copies(&tier).await;
    until("two copies", || {
        tier.name_copies(KEY, Fence::ZERO);
        tier.counts().filled >= 2
    })
    .await;
    let split = fleet.skew(&tier).await;
    assert!(split <= MOST_OF_MEAN, "{split:.2} of the mean");
    let now = value(&tier).await;
    assert_eq!((now.0, now.2), (Some(1), tags));
    assert!(now.1 <= fresh_ms, "it ends when it was to end: {} ms, then {fresh_ms}", now.1);
    write(&tier, 2).await;
    for _ in 0..50 {
        assert_eq!(value(&tier).await.0, Some(2), "its older copies are gone when a write is acknowledged");
    }
    until("two copies of what was written then", || tier.counts().filled >= 4).await;
    let written = fleet.skew(&tier).await;
    println!("the busiest node's reads beside the mean: {before:.2}, split {split:.2}, written anew {written:.2}");
    assert!(written <= MOST_OF_MEAN, "{written:.2} of the mean");
    nobody_is_kept_from_bringing_what_is_not_there(&tier).await;
}

async fn nobody_is_kept_from_bringing_what_is_not_there(tier: &SpreadTier) {
    tier.invalidate(KEY, Invalidation::Remove, Fence::ZERO, Span::ZERO).await.unwrap();
    tier.name_copies(KEY, Fence::ZERO);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(load(tier, &AtomicU64::new(3), Mode::Miss).await);
}

/// How a row is changed while its key is split.
#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    /// Its key is removed.
    Removing,
    /// It is written over.
    Writing,
}

/// Splits, merges, loads, reads and writes at once, by processes that know of the split and one that does not.
/// How many reads began after a removal or a write was acknowledged and were given what was there before. `blind`: the
/// control's see the key itself alone.
async fn older_reads(fleet: &Fleet, writes: u64, how: By, blind: bool) -> u64 {
    let (one, two, unaware) = (fleet.process().await, fleet.process().await, fleet.process().await);
    let origin = Arc::new(AtomicU64::new(1));
    let (acknowledged, older, done) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let raw = fleet.tier();
    while raw.get(b"any").await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let reader = |tier: SpreadTier| {
        let (origin, acknowledged, older, done) = (&origin, &acknowledged, &older, &done);
        async move {
            while !done.load(Ordering::SeqCst) {
                let least = acknowledged.load(Ordering::SeqCst);
                match tier.get(KEY).await {
                    Ok(found) => match version(found) {
                        Some(version) if version < least => drop(older.fetch_add(1, Ordering::SeqCst)),
                        Some(_) => {}
                        None => drop(load(&tier, origin, Mode::Miss).await),
                    },
                    Err(error) => panic!("{error}"),
                }
                tokio::task::yield_now().await;
            }
        }
    };
    let writer = async {
        for n in 1..=writes {
            let written = origin.fetch_add(1, Ordering::SeqCst) + 1;
            let by = [&one, &two, &unaware][n as usize % 3];
            let by: &dyn Tier = if blind { &*raw } else { by };
            match how {
                By::Removing => drop(by.invalidate(KEY, Invalidation::Remove, Fence::ZERO, Span::ZERO).await.unwrap()),
                By::Writing => {
                    drop(by.write(KEY, Write::default(), entry(written)).await.unwrap());
                }
            }
            acknowledged.fetch_max(written, Ordering::SeqCst);
            // So that copies are made between two writes.
            tokio::time::sleep(Duration::from_micros(fastrand::u64(0..1_500))).await;
        }
        done.store(true, Ordering::SeqCst);
    };
    let splitter = async {
        while !done.load(Ordering::SeqCst) {
            for tier in [&one, &two] {
                tier.spread(KEY, fastrand::u16(0..=NODES));
                tier.name_copies(KEY, Fence::ZERO);
            }
            // A refresh by somebody who may know of no split.
            let by = [&one, &two, &unaware][fastrand::usize(..3)];
            load(by, &origin, Mode::Early).await;
            tokio::time::sleep(Duration::from_millis(fastrand::u64(1..20))).await;
        }
    };
    let readers = join_all([&one, &one, &two, &two, &unaware].map(|tier| reader(tier.clone())));
    tokio::join!(writer, splitter, readers);
    let (one, two) = (one.counts(), two.counts());
    println!("{writes} writes, {how:?}, blind: {blind}: {} older; {one:?} {two:?}", older.load(Ordering::SeqCst));
    let (filled, read) = (one.filled + two.filled, one.from_copies + two.from_copies);
    assert!(filled > writes / 100 && read > writes / 100, "copies were made and read: {one:?} {two:?}");
    older.into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_answers_for_a_split_key_with_all_its_nodes() {
    reads_are_shared_out_and_come_back(Fleet::redis().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memcached_fleet_answers_for_a_split_key_with_all_its_servers() {
    reads_are_shared_out_and_come_back(Fleet::memcached()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_answers_for_what_was_written_with_all_its_nodes() {
    what_was_written_is_shared_out(Fleet::redis().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memcached_fleet_answers_for_what_was_written_with_all_its_servers() {
    what_was_written_is_shared_out(Fleet::memcached()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g2_no_copy_outlives_a_removal_or_a_write_on_a_cluster() {
    let fleet = Fleet::redis().await;
    for how in [By::Removing, By::Writing] {
        assert_eq!(older_reads(&fleet, 800, how, false).await, 0, "{how:?}");
        assert!(older_reads(&fleet, 300, how, true).await > 0, "the control's copies are never told: {how:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g2_no_copy_outlives_a_removal_or_a_write_in_a_memcached_fleet() {
    let fleet = Fleet::memcached();
    for how in [By::Removing, By::Writing] {
        assert_eq!(older_reads(&fleet, 800, how, false).await, 0, "{how:?}");
        assert!(older_reads(&fleet, 300, how, true).await > 0, "the control's copies are never told: {how:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: the figure in BENCHMARKS.md"]
async fn g2_no_copy_outlives_a_hundred_thousand_removals_nor_as_many_writes() {
    for how in [By::Removing, By::Writing] {
        let (redis, memcached) = (Fleet::redis().await, Fleet::memcached());
        let (redis, memcached) =
            tokio::join!(older_reads(&redis, 50_000, how, false), older_reads(&memcached, 50_000, how, false));
        assert_eq!((redis, memcached), (0, 0), "{how:?}");
    }
}
