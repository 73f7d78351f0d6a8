//! What do your own tests need? A shared tier in memory, whose failures you switch on.

use std::collections::HashMap;
use std::sync::Arc;

use bellwether_core::entry::Kind;
use bellwether_core::failure::FailClass;
use bellwether_core::fence::{Fence, Invalidation};
use bellwether_core::lease::{self, Mode as LeaseMode};
use bellwether_core::time::{Span, Tick};
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::port::clock::Clock;
use crate::shared::{Acquired, Ask, Envelope, Found, Raised, Stored, Tier, TierError, TierTrouble, Verified};

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
    changed: Arc<Notify>,
    /// Of the way to it.
    mode: Arc<Mutex<Mode>>,
    clock: Clock,
}

struct Inner {
    cells: HashMap<Vec<u8>, Cell>,
    calls: Calls,
}

/// How a test tier behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As it should.
    Working,
    /// Every call fails at once.
    Failing,
    /// Every call is answered, by an error.
    Refusing,
    /// No call ever returns: a frozen server.
    Frozen,
}

/// What a test tier was asked, and did, while it worked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Keys that were read.
    pub gets: u64,
    /// Times that a lease was asked for.
    pub acquires: u64,
    /// Leases that were granted.
    pub granted: u64,
    /// Heartbeats.
    pub renews: u64,
    /// Values and markers that were published.
    pub publishes: u64,
    /// Of them and of puts: refused.
    pub refused: u64,
    /// Leases given back.
    pub releases: u64,
    /// Invalidations.
    pub invalidations: u64,
    /// Copies that were compared.
    pub verifies: u64,
}

/// What a test tier held at one moment.
pub struct Backup(HashMap<Vec<u8>, Cell>);

/// One key.
#[derive(Clone, Default)]
struct Cell {
    /// Nothing below it is stored any more.
    fence: Fence,
    /// The lease's token, valid until somebody else's or an invalidation.
    token: Option<Fence>,
    lease: Span,
    lease_until: Tick,
    failed: Option<(Tick, FailClass)>,
    holds: Holds,
    /// Rises with every change.
    version: u64,
}

#[derive(Clone, Default)]
enum Holds {
    #[default]
    Nothing,
    Entry(Box<Envelope>, Tick),
    HitForMiss(Tick),
    Foreign(Bytes, Option<Tick>),
}

impl SharedMemory {
    /// An empty tier on the given clock.
    pub fn new(clock: Clock) -> SharedMemory {
        let inner = Inner { cells: HashMap::new(), calls: Calls::default() };
        let mode = Arc::new(Mutex::new(Mode::Working));
        SharedMemory { inner: Arc::new(Mutex::new(inner)), changed: Arc::default(), mode, clock }
    }

    /// The same tier by a way of its own: what is [set](SharedMemory::set) there is so for whoever goes that way.
    #[must_use]
    pub fn another_way(&self) -> SharedMemory {
        SharedMemory { mode: Arc::new(Mutex::new(Mode::Working)), ..self.clone() }
    }

    /// Lets it work, fail or freeze from now on.
    pub fn set(&self, mode: Mode) {
        *self.mode.lock() = mode;
    }

    /// How many entries it holds, foreign ones included.
    pub fn len(&self) -> usize {
        let now = self.clock.now();
        self.inner.lock().cells.values().filter(|cell| cell.is_resident(now)).count()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What it was asked so far.
    pub fn calls(&self) -> Calls {
        self.inner.lock().calls
    }

    /// Stores bytes as a program would that knows nothing of leases. They void everything before them.
    pub fn put_foreign(&self, name: &[u8], body: impl Into<Bytes>, life: Option<Span>) {
        let until = life.map(|life| self.clock.now() + life);
        let holds = Holds::Foreign(body.into(), until);
        self.change(name, |cell| *cell = Cell { holds, version: cell.version, ..Cell::default() });
    }

    /// Deletes a key as such a program would: fence, lease and all.
    pub fn delete(&self, name: &[u8]) {
        self.change(name, |cell| *cell = Cell { version: cell.version, ..Cell::default() });
    }

    /// All it holds now, for [`SharedMemory::restore`].
    pub fn backup(&self) -> Backup {
        Backup(self.inner.lock().cells.clone())
    }

    /// Puts it back to an earlier state, as a failover to a replica that lagged does.
    pub fn restore(&self, backup: Backup) {
        self.inner.lock().cells = backup.0;
        self.changed.notify_waiters();
    }

    /// Whether somebody holds the lease of a key.
    pub fn is_leased(&self, name: &[u8]) -> bool {
        let now = self.clock.now();
        self.inner.lock().cells.get(name).is_some_and(|cell| cell.left(now).is_some())
    }

    fn change<T>(&self, name: &[u8], change: impl FnOnce(&mut Cell) -> T) -> T {
        let mut inner = self.inner.lock();
        let cell = inner.cells.entry(name.to_vec()).or_default();
        let result = change(cell);
        cell.version += 1;
        drop(inner);
        self.changed.notify_waiters();
        result
    }

    /// One atomic step on a key's cell.
    fn call<'a, T: Send + 'a>(
        &'a self,
        key: &'a [u8],
        act: impl FnOnce(&mut Cell, &mut Calls, Tick) -> T + Send + 'a,
    ) -> BoxFuture<'a, Result<T, TierError>> {
        async move {
            let mode = *self.mode.lock();
            match mode {
                Mode::Working => {
                    let Inner { cells, calls, .. } = &mut *self.inner.lock();
                    Ok(act(cells.entry(key.to_vec()).or_default(), calls, self.clock.now()))
                }
                Mode::Failing => Err(TierError { kind: TierTrouble::Unreachable, text: "the test tier fails".into() }),
                Mode::Refusing => Err(TierError { kind: TierTrouble::Failed, text: "the test tier refuses".into() }),
                Mode::Frozen => std::future::pending().await,
            }
        }
        .boxed()
    }

