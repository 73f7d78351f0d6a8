//! What are the other tiers still being told? Whoever asked for a change is answered once they know.
//!
//! A change holds in this process at once. What it takes elsewhere is collected by the handle that it was asked with,
//! and waited for by the face before it answers.

use std::sync::Arc;

use bellwether::{Acknowledged, Why};
use futures_util::future::{BoxFuture, FutureExt, join_all};
use parking_lot::Mutex;

use super::Service;
use super::served::Served;
use super::tally::Tally;

/// Where one handle's changes are collected.
#[derive(Default)]
pub(super) struct Collector(Mutex<Vec<Change>>);

/// One change on its way.
struct Change {
    /// The value was resident here.
    here: bool,
    tally: Arc<Tally>,
    said: BoxFuture<'static, Acknowledged>,
}

/// Changes on their way to other tiers.
pub(crate) struct Telling(Vec<Change>);

/// What became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Some could not be told yet: they hold here, and are tried again.
    pub(crate) queued: bool,
    /// Values that were resident elsewhere and not here.
    pub(crate) elsewhere: usize,
}

impl Telling {
    /// Waits until all is told, or known not to be.
    pub(crate) async fn done(self) -> Told {
        let said = join_all(self.0.into_iter().map(|change| async move {
            let Acknowledged { told, was_resident } = change.said.await;
            if !told {
                change.tally.count(Why::InvalidationQueued);
            }
            (told, was_resident && !change.here)
        }));
        said.await.into_iter().fold(Told::default(), |all, (told, elsewhere)| Told {
            queued: all.queued || !told,
            elsewhere: all.elsewhere + usize::from(elsewhere),
        })
    }
}

impl Service {
    /// A handle that collects what its changes still have to tell; the same where there is nobody to be told.
    #[must_use]
    pub(crate) fn collecting(&self) -> Service {
        let collector = self.0.fleet.is_some().then(Arc::<Collector>::default);
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
        if let Some(collector) = self.2.as_ref().filter(|_| served.shared) {
            collector.0.lock().push(Change { here, tally: served.tally.clone(), said: said.boxed() });
        }
    }
}
