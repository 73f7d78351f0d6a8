//! Can what is read from disk be believed right now? The disk tier of a cache, and who is about to tell it something.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::disk::{Disk, DiskCounts};

/// The disk tier of a cache.
pub(crate) struct Shelf {
    pub(crate) disk: Arc<dyn Disk>,
    /// Invalidations that hold in memory while the disk has not been told yet, for a moment each: what is read from
    /// it then is not believed.
    telling: AtomicUsize,
}

impl Shelf {
    pub(crate) fn new(disk: Arc<dyn Disk>) -> Shelf {
        Shelf { disk, telling: AtomicUsize::new(0) }
    }

    pub(crate) fn counts(&self) -> DiskCounts {
        self.disk.counts()
    }

    /// To be held around an invalidation: from before it draws its fence until the disk was told.
    pub(crate) fn telling(&self) -> Telling<'_> {
        self.telling.fetch_add(1, Ordering::SeqCst);
        Telling(self)
    }

    /// Whether anybody holds one. Ask after a fence was drawn, and before the disk is read.
    pub(crate) fn is_telling(&self) -> bool {
        self.telling.load(Ordering::SeqCst) > 0
    }
}

/// See [`Shelf::telling`].
pub(crate) struct Telling<'a>(&'a Shelf);

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.0.telling.fetch_sub(1, Ordering::SeqCst);
    }
}
