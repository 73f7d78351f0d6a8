//! What happens when somebody writes? The row first, then the invalidation, some time later.

use bellwether_core::entry::{Kind, Meta};
use bellwether_core::fence::{Floor, Invalidation};
use bellwether_core::time::Span;
use bellwether_core::write::stamp::{Stamping, stamp};

use super::entry::{Entry, Source};
use super::event::Event;
use super::{Process, TAGS};
use crate::rules::Rule;

impl Process {
    pub(super) fn write(&mut self, key: u8) {
        let now = self.now();
        let present = self.world.dice.chance(0.85);
        let Some(row) = self.rows.get_mut(&key) else { return };
        (row.version, row.present) = (row.version + 1, present);
        self.check.note(now, "is written, version", key, row.version, u64::from(present));
        // Mostly at once; some writers take their time.
        let slow = self.world.dice.chance(0.2);
        let later = Span(self.world.dice.below(if slow { 300 } else { 20 }));
        self.world.after(later, Event::Invalidate(key));
    }

    /// When this returns, the invalidation is acknowledged.
    pub(super) fn invalidate(&mut self, key: u8) {
        let verb = if self.world.dice.chance(0.6) { Invalidation::Remove } else { Invalidation::Expire };
        match self.world.dice.below(12) {
            0..=6 => self.invalidate_key(key, verb),
            7..=8 => self.invalidate_tag(key % TAGS, verb),
            9 => self.invalidate_space(verb),
            10 => self.put(key),
            _ => self.make_stale(key),
        }
    }

    /// Raises the key's floor and overtakes its loads. Under the key's lock.
    fn overtake(&mut self, key: u8, verb: Invalidation) {
        let fence = self.next_fence();
        let overtake = self.rules.keep(Rule::Overtake);
        let slot = self.slot(key);
        slot.floor = slot.floor.merge(Floor::of(verb, fence));
        if overtake {
            slot.flights.overtake();
        } else {
            slot.flights.cooling = None;
        }
        self.acknowledge(key, verb, true);
    }

    fn acknowledge(&mut self, key: u8, verb: Invalidation, of_key: bool) {
        let now = self.now();
        let version = self.rows.get(&key).map_or(0, |row| row.version);
        self.check.invalidated(key, verb, of_key, version);
        let what = match verb {
            Invalidation::Remove => "is removed at row",
            Invalidation::Expire => "is expired at row",
        };
        self.check.note(now, what, key, version, u64::from(of_key));
    }

    fn invalidate_key(&mut self, key: u8, verb: Invalidation) {
        let now = self.now();
        let rescue = self.rescuing(key).filter(|_| verb == Invalidation::Expire);
        self.overtake(key, verb);
        match rescue {
            // Expired before: it stays what it is, a rescue.
            Some(entry) if entry.expired => {}
            Some(entry) => drop(self.memory.insert(key, Entry { expired: true, hits: 0, ..entry })),
            None => drop(self.memory.remove(&key)),
        }
        let left = self.memory.get(&key).copied();
        self.check.resident(key, left.as_ref(), now);
    }

    /// The key's value, if one is resident that could still be served or rescue.
    fn live(&self, key: u8) -> Option<Entry> {
        let now = self.now();
        self.memory.get(&key).copied().filter(|entry| {
            let covered = self.floor_of(key, entry).covers(entry.meta.fence);
            entry.meta.kind == Kind::Value && now < entry.meta.hard_until() && !covered
        })
    }

    /// The key's value, if it may serve as a rescue after an expiry.
    fn rescuing(&self, key: u8) -> Option<Entry> {
        let now = self.now();
        self.memory.get(&key).copied().filter(|entry| {
            let removed = self.floor_of(key, entry).removed;
            let value = entry.meta.kind == Kind::Value && now < entry.meta.hard_until();
            self.scenario.policy.rescue_invalidated && value && entry.meta.fence > removed
        })
    }

    fn invalidate_tag(&mut self, tag: u8, verb: Invalidation) {
        let fence = self.next_fence();
        let floor = &mut self.tag_floors[usize::from(tag)];
        *floor = floor.merge(Floor::of(verb, fence));
        for key in (tag..self.scenario.keys).step_by(usize::from(TAGS)) {
            self.acknowledge(key, verb, false);
        }
    }

    fn invalidate_space(&mut self, verb: Invalidation) {
        let fence = self.next_fence();
        self.space_floor = self.space_floor.merge(Floor::of(verb, fence));
        for key in 0..self.scenario.keys {
            self.acknowledge(key, verb, false);
        }
    }

    /// A plain write of what the row holds now: newer than whatever was there and than every load under way.
    fn put(&mut self, key: u8) {
        let now = self.now();
        self.overtake(key, Invalidation::Remove);
        let (fence, draw) = (self.next_fence(), self.draw());
        let Some(row) = self.rows.get(&key).copied() else { return };
        let (kind, ttl) = if row.present {
            (Kind::Value, self.scenario.policy.ttl)
        } else {
            (Kind::Negative, self.scenario.policy.negative_ttl)
        };
        let stamping = Stamping { kind, started: now, finished: now, fence, ttl: None, p99: None, ewma: None };
        let meta = stamp(stamping, &self.scenario.policy, draw);
        let begun = self.check.next_order();
        let source = Source { begun, started: now, finished: now, ttl, private: None };
        let version = self.scenario.versions.then_some(row.version);
        let entry = Entry { meta, row, version, expired: false, hits: 0, too_large: false, source };
        self.memory.insert(key, entry);
        self.check.resident(key, Some(&entry), now);
        self.check.note(now, "is put, row", key, row.version, 0);
    }

    /// Stale from now on, no invalidation; failures are forgiven.
    fn make_stale(&mut self, key: u8) {
        let now = self.now();
        self.slot(key).flights.cooling = None;
        self.check.forgiven(key);
        let live = self.live(key);
        if let Some(entry) = self.memory.get_mut(&key).filter(|_| live.is_some()) {
            let meta = entry.meta;
            let fresh_until = meta.fresh_until.min(now);
            entry.meta = Meta {
                fresh_until,
                swr_ms: meta.swr_until().since(fresh_until).as_u32(),
                hard_ms: meta.hard_until().since(fresh_until).as_u32(),
                early_ms: 0,
                ..meta
            };
        }
        self.check.note(now, "is refreshed by command", key, 0, 0);
    }
}
