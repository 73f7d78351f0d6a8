//! Who may load a key, in the whole fleet? The shared tier: entries and leases, as scripts in it would keep them.
//!
//! A simple form of the lease protocol: one entry, one lease and one `failed` state per key; each
//! question is answered in one step. Holders don't crash here, so a lease ends with its load.

use bellwether_core::entry::Meta;
use bellwether_core::fence::Fence;
use bellwether_core::guard::cooldown::Cooling;
use bellwether_core::time::Tick;

/// The shared tier of a fleet.
pub(super) struct SharedTier {
    keys: Vec<Held>,
    fence: Fence,
}

#[derive(Clone, Copy, Default)]
struct Held {
    meta: Option<Meta>,
    holder: Option<u64>,
    cooling: Option<Cooling>,
}

/// What the tier says to a leader who found nothing usable in it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lease {
    /// Load, under this fence.
    Granted(Fence),
    /// Somebody loads.
    Held,
    /// The last load failed a moment ago.
    Failed(Cooling),
}

impl SharedTier {
    pub(super) fn new(keys: usize) -> SharedTier {
        SharedTier { keys: vec![Held::default(); keys], fence: Fence::ZERO }
    }

    /// What a plain read finds.
    pub(super) fn read(&self, key: usize) -> Option<Meta> {
        self.keys[key].meta
    }

    /// Asks for the lease.
    pub(super) fn acquire(&mut self, key: usize, who: u64, now: Tick) -> Lease {
        let held = &mut self.keys[key];
        if let Some(cooling) = held.cooling.filter(|cooling| cooling.remaining(now).is_some()) {
            return Lease::Failed(cooling);
        }
        if held.holder.is_some() {
            return Lease::Held;
        }
        held.holder = Some(who);
        self.fence = self.fence.next(now.0 * 1000);
        Lease::Granted(self.fence)
    }

    /// The failed state before this load, for the cool-down to grow.
    pub(super) fn last_failure(&self, key: usize) -> Option<Cooling> {
        self.keys[key].cooling
    }

    /// The holder brings a value: stored only if nothing newer is there.
    pub(super) fn publish(&mut self, key: usize, who: u64, meta: Meta) {
        let held = &mut self.keys[key];
        if held.meta.is_none_or(|present| meta.fence > present.fence) {
            held.meta = Some(meta);
        }
        held.cooling = None;
        self.release(key, who, None);
    }

    /// The holder brings nothing.
    pub(super) fn release(&mut self, key: usize, who: u64, cooling: Option<Cooling>) {
        let held = &mut self.keys[key];
        if held.holder == Some(who) {
            held.holder = None;
            held.cooling = cooling.or(held.cooling);
        }
    }

    /// What a run begins with.
    pub(super) fn fill(&mut self, key: usize, meta: Meta) {
        self.keys[key].meta = Some(meta);
    }
}
