//! What becomes of a request? It looks, joins or leads, waits no longer than its deadline, and gets one answer.

use bellwether_core::fence::Fence;
use bellwether_core::policy::Priority;
use bellwether_core::read::decide::Demand;
use bellwether_core::read::flight::{Asker, FlightId, Join};
use bellwether_core::read::rescue::{Held, Rescue, rescue};
use bellwether_core::time::Span;
use bellwether_core::why::Why;

use super::caller::{Caller, Role};
use super::entry::{Entry, Outcome};
use super::event::Event;
use super::leader::{Leader, Parked};
use super::{Look, Process};
use crate::rules::Rule;

impl Process {
    pub(super) fn arrive(&mut self, id: u64) {
        let now = self.now();
        let (keys, timeout) = (u64::from(self.scenario.keys.max(1)), self.scenario.policy.timeout.0);
        let dice = &mut self.world.dice;
        let key = dice.below(keys) as u8;
        let demand = match dice.below(20) {
            0 => Demand::Fresh,
            1 => Demand::CachedOnly,
            2 | 3 => Demand::MaxAge(Span(dice.below(100))),
            _ => Demand::Any,
        };
        let bypass = dice.chance(0.01);
        let priority = dice.one_of(&Priority::ALL);
        let has_default = dice.chance(0.1);
        let deadline = now + Span(dice.between(timeout / 2, timeout));
        let patience = dice.chance(self.scenario.faults.impatient).then(|| Span(dice.below(timeout)));
        let due = self.check.requested(key, now);
        let caller = Caller {
            id,
            key,
            demand,
            priority,
            deadline,
            has_default,
            began: self.fence,
            due,
            waits: None,
            done: false,
        };
        self.callers.insert(id, caller);
        self.check.note(now, "is asked by", key, id, 0);
        if let Some(patience) = patience {
            self.world.after(patience, Event::GiveUp(id));
        }
        if bypass && demand != Demand::CachedOnly {
            return self.alone(id, Why::Bypass);
        }
        let at = self.coarse();
        if let Some(entry) = self.memory.get_mut(&key) {
            entry.hits += 1;
        }
        match self.judge(key, demand, at) {
            Look::Serve { entry, why, refresh } => {
                if refresh {
                    let delay = self.delay();
                    self.world.after(delay, Event::Refresh { key, seen: entry.meta.fence });
                }
                self.answer(id, Some(entry), why);
            }
            Look::NotCached => self.answer(id, None, Why::NotCached),
            Look::Load | Look::LoadAlone => {
                let delay = self.delay();
                self.world.at((now + delay).min(deadline), Event::Enter(id));
            }
        }
    }

    /// Looks once more and joins or starts a flight, in one step as seen by removals and landings.
    pub(super) fn enter(&mut self, id: u64) {
        let Some(caller) = self.callers.get(&id).copied().filter(|caller| !caller.done) else { return };
        let (key, now) = (caller.key, self.now());
        if matches!(caller.demand, Demand::MaxAge(_)) {
            self.check.insisted(key);
        }
        if self.rules.keep(Rule::Recheck) {
            match self.judge(key, caller.demand, now) {
                Look::Serve { entry, why, .. } => return self.answer(id, Some(entry), why),
                Look::LoadAlone => return self.alone(id, Why::Uncacheable),
                Look::NotCached => return self.answer(id, None, Why::NotCached),
                Look::Load => {}
            }
        }
        if self.cooling(key).is_some() {
            return self.rescued(id, Why::Cooling);
        }
        let asker = Asker {
            demand: caller.demand,
            priority: caller.priority,
            deadline: Some(caller.deadline),
            floor: self.space_floor.newest(),
        };
        let (hedge, fresh) = (self.successor_after(), self.fresh_id());
        let (flight, role) = match self.slot(key).flights.join(&asker, FlightId(fresh), hedge, now) {
            Join::Follow { id: flight, raised } => {
                self.check.note(now, "is followed by caller, in flight", key, id, flight.0);
                if raised {
                    self.inherit(key, flight);
                }
                (flight.0, Role::Follows)
            }
            Join::Lead(flight) => (self.lead(&caller, flight, Parked::No), Role::Leads),
            Join::LeadLater { id: flight, at } => (self.lead(&caller, flight, Parked::Until(at)), Role::Leads),
        };
        self.wait(id, flight, role);
    }

