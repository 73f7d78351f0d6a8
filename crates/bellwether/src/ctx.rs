//! What is a loader told?

use std::marker::PhantomData;
use std::time::Duration;

use bellwether_core::time::Tick;
use bellwether_core::why::Why;

use crate::cached::Cached;
use crate::entry::Resident;
use crate::port::clock::Clock;

/// A loader's view of its load.
pub struct LoadCtx<K, V> {
    key: K,
    have: Option<Resident>,
    deadline: Tick,
    clock: Clock,
    of: PhantomData<fn() -> V>,
}

impl<K, V: Send + Sync + 'static> LoadCtx<K, V> {
    pub(crate) fn new(key: K, have: Option<Resident>, deadline: Tick, clock: Clock) -> LoadCtx<K, V> {
        LoadCtx { key, have, deadline, clock, of: PhantomData }
    }

    /// The key to load.
    pub fn key(&self) -> &K {
        &self.key
    }

    /// The value that is still there, to ask the origin whether it changed. Never one that was removed.
    pub fn stale(&self) -> Option<Cached<V>> {
        Cached::new(self.have.clone()?, Why::StaleRefreshing, self.clock.now())
    }

    /// Time left until the origin's timeout cuts this load off. No caller's timeout does.
    pub fn time_left(&self) -> Duration {
        self.deadline.since(self.clock.now()).into()
    }

    /// The moment at which this load is cut off.
    pub fn deadline(&self) -> tokio::time::Instant {
        tokio::time::Instant::now() + self.time_left()
    }
}

/// A batch loader's view of its load.
pub struct BatchCtx {
    deadline: Tick,
    clock: Clock,
}

impl BatchCtx {
    pub(crate) fn new(deadline: Tick, clock: Clock) -> BatchCtx {
        BatchCtx { deadline, clock }
    }

    /// Time left until the origin's timeout cuts this load off.
    pub fn time_left(&self) -> Duration {
        self.deadline.since(self.clock.now()).into()
    }
}
