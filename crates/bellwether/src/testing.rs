//! What do your own tests need? A shared tier in memory, whose failures you switch on.

use std::collections::HashMap;
use std::sync::Arc;

use bellwether_core::fence::{Fence, Floor, Invalidation};
use bellwether_core::time::{Span, Tick};
use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;

use crate::port::clock::Clock;
use crate::port::tier::{Envelope, Stored, Tier, TierError};

/// A shared tier for tests: several caches of one program share it as processes share a server.
/// Cheap to clone; all clones are the same tier.
///
/// ```
/// use bellwether::testing::SharedMemory;
/// use bellwether::{Cache, Clock, Loaded, Policy};
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let tier = SharedMemory::new(Clock::system());
/// let one = Cache::builder().shared(tier.clone()).build()?.shared_space::<str, String>("user", Policy::ttl("60s"))?;
/// let two = Cache::builder().shared(tier.clone()).build()?.shared_space::<str, String>("user", Policy::ttl("60s"))?;
///
/// one.get("ada").or_load(|_| async { Ok::<_, std::io::Error>(Loaded::value("Ada".to_owned())) }).await?;
/// while tier.is_empty() {
///     tokio::task::yield_now().await; // published right after the callers were answered
/// }
/// // What one cache has loaded, the other need not load.
/// let ada = two.get("ada").or_load(|_| async { Err(std::io::Error::other("not asked")) }).await?;
/// assert_eq!(*ada, "Ada");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct SharedMemory {
    inner: Arc<Mutex<Inner>>,
    clock: Clock,
}

struct Inner {
    /// What is held, and since when.
    entries: HashMap<Vec<u8>, (Envelope, Tick)>,
    floors: HashMap<Vec<u8>, Floor>,
    mode: Mode,
}

/// How a test tier behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As it should.
    Working,
    /// Every call fails at once.
    Failing,
    /// No call ever returns: a frozen server.
    Frozen,
}

impl SharedMemory {
    /// An empty tier on the given clock.
    pub fn new(clock: Clock) -> SharedMemory {
        let inner = Inner { entries: HashMap::new(), floors: HashMap::new(), mode: Mode::Working };
        SharedMemory { inner: Arc::new(Mutex::new(inner)), clock }
    }

    /// Lets it work, fail or freeze from now on.
    pub fn set(&self, mode: Mode) {
        self.inner.lock().mode = mode;
    }

    /// How many entries it holds.
    pub fn len(&self) -> usize {
        self.inner.lock().entries.len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn call<'a, T: Send + 'a>(
        &'a self,
        act: impl FnOnce(&mut Inner, Tick) -> T + Send + 'a,
    ) -> BoxFuture<'a, Result<T, TierError>> {
        async move {
            let mode = self.inner.lock().mode;
            match mode {
                Mode::Working => Ok(act(&mut self.inner.lock(), self.clock.now())),
                Mode::Failing => Err(TierError("the test tier fails".to_owned())),
                Mode::Frozen => std::future::pending().await,
            }
        }
        .boxed()
    }
}

impl Tier for SharedMemory {
    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Envelope>, TierError>> {
        self.call(move |inner, now| {
            let (envelope, since) = inner.entries.get(key)?;
            let held = now.since(*since);
            let hard = Span(envelope.fresh_ms + u64::from(envelope.hard_ms));
            (held < hard).then(|| Envelope {
                age_ms: envelope.age_ms + held.0,
                fresh_ms: envelope.fresh_ms.saturating_sub(held.0),
                // Past its freshness the windows shrink by what has passed of them.
                swr_ms: Span(u64::from(envelope.swr_ms)).0.saturating_sub(held.0.saturating_sub(envelope.fresh_ms))
                    as u32,
                hard_ms: Span(u64::from(envelope.hard_ms)).0.saturating_sub(held.0.saturating_sub(envelope.fresh_ms))
                    as u32,
                ..envelope.clone()
            })
        })
    }

    fn put<'a>(&'a self, key: &'a [u8], envelope: Envelope) -> BoxFuture<'a, Result<Stored, TierError>> {
        self.call(move |inner, now| {
            let floor = inner.floors.get(key).copied().unwrap_or_default();
            let newer = inner.entries.get(key).is_some_and(|(held, _)| held.fence > envelope.fence);
            if newer || floor.covers(envelope.fence) {
                return Stored::Outdated;
            }
            inner.entries.insert(key.to_vec(), (envelope, now));
            Stored::Yes
        })
    }

    fn invalidate<'a>(
        &'a self,
        key: &'a [u8],
        verb: Invalidation,
        fence: Fence,
    ) -> BoxFuture<'a, Result<bool, TierError>> {
        self.call(move |inner, _| {
            let floor = inner.floors.entry(key.to_vec()).or_default();
            *floor = floor.merge(Floor::of(verb, fence));
            inner.entries.remove(key).is_some()
        })
    }
}
