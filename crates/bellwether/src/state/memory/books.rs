//! What must be noted when an entry comes or goes, whoever pushed it out? Its timer, its space's counts, and why it left.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use bellwether_core::draw::Draw;
use bellwether_core::entry::{Kind, Meta};
use bellwether_core::time::Tick;
use bellwether_core::write::ends::Ends;
use parking_lot::Mutex;

use crate::entry::Resident;
use crate::port::clock::Clock;
use crate::state::wheel::Wheel;
use crate::timer::TimerId;

/// Places of the wheel that are looked at in one go.
const STEP: usize = 512;

/// Timers of all entries, what each space holds, and why entries left, or never came.
pub(crate) struct Books {
    ledger: Mutex<Ledger>,
    clock: Clock,
    /// Evicted to make room.
    pub(crate) pressure: AtomicU64,
    /// Of those, still fresh.
    pub(crate) fresh: AtomicU64,
    /// Without a value, and pushed out by others of the kind.
    pub(crate) crowded_out: AtomicU64,
    /// Past their hard end.
    pub(crate) expired: AtomicU64,
    /// Invalidated.
    pub(crate) invalidated: AtomicU64,
    /// Refused because a single entry was too large.
    pub(crate) too_large: AtomicU64,
}

struct Ledger {
    wheel: Wheel,
    /// By the ids of spaces; those that hold nothing are not there.
    spaces: HashMap<u32, Held>,
}

/// What a space holds in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    /// Entries with a value.
    pub(crate) values: u64,
    /// Entries without.
    pub(crate) nothings: u64,
    /// When the values end.
    pub(crate) ends: Ends,
}

impl Ledger {
    fn come(&mut self, space: u32, hash: u64, entry: &Resident) {
        entry.set_timer(self.wheel.add(hash, entry.hard_until()));
        let held = self.spaces.entry(space).or_default();
        match entry.kind() {
            Kind::Value => {
                held.values += 1;
                let meta = entry.meta();
                held.ends.add(meta.born, meta.fresh_until);
            }
            Kind::Negative | Kind::HitForMiss => held.nothings += 1,
        }
    }

    /// False if it has left already: an entry with a timer is here.
    fn go(&mut self, space: u32, hash: u64, entry: &Resident) -> bool {
        let timer = entry.timer();
        if timer == TimerId::NONE {
            return false;
        }
        self.wheel.cancel(timer, hash, entry.hard_until());
        entry.set_timer(TimerId::NONE);
        if let Some(held) = self.spaces.get_mut(&space) {
            match entry.kind() {
                Kind::Value => {
                    held.values -= 1;
                    let meta = entry.meta();
                    held.ends.take(meta.born, meta.fresh_until);
                }
                Kind::Negative | Kind::HitForMiss => held.nothings -= 1,
            }
            if held.values + held.nothings == 0 {
                self.spaces.remove(&space);
            }
        }
        true
    }
}

impl Books {
    pub(super) fn new(clock: Clock) -> Books {
        Books {
            ledger: Mutex::new(Ledger { wheel: Wheel::new(clock.now()), spaces: HashMap::new() }),
            clock,
            pressure: AtomicU64::new(0),
            fresh: AtomicU64::new(0),
            crowded_out: AtomicU64::new(0),
            expired: AtomicU64::new(0),
            invalidated: AtomicU64::new(0),
            too_large: AtomicU64::new(0),
        }
    }

    /// `entry` comes in place of `old`, which from here on has no timer: whatever the store does
    /// with it is no eviction.
    pub(super) fn replaced(&self, space: u32, hash: u64, old: Option<&Resident>, entry: &Resident) {
        let mut ledger = self.ledger.lock();
        if let Some(old) = old {
            ledger.go(space, hash, old);
        }
        ledger.come(space, hash, entry);
    }

    /// `entry` was taken out.
    pub(super) fn removed(&self, space: u32, hash: u64, entry: &Resident) {
        self.ledger.lock().go(space, hash, entry);
    }

    /// `entry` was taken out because it has ended; its timer has been handed out.
    pub(super) fn ended(&self, space: u32, hash: u64, entry: &Resident) {
        if self.ledger.lock().go(space, hash, entry) {
            self.expired.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The store pushed out this entry to make room.
    pub(super) fn evicted(&self, space: u32, hash: u64, entry: &Resident) {
        if !self.ledger.lock().go(space, hash, entry) {
            return;
        }
        if entry.kind() != Kind::Value {
            self.crowded_out.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.pressure.fetch_add(1, Ordering::Relaxed);
        self.fresh.fetch_add(u64::from(self.clock.coarse() < entry.fresh_until()), Ordering::Relaxed);
    }

    /// Hashes of entries that end by `now`, at most `most`; true if there are more.
    pub(super) fn due(&self, now: Tick, most: usize) -> (Vec<u64>, bool) {
        let mut due = Vec::new();
        let more = self.ledger.lock().wheel.turn(now, most, &mut due);
        (due, more)
    }

    /// The hashes of all entries, in no order: of those that are there from the first to the last, each once. The ledger
    /// is looked at in steps, so that nobody waits long, and no more than a step is copied at once.
    pub(super) fn hashes(&self) -> impl Iterator<Item = u64> + '_ {
        let mut next = Some(TimerId::FIRST);
        std::iter::from_fn(move || {
            let mut hashes = Vec::with_capacity(STEP);
            next = self.ledger.lock().wheel.hashes(next?, STEP, &mut hashes);
            Some(hashes)
        })
        .flatten()
    }

    /// What a space holds.
    pub(crate) fn held(&self, space: u32) -> Held {
        self.ledger.lock().spaces.get(&space).cloned().unwrap_or_default()
    }

    /// Entries of a space that have a value.
    pub(crate) fn values(&self, space: u32) -> u64 {
        self.ledger.lock().spaces.get(&space).map_or(0, |held| held.values)
    }

    /// A loaded value's meta; it ends a little earlier where too many others end together.
    pub(crate) fn spread(&self, space: u32, meta: Meta, draw: Draw) -> Meta {
        if meta.kind != Kind::Value {
            return meta;
        }
        let now = self.clock.coarse();
        let ledger = self.ledger.lock();
        let Some(held) = ledger.spaces.get(&space) else { return meta };
        Meta { fresh_until: held.ends.spread(meta.born, meta.fresh_until, now, draw), ..meta }
    }

    #[cfg(test)]
    pub(super) fn timers(&self) -> usize {
        self.ledger.lock().wheel.len()
    }
}
