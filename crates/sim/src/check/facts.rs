//! What is known of a key from the outside? Its invalidations, its loads, its last failure, by order of events.

use std::collections::BTreeMap;

use bellwether_core::fence::Invalidation;
use bellwether_core::guard::cooldown::MEMORY;
use bellwether_core::time::Tick;

use crate::process::entry::Entry;

/// What a request is entitled to, fixed when it begins.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Due {
    pub(crate) began: Tick,
    /// No older row than this after a remove ...
    pub(crate) removed_row: u64,
    /// ... or an expire (but for a labelled rescue).
    pub(crate) expired_row: u64,
}

/// How a load ended, as the origin sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoadEnd {
    Answered,
    Failed,
    Aborted,
    /// Because its caller went away.
    Cancelled,
}

/// A failed load that leaves the key cooling.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    pub(crate) until: Tick,
    attempts: u32,
    landed: u64,
}

/// One key. Orders are numbers of events.
#[derive(Default)]
pub(crate) struct KeyFacts {
    removed: Mark,
    expired: Mark,
    /// Of the key itself, not of a tag or the space: what these cover leaves memory at once.
    own_removed: u64,
    own_expired: u64,
    /// The latest event that calls for a second load.
    pub(crate) cause: u64,
    /// Flights that read, and since when.
    pub(crate) reading: BTreeMap<u64, u64>,
    pub(crate) failure: Option<Failure>,
}

#[derive(Clone, Copy, Default)]
struct Mark {
    order: u64,
    row: u64,
}

impl KeyFacts {
    pub(crate) fn due(&self, began: Tick) -> Due {
        Due { began, removed_row: self.removed.row, expired_row: self.expired.row }
    }

    pub(crate) fn invalidated(&mut self, verb: Invalidation, of_key: bool, row: u64, order: u64) {
        let mark = Mark { order, row };
        self.cause = order;
        match verb {
            Invalidation::Remove => self.removed = mark,
            Invalidation::Expire => self.expired = mark,
        }
        if of_key {
            self.failure = None;
            match verb {
                Invalidation::Remove => self.own_removed = order,
                Invalidation::Expire => self.own_expired = order,
            }
        }
    }

    /// Whether an invalidation came since the entry's load began.
    pub(crate) fn covers(&self, entry: &Entry) -> bool {
        entry.source.begun < self.removed.order.max(self.expired.order)
    }

    /// Whether the entry should have left memory.
    pub(crate) fn late(&self, entry: &Entry) -> bool {
        entry.source.begun < self.own_removed || (entry.source.begun < self.own_expired && !entry.expired)
    }

    /// A flight ends whose load began at `begun`; with a failure, until when it cools and how many in a row.
    pub(crate) fn ended(&mut self, begun: u64, failure: Option<(Tick, u32)>, landed: u64, now: Tick) -> Option<String> {
        let Some((until, attempts)) = failure else {
            self.failure = None;
            return None;
        };
        if begun < self.own_removed.max(self.own_expired) {
            return None; // what failed is no news of the key as it is now
        }
        let before = self.failure.replace(Failure { until, attempts, landed });
        // Only a failure that this load could know of counts on.
        let before = before.filter(|before| before.landed < begun && now < before.until + MEMORY)?;
        let expected = before.attempts.saturating_add(1);
        (attempts != expected).then(|| format!("{expected} failures in a row, counted as {attempts}"))
    }
}
