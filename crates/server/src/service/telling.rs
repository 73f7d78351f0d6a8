//! What are the other tiers still being told? Whoever asked for a change is answered once they know.

use std::sync::Arc;

use bellwether::{Acknowledged, Cleared};
use futures_util::future::FutureExt;

use super::Service;
use super::collector::{Change, Collector, Telling};
use super::served::Served;

impl Service {
    /// A handle that collects what its changes still have to tell; the same where there is nobody to be told.
    #[must_use]
    pub(crate) fn collecting(&self) -> Service {
        let others = self.0.fleet.is_some() || self.0.has_disk;
        let collector = others.then(Arc::<Collector>::default);
        Service(self.0.clone(), self.1, collector)
    }

    /// Whether this handle collects.
    #[inline]
    pub(crate) fn collects(&self) -> bool {
        self.2.is_some()
    }

    /// What this handle's changes since the last call still have to tell.
    pub(crate) fn telling(&self) -> Option<Telling> {
        let changes = std::mem::take(&mut *self.2.as_ref()?.0.lock());
        if changes.is_empty() { None } else { Some(Telling(changes)) }
    }

    /// A change to a value that was resident here or not, and what is heard of it elsewhere. Where nobody collects it
    /// goes on by itself.
    pub(super) fn tells(&self, served: &Served, here: bool, said: impl Future<Output = Acknowledged> + Send + 'static) {
        if let Some(collector) = self.2.as_ref().filter(|_| served.is_elsewhere()) {
            collector.0.lock().push(Change { here, tally: served.tally.clone(), said: said.boxed() });
        }
    }

    /// A tag was invalidated: it holds here, and the disk is being told.
    pub(super) fn clears(&self, cleared: Cleared) {
        if let Some(collector) = &self.2 {
            let said = cleared.into_future().map(|told| Acknowledged { told, was_resident: false }).boxed();
            collector.0.lock().push(Change { here: true, tally: self.serving().nowhere.clone(), said });
        }
    }
}
