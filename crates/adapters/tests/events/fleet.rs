//! Caches that share a tier and a backplane over a real Redis: how long is what was invalidated served, and where?

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bellwether::testing::SharedMemory;
use bellwether::{Budget, Cache, Clock, LoadError, Loaded, Policy, Space, Span};
use bellwether_faults::{Faults, Proxy};
use bellwether_servers::Redis;
use futures_util::stream::{self, StreamExt};

use crate::followed::{events, redis};

/// The origin: every row's value is the version it is at.
type Origin = Arc<AtomicU64>;

struct Process {
    cache: Cache,
    rows: Space<u64, u64>,
}

impl Process {
    /// One with the backplane at `url`; `None`: without.
    async fn start(tier: &SharedMemory, url: Option<&str>, resync: &str) -> Process {
        let budget = Budget { max_concurrency: 256, ..Budget::default() };
        let mut builder = Cache::builder().memory("64 MiB").budget(budget).shared(tier.clone()).shared_resync(resync);
        if let Some(url) = url {
            builder = builder.backplane(events(url));
        }
        let cache = builder.build().unwrap();
        assert!(cache.until_live(Span::secs(10)).await, "live");
        let rows = cache.shared_space::<u64, u64>("row", Policy::ttl("10m").jitter(0.0)).unwrap();
        Process { cache, rows }
    }

    async fn get(&self, row: u64, origin: &Origin) -> u64 {
        let origin = origin.clone();
        let load = move |_| async move {
            Ok::<_, LoadError>(Loaded::value(origin.load(Ordering::SeqCst)).tag("all").tag(format!("row:{row}")))
        };
        *self.rows.get(&row).or_load(load).await.unwrap()
    }

    /// How many of the rows are older than `version`.
    async fn older(&self, rows: u64, version: u64, origin: &Origin) -> usize {
        self.older_until(rows, version, origin).await.0
    }

    /// How many of the rows are older than `version`, and when the last such was read.
    async fn older_until(&self, rows: u64, version: u64, origin: &Origin) -> (usize, Instant) {
        let values = stream::iter(0..rows).map(|row| self.get(row, origin)).buffer_unordered(128);
        let older = values.filter(|value| std::future::ready(*value < version));
        older.fold((0, Instant::now()), async |(count, _), _| (count + 1, Instant::now())).await
    }

    /// Time until the last read of a row that is older than `version`.
    async fn until_none_is_older(&self, rows: u64, version: u64, origin: &Origin, limit: Duration) -> Duration {
        let (began, mut last) = (Instant::now(), Instant::now());
        loop {
            let (older, read) = self.older_until(rows, version, origin).await;
            if older == 0 {
                return last - began;
            }
            last = read;
            assert!(began.elapsed() < limit, "still old after {limit:?}");
        }
    }
}

fn tier() -> SharedMemory {
    SharedMemory::new(Clock::system())
}

#[tokio::test(flavor = "multi_thread")]
async fn g2_a_removal_reaches_the_copies_of_other_processes_within_the_backplanes_delay() {
    let (server, tier, origin) = (redis(), tier(), Origin::default());
    let (one, two) = (
        Process::start(&tier, Some(&server.url()), "1h").await,
        Process::start(&tier, Some(&server.url()), "1h").await,
    );
    // The control knows of nothing, so it keeps its copy for as long as this test may take.
    let deaf = Process::start(&tier, None, "1h").await;
    let mut delays = Vec::new();
    for version in 1..=100 {
        for process in [&one, &two, &deaf] {
            process.get(7, &origin).await;
        }
        origin.store(version, Ordering::SeqCst);
        assert!(one.rows.remove(&7).await, "the tier was told");
        assert_eq!(one.get(7, &origin).await, version, "here at once");
        let began = Instant::now();
        while two.get(7, &origin).await < version {
            assert!(began.elapsed() < Duration::from_secs(10), "two never heard of it");
            tokio::task::yield_now().await;
        }
        delays.push(began.elapsed());
    }
    delays.sort();
    println!("B over {} removals: p50 {:?}, p99 {:?}, max {:?}", delays.len(), delays[49], delays[98], delays[99]);
    assert_eq!(deaf.get(7, &origin).await, 0, "the control was not told");
    assert_eq!(two.cache.snapshot().backplane.unwrap().suspicions, 1, "only at the start: nothing was in doubt");
}

