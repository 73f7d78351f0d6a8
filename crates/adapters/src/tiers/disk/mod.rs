//! How do entries survive a restart? On this machine's disk, in SQLite, on threads of their own.
//!
//! One thread writes, in batches, into a write-ahead log: a commit is a write without a wait for the platter, so it
//! survives `kill -9`; after a power cut the file is not believed unless its process had ended in order. Another
//! thread reads what was committed.

mod clock;
mod common;
mod file;
mod floors;
mod limits;
mod order;
mod place;
mod reader;
mod row;
mod schema;
#[cfg(test)]
mod tests;
mod trouble;
mod underway;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bellwether::disk::{Disk, DiskCounts, DiskState, Held, Lying, OnRestart, Scope};
use bellwether::shared::{Envelope, TierError};
use bellwether::{Clock, Fence};
use futures_util::future::{BoxFuture, FutureExt, ready};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use self::clock::Machine;
use self::common::{Common, count};
use self::file::Terms;
use self::limits::Limits;
pub use self::limits::SMALLEST_LIMIT;
use self::order::{Answer, Ask, Order, Put};
use self::place::Place;
use self::reader::Reader;
use self::trouble::Trouble;
use self::writer::{Writer, gone, stuck};
use crate::SetupError;

/// Orders that may wait. Then entries are dropped, and removals wait outside.
const MOST_ORDERS: usize = 10_000;
/// Bytes of entries that may wait.
const MOST_QUEUED: usize = 32 << 20;
/// Reads that may wait: past it the disk is too slow to be worth asking.
const MOST_ASKS: usize = 1_024;

/// What a disk tier is opened with.
#[derive(Clone, Debug)]
pub struct DiskConfig {
    /// A directory of its own; made if there is none.
    pub directory: PathBuf,
    /// Bytes that its files may take, at least [`SMALLEST_LIMIT`].
    pub limit: u64,
    /// What becomes of entries of an earlier life.
    pub on_restart: OnRestart,
    /// A disk that failed is tried again after so long; twice that the next time, and so on up to a minute.
    pub retry: Duration,
    /// The cache's clock.
    pub clock: Clock,
}

impl DiskConfig {
    /// 4 GiB in `directory`, served stale after a restart.
    pub fn at(directory: impl Into<PathBuf>) -> DiskConfig {
        DiskConfig {
            directory: directory.into(),
            limit: 4 << 30,
            on_restart: OnRestart::ServeStale,
            retry: Duration::from_secs(5),
            clock: Clock::system(),
        }
    }
}

/// A tier on this machine's disk. Dropping it writes what is queued and ends in order.
#[derive(Debug)]
pub struct DiskTier {
    /// `None` while it is dropped.
    orders: Option<mpsc::Sender<Order>>,
    asks: Option<mpsc::Sender<Ask>>,
    common: Arc<Common>,
    place: Place,
    limits: Limits,
    on_restart: OnRestart,
    /// The reader's, then the writer's.
    threads: Vec<JoinHandle<()>>,
}

impl DiskTier {
    /// Opens the tier, making directory and file where there are none. A disk that fails is no error: the tier is off
    /// then ([`DiskCounts::alert`] says why), and tried again.
    ///
    /// # Errors
    /// If the directory is in use by another process, holds a database of another program or of a version to come,
    /// or if the limit is too small. Nothing is touched then.
    pub fn open(config: DiskConfig) -> Result<DiskTier, SetupError> {
        DiskTier::open_on(config, &Machine::now())
    }

    /// Whether a tier could be opened in `directory`, touching nothing: neither does it make it, nor is it in the way of
    /// a process that uses it.
    ///
    /// # Errors
    /// It is no directory, or can't be written.
    pub fn look(directory: &Path) -> Result<(), SetupError> {
        Place::new(directory.to_owned()).look()
    }

    fn open_on(config: DiskConfig, machine: &Machine) -> Result<DiskTier, SetupError> {
        let DiskConfig { directory, limit, on_restart, retry, clock } = config;
        if limit < SMALLEST_LIMIT {
            let problem = format!("a limit of {limit} bytes is too small for the disk tier");
            return Err(SetupError::new(problem, "give it at least 16 MiB"));
        }
        let (place, limits) = (Place::new(directory), Limits::of(limit));
        let terms = Terms { place: place.clone(), limits, on_restart, clock };
        let common = Arc::new(Common::default());
        let writer = match Writer::open(terms, machine, common.clone(), retry) {
            Ok(writer) => writer,
            Err(Trouble::Refused(refusal)) => return Err(refusal),
            Err(trouble) => return Err(SetupError::new(trouble.text(), "see the log")),
        };
        let (orders, to_write) = mpsc::channel(MOST_ORDERS);
        let (asks, to_read) = mpsc::channel(MOST_ASKS);
        let reader = Reader { common: common.clone(), orders: orders.clone(), open: None };
        let threads = vec![
            spawn("bellwether-disk-read", move || reader.run(to_read))?,
            spawn("bellwether-disk", move || writer.run(to_write))?,
        ];
        Ok(DiskTier { orders: Some(orders), asks: Some(asks), common, place, limits, on_restart, threads })
    }