    /// The same, and whoever waits for a change of the key is woken.
    fn changing<'a, T: Send + 'a>(
        &'a self,
        key: &'a [u8],
        act: impl FnOnce(&mut Cell, &mut Calls, Tick) -> T + Send + 'a,
    ) -> BoxFuture<'a, Result<T, TierError>> {
        let call = self.call(key, move |cell, calls, now| {
            cell.version += 1;
            act(cell, calls, now)
        });
        async move {
            let answer = call.await;
            self.changed.notify_waiters();
            answer
        }
        .boxed()
    }

    fn version(&self, key: &[u8]) -> u64 {
        self.inner.lock().cells.get(key).map_or(0, |cell| cell.version)
    }
}

impl Cell {
    /// A fence above all that the key has had, and not below `at_least`.
    fn next(&self, now: Tick, at_least: Fence) -> Fence {
        let above = |fence: Fence| Fence(fence.0.saturating_add(1));
        Fence(now.0 * 1000).max(above(self.fence)).max(above(self.token.unwrap_or_default())).max(at_least)
    }

    fn left(&self, now: Tick) -> Option<Span> {
        (self.token.is_some() && now < self.lease_until).then(|| self.lease_until.since(now))
    }

    fn failure(&self, now: Tick) -> Option<(Span, FailClass)> {
        self.failed.filter(|(until, _)| now < *until).map(|(until, class)| (until.since(now), class))
    }

    /// The entry with its times counted down to now, unless it is expired.
    fn entry(&self, now: Tick) -> Option<Envelope> {
        let Holds::Entry(envelope, since) = &self.holds else { return None };
        let held = now.since(*since).0;
        // Past its freshness the windows shrink by what has passed of them.
        let past = held.saturating_sub(envelope.fresh_ms).min(u64::from(u32::MAX)) as u32;
        let entry = Envelope {
            age_ms: envelope.age_ms + held,
            fresh_ms: envelope.fresh_ms.saturating_sub(held),
            swr_ms: envelope.swr_ms.saturating_sub(past),
            hard_ms: envelope.hard_ms.saturating_sub(past),
            ..(**envelope).clone()
        };
        (entry.fresh_ms > 0 || entry.hard_ms > 0).then_some(entry)
    }

    fn foreign(&self, now: Tick) -> Option<(Bytes, Option<Span>)> {
        match &self.holds {
            Holds::Foreign(body, None) => Some((body.clone(), None)),
            Holds::Foreign(body, Some(until)) if now < *until => Some((body.clone(), Some(until.since(now)))),
            _ => None,
        }
    }

    fn marker(&self, now: Tick) -> Option<Span> {
        match self.holds {
            Holds::HitForMiss(until) if now < until => Some(until.since(now)),
            _ => None,
        }
    }

    fn is_resident(&self, now: Tick) -> bool {
        self.entry(now).is_some() || self.foreign(now).is_some()
    }

    fn get(&self, now: Tick) -> Found {
        if let Some((body, left)) = self.foreign(now) {
            return Found::Foreign { body, left };
        }
        if let Some(left) = self.marker(now) {
            return Found::HitForMiss { left };
        }
        let entry = self.entry(now);
        if let Some((left, class)) = self.failure(now)
            && entry.as_ref().is_none_or(|entry| entry.fresh_ms == 0 && entry.swr_ms == 0)
        {
            return Found::Failed { left, class };
        }
        let lease = self.left(now);
        match entry {
            Some(envelope) => Found::Entry { envelope, lease },
            None => Found::Nothing { lease },
        }
    }

