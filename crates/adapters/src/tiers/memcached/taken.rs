//! What becomes of a value that a server gives up when nobody waits for it any more? It goes back, unless somebody has
//! changed the key since.
//!
//! Who takes a value may be gone when the server comes to it: its caller was told that nothing was done. The last step
//! is therefore seen to its end by a task of its own, and what it brings is handed out or put back.

use std::sync::Arc;
use std::time::Duration;

use bellwether::shared::{Change, TierError, When, Wrote};
use bellwether::{Fence, Span};
use bellwether_core::cell::{self, Cell, What};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::inner::{Inner, STUBBORN, failed};
use super::name::Name;
use super::proto::{Reply, Request, Swap};
use super::slot::{Slot, seconds};
use super::step::found;

/// A server that did not answer may still do what it was asked: so often it is looked at, after pauses that double.
const LOOKS: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// A value on its way to who takes it. Dropped on the way: it goes back.
struct Taken {
    inner: Arc<Inner>,
    key: Vec<u8>,
    /// What lay there.
    slot: Slot,
    /// Of the tombstone in its place.
    fence: Fence,
    is_settled: bool,
}

impl Taken {
    /// It was handed out, or never taken.
    fn settle(mut self) {
        self.is_settled = true;
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let Ok(runtime) = self.inner.options.runtime.clone().map_or_else(Handle::try_current, Ok) else { return };
        if !self.is_settled {
            runtime.spawn(put_back(self.inner.clone(), std::mem::take(&mut self.key), self.slot.clone(), self.fence));
        }
    }
}

/// Takes what is fresh under a key.
pub(super) async fn take(inner: &Arc<Inner>, key: &[u8], at_least: Fence) -> Result<Wrote, TierError> {
    let name = Name::new(&inner.options.prefix, key);
    for _ in 0..STUBBORN {
        let slot = inner.slot(&*inner.node_to_change(key, &name)?, &name).await?;
        let before = found(slot.clone());
        let change = |at_least| Cell::change(slot.cell, Change::Take, at_least, slot.now);
        // Its tombstone is known by its fence, which nobody else who takes it at this moment may have drawn as well.
        let own = |(fence, _): (Fence, Cell)| Fence(fence.0.saturating_add(fastrand::u64(..cell::TOKEN_STEP)));
        let Some((fence, next)) = change(at_least).map(own).and_then(change) else {
            return Ok(Wrote { stored: None, before });
        };
        let request = inner.replacing(&name, &slot, &next, None);
        let taken = Taken { inner: inner.clone(), key: key.to_vec(), slot, fence, is_settled: false };
        if let Some(taken) = give_up(taken, request).await? {
            taken.settle();
            return Ok(Wrote { stored: Some(fence), before });
        }
        inner.counters.contended.add();
    }
    Err(failed("others were quicker every time"))
}

/// The step itself, whoever waits for it. `None`: somebody was quicker.
async fn give_up(taken: Taken, request: Request) -> Result<Option<Taken>, TierError> {
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        let name = Name::new(&taken.inner.options.prefix, &taken.key);
        let done = match taken.inner.node(&name) {
            Ok(node) => taken.inner.call(&node, request).await,
            Err(error) => Err(error),
        };
        let said = match done {
            Ok(Reply::Done) => Ok(Some(taken)),
            Ok(_) => {
                taken.settle();
                Ok(None)
            }
            // It may be done all the same, now or later: dropped, it is looked after.
            Err(error) => Err(error),
        };
        // Nobody waits any more: what it brought is dropped with it, and goes back.
        drop(tell.send(said));
    });
    told.await.unwrap_or_else(|_| Err(failed("the process ends")))
}

async fn put_back(inner: Arc<Inner>, key: Vec<u8>, was: Slot, fence: Fence) {
    let name = Name::new(&inner.options.prefix, &key);
    let Ok(node) = inner.node(&name) else { return };
    let mut pause = FIRST_PAUSE;
    for _ in 0..LOOKS {
        if let Ok(slot) = inner.slot(&node, &name).await {
            let is_taken = slot.cell.is_some_and(|cell| cell.what == What::Tombstone && cell.fence == fence);
            if !is_taken && slot.cas != was.cas {
                // Somebody has changed the key since: that holds.
                return;
            }
            // Stored, or somebody was quicker.
            if is_taken && inner.call(&node, back(&name, &was, &slot)).await.is_ok() {
                tracing::debug!(node = node.label, "a value that nobody waited for any more was put back");
                return;
            }
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

/// What lay there, in the place of its tombstone: with the ends that it had.
fn back(name: &Name, was: &Slot, slot: &Slot) -> Request {
    let fence = Cell::may_write(slot.cell, When::Always, Span::ZERO, Fence::ZERO, slot.now);
    match (was.cell.filter(|_| was.envelope.is_some()), fence) {
        (Some(cell), Some(fence)) => {
            let next = Cell { fence, token: None, lease_until: bellwether::Tick(0), ..cell };
            let swap = slot.cas.map_or(Swap::Absent, Swap::Unchanged);
            let (name, ttl) = (name.stored.clone(), Some(seconds(&next, slot.now)));
            Request::Set { name, swap, ttl, flags: was.epoch, data: was.followed_by(&next) }
        }
        // Somebody else's, as it was.
        _ => {
            let swap = slot.cas.map_or(Swap::Absent, Swap::Unchanged);
            let (name, data) = (name.stored.clone(), was.raw.clone());
            Request::Set { name, swap, ttl: was.ttl, flags: was.epoch, data }
        }
    }
}
