//! What do your own tests need? A shared tier in memory, whose failures you switch on.

use std::collections::HashMap;
use std::sync::Arc;

use bellwether_core::cell::{Cell, Now};
use bellwether_core::failure::FailClass;
use bellwether_core::fence::{Fence, Invalidation};
use bellwether_core::time::Span;
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use tokio::sync::Notify;

use self::slot::Slot;
use crate::port::clock::Clock;
use crate::shared::{
    Acquired, Ask, Change, Envelope, Found, Raised, Stored, Tier, TierError, TierTrouble, Verified, Write, Wrote,
};

mod slot;

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
    slots: HashMap<Vec<u8>, Slot>,
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
    /// Writes under a condition, and changes.
    pub writes: u64,
    /// Copies that were compared.
    pub verifies: u64,
}

/// What a test tier held at one moment.
pub struct Backup(HashMap<Vec<u8>, Slot>);

impl SharedMemory {
    /// An empty tier on the given clock.
    pub fn new(clock: Clock) -> SharedMemory {
        let inner = Inner { slots: HashMap::new(), calls: Calls::default() };
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
        let now = self.now();
        self.inner.lock().slots.values().filter(|slot| slot.is_resident(now)).count()
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
        let body = body.into();
        self.change(name, |slot| slot.overwrite(body, until));
    }

    /// Deletes a key as such a program would: fence, lease and all.
    pub fn delete(&self, name: &[u8]) {
        self.change(name, Slot::forget);
    }

    /// All it holds now, for [`SharedMemory::restore`].
    pub fn backup(&self) -> Backup {
        Backup(self.inner.lock().slots.clone())
    }

    /// Puts it back to an earlier state, as a failover to a replica that lagged does.
    pub fn restore(&self, backup: Backup) {
        self.inner.lock().slots = backup.0;
        self.changed.notify_waiters();
    }

    /// Whether somebody holds the lease of a key.
    pub fn is_leased(&self, name: &[u8]) -> bool {
        let now = self.now();
        self.inner.lock().slots.get(name).is_some_and(|slot| slot.is_leased(now))
    }

    /// The time as a server tells it.
    fn now(&self) -> Now {
        Now(self.clock.now().0 * 1000)
    }

    fn change(&self, name: &[u8], change: impl FnOnce(&mut Slot)) {
        let mut inner = self.inner.lock();
        let slot = inner.slots.entry(name.to_vec()).or_default();
        change(slot);
        slot.version += 1;
        drop(inner);
        self.changed.notify_waiters();
    }

    /// One atomic step on a key's cell.
    fn call<'a, T: Send + 'a>(
        &'a self,
        key: &'a [u8],
        act: impl FnOnce(&mut Slot, &mut Calls, Now) -> T + Send + 'a,
    ) -> BoxFuture<'a, Result<T, TierError>> {
        async move {
            let mode = *self.mode.lock();
            match mode {
                Mode::Working => {
                    let Inner { slots, calls, .. } = &mut *self.inner.lock();
                    Ok(act(slots.entry(key.to_vec()).or_default(), calls, self.now()))
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
        act: impl FnOnce(&mut Slot, &mut Calls, Now) -> T + Send + 'a,
    ) -> BoxFuture<'a, Result<T, TierError>> {
        let call = self.call(key, move |slot, calls, now| {
            slot.version += 1;
            act(slot, calls, now)
        });
        async move {
            let answer = call.await;
            self.changed.notify_waiters();
            answer
        }
        .boxed()
    }

    fn version(&self, key: &[u8]) -> u64 {
        self.inner.lock().slots.get(key).map_or(0, |slot| slot.version)
    }
}

impl Tier for SharedMemory {
    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Found, TierError>> {
        self.call(key, |slot, calls, now| {
            calls.gets += 1;
            slot.found(now)
        })
    }

    fn acquire<'a>(&'a self, key: &'a [u8], ask: Ask) -> BoxFuture<'a, Result<Acquired, TierError>> {
        self.call(key, move |slot, calls, now| {
            calls.acquires += 1;
            let acquired = slot.acquire(ask, now);
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
        self.changing(key, move |slot, calls, now| {
            calls.publishes += 1;
            let stored = slot.store(token, envelope, now, |cell, entry| Cell::publish(cell, token, entry, now.tick()));
            calls.refused += u64::from(stored == Stored::Refused);
            stored
        })
    }

    fn renew<'a>(&'a self, key: &'a [u8], token: Fence, lease: Span) -> BoxFuture<'a, Result<bool, TierError>> {
        self.call(key, move |slot, calls, now| {
            calls.renews += 1;
            slot.keep(Cell::renew(slot.cell, token, lease, now.tick()))
        })
    }

    fn release<'a>(
        &'a self,
        key: &'a [u8],
        token: Fence,
        failed: Option<(Span, FailClass)>,
    ) -> BoxFuture<'a, Result<bool, TierError>> {
        self.changing(key, move |slot, calls, now| {
            calls.releases += 1;
            let released = Cell::release(slot.cell, token, failed, now.tick());
            released.map(|next| slot.cell = next).is_ok()
        })
    }

    fn invalidate<'a>(
        &'a self,
        key: &'a [u8],
        verb: Invalidation,
        at_least: Fence,
        late: Span,
    ) -> BoxFuture<'a, Result<Raised, TierError>> {
        self.changing(key, move |slot, calls, now| {
            calls.invalidations += 1;
            let (raised, next) = Cell::invalidate_late(slot.cell, verb, at_least, late, now);
            // All its keys lie in one place.
            let salts = Vec::new();
            slot.keep(next);
            Raised { fence: raised.fence, was_resident: raised.was_resident, salts }
        })
    }

    fn write<'a>(&'a self, key: &'a [u8], how: Write, envelope: Envelope) -> BoxFuture<'a, Result<Wrote, TierError>> {
        let Write { when, late, reads, at_least } = how;
        self.changing(key, move |slot, calls, now| {
            calls.writes += 1;
            let before = if reads { slot.found(now) } else { Found::Nothing { lease: None } };
            let fence = Cell::may_write(slot.cell, when, late, at_least, now);
            if let Some(fence) = fence {
                slot.store(fence, envelope, now, |_, entry| Some(Cell { fence, ..entry }));
            }
            Wrote { stored: fence, before }
        })
    }

    fn change<'a>(
        &'a self,
        key: &'a [u8],
        change: Change,
        at_least: Fence,
        _within: Span,
    ) -> BoxFuture<'a, Result<Wrote, TierError>> {
        self.changing(key, move |slot, calls, now| {
            calls.writes += 1;
            let before = slot.found(now);
            let changed = Cell::change(slot.cell, change, at_least, now);
            slot.keep(changed.map(|(_, next)| next));
            Wrote { stored: changed.map(|(fence, _)| fence), before }
        })
    }

    fn verify<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Verified, TierError>> {
        self.call(key, |slot, calls, now| {
            calls.verifies += 1;
            slot.verified(now)
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
