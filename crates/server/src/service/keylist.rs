//! How long is a list of the resident keys good for further steps of a walk?

use std::sync::Arc;
use std::time::{Duration, Instant};

/// A list of keys is used for the next steps for so long, then made anew.
const LIST_AGE: Duration = Duration::from_secs(10);

/// Keys in the order of their hashes.
pub(super) type List = Arc<[(u64, Box<[u8]>)]>;

/// The list that the last step used, with the moment at which it was begun: one at most, whoever walks.
#[derive(Default)]
pub(super) struct Latest(Option<(Instant, List)>);

impl Latest {
    /// The list, if it was begun no longer ago than steps may use it, and not before `since`.
    pub(super) fn recent(&self, since: Option<Instant>) -> Option<List> {
        let good = |begun: &Instant| begun.elapsed() < LIST_AGE && since.is_none_or(|since| *begun >= since);
        self.0.as_ref().filter(|(begun, _)| good(begun)).map(|(_, list)| list.clone())
    }

    pub(super) fn keep(&mut self, begun: Instant, list: List) {
        self.0 = Some((begun, list));
    }
}
