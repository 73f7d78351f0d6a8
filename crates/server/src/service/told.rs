//! Which clients must hear of a change, and of the end of what they were handed?

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bellwether::{Span, Tick};

use super::outcome::Outcome;
use super::watch::{ClientId, Tracking, Watch};
use super::{Inner, Service};

/// So often it is looked for what is no longer fresh.
const STEP: Span = Span::ms(100);
/// A client may keep "there is nothing" for so long: shorter than it is believed here unless a space says otherwise.
const NOTHING: Span = Span::secs(1);

impl Service {
    /// The same, asked in the name of this client: it may want not to hear of its own changes.
    #[must_use]
    pub(crate) fn on_behalf_of(&self, client: ClientId) -> Service {
        Service(self.0.clone(), Some(client), None).collecting()
    }

    /// The same for all clients of one service, and for no other while it is there.
    pub(crate) fn identity(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// Clients that keep copies of their own.
    pub(crate) fn watch(&self) -> &Watch {
        &self.0.watch
    }

    /// From now on `client` hears in this way of what it keeps, or not at all.
    pub(crate) fn track(&self, client: ClientId, tracking: Option<Tracking>) {
        self.0.watch.track(client, tracking);
        if self.0.watch.is_anybody_interested() && !self.0.sweeping.swap(true, Ordering::SeqCst) {
            self.0.loads.spawn(sweep(self.0.clone()));
        }
    }

    /// A client was handed this, at `now`: until when is it good?
    pub(crate) fn handed(&self, key: &[u8], outcome: &Outcome, now: Tick) {
        let left = match outcome {
            Outcome::Value(value) => self.0.cache.keepable(value),
            Outcome::Missing(_) => NOTHING,
            // Nobody keeps an error.
            Outcome::Failed(_) | Outcome::NoSpace | Outcome::KeyTooLong => return,
        };
        self.0.watch.good_until(key, now + left);
    }

    /// `key` was changed or invalidated by whoever this is asked for.
    pub(super) fn changed(&self, key: &[u8]) {
        self.0.watch.changed(key, self.1);
    }
}

/// Tells of what is no longer fresh, for as long as anybody wants to hear it.
async fn sweep(inner: Arc<Inner>) {
    let clock = inner.cache.clock().clone();
    let weak = Arc::downgrade(&inner);
    drop(inner);
    loop {
        tokio::time::sleep(STEP.into()).await;
        let Some(inner) = weak.upgrade() else { return };
        inner.watch.sweep(clock.now());
        if !inner.watch.is_anybody_interested() {
            inner.sweeping.store(false, Ordering::SeqCst);
            // Somebody may have come in between, and seen that it is done.
            if !inner.watch.is_anybody_interested() || inner.sweeping.swap(true, Ordering::SeqCst) {
                return;
            }
        }
    }
}
