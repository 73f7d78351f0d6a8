//! What came of sharing out the reads of hot keys?

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Default)]
pub(super) struct Counts {
    pub(super) from_copies: AtomicU64,
    pub(super) from_replicas: AtomicU64,
    pub(super) missed: AtomicU64,
    pub(super) filled: AtomicU64,
}

/// What came of sharing out the reads of one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) from_copies: u64,
    pub(crate) filled: u64,
    pub(crate) from_replicas: u64,
}

/// What splitting does, counted since the cache was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpreadCounts {
    /// Keys that are split now.
    pub keys: usize,
    /// Reads answered by a copy.
    pub from_copies: u64,
    /// Reads answered by a replica.
    pub from_replicas: u64,
    /// Reads that found no copy where one was looked for, and asked the key itself.
    pub missed: u64,
    /// Copies made.
    pub filled: u64,
}

impl Counts {
    /// As of now; `keys` are split.
    pub(super) fn read(&self, keys: usize) -> SpreadCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        SpreadCounts {
            keys,
            from_copies: read(&self.from_copies),
            from_replicas: read(&self.from_replicas),
            missed: read(&self.missed),
            filled: read(&self.filled),
        }
    }
}

pub(super) fn add(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}