    /// Sends an order that somebody waits for: at once if there is room, else when the future is polled.
    fn order<T: Send + 'static>(
        &self,
        make: impl FnOnce(oneshot::Sender<T>) -> Order,
    ) -> impl Future<Output = Option<T>> + Send + 'static {
        let (done, waits) = oneshot::channel();
        let order = make(done);
        let later = self.orders.as_ref().and_then(|orders| match orders.try_send(order) {
            Ok(()) | Err(TrySendError::Closed(_)) => None,
            Err(TrySendError::Full(order)) => Some((orders.downgrade(), order)),
        });
        async move {
            if let Some((orders, order)) = later {
                orders.upgrade()?.send(order).await.ok()?;
            }
            waits.await.ok()
        }
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, SetupError> {
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(run);
    spawned.map_err(|error| {
        SetupError::new(format!("no thread for the disk tier: {error}"), "see the limits of processes")
    })
}

impl Disk for DiskTier {
    fn on_restart(&self) -> OnRestart {
        self.on_restart
    }

    fn get<'a>(&'a self, key: &'a [u8], space: u64) -> BoxFuture<'a, Option<Held>> {
        async move {
            let (answer, waits) = oneshot::channel();
            let ask = Ask { key: key.to_vec(), space, answer: Answer::Held(answer) };
            if self.common.opening().is_none() || self.asks.as_ref()?.try_send(ask).is_err() {
                count(&self.common.counts.skipped);
                return None;
            }
            waits.await.ok()?
        }
        .boxed()
    }

    fn look<'a>(&'a self, key: &'a [u8], space: u64) -> BoxFuture<'a, Option<Lying>> {
        async move {
            let (answer, waits) = oneshot::channel();
            let ask = Ask { key: key.to_vec(), space, answer: Answer::Lying(answer) };
            // Whoever loads goes first: a full queue has no room for questions.
            self.asks.as_ref()?.try_send(ask).ok()?;
            waits.await.ok()?
        }
        .boxed()
    }

    fn put(&self, key: &[u8], space: u64, fence: Fence, envelope: Envelope) -> bool {
        let put = Put { key: key.to_vec(), space, fence, envelope };
        let weight = put.weight();
        let (queued, counts) = (&self.common.queued, &self.common.counts);
        if queued.fetch_add(weight, Ordering::Relaxed) + weight > MOST_QUEUED
            || self.common.opening().is_none()
            || self.orders.as_ref().is_none_or(|orders| orders.try_send(Order::Put(Box::new(put))).is_err())
        {
            queued.fetch_sub(weight, Ordering::Relaxed);
            count(&counts.dropped);
            return false;
        }
        true
    }

    fn remove(&self, key: &[u8], fence: Fence) -> BoxFuture<'static, Result<bool, TierError>> {
        if !self.common.under_way.begin_key(row::id(key), fence) {
            return ready(Err(stuck())).boxed();
        }
        let key = key.to_vec();
        let removed = self.order(move |done| Order::Remove { key, fence, done });
        async move { removed.await.unwrap_or_else(|| Err(gone())) }.boxed()
    }

    fn raise(&self, scope: Scope, fence: Fence) -> BoxFuture<'static, Result<(), TierError>> {
        if !self.common.under_way.begin_scope(scope, fence) {
            return ready(Err(stuck())).boxed();
        }
        let raised = self.order(move |done| Order::Raise { scope, fence, done });
        async move { raised.await.unwrap_or_else(|| Err(gone())) }.boxed()
    }

    fn flush(&self) -> BoxFuture<'static, ()> {
        let flushed = self.order(|done| Order::Flush { done });
        // A thread that is gone has nothing left to write.
        async move { flushed.await.unwrap_or(()) }.boxed()
    }

    fn counts(&self) -> DiskCounts {
        let counts = &self.common.counts;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let off = self.common.off.lock().clone();
        let aside = || {
            let path = self.place.aside().into_iter().next()?;
            Some(format!("a damaged file was set aside as {}: delete it when you have looked at it", path.display()))
        };
        DiskCounts {
            state: if off.is_some() { DiskState::Off } else { DiskState::On },
            alert: off.or_else(aside),
            used: read(&counts.used),
            limit: self.limits.limit,
            hits: read(&counts.hits),
            hits_earlier: read(&counts.hits_earlier),
            misses: read(&counts.misses),
            skipped: read(&counts.skipped),
            stored: read(&counts.stored),
            dropped: read(&counts.dropped),
            outdated: read(&counts.outdated),
            too_large: read(&counts.too_large),
            removed: read(&counts.removed),
            expired: read(&counts.expired),
            evicted: read(&counts.evicted),
            unreadable: read(&counts.unreadable),
            set_aside: read(&counts.set_aside),
            failures: read(&counts.failures),
        }
    }
}

impl Drop for DiskTier {
    fn drop(&mut self) {
        // The reader holds a way to the writer: it ends first.
        self.common.ending.store(true, Ordering::Relaxed);
        (self.asks, self.orders) = (None, None);
        for thread in self.threads.drain(..) {
            // A thread that panicked has told of it itself.
            let _ = thread.join();
        }
    }
}
