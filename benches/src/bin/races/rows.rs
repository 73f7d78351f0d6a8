//! What happens in each race? One function per row; every one ends in a bounded time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::poll_immediate;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::contender::{Contender, Load, Refused};

const CALLERS: usize = 100;
const TRIES: usize = 20;
/// Whoever is not done by then hangs.
const PATIENCE: Duration = Duration::from_secs(2);
const LOAD: Duration = Duration::from_millis(100);
const HALF: Duration = Duration::from_millis(50);

/// Every row, in the order of the table.
pub(crate) async fn all<C: Contender>() -> Vec<String> {
    vec![
        unpolled_leader::<C>().await,
        aborted_leader::<C>().await,
        aborted_alone::<C>().await,
        impatient::<C>().await,
        panicking::<C>().await,
        failing::<C>().await,
        tries(stale_kept::<C>).await,
        tries(stale_read::<C>).await,
        tries(crossed::<C>).await,
        mixed::<C>().await,
    ]
}

/// An origin: a row that changes, and how often it was read.
#[derive(Clone)]
struct Origin {
    row: Arc<AtomicU64>,
    reads: Arc<AtomicU64>,
}

impl Origin {
    fn new(row: u64) -> Origin {
        Origin { row: Arc::new(AtomicU64::new(row)), reads: Arc::default() }
    }

    fn reads(&self) -> u64 {
        self.reads.load(Ordering::SeqCst)
    }

    /// Reads the row at once and answers after `takes`: what a slow query under MVCC does.
    fn load(&self, takes: Duration) -> Load {
        let origin = self.clone();
        Arc::new(move || {
            let origin = origin.clone();
            Box::pin(async move {
                origin.reads.fetch_add(1, Ordering::SeqCst);
                let row = origin.row.load(Ordering::SeqCst);
                sleep(takes).await;
                Ok(row)
            })
        })
    }

    fn load_that(&self, takes: Duration, ends: fn() -> Result<u64, Refused>) -> Load {
        let origin = self.clone();
        Arc::new(move || {
            let origin = origin.clone();
            Box::pin(async move {
                origin.reads.fetch_add(1, Ordering::SeqCst);
                sleep(takes).await;
                ends()
            })
        })
    }
}

/// Many callers, each a task of its own; how many were served and how many hung.
async fn crowd<C: Contender>(cache: &C, load: &Load, callers: usize) -> (usize, usize) {
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let (cache, load) = (cache.clone(), load.clone());
        tasks.spawn(async move { timeout(PATIENCE, cache.get(load)).await });
    }
    let (mut served, mut hung) = (0, 0);
    while let Some(end) = tasks.join_next().await {
        match end {
            Ok(Ok(Some(_))) => served += 1,
            Ok(Err(_)) => hung += 1,
            // An error, or a panic that reached the caller.
            Ok(Ok(None)) | Err(_) => {}
        }
    }
    (served, hung)
}

async fn unpolled_leader<C: Contender>() -> String {
    let (cache, origin) = (C::new(), Origin::new(1));
    let mut leader = cache.get(origin.load(HALF));
    assert!(poll_immediate(&mut leader).await.is_none(), "a load takes time");
    let (served, hung) = crowd(&cache, &origin.load(HALF), 1).await;
    match (served, hung) {
        (1, _) => "served".to_owned(),
        (_, 1) => "hangs".to_owned(),
        _ => "error".to_owned(),
    }
}

async fn aborted_leader<C: Contender>() -> String {
    let (cache, origin) = (C::new(), Origin::new(1));
    let load = origin.load(LOAD);
    let leader = tokio::spawn({
        let (cache, load) = (cache.clone(), load.clone());
        async move { cache.get(load).await }
    });
    sleep(Duration::from_millis(10)).await;
    let followers = tokio::spawn(async move { crowd(&cache, &load, CALLERS - 1).await });
    sleep(HALF).await;
    leader.abort();
    let (served, hung) = followers.await.unwrap_or_default();
    let failed = CALLERS - 1 - served;
    if hung > 0 {
        format!("{}, {failed} ({hung} hang)", origin.reads())
    } else {
        format!("{}, {failed}", origin.reads())
    }
}

async fn aborted_alone<C: Contender>() -> String {
    let (cache, origin) = (C::new(), Origin::new(1));
    let leader = tokio::spawn({
        let (cache, load) = (cache.clone(), origin.load(LOAD));
        async move { cache.get(load).await }
    });
    sleep(HALF).await;
    leader.abort();
    drop(leader.await);
    sleep(LOAD).await;
    match crowd(&cache, &origin.load(LOAD), 1).await {
        (1, _) => "served".to_owned(),
        (_, 1) => "hangs".to_owned(),
        _ => "error".to_owned(),
    }
}

