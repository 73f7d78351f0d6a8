//! How does a flight end? What was loaded is kept if it may be, and everybody is told, once.

use bellwether_core::entry::{Kind, Meta};
use bellwether_core::fence::Floor;
use bellwether_core::read::flight::FlightId;
use bellwether_core::read::walk::Step;
use bellwether_core::time::Tick;
use bellwether_core::why::Why;
use bellwether_core::write::keep::{Newness, Resident, may_keep};
use bellwether_core::write::stamp::HIT_FOR_MISS;

use super::Process;
use super::entry::{Entry, Outcome, Source};
use super::event::Event;
use super::leader::{Begun, Ending, Leader};
use crate::origin::Row;
use crate::rules::Rule;

/// What became of an entry that was to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Yes,
    TooLarge,
    /// An invalidation or a newer load came first.
    Outdated,
}

impl Process {
    /// Performs the walk's last step.
    pub(super) fn settle(&mut self, id: u64) {
        let Some(leader) = self.leaders.get_mut(&id) else { return };
        let Some(end) = leader.end.take() else { return };
        let flight = leader.alone.is_none();
        let key = leader.key;
        match (end, leader.begun) {
            (Step::Keep(meta), Some(begun)) => {
                let entry = self.entry(id, &begun, meta, false);
                let kept = if flight { self.keep(key, entry) } else { Kept::Outdated };
                let why = (kept == Kept::TooLarge).then_some(Why::TooLarge);
                self.land(id, Ending::Succeeded, Outcome::Landed(entry, why));
            }
            (Step::Mark { marker, body, private }, Some(begun)) => {
                let entry = self.entry(id, &begun, body, private);
                let marker = Entry { too_large: false, ..self.entry(id, &begun, marker, false) };
                if flight {
                    self.keep(key, marker);
                }
                let outcome =
                    if private { Outcome::Private(entry) } else { Outcome::Landed(entry, Some(Why::Uncacheable)) };
                self.land(id, Ending::Succeeded, outcome);
            }
            (Step::Fail { why, cooling, .. }, _) => {
                let ending = cooling.map_or(Ending::Neither, Ending::Failed);
                self.land(id, ending, Outcome::Failed(why));
            }
            (other, _) => unreachable!("no end of a walk without a shared tier: {other:?}"),
        }
    }

    fn entry(&self, id: u64, begun: &Begun, meta: Meta, private: bool) -> Entry {
        let policy = &self.scenario.policy;
        let ttl = match meta.kind {
            Kind::Value => begun.plan.ttl.unwrap_or(policy.ttl),
            Kind::Negative => begun.plan.ttl.unwrap_or(policy.negative_ttl),
            Kind::HitForMiss => HIT_FOR_MISS,
        };
        let row = begun.row.unwrap_or(Row { version: 0, present: false });
        let owner = self.leaders.get(&id).and_then(|leader| leader.caller);
        Entry {
            meta,
            row,
            version: self.scenario.versions.then_some(row.version),
            expired: false,
            hits: 0,
            too_large: begun.plan.too_large,
            source: Source {
                begun: begun.order,
                started: begun.started,
                finished: self.now(),
                ttl,
                private: private.then_some(owner),
            },
        }
    }

    /// Stores `entry` unless an invalidation or a newer load came first. Under the key's lock.
    fn keep(&mut self, key: u8, entry: Entry) -> Kept {
        let now = self.now();
        let floor = self.slot(key).floor.merge(self.floor_of(key, &entry));
        let old = self.memory.get(&key).copied();
        let newness = |entry: &Entry| Newness { fence: entry.meta.fence, version: entry.version };
        // A rule that is broken on purpose is not told what it looks at.
        let floor = if self.rules.keep(Rule::Fence) { floor } else { Floor::NONE };
        let rival = old.filter(|_| self.rules.keep(Rule::Supersede));
        let rival = rival.map(|old| Resident { newness: newness(&old), floor: self.floor_of(key, &old) });
        if !may_keep(floor, rival, newness(&entry)) {
            return Kept::Outdated;
        }
        if entry.too_large {
            self.memory.remove(&key);
            return Kept::TooLarge;
        }
        self.check.replaced(key, old.as_ref(), &entry, now);
        self.memory.insert(key, entry);
        self.check.resident(key, Some(&entry), now);
        Kept::Yes
    }

    /// Ends the flight under its key's lock; everybody is told a moment later.
    pub(super) fn land(&mut self, id: u64, ending: Ending, outcome: Outcome) {
        let now = self.now();
        let Some(Leader { key, alone, begun, .. }) = self.end_task(id) else { return };
        if let Some(cell) = self.cells.get_mut(&id) {
            cell.outcome.get_or_insert(outcome);
        }
        if alone.is_none() {
            let kept = self.rules.keep(Rule::CoolKept);
            let slot = self.slot(key);
            let Some((flight, next)) = slot.flights.end(FlightId(id)) else { return };
            match ending {
                Ending::Succeeded => slot.flights.cooling = None,
                Ending::Failed(cooling) if !flight.overtaken => slot.flights.cooling = Some(cooling),
                Ending::Failed(_) | Ending::Neither if kept => {}
                Ending::Failed(_) | Ending::Neither => slot.flights.cooling = None,
            }
            self.tell_checks(key, begun.as_ref(), ending, now);
            self.check.note(now, "lands in", key, id, u64::from(flight.followers));
            if let Some(next) = next {
                let next = next.0;
                self.world.at(now, Event::Turn(next));
            }
        }
        self.world.at(now, Event::Complete(id));
    }

    fn tell_checks(&mut self, key: u8, begun: Option<&Begun>, ending: Ending, now: Tick) {
        match (ending, begun) {
            (Ending::Succeeded, Some(begun)) => self.check.flight_ended(key, begun.order, None, now),
            (Ending::Failed(cooling), Some(begun)) => {
                self.check.flight_ended(key, begun.order, Some((cooling.until, cooling.attempts)), now);
            }
            _ => {}
        }
    }

    /// Tells the outcome to all who wait.
    pub(super) fn complete(&mut self, id: u64) {
        let Some(cell) = self.cells.get_mut(&id) else { return };
        for caller in std::mem::take(&mut cell.waiters) {
            let delay = self.delay();
            self.world.after(delay, Event::Wake(caller));
        }
    }
}
