//! What does an entry of a shared space remember of the tier? Under which fence it lies there, and when to compare the two.

use std::sync::atomic::{AtomicU64, Ordering};

use bellwether_core::fence::Fence;
use bellwether_core::time::Tick;

/// What an entry of a shared space remembers of the tier.
#[derive(Debug, Default)]
pub(crate) struct TierMark {
    /// The tier's fence that it came from or is published under; zero: the tier knows nothing of it.
    fence: AtomicU64,
    /// From here it is to be compared with the tier, in ticks; zero: not before it is known there.
    due: AtomicU64,
    /// The entry's own early refresh, because its `calm_ms` may be about something else.
    early_ms: u32,
    /// It was made stale here: what the tier holds under the same fence is no fresher.
    stale: bool,
}

impl TierMark {
    /// Of what the tier holds under `fence`, to be compared with it from `due` on.
    pub(crate) fn of(fence: Fence, due: Tick) -> TierMark {
        TierMark { fence: AtomicU64::new(fence.0), due: AtomicU64::new(due.0), early_ms: 0, stale: false }
    }

    /// The same, of what was made stale here, or was not.
    pub(crate) fn made(self, stale: bool) -> TierMark {
        TierMark { stale, ..self }
    }

    /// The same of an entry that may be refreshed so long ahead of its end.
    pub(super) fn refreshed_early(self, early_ms: u32) -> TierMark {
        TierMark { early_ms, ..self }
    }

    /// So long ahead of its end, in ms.
    pub(super) fn early_ms(&self) -> u32 {
        self.early_ms
    }

    /// Whether what the tier holds under this fence was made stale here.
    pub(crate) fn is_stale(&self, fence: Fence) -> bool {
        self.stale && self.fence() == fence
    }

    /// When it is to be compared with the tier.
    pub(crate) fn due(&self) -> Tick {
        if self.fence() == Fence::ZERO { Tick::NEVER } else { Tick(self.due.load(Ordering::Acquire)) }
    }

    /// True for one of those who ask once it is due; for the others not before `again`.
    pub(crate) fn take_turn(&self, now: Tick, again: Tick) -> bool {
        let due = self.due();
        now >= due && self.due.compare_exchange(due.0, again.0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    pub(crate) fn fence(&self) -> Fence {
        Fence(self.fence.load(Ordering::Acquire))
    }

    /// The tier stored it after all.
    pub(crate) fn set(&self, fence: Fence, due: Tick) {
        self.due.store(due.0, Ordering::Release);
        self.fence.store(fence.0, Ordering::Release);
    }
}

impl Clone for TierMark {
    fn clone(&self) -> TierMark {
        let mark = TierMark::of(self.fence(), Tick(self.due.load(Ordering::Acquire)));
        TierMark { early_ms: self.early_ms, stale: self.stale, ..mark }
    }
}