    fn lead(&mut self, caller: &Caller, flight: FlightId, parked: Parked) -> u64 {
        let now = self.now();
        let resident = self.memory.get(&caller.key).copied();
        self.check.led(caller.key, caller.demand, resident.as_ref(), false, now);
        self.launch(Leader::of_flight(flight.0, caller.key, Some(caller.id), parked));
        flight.0
    }

    /// Loads under the guard for this caller alone, without a flight.
    fn alone(&mut self, id: u64, why: Why) {
        let Some(caller) = self.callers.get(&id).copied() else { return };
        let load = self.fresh_id();
        self.launch(Leader::alone(load, caller.key, id, (caller.priority, caller.deadline)));
        self.wait(id, load, Role::Alone(why));
    }

    fn wait(&mut self, id: u64, cell: u64, role: Role) {
        let now = self.now();
        let Some(caller) = self.callers.get_mut(&id) else { return };
        caller.waits = Some((cell, role));
        let deadline = caller.deadline;
        let waited = self.cells.entry(cell).or_default();
        waited.waiters.push(id);
        if waited.outcome.is_some() {
            self.world.at(now, Event::Wake(id));
        }
        if let Some(hedge) = self.times.hedge_after()
            && now + hedge < deadline
        {
            self.world.at(now + hedge, Event::Hedge { caller: id, cell });
        }
        if self.rules.keep(Rule::Deadline) {
            self.world.at(deadline, Event::Deadline(id));
        }
    }

    pub(super) fn wake(&mut self, id: u64) {
        let Some(caller) = self.callers.get(&id).copied().filter(|caller| !caller.done) else { return };
        let Some((cell, role)) = caller.waits else { return };
        let Some(outcome) = self.cells.get(&cell).and_then(|cell| cell.outcome) else { return };
        if let Some(caller) = self.callers.get_mut(&id) {
            caller.waits = None;
        }
        match (outcome, role) {
            (Outcome::Failed(why), _) => self.rescued(id, why),
            (Outcome::Landed(entry, _) | Outcome::Private(entry), Role::Alone(why)) => {
                self.answer(id, Some(entry), why)
            }
            (Outcome::Landed(entry, kept), Role::Leads) => self.answer(id, Some(entry), kept.unwrap_or(Why::Loaded)),
            (Outcome::Private(entry), Role::Leads) => self.answer(id, Some(entry), Why::Uncacheable),
            (Outcome::Private(entry), Role::Follows) if !self.rules.keep(Rule::Private) => {
                self.answer(id, Some(entry), Why::Coalesced);
            }
            (Outcome::Private(_), Role::Follows) => self.alone(id, Why::Uncacheable),
            (Outcome::Landed(entry, kept), Role::Follows) => {
                if self.rules.keep(Rule::Outdated) && self.outdated(&caller, &entry) {
                    let now = self.now();
                    self.world.at(now, Event::Enter(id));
                } else {
                    self.answer(id, Some(entry), kept.unwrap_or(Why::Coalesced));
                }
            }
        }
    }

    /// Whether an invalidation that this caller may have seen acknowledged covers what an older load
    /// found. A floor keeps only its newest invalidation, which may be younger than the caller while
    /// an older one is not: so it is the load that must be younger than the caller.
    fn outdated(&self, caller: &Caller, entry: &Entry) -> bool {
        let newest = self.floor_of(caller.key, entry).newest();
        let hidden = !self.rules.keep(Rule::EveryInvalidation) && newest > caller.began;
        entry.meta.fence <= caller.began && newest >= entry.meta.fence && !hidden
    }

    /// Where something can rescue the caller, it waits no longer than loads usually take.
    pub(super) fn hedge(&mut self, id: u64, cell: u64) {
        let Some(caller) = self.callers.get(&id).copied().filter(|caller| !caller.done) else { return };
        let waits = caller.waits.is_some_and(|(other, _)| other == cell);
        if waits && self.cells.get(&cell).is_some_and(|cell| cell.outcome.is_none()) {
            let saved = self.rescue(&caller, Why::Timeout);
            if !matches!(saved, Rescue::Nothing) {
                self.rescued(id, Why::Timeout);
            }
        }
    }

