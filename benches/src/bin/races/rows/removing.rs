//! A row is written and its key removed while a load runs: does anybody get the older value?

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use crate::contender::Contender;
use crate::origin::{Answer, Failed, Origin};
use crate::row::Row;
use crate::stage::{KEY, PATIENCE, leader, tries};

pub(super) fn rows<C: Contender>() -> Vec<Row> {
    vec![
        Row {
            name: "kept",
            race: "a write and a removal during a load: the older value is kept",
            wanted: "0/20",
            run: || Box::pin(tries(kept::<C>)),
        },
        Row {
            name: "read",
            race: "a read that begins after the removal returned, during the older load: stale",
            wanted: "0/20",
            run: || Box::pin(tries(read::<C>)),
        },
        Row {
            name: "storm",
            race: "500 removals/s and 10,000 reads/s on one key: stale, failed, loads at once",
            wanted: "0, 0, <= 2",
            run: || Box::pin(storm::<C>()),
        },
    ]
}

const LOAD: Duration = Duration::from_millis(60);
const STORM: Duration = Duration::from_secs(1);
const STORM_LOAD: Duration = Duration::from_millis(5);
/// 500 a second.
const REMOVAL_EVERY: Duration = Duration::from_millis(2);
/// 20 readers, each 10 reads every 20 ms: 10,000 a second.
const READERS: usize = 20;
const READS: usize = 10;
const READS_EVERY: Duration = Duration::from_millis(20);
/// Fewer are no storm.
const LEAST_READS: u64 = 8_000;

/// A load that has read version 1 is under way; version 2 is written, and the key removed.
async fn overtaken<C: Contender>() -> (C, Origin, JoinHandle<Answer>) {
    let (cache, origin) = (C::new(), Origin::new(1, LOAD));
    let loading = leader(&cache, &origin).await;
    origin.write(Some(2));
    origin.delay(Duration::ZERO);
    cache.remove(KEY).await;
    (cache, origin, loading)
}

async fn kept<C: Contender>() -> Result<bool, Failed> {
    let (cache, origin, loading) = overtaken::<C>().await;
    // What the leader gets began before: it may be either version.
    drop(loading.await);
    Ok(cache.get(KEY, &origin).await? != Some(2))
}

async fn read<C: Contender>() -> Result<bool, Failed> {
    let (cache, origin, loading) = overtaken::<C>().await;
    let read = cache.get(KEY, &origin).await;
    drop(loading.await);
    Ok(read? != Some(2))
}

/// What a storm is judged by.
#[derive(Default)]
struct Storm {
    /// The newest version whose removal has returned: no read that begins now may get an older one.
    removed: AtomicU64,
    over: AtomicBool,
    reads: AtomicU64,
    stale: AtomicU64,
    failed: AtomicU64,
}

async fn storm<C: Contender>() -> String {
    let (cache, origin, storm) = (C::new(), Origin::new(1, STORM_LOAD), Arc::<Storm>::default());
    let (mut readers, begun) = (JoinSet::new(), Instant::now());
    for n in 0..READERS as u32 {
        // One after the other, not all of them in the same moment.
        let first = begun + READS_EVERY * n / READERS as u32;
        readers.spawn(read_on(cache.clone(), origin.clone(), storm.clone(), first));
    }
    for n in 1.. {
        let due = begun + REMOVAL_EVERY * n;
        if due > begun + STORM {
            break;
        }
        sleep_until(due).await;
        let version = u64::from(n) + 1;
        origin.write(Some(version));
        cache.remove(KEY).await;
        storm.removed.store(version, Ordering::SeqCst);
    }
    storm.over.store(true, Ordering::SeqCst);
    while readers.join_next().await.is_some() {}
    let of = |count: &AtomicU64| count.load(Ordering::SeqCst);
    let (reads, stale, failed, peak) = (of(&storm.reads), of(&storm.stale), of(&storm.failed), origin.seen().peak);
    match reads {
        0..LEAST_READS => format!("{stale}, {failed}, {peak} (only {reads} reads)"),
        _ => format!("{stale}, {failed}, {peak}"),
    }
}

async fn read_on<C: Contender>(cache: C, origin: Origin, storm: Arc<Storm>, first: Instant) {
    let mut next = first;
    while !storm.over.load(Ordering::SeqCst) {
        sleep_until(next).await;
        next = Instant::now() + READS_EVERY;
        let floor = storm.removed.load(Ordering::SeqCst);
        let reads = (0..READS).map(|_| timeout(PATIENCE, cache.get(KEY, &origin)));
        for answer in join_all(reads).await {
            storm.reads.fetch_add(1, Ordering::SeqCst);
            match answer {
                Ok(Ok(Some(version))) => storm.stale.fetch_add(u64::from(version < floor), Ordering::SeqCst),
                _ => storm.failed.fetch_add(1, Ordering::SeqCst),
            };
        }
    }
}
