//! How often was an entry served, and by whom last?

use std::sync::atomic::{AtomicU32, Ordering};

use crate::observe::counters;

/// The part that counts: as much as the books of who goes first look at.
pub(super) const COUNT: u32 = (1 << 29) - 1;

/// How often it was served, counted from anywhere, and above [`COUNT`] which thread it was that wrote this. Written without a
/// read-modify-write: approximate on purpose.
pub(super) struct Served(AtomicU32);

/// What was found when it was served.
#[derive(Clone, Copy)]
pub(crate) struct Touched {
    /// How often it was served by now in its lower bits, and above who served it, for [`Entry::is_due`](super::Entry::is_due).
    pub(crate) served: u32,
    /// Another thread served it last.
    pub(crate) met: bool,
}

/// This thread as entries note who served them last: seven are told apart, and it is nobody before a thread has counted.
#[inline]
fn toucher() -> u32 {
    counters::class() << COUNT.count_ones()
}

/// Whether what was noted is neither this thread nor nobody.
#[inline]
fn is_another(served: u32, toucher: u32) -> bool {
    (served ^ toucher) > COUNT && served > COUNT
}

impl Served {
    /// So often, by nobody.
    pub(super) fn new(count: u32) -> Served {
        Served(AtomicU32::new(count & COUNT))
    }

    /// The same again.
    pub(super) fn set(&self, count: u32) {
        self.0.store(count & COUNT, Ordering::Relaxed);
    }

    /// Once more, by this thread.
    #[inline]
    pub(super) fn touch(&self) -> Touched {
        let (before, toucher) = (self.0.load(Ordering::Relaxed), toucher());
        let served = before.wrapping_add(1) & COUNT | toucher;
        self.0.store(served, Ordering::Relaxed);
        Touched { served, met: is_another(before, toucher) }
    }

    #[inline]
    pub(super) fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed) & COUNT
    }

    /// Whether another thread was the last.
    pub(super) fn is_met(&self) -> bool {
        is_another(self.0.load(Ordering::Relaxed), toucher())
    }

    /// So much more, by none of this thread's doing.
    pub(super) fn add(&self, times: u32) {
        let before = self.0.load(Ordering::Relaxed);
        self.0.store(before.wrapping_add(times) & COUNT | before & !COUNT, Ordering::Relaxed);
    }
}
