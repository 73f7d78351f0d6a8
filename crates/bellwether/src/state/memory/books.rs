//! What must be noted when an entry comes or goes, whoever pushed it out? Its space's counts, and why it left.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use bellwether_core::draw::Draw;
use bellwether_core::entry::{Kind, Meta};
use bellwether_core::write::ends::Ends;
use parking_lot::Mutex;

use crate::entry::Resident;
use crate::port::clock::Clock;

/// What each space holds, and why entries left, or never came.
pub(crate) struct Books {
    /// By the ids of spaces; those that hold nothing are not there.
    spaces: Mutex<HashMap<u32, Held>>,
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

impl Books {
    pub(super) fn new(clock: Clock) -> Books {
        Books {
            spaces: Mutex::default(),
            clock,
            pressure: AtomicU64::new(0),
            fresh: AtomicU64::new(0),
            crowded_out: AtomicU64::new(0),
            expired: AtomicU64::new(0),
            invalidated: AtomicU64::new(0),
            too_large: AtomicU64::new(0),
        }
    }

    /// `entry` comes. Noted before it is there: somebody may push it out at once.
    pub(super) fn come(&self, space: u32, entry: &Resident) {
        let mut spaces = self.spaces.lock();
        let held = spaces.entry(space).or_default();
        match entry.kind() {
            Kind::Value => {
                held.values += 1;
                let meta = entry.meta();
                held.ends.add(meta.born, meta.fresh_until);
            }
            Kind::Negative | Kind::HitForMiss => held.nothings += 1,
        }
    }

    /// `entry` has gone: noted once, by whoever took it out.
    pub(super) fn gone(&self, space: u32, entry: &Resident) {
        let mut spaces = self.spaces.lock();
        let Some(held) = spaces.get_mut(&space) else { return };
        match entry.kind() {
            Kind::Value => {
                held.values -= 1;
                let meta = entry.meta();
                held.ends.take(meta.born, meta.fresh_until);
            }
            Kind::Negative | Kind::HitForMiss => held.nothings -= 1,
        }
        if held.values + held.nothings == 0 {
            spaces.remove(&space);
        }
    }

    /// It has gone because it has ended.
    pub(super) fn ended(&self, space: u32, entry: &Resident) {
        self.gone(space, entry);
        self.expired.fetch_add(1, Ordering::Relaxed);
    }

    /// The store pushed it out to make room.
    pub(super) fn evicted(&self, space: u32, entry: &Resident) {
        self.gone(space, entry);
        if entry.kind() != Kind::Value {
            self.crowded_out.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.pressure.fetch_add(1, Ordering::Relaxed);
        self.fresh.fetch_add(u64::from(self.clock.coarse() < entry.fresh_until()), Ordering::Relaxed);
    }

    /// What a space holds.
    pub(crate) fn held(&self, space: u32) -> Held {
        self.spaces.lock().get(&space).cloned().unwrap_or_default()
    }

    /// Entries of a space that have a value.
    pub(crate) fn values(&self, space: u32) -> u64 {
        self.spaces.lock().get(&space).map_or(0, |held| held.values)
    }

    /// A loaded value's meta; it ends a little earlier where too many others end together.
    pub(crate) fn spread(&self, space: u32, meta: Meta, draw: Draw) -> Meta {
        if meta.kind != Kind::Value {
            return meta;
        }
        let now = self.clock.coarse();
        let spaces = self.spaces.lock();
        let Some(held) = spaces.get(&space) else { return meta };
        Meta { fresh_until: held.ends.spread(meta.born, meta.fresh_until, now, draw), ..meta }
    }
}
