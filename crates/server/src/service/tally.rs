//! How many requests ended before they reached a cache's space? Without them the counts would not add up.

use std::sync::atomic::{AtomicU64, Ordering};

use bellwether::{HistogramCounts, Snapshot, SpaceCounts, TIME_BOUNDS, Why};

/// The outcomes that a cache's own counters never see, for one space (or for no space at all).
#[derive(Debug, Default)]
pub(super) struct Tally {
    no_space: AtomicU64,
    read_only: AtomicU64,
    negative_type: AtomicU64,
    negative_filter: AtomicU64,
    shed_client: AtomicU64,
    not_cached: AtomicU64,
    too_large: AtomicU64,
    invalidation_queued: AtomicU64,
}

impl Tally {
    fn slot(&self, why: Why) -> Option<&AtomicU64> {
        match why {
            Why::NoSpace => Some(&self.no_space),
            Why::ReadOnly => Some(&self.read_only),
            Why::NegativeType => Some(&self.negative_type),
            Why::NegativeFilter => Some(&self.negative_filter),
            Why::ShedClient => Some(&self.shed_client),
            Why::NotCached => Some(&self.not_cached),
            Why::TooLarge => Some(&self.too_large),
            Why::InvalidationQueued => Some(&self.invalidation_queued),
            _ => None,
        }
    }

    pub(super) fn count(&self, why: Why) {
        if let Some(slot) = self.slot(why) {
            slot.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn counted(&self) -> Vec<(Why, u64)> {
        let refused = [Why::NoSpace, Why::ReadOnly, Why::TooLarge, Why::ShedClient, Why::InvalidationQueued];
        let all = [Why::NegativeType, Why::NegativeFilter, Why::NotCached].into_iter().chain(refused);
        let count = |why: Why| self.slot(why).map_or(0, |slot| slot.load(Ordering::Relaxed));
        all.map(|why| (why, count(why))).filter(|(_, n)| *n > 0).collect()
    }

    /// Adds these counts to those of the space called `name`, which is made if it isn't there.
    pub(super) fn add_to(&self, snapshot: &mut Snapshot, name: &str) {
        let counted = self.counted();
        if counted.is_empty() {
            return;
        }
        let at = match snapshot.spaces.iter().position(|space| space.name == name) {
            Some(at) => at,
            None => {
                snapshot.spaces.insert(0, nothing(name));
                0
            }
        };
        let requests = &mut snapshot.spaces[at].requests;
        for (why, n) in counted {
            match requests.iter_mut().find(|(known, _)| *known == why) {
                Some((_, count)) => *count += n,
                None => requests.push((why, n)),
            }
        }
    }
}

pub(super) fn nothing(name: &str) -> SpaceCounts {
    let bounds = TIME_BOUNDS.into_iter().chain([f64::INFINITY]);
    let empty = HistogramCounts { buckets: bounds.map(|bound| (bound, 0)).collect(), sum: 0.0 };
    SpaceCounts {
        name: name.to_owned(),
        requests: Vec::new(),
        request_seconds: empty.clone(),
        load_seconds: empty,
        loads_succeeded: 0,
        loads_failed: 0,
        memory_off: false,
        held: Default::default(),
        refreshes_waiting: 0,
        unmet: 0,
        unmet_bytes: 0,
        refresh_pace: None,
    }
}
