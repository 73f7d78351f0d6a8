//! What must be noted when an entry comes or goes, whoever pushed it out? Its timer, and why it left.

use std::sync::atomic::{AtomicU64, Ordering};

use bellwether_core::time::Tick;
use parking_lot::Mutex;

use crate::entry::Resident;
use crate::port::clock::Clock;
use crate::state::wheel::{TimerId, Wheel};

/// Timers of all entries, and why entries left, or never came.
pub(crate) struct Books {
    wheel: Mutex<Wheel>,
    clock: Clock,
    /// Evicted to make room.
    pub(crate) pressure: AtomicU64,
    /// Of those, still fresh.
    pub(crate) fresh: AtomicU64,
    /// Past their hard end.
    pub(crate) expired: AtomicU64,
    /// Invalidated.
    pub(crate) invalidated: AtomicU64,
    /// Refused because a single entry was too large.
    pub(crate) too_large: AtomicU64,
}

impl Books {
    pub(super) fn new(clock: Clock) -> Books {
        Books {
            wheel: Mutex::new(Wheel::new(clock.now())),
            clock,
            pressure: AtomicU64::new(0),
            fresh: AtomicU64::new(0),
            expired: AtomicU64::new(0),
            invalidated: AtomicU64::new(0),
            too_large: AtomicU64::new(0),
        }
    }

    /// `entry` comes in place of `old`, which from here on has no timer: whatever the store does
    /// with it is no eviction.
    pub(super) fn replaced(&self, hash: u64, old: Option<&Resident>, entry: &Resident) {
        let mut wheel = self.wheel.lock();
        if let Some(old) = old {
            take_back(&mut wheel, old);
        }
        entry.set_timer(wheel.add(hash, entry.meta.hard_until()));
    }

    /// `entry` was taken out.
    pub(super) fn removed(&self, entry: &Resident) {
        take_back(&mut self.wheel.lock(), entry);
    }

    /// The store pushed these out to make room.
    pub(super) fn evicted(&self, entries: &[Resident]) {
        if entries.is_empty() {
            return;
        }
        let now = self.clock.coarse();
        let mut wheel = self.wheel.lock();
        for entry in entries {
            if take_back(&mut wheel, entry) {
                self.pressure.fetch_add(1, Ordering::Relaxed);
                self.fresh.fetch_add(u64::from(now < entry.meta.fresh_until), Ordering::Relaxed);
            }
        }
    }

    /// Hashes of entries that end by `now`, at most `most`; true if there are more.
    pub(super) fn due(&self, now: Tick, most: usize) -> (Vec<u64>, bool) {
        let mut due = Vec::new();
        let more = self.wheel.lock().turn(now, most, &mut due);
        (due, more)
    }

    /// Hashes of all entries.
    pub(super) fn hashes(&self) -> Vec<u64> {
        self.wheel.lock().hashes()
    }

    #[cfg(test)]
    pub(super) fn timers(&self) -> usize {
        self.wheel.lock().len()
    }
}

/// Takes an entry's timer back; false if it had none. Under the wheel's lock, so that it happens once.
fn take_back(wheel: &mut Wheel, entry: &Resident) -> bool {
    let timer = entry.timer();
    wheel.cancel(timer);
    entry.set_timer(TimerId::NONE);
    timer != TimerId::NONE
}
