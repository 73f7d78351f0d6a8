//! What do the handle and both threads share? Which file is open, its floors, counters.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};

use super::clock::FileClock;
use super::floors::Floors;
use super::underway::UnderWay;

/// An opening of the file.
#[derive(Debug)]
pub(super) struct Opening {
    /// No two of one process are alike.
    pub(super) number: u64,
    pub(super) path: PathBuf,
    /// Rows of this life were stored by this opening.
    pub(super) life: u64,
    pub(super) clock: FileClock,
}

#[derive(Debug, Default)]
pub(super) struct Common {
    /// `None`: the tier is off.
    opening: RwLock<Option<Arc<Opening>>>,
    /// Raised before the write that makes them durable is acknowledged.
    pub(super) floors: RwLock<Floors>,
    pub(super) under_way: UnderWay,
    /// Why the tier is off.
    pub(super) off: Mutex<Option<String>>,
    /// The handle is gone: somebody may still hold a way to order, and never use it.
    pub(super) ending: AtomicBool,
    /// Bytes of entries that wait to be written.
    pub(super) queued: AtomicUsize,
    pub(super) counts: Counts,
}

/// See [`DiskCounts`](bellwether::disk::DiskCounts).
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) used: AtomicU64,
    pub(super) hits: AtomicU64,
    pub(super) hits_earlier: AtomicU64,
    pub(super) misses: AtomicU64,
    pub(super) skipped: AtomicU64,
    pub(super) stored: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) outdated: AtomicU64,
    pub(super) too_large: AtomicU64,
    pub(super) removed: AtomicU64,
    pub(super) expired: AtomicU64,
    pub(super) evicted: AtomicU64,
    pub(super) unreadable: AtomicU64,
    pub(super) set_aside: AtomicU64,
    pub(super) failures: AtomicU64,
}

/// Counts one.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Common {
    pub(super) fn opening(&self) -> Option<Arc<Opening>> {
        self.opening.read().clone()
    }

    /// The file can be read from here on.
    pub(super) fn begin(&self, opening: Opening, floors: Floors) {
        // Before anybody can read a row that they cover.
        *self.floors.write() = floors;
        *self.off.lock() = None;
        *self.opening.write() = Some(Arc::new(opening));
    }

    /// Nothing is read any more.
    pub(super) fn end(&self, why: String) {
        *self.opening.write() = None;
        *self.off.lock() = Some(why);
    }
}
