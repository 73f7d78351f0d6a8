//! Which changes are on their way to other tiers, and what became of them?
//!
//! A change holds in this process at once. What it takes elsewhere is collected by the handle that it was asked with,
//! and waited for by the face before it answers.

use std::sync::Arc;

use bellwether::{Acknowledged, Why};
use futures_util::future::{BoxFuture, join_all};
use parking_lot::Mutex;

use super::tally::Tally;

/// Where one handle's changes are collected.
#[derive(Default)]
pub(super) struct Collector(pub(super) Mutex<Vec<Change>>);

/// One change on its way.
pub(super) struct Change {
    /// The value was resident here.
    pub(super) here: bool,
    pub(super) tally: Arc<Tally>,
    pub(super) said: BoxFuture<'static, Acknowledged>,
}

/// Changes on their way to other tiers.
pub(crate) struct Telling(pub(super) Vec<Change>);

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
