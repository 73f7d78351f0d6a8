//! Which refreshes of a space wait for their turn? The core's pacer, with what is needed to begin them.

use std::collections::HashMap;
use std::sync::Arc;

use bellwether_core::draw::Draw;
use bellwether_core::guard::pacer::{Fellows, Pace, Pacer};
use bellwether_core::time::{Span, Tick};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The refreshes of a space; `T` begins one.
pub(crate) struct Paced<T> {
    inner: Mutex<Inner<T>>,
    /// The next moment of interest may have moved.
    earlier: Notify,
}

struct Inner<T> {
    pacer: Pacer<Arc<[u8]>>,
    waiting: HashMap<Arc<[u8]>, T>,
    /// Somebody looks at the queue when it is time. It ends with the queue.
    pumping: bool,
}

/// What becomes of a refresh that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// It begins now.
    Go,
    /// It waits, or the next read of its key asks again.
    Waits,
    /// It waits, and nobody looks at the queue yet: the caller sees to that.
    Pump,
}

/// What [`Paced::next`] found.
pub(crate) enum Turn<T> {
    /// These begin now; look again at the moment named.
    Begin(Vec<T>, Option<Tick>),
    /// Nobody waits any more: whoever pumps ends.
    Over,
}

impl<T> Default for Paced<T> {
    fn default() -> Paced<T> {
        let pacer = Pacer::drawn(Draw(fastrand::u64(..)));
        let inner = Inner { pacer, waiting: HashMap::new(), pumping: false };
        Paced { inner: Mutex::new(inner), earlier: Notify::new() }
    }
}

impl<T> Paced<T> {
    /// How large the space is now, and who shares its refreshes.
    pub(crate) fn measure(&self, keys: u64, ttl: Span, (instances, fellows): (u32, Fellows), now: Tick) {
        let mut inner = self.inner.lock();
        inner.pacer.meet(fellows, now);
        inner.pacer.measure(keys, ttl, instances, now);
        let waits = inner.pumping;
        drop(inner);
        if waits {
            self.earlier.notify_one();
        }
    }

    /// May the refresh of `key` begin? Else what `begin` makes waits here, unless there is one already or too many wait.
    pub(crate) fn ask(&self, key: &Arc<[u8]>, heat: u32, until: Tick, now: Tick, begin: impl FnOnce() -> T) -> Asked {
        let mut inner = self.inner.lock();
        match inner.pacer.ask(key, heat, until, now) {
            Pace::Go => return Asked::Go,
            Pace::Full => return Asked::Waits,
            Pace::Wait => {
                inner.waiting.entry(key.clone()).or_insert_with(begin);
            }
        }
        let start = !std::mem::replace(&mut inner.pumping, true);
        drop(inner);
        if start {
            return Asked::Pump;
        }
        self.earlier.notify_one();
        Asked::Waits
    }

    /// A refresh that was let through needed no load.
    pub(crate) fn refund(&self, now: Tick) {
        let mut inner = self.inner.lock();
        inner.pacer.refund(now);
        let waits = inner.pumping;
        drop(inner);
        if waits {
            self.earlier.notify_one();
        }
    }

    /// Refreshes that wait, and how many a second are let through if they are paced.
    pub(crate) fn load(&self) -> (usize, Option<f64>) {
        let inner = self.inner.lock();
        (inner.pacer.waiting(), inner.pacer.rate())
    }

    /// Those whose turn it is.
    pub(crate) fn next(&self, now: Tick) -> Turn<T> {
        let mut inner = self.inner.lock();
        let mut keys = Vec::new();
        let next = inner.pacer.advance(now, &mut keys);
        let begin: Vec<T> = keys.iter().filter_map(|key| inner.waiting.remove(key)).collect();
        if begin.is_empty() && next.is_none() {
            inner.pumping = false;
            return Turn::Over;
        }
        Turn::Begin(begin, next)
    }

    /// Returns when something may have changed.
    pub(crate) async fn changed(&self) {
        self.earlier.notified().await;
    }

    /// Nobody will begin them any more.
    pub(crate) fn give_up(&self) {
        let mut inner = self.inner.lock();
        inner.pumping = false;
        let waiting = std::mem::take(&mut inner.waiting);
        drop(inner);
        drop(waiting);
    }
}