#[tokio::test(flavor = "multi_thread")]
async fn g2_after_a_tag_purge_of_ten_thousand_keys_nobody_serves_an_old_one() {
    after_a_purge(10_000).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute in an optimized build: the figure in BENCHMARKS.md"]
async fn g2_after_a_tag_purge_of_a_hundred_thousand_keys_nobody_serves_an_old_one() {
    after_a_purge(100_000).await;
}

async fn after_a_purge(rows: u64) {
    let limit = Duration::from_secs(10 + rows / 1_000);
    let (server, tier, origin) = (redis(), tier(), Origin::default());
    let url = server.url();
    let (one, two) = (Process::start(&tier, Some(&url), "1s").await, Process::start(&tier, Some(&url), "1s").await);
    let proxy = Proxy::start(server.address(), 1).await.unwrap();
    let cut_off = Process::start(&tier, Some(&format!("redis://{}", proxy.address())), "1s").await;
    let deaf = Process::start(&tier, None, "1h").await;
    for process in [&one, &two, &cut_off, &deaf] {
        assert_eq!(process.older(rows, 0, &origin).await, 0, "warm");
    }
    proxy.set_both(Faults { dead: true, ..Faults::default() });
    origin.store(1, Ordering::SeqCst);
    one.cache.remove_tag("all");
    let purged = Instant::now();
    assert_eq!(one.older(200, 1, &origin).await, 0, "here at once, whatever the tier still holds");
    let late = async {
        let late = Process::start(&tier, Some(&url), "1s").await;
        assert_eq!(late.older(rows, 1, &origin).await, 0, "a process that starts after the purge has read of it");
    };
    // One that was cut off learns that it is, and then takes over nothing that is older than `resync`.
    let (heard, bound, ()) = tokio::join!(
        two.until_none_is_older(rows, 1, &origin, limit),
        cut_off.until_none_is_older(rows, 1, &origin, limit),
        late
    );
    assert_eq!(one.older(rows, 1, &origin).await, 0);
    while cut_off.cache.is_live() {
        assert!(purged.elapsed() < limit, "silence is noticed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(cut_off.older(rows, 1, &origin).await, 0, "nor does it take an old one over while it is cut off");
    proxy.calm();
    assert!(cut_off.cache.until_live(Span::from(limit)).await);
    assert_eq!(cut_off.older(rows, 1, &origin).await, 0);
    println!(
        "{rows} keys: after the purge the last old one was read by a neighbour at {heard:?}, by one cut off at {bound:?}"
    );
    assert_eq!(deaf.get(3, &origin).await, 0, "the control was not told");
}

#[tokio::test(flavor = "multi_thread")]
async fn g2_what_a_process_purges_it_never_takes_over_again_from_the_tier() {
    let (server, tier, origin) = (redis(), tier(), Origin::default());
    let (one, two) = (
        Process::start(&tier, Some(&server.url()), "1h").await,
        Process::start(&tier, Some(&server.url()), "1h").await,
    );
    for version in 1..=100 {
        two.get(7, &origin).await;
        one.get(7, &origin).await;
        origin.store(version, Ordering::SeqCst);
        drop(match version % 3 {
            0 => one.cache.remove_tag("row:7"),
            1 => one.cache.expire_tag("all"),
            _ => one.rows.clear(),
        });
        assert_eq!(one.get(7, &origin).await, version);
        let began = Instant::now();
        while two.get(7, &origin).await < version {
            assert!(began.elapsed() < Duration::from_secs(10), "two never heard of version {version}");
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g2_a_restart_of_the_backplane_makes_everything_suspect_and_then_all_is_well() {
    let (server, tier, origin) = (Redis::start(&[]).unwrap(), tier(), Origin::default());
    let url = server.url();
    let (one, two) = (Process::start(&tier, Some(&url), "1s").await, Process::start(&tier, Some(&url), "1s").await);
    assert_eq!((one.older(100, 0, &origin).await, two.older(100, 0, &origin).await), (0, 0));
    server.kill().unwrap();
    origin.store(1, Ordering::SeqCst);
    one.cache.remove_tag("all");
    assert_eq!(one.older(100, 1, &origin).await, 0, "here at once, though nobody can be told");
    two.until_none_is_older(100, 1, &origin, Duration::from_secs(20)).await;
    server.restart().unwrap();
    assert!(one.cache.until_live(Span::secs(20)).await && two.cache.until_live(Span::secs(20)).await);
    let late = Process::start(&tier, Some(&url), "1s").await;
    for process in [&one, &two, &late] {
        assert_eq!(process.older(100, 1, &origin).await, 0);
    }
    let began = Instant::now();
    while two.cache.snapshot().backplane.unwrap().gaps.iter().all(|(_, gaps)| *gaps == 0) {
        assert!(began.elapsed() < Duration::from_secs(20), "the new epoch is noticed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(two.cache.until_live(Span::secs(20)).await);
    assert_eq!(two.older(100, 1, &origin).await, 0);
}