    pub(super) fn deadline(&mut self, id: u64) {
        let Some(caller) = self.callers.get(&id).copied().filter(|caller| !caller.done) else { return };
        match caller.waits {
            // It enters once more at this very moment, and waits on with no time left.
            None => self.world.at(caller.deadline.max(self.now()), Event::Deadline(id)),
            Some((cell, _)) if self.cells.get(&cell).is_some_and(|cell| cell.outcome.is_some()) => self.wake(id),
            Some((cell, role)) => {
                self.rescued(id, Why::Timeout);
                self.leave(cell, role);
            }
        }
    }

    /// The caller's task is dropped; its load goes on.
    pub(super) fn give_up(&mut self, id: u64) {
        let now = self.now();
        let Some(caller) = self.callers.get_mut(&id).filter(|caller| !caller.done) else { return };
        caller.done = true;
        let (key, waits) = (caller.key, caller.waits.take());
        self.check.gave_up();
        self.check.note(now, "is given up by", key, id, 0);
        if let Some((cell, role)) = waits {
            self.leave(cell, role);
        }
    }

    /// A load that is bound to its caller's life dies here.
    fn leave(&mut self, cell: u64, role: Role) {
        if role == Role::Leads && !self.rules.keep(Rule::Detached) {
            self.cancel(cell);
        }
    }

    fn rescue(&self, caller: &Caller, cause: Why) -> Rescue {
        let found = self.memory.get(&caller.key);
        let held = found.map(|entry| Held { floor: self.floor_of(caller.key, entry), ..Held::sound(&entry.meta) });
        rescue(held, caller.demand, cause, caller.has_default, self.now(), &self.scenario.policy)
    }

    /// The error, or what the policy prefers to it.
    fn rescued(&mut self, id: u64, cause: Why) {
        let Some(caller) = self.callers.get(&id).copied() else { return };
        match self.rescue(&caller, cause) {
            Rescue::Body(why) => {
                let found = self.memory.get(&caller.key).copied();
                self.answer(id, found, why);
            }
            Rescue::Default => self.answer(id, None, Why::Default),
            Rescue::Nothing => self.answer(id, None, cause),
        }
    }

    fn answer(&mut self, id: u64, entry: Option<Entry>, why: Why) {
        let now = self.now();
        let Some(caller) = self.callers.get(&id).copied() else { return };
        self.check.note(now, why.as_str(), caller.key, id, entry.map_or(0, |entry| entry.row.version));
        self.check.answered(&caller, entry.as_ref(), why, now);
        if let Some(caller) = self.callers.get_mut(&id) {
            caller.done = true;
        }
    }

    /// Starts a refresh that nobody waits for, unless one runs, the key cools down, or memory holds
    /// something newer than what its reader saw.
    pub(super) fn refresh(&mut self, key: u8, seen: Fence) {
        let now = self.now();
        let asker = Asker {
            demand: Demand::Any,
            priority: Priority::Background,
            deadline: None,
            floor: self.space_floor.newest(),
        };
        let newer = self.memory.get(&key).is_some_and(|entry| entry.meta.fence > seen);
        let due = !newer || !self.rules.keep(Rule::RefreshRecheck);
        let cooling = self.cooling(key);
        let (hedge, fresh) = (self.successor_after(), self.fresh_id());
        let slot = self.slot(key);
        if !due || cooling.is_some() || slot.flights.covers(&asker, now) {
            return;
        }
        let (id, parked) = match slot.flights.join(&asker, FlightId(fresh), hedge, now) {
            Join::Lead(id) => (id, Parked::No),
            Join::LeadLater { id, at } => (id, Parked::Until(at)),
            Join::Follow { .. } => return,
        };
        let resident = self.memory.get(&key).copied();
        self.check.led(key, Demand::Any, resident.as_ref(), true, now);
        self.refreshing += 1;
        self.launch(Leader::of_flight(id.0, key, None, parked).refreshing());
    }
}
