//! What do the tests share? An origin that counts, and the caches people write by hand, as controls.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bellwether::{Budget, Cache, Cached, Clock, Error, LoadCtx, LoadError, Loaded, Policy, Space, Span};
use futures_util::future::{BoxFuture, FutureExt};
use tokio::sync::{OnceCell, Semaphore};

/// Nothing in these tests takes this long unless somebody hangs.
pub(crate) const HANG: Duration = Duration::from_secs(10);

pub(crate) type Answer = Result<Cached<u64>, Error>;

/// An origin with one row: its value is the version at which it was read.
#[derive(Clone, Default)]
pub(crate) struct Source(Arc<Counts>);

#[derive(Default)]
struct Counts {
    version: AtomicU64,
    runs: AtomicU64,
    running: AtomicUsize,
    peak: AtomicUsize,
}

/// A load that runs. Dropped = it has ended, in whatever way.
pub(crate) struct Running(Arc<Counts>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
    }
}

impl Source {
    /// Counts a load that begins.
    pub(crate) fn begin(&self) -> Running {
        self.0.runs.fetch_add(1, SeqCst);
        let now = self.0.running.fetch_add(1, SeqCst) + 1;
        self.0.peak.fetch_max(now, SeqCst);
        Running(self.0.clone())
    }

    /// Reads the row, then takes its time, as a slow network does.
    pub(crate) async fn read(&self, takes: Duration) -> u64 {
        let _running = self.begin();
        let version = self.version();
        if takes > Duration::ZERO {
            tokio::time::sleep(takes).await;
        }
        version
    }

    /// A loader that reads the row.
    pub(crate) fn loader<K: Send + 'static>(
        &self,
        takes: Duration,
    ) -> impl FnOnce(LoadCtx<K, u64>) -> BoxFuture<'static, Result<Loaded<u64>, LoadError>> + Send + 'static {
        let source = self.clone();
        move |_| async move { Ok(Loaded::value(source.read(takes).await)) }.boxed()
    }

    /// A loader that counts, takes its time and fails.
    pub(crate) fn failing<K: Send + 'static>(
        &self,
        takes: Duration,
    ) -> impl FnOnce(LoadCtx<K, u64>) -> BoxFuture<'static, Result<Loaded<u64>, LoadError>> + Send + 'static {
        let source = self.clone();
        move |_| {
            async move {
                source.read(takes).await;
                Err(LoadError::from(std::io::Error::other("the origin is down")))
            }
            .boxed()
        }
    }

    /// A loader that reads the row, then waits until `gate` lets it go.
    pub(crate) fn held<K: Send + 'static>(
        &self,
        gate: &Arc<Semaphore>,
    ) -> impl FnOnce(LoadCtx<K, u64>) -> BoxFuture<'static, Result<Loaded<u64>, LoadError>> + Send + 'static {
        let (source, gate) = (self.clone(), gate.clone());
        move |_| {
            async move {
                let _running = source.begin();
                let version = source.version();
                gate.acquire().await.expect("never closed").forget();
                Ok(Loaded::value(version))
            }
            .boxed()
        }
    }

    /// Changes the row; the version from now on.
    pub(crate) fn write(&self) -> u64 {
        self.0.version.fetch_add(1, SeqCst) + 1
    }

    pub(crate) fn version(&self) -> u64 {
        self.0.version.load(SeqCst)
    }

    pub(crate) fn runs(&self) -> u64 {
        self.0.runs.load(SeqCst)
    }

    pub(crate) fn running(&self) -> usize {
        self.0.running.load(SeqCst)
    }

    pub(crate) fn peak(&self) -> usize {
        self.0.peak.load(SeqCst)
    }
}

/// A cache on the real clock with one space; 1,000 loads at once.
pub(crate) fn cache(policy: Policy) -> (Cache, Space<u64, u64>) {
    let cache = Cache::builder().budget(wide()).build().expect("the builder's values make sense");
    let space = cache.space("row", policy);
    (cache, space)
}

/// A cache on a clock driven by hand.
pub(crate) fn manual(policy: Policy) -> (Cache, Space<u64, u64>, Clock) {
    let clock = Clock::manual();
    let built = Cache::builder().clock(clock.clone()).budget(wide()).build();
    let cache = built.expect("the builder's values make sense");
    let space = cache.space("row", policy);
    (cache, space, clock)
}

/// A budget that is in nobody's way.
pub(crate) fn wide() -> Budget {
    Budget { max_concurrency: 1_000, timeout: Span::secs(30), ..Budget::default() }
}

/// Fresh for a minute, to the millisecond, with plenty of time for every caller.
pub(crate) fn minute() -> Policy {
    Policy::ttl("60s").jitter(0.0).timeout("8s")
}

/// Waits until `done`, at most [`HANG`].
pub(crate) async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < HANG, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// The answer, or a failed test if it never comes.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG, future).await.unwrap_or_else(|_| panic!("hangs: {what}"))
}

/// The cache that people write: a map, and a `OnceCell` per key that is being loaded. The control
/// of most races: it coalesces well and fails each of them.
#[derive(Clone, Default)]
pub(crate) struct Naive(Arc<Mutex<Tables>>);

#[derive(Default)]
struct Tables {
    values: HashMap<u64, u64>,
    flights: HashMap<u64, Arc<OnceCell<u64>>>,
}

impl Naive {
    pub(crate) async fn get<E>(&self, key: u64, load: impl Future<Output = Result<u64, E>>) -> Result<u64, E> {
        let cell = {
            let mut tables = self.0.lock().expect("no panic under this lock");
            if let Some(value) = tables.values.get(&key) {
                return Ok(*value);
            }
            tables.flights.entry(key).or_default().clone()
        };
        let value = *cell.get_or_try_init(|| load).await?;
        let mut tables = self.0.lock().expect("no panic under this lock");
        tables.values.insert(key, value);
        tables.flights.remove(&key);
        Ok(value)
    }

    pub(crate) fn peek(&self, key: u64) -> Option<u64> {
        self.0.lock().expect("no panic under this lock").values.get(&key).copied()
    }

    pub(crate) fn remove(&self, key: u64) {
        self.0.lock().expect("no panic under this lock").values.remove(&key);
    }
}
