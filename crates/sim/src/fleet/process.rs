//! What does a process do with a request, and how does it answer those who waited?

use bellwether_core::entry::Meta;
use bellwether_core::fence::{Fence, Floor};
use bellwether_core::guard::cooldown::Cooling;
use bellwether_core::guard::gate::Ticket;
use bellwether_core::lease;
use bellwether_core::policy::{Early, Priority};
use bellwether_core::read::decide::{Decision, Demand, Resident, decide};
use bellwether_core::read::flight::{Asker, FlightId, Join};
use bellwether_core::read::rescue::{Held, Rescue, rescue};
use bellwether_core::read::walk::Sharing;
use bellwether_core::time::{Span, Tick};
use bellwether_core::why::Why;

use super::arrivals::Request;
use super::policy_set::PolicySet;
use super::record::Ending;
use super::task::{Event, Task};
use super::world::Fleet;

/// No invalidation happens in these scenarios, so no flight waits for an older one.
const NO_HEDGE: Span = Span::ZERO;

impl Fleet<'_> {
    pub(super) fn ask(&mut self, request: Request) {
        let Request { process, key, draw } = request;
        let process = self.living(process);
        if !self.lets_in(draw) {
            return self.told(key, 1, Ending::Failed, Span::ZERO, self.now);
        }
        if self.filter_answers(key) {
            return self.told(key, 1, Ending::Fresh, Span::ZERO, self.now);
        }
        let (now, place) = (self.now, self.place(process, key));
        if self.set == PolicySet::Direct {
            self.record.polls(1, now);
        }
        let Some(meta) = self.values[place].filter(|_| self.remembers(place)) else { return self.miss(process, key) };
        let hits = self.hits[place].saturating_add(1);
        self.hits[place] = hits;
        let found = Resident { meta: &meta, hits };
        match decide(Some(found), Floor::NONE, Demand::Any, now, &self.policy, draw) {
            Decision::Serve(_) => self.told(key, 1, fresh_or_stale(&meta, now), Span::ZERO, now),
            Decision::ServeAndRefresh(_) => {
                self.told(key, 1, fresh_or_stale(&meta, now), Span::ZERO, now);
                self.refresh_in_time(process, key, &meta, hits);
            }
            Decision::Load | Decision::LoadAlone | Decision::NotCached => self.miss(process, key),
        }
    }

    /// Who answers in place of a process that is dead.
    fn living(&self, process: u32) -> u32 {
        if self.dead == Some(process) { (process + 1) % self.case.processes } else { process }
    }

    fn miss(&mut self, process: u32, key: u32) {
        let now = self.now;
        if self.set.leases() && self.cooling(process, key).is_some() {
            return self.unanswered(process, key, (now, 1), Why::Cooling);
        }
        self.record.blocked(1, now);
        if !self.set.coalesces() {
            let mut task = Task::new(process, key, self.sharing(process, false));
            task.waits(now);
            return self.launch(task);
        }
        let deadline = Some(now + self.policy.timeout);
        let asker = Asker { demand: Demand::Any, priority: self.class(key), deadline, floor: Fence::ZERO };
        match self.join(process, key, &asker) {
            Join::Follow { id, raised } => {
                if let Some(task) = &mut self.tasks[id.0 as usize] {
                    task.waits(now);
                }
                if raised && self.set.leases() {
                    let (class, waiters, give_up) = self.standing(process, key, id);
                    self.gates[process as usize].raise(Ticket(id.0), class, waiters, give_up);
                    self.guard(process);
                }
            }
            Join::Lead(_) | Join::LeadLater { .. } => {
                let mut task = Task::new(process, key, self.sharing(process, false));
                task.waits(now);
                self.launch(task);
            }
        }
    }

    pub(super) fn refresh(&mut self, process: u32, key: u32, seen: Fence) {
        // Nobody waits, so nobody asks in vain.
        if self.gates[process as usize].open_until().is_some_and(|until| self.now < until) {
            return;
        }
        if self.set.coalesces() {
            let asker =
                Asker { demand: Demand::Any, priority: Priority::Background, deadline: None, floor: Fence::ZERO };
            let place = self.flight_place(process, key);
            let covered = self.flights.get(&place).is_some_and(|flights| flights.covers(&asker, self.now));
            if covered || (self.set.leases() && self.cooling(process, key).is_some()) {
                return;
            }
            self.join(process, key, &asker);
        }
        let task = Task::new(process, key, self.sharing(process, true));
        self.launch(Task { seen, ..task });
    }

    /// What a leader knows of the shared tier, where its policy asks one.
    pub(super) fn sharing(&self, process: u32, refresh: bool) -> Option<Sharing> {
        let (timeout, times) = (self.case.load_timeout, &self.times[process as usize]);
        let lease = lease::length(times.p99(), timeout);
        let expected = times.ewma();
        self.set.asks_tier().then_some(Sharing { lease, timeout, expected, unwatched: timeout, refresh })
    }

    pub(super) fn flight_place(&self, process: u32, key: u32) -> u64 {
        u64::from(process) * u64::from(self.case.keys) + u64::from(key)
    }

    fn cooling(&self, process: u32, key: u32) -> Option<Cooling> {
        let cooling = self.flights.get(&self.flight_place(process, key))?.cooling?;
        cooling.remaining(self.now).and(Some(cooling))
    }

    /// A flight's number is that of the task that leads it: the next one.
    pub(super) fn join(&mut self, process: u32, key: u32, asker: &Asker) -> Join {
        let (place, id) = (self.flight_place(process, key), FlightId(self.tasks.len() as u64));
        self.flights.entry(place).or_default().join(asker, id, NO_HEDGE, self.now)
    }

    /// What a flight has inherited from those who joined.
    pub(super) fn standing(&self, process: u32, key: u32, id: FlightId) -> (Priority, u32, Tick) {
        let flights = self.flights.get(&self.flight_place(process, key));
        let flight = flights.and_then(|flights| flights.get(id));
        let inherited = flight.map(|f| (f.priority, f.followers, f.deadline.unwrap_or(Tick::NEVER)));
        inherited.unwrap_or((Priority::Normal, 0, Tick::NEVER))
    }

    /// A value comes home: resident, and everybody who waits is answered.
    pub(super) fn land(&mut self, id: u64, meta: Meta, loaded: bool) {
        let Some(task) = &mut self.tasks[id as usize] else { return };
        let (process, key, waiters) = (task.process, task.key, std::mem::take(&mut task.waiters));
        for waiter in waiters {
            self.served(process, key, waiter, &meta);
        }
        let place = self.place(process, key);
        self.keep(place, meta);
        self.needs_no_refresh(id, process, key, loaded);
        if loaded {
            self.record.stamped(meta.fresh_until.since(self.now), self.lead_of(&meta));
        }
        self.end_flight(id, process, key, None);
        if self.tasks[id as usize].as_ref().is_some_and(|task| task.warms) {
            self.warm_on(process, true);
        }
        self.part(id, Some(meta).filter(|_| loaded), None);
    }

    /// What the policy takes off a ttl by design.
    fn lead_of(&self, meta: &Meta) -> Span {
        match self.policy.early {
            Early::Lead => Span(u64::from(meta.early_ms)),
            _ => Span::ZERO,
        }
    }

    pub(super) fn fail(&mut self, id: u64, why: Why, cooling: Option<Cooling>) {
        let Some(task) = &mut self.tasks[id as usize] else { return };
        let (process, key, waiters) = (task.process, task.key, std::mem::take(&mut task.waiters));
        let (class, ..) = self.standing(process, key, FlightId(id));
        for waiter in waiters {
            self.unanswered(process, key, waiter, why);
        }
        self.end_flight(id, process, key, cooling);
        self.note_unmet(process, key, why, class);
        if self.tasks[id as usize].as_ref().is_some_and(|task| task.warms) {
            self.warm_on(process, false);
        }
        self.part(id, None, cooling);
    }

    fn end_flight(&mut self, id: u64, process: u32, key: u32, cooling: Option<Cooling>) {
        if !self.set.coalesces() {
            return;
        }
        let (place, now) = (self.flight_place(process, key), self.now);
        if let Some(flights) = self.flights.get_mut(&place) {
            flights.end(FlightId(id));
            flights.cooling = cooling;
            if flights.idle(now) {
                self.flights.remove(&place);
            }
        }
    }

    /// A process dies: what it led, whom it kept waiting and what it remembered is gone. The origin works on.
    pub(super) fn crash(&mut self, process: u32) {
        self.dead = Some(process);
        for id in 0..self.tasks.len() {
            let Some(task) = self.tasks[id].take_if(|task| task.process == process) else { continue };
            if task.loads {
                self.under_way[task.key as usize] -= 1;
            }
            let lost: u64 = task.waiters.iter().map(|(_, n)| *n).sum();
            self.record.lost(lost);
        }
        if self.set.coalesces() {
            let (first, keys) = (self.flight_place(process, 0), u64::from(self.case.keys));
            self.flights.retain(|place, _| !(first..first + keys).contains(place));
        }
    }

    /// Those who came at one moment get the value, if it comes before their deadline.
    fn served(&mut self, process: u32, key: u32, (came, n): (Tick, u64), meta: &Meta) {
        if self.now > came + self.policy.timeout {
            return self.unanswered(process, key, (came, n), Why::Timeout);
        }
        self.told(key, n, fresh_or_stale(meta, self.now), self.now.since(came), self.now);
    }

    /// Those who came at one moment get no value from a load: perhaps an older one saves them.
    fn unanswered(&mut self, process: u32, key: u32, (came, n): (Tick, u64), why: Why) {
        let at = self.now.min(came + self.policy.timeout);
        // Only the whole product looks for something better than an error.
        let found = self.values[self.place(process, key)].filter(|_| self.set.leases());
        let saved = rescue(found.as_ref().map(Held::sound), Demand::Any, why, false, at, &self.policy);
        let ending = match (saved, found) {
            (Rescue::Body(_), Some(meta)) => fresh_or_stale(&meta, at),
            _ => Ending::Failed,
        };
        self.told(key, n, ending, at.since(came), at);
    }

    pub(super) fn happen(&mut self, event: Event) {
        match event {
            Event::Tier(id) => self.at_tier(id),
            Event::Waited(id) => self.waited(id),
            Event::Beat(id) => self.beat(id),
            Event::Answer(id) => self.answered(id),
            Event::GiveUp(id) => self.give_up(id),
            Event::Publish(id) => self.publish(id),
            Event::Guard(process) => {
                self.guard_wakes[process as usize] = None;
                self.guard(process);
            }
            Event::Pace(process) => {
                self.pace_wakes[process as usize] = None;
                self.pace(process);
            }
            Event::Warm(process) => self.warm(process),
            Event::Unmet(process) => self.load_unmet(process),
            Event::Crash(process) => self.crash(process),
        }
    }
}

pub(super) fn fresh_or_stale(meta: &Meta, at: Tick) -> Ending {
    if at < meta.fresh_until { Ending::Fresh } else { Ending::Stale(at.since(meta.fresh_until)) }
}