    fn acquire(&mut self, ask: Ask, now: Tick) -> Acquired {
        if let Some((body, left)) = self.foreign(now) {
            return Acquired::Foreign { body, left };
        }
        if let Some(left) = self.marker(now) {
            return Acquired::HitForMiss { left };
        }
        let stale = self.entry(now);
        if let Some(entry) = &stale {
            let newer = entry.fence > ask.holds && !entry.invalidated;
            let fresh = entry.fresh_ms > 0 && ask.mode != LeaseMode::Early;
            if newer && (fresh || ask.mode == LeaseMode::Early) {
                return Acquired::Fresh(entry.clone());
            }
        }
        if let Some((left, class)) = self.failure(now) {
            return Acquired::Failed { left, class };
        }
        if let Some(left) = self.left(now) {
            let silent = Span(self.lease.0.saturating_sub(left.0));
            if ask.mode != LeaseMode::Backup || silent < lease::presumed_gone(self.lease) {
                return Acquired::Denied { left, stale };
            }
        }
        let token = self.next(now, ask.at_least);
        (self.token, self.lease, self.lease_until) = (Some(token), ask.lease, now + ask.lease);
        Acquired::Granted { token, stale }
    }

    fn store(&mut self, fence: Fence, envelope: Envelope, now: Tick) {
        self.holds = match envelope.kind {
            Kind::HitForMiss => Holds::HitForMiss(now + Span(envelope.fresh_ms)),
            Kind::Value | Kind::Negative => Holds::Entry(Box::new(Envelope { fence, ..envelope }), now),
        };
        (self.fence, self.token, self.failed) = (fence, None, None);
    }

    fn invalidate(&mut self, verb: Invalidation, at_least: Fence, now: Tick) -> Raised {
        let was_resident = self.is_resident(now);
        let fence = self.next(now, at_least);
        (self.fence, self.token, self.failed) = (fence, None, None);
        let rescue = self.entry(now).filter(|entry| verb == Invalidation::Expire && entry.kind == Kind::Value);
        self.holds = rescue.map_or(Holds::Nothing, |entry| {
            let hard_ms = entry.hard_ms.saturating_add(entry.fresh_ms.min(u64::from(u32::MAX)) as u32);
            let ended = Envelope { invalidated: true, fresh_ms: 0, swr_ms: 0, hard_ms, ..entry };
            Holds::Entry(Box::new(ended), now)
        });
        Raised { fence, was_resident }
    }
}

impl Tier for SharedMemory {
    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Found, TierError>> {
        self.call(key, |cell, calls, now| {
            calls.gets += 1;
            cell.get(now)
        })
    }

    fn acquire<'a>(&'a self, key: &'a [u8], ask: Ask) -> BoxFuture<'a, Result<Acquired, TierError>> {
        self.call(key, move |cell, calls, now| {
            calls.acquires += 1;
            let acquired = cell.acquire(ask, now);
            calls.granted += u64::from(matches!(acquired, Acquired::Granted { .. }));
            acquired
        })
    }

    fn publish<'a>(
        &'a self,
        key: &'a [u8],
        token: Fence,
        envelope: Envelope,
    ) -> BoxFuture<'a, Result<Stored, TierError>> {
        self.changing(key, move |cell, calls, now| {
            calls.publishes += 1;
            if cell.token != Some(token) {
                calls.refused += 1;
                return Stored::Refused;
            }
            cell.store(token, envelope, now);
            Stored::Yes(token)
        })
    }

    fn renew<'a>(&'a self, key: &'a [u8], token: Fence, lease: Span) -> BoxFuture<'a, Result<bool, TierError>> {
        self.call(key, move |cell, calls, now| {
            calls.renews += 1;
            let ours = cell.token == Some(token);
            if ours {
                (cell.lease, cell.lease_until) = (lease, now + lease);
            }
            ours
        })
    }

    fn release<'a>(
        &'a self,
        key: &'a [u8],
        token: Fence,
        failed: Option<(Span, FailClass)>,
    ) -> BoxFuture<'a, Result<bool, TierError>> {
        self.changing(key, move |cell, calls, now| {
            calls.releases += 1;
            if cell.token != Some(token) {
                return false;
            }
            cell.token = None;
            cell.failed = failed.map(|(left, class)| (now + left, class));
            true
        })
    }

    fn invalidate<'a>(
        &'a self,
        key: &'a [u8],
        verb: Invalidation,
        at_least: Fence,
    ) -> BoxFuture<'a, Result<Raised, TierError>> {
        self.changing(key, move |cell, calls, now| {
            calls.invalidations += 1;
            cell.invalidate(verb, at_least, now)
        })
    }

    fn put<'a>(&'a self, key: &'a [u8], fence: Fence, envelope: Envelope) -> BoxFuture<'a, Result<Stored, TierError>> {
        self.changing(key, move |cell, calls, now| {
            if fence < cell.fence {
                calls.refused += 1;
                return Stored::Refused;
            }
            cell.store(fence, envelope, now);
            Stored::Yes(fence)
        })
    }

    fn verify<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Verified, TierError>> {
        self.call(key, |cell, calls, now| {
            calls.verifies += 1;
            match cell.entry(now) {
                Some(entry) if !entry.invalidated => Verified::Holds(entry.fence),
                _ => Verified::Gone,
            }
        })
    }

    fn changed<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, ()> {
        let before = self.version(key);
        async move {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if self.version(key) != before {
                    return;
                }
                changed.await;
            }
        }
        .boxed()
    }
}