async fn impatient<C: Contender>() -> String {
    let (cache, origin) = (C::new(), Origin::new(1));
    let (load, began) = (origin.load(LOAD), Instant::now());
    let mut tasks = JoinSet::new();
    for n in 0..CALLERS as u32 {
        let (cache, load) = (cache.clone(), load.clone());
        sleep((Duration::from_millis(10) * n).saturating_sub(began.elapsed())).await;
        tasks.spawn(async move { timeout(HALF, cache.get(load)).await.ok().flatten() });
    }
    let served = tasks.join_all().await.into_iter().flatten().count();
    format!("{} / {served}", origin.reads())
}

async fn panicking<C: Contender>() -> String {
    let (cache, origin) = (C::new(), Origin::new(1));
    let load = origin.load_that(Duration::from_millis(5), || panic!("on purpose"));
    let began = Instant::now();
    let (served, hung) = crowd(&cache, &load, CALLERS).await;
    let took = began.elapsed().as_millis();
    format!("{}, {}, {took} ms", origin.reads(), CALLERS - served - hung)
}

async fn failing<C: Contender>() -> String {
    let (cache, origin) = (C::new(), Origin::new(1));
    let load = origin.load_that(Duration::from_millis(5), || Err(Refused));
    crowd(&cache, &load, CALLERS).await;
    let first = origin.reads();
    crowd(&cache, &load, CALLERS).await;
    format!("{first}, then {}", origin.reads() - first)
}

/// How many of the tries went wrong.
async fn tries<F: Future<Output = Option<bool>>>(race: fn() -> F) -> String {
    let (mut wrong, mut hung) = (0, 0);
    for _ in 0..TRIES {
        match timeout(PATIENCE, race()).await {
            Ok(Some(went_wrong)) => wrong += usize::from(went_wrong),
            Ok(None) => {}
            Err(_) => hung += 1,
        }
    }
    if hung > 0 { format!("{wrong}/{TRIES} ({hung} hang)") } else { format!("{wrong}/{TRIES}") }
}

/// A load that has read the row is under way; the row changes and the key is invalidated.
async fn overtaken<C: Contender>() -> (C, Origin, tokio::task::JoinHandle<Option<u64>>) {
    let (cache, origin) = (C::new(), Origin::new(1));
    let loading = tokio::spawn({
        let (cache, load) = (cache.clone(), origin.load(HALF));
        async move { cache.get(load).await }
    });
    while origin.reads() == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    sleep(Duration::from_millis(10)).await;
    origin.row.store(2, Ordering::SeqCst);
    cache.remove().await;
    (cache, origin, loading)
}

async fn stale_kept<C: Contender>() -> Option<bool> {
    let (cache, origin, loading) = overtaken::<C>().await;
    drop(loading.await);
    Some(cache.get(origin.load(Duration::ZERO)).await? == 1)
}

async fn stale_read<C: Contender>() -> Option<bool> {
    let (cache, origin, loading) = overtaken::<C>().await;
    let read = cache.get(origin.load(Duration::ZERO)).await;
    drop(loading.await);
    Some(read? == 1)
}

/// Two caches in one process, each with an origin of its own, the same key at the same time.
async fn crossed<C: Contender>() -> Option<bool> {
    let (one, two) = (C::new(), C::new());
    let (first, second) =
        (Origin::new(1).load(Duration::from_millis(5)), Origin::new(2).load(Duration::from_millis(5)));
    let (one, two) = tokio::join!(one.get(first), two.get(second));
    Some((one?, two?) != (1, 2))
}

async fn mixed<C: Contender>() -> String {
    let (cache, origin) = (C::new(), Origin::new(1));
    let mut tasks = JoinSet::new();
    for n in 0..CALLERS {
        let (cache, load) = (cache.clone(), origin.load(HALF));
        if cache.get_many(load.clone()).is_none() {
            return "no batches".to_owned();
        }
        tasks.spawn(async move {
            let call = async {
                match cache.get_many(load.clone()) {
                    Some(many) if n % 2 == 0 => many.await,
                    _ => cache.get(load).await,
                }
            };
            timeout(PATIENCE, call).await.ok().flatten()
        });
    }
    let served = tasks.join_all().await.into_iter().flatten().count();
    if served == CALLERS {
        origin.reads().to_string()
    } else {
        format!("{}, {} failed", origin.reads(), CALLERS - served)
    }
}
