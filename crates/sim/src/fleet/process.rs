//! What does a process do with a request, and how is a load led? The shell around the core.

use bellwether_core::entry::Meta;
use bellwether_core::failure::FailClass;
use bellwether_core::fence::{Fence, Floor};
use bellwether_core::guard::cooldown::Cooling;
use bellwether_core::guard::gate::{Admission, Ended, Ticket};
use bellwether_core::lease;
use bellwether_core::policy::Priority;
use bellwether_core::read::decide::{Decision, Demand, Resident, decide};
use bellwether_core::read::flight::{Asker, FlightId, Join};
use bellwether_core::read::rescue::{Held, Rescue, rescue};
use bellwether_core::read::walk::{Event as Walked, Found, Heard, Report, Seen, Sharing, Step};
use bellwether_core::time::{Span, Tick};
use bellwether_core::why::Why;

use super::arrivals::Request;
use super::record::Ending;
use super::task::{Event, Task};
use super::tier::Lease;
use super::world::Fleet;

/// One way to the shared tier and back.
const HOP: Span = Span::ms(1);
/// How long a leader waits before it asks for a held lease again, by how often it was refused.
const BACKOFF: [Span; 4] = [Span::ms(10), Span::ms(20), Span::ms(40), Span::ms(80)];
/// Of that pause, taken off at random.
const BACKOFF_JITTER: f64 = 0.5;
/// No invalidation happens in these scenarios, so no flight waits for an older one.
const NO_HEDGE: Span = Span::ZERO;

impl Fleet<'_> {
    pub(super) fn ask(&mut self, request: Request) {
        let Request { process, key, draw } = request;
        let (now, place) = (self.now, self.place(process, key));
        let Some(meta) = self.values[place] else { return self.miss(process, key) };
        let hits = self.hits[place].saturating_add(1);
        self.hits[place] = hits;
        let found = Resident { meta: &meta, hits };
        match decide(Some(found), Floor::NONE, Demand::Any, now, &self.policy, draw) {
            Decision::Serve(_) => self.record.ended(1, fresh_or_stale(&meta, now), Span::ZERO, now),
            Decision::ServeAndRefresh(_) => {
                self.record.ended(1, fresh_or_stale(&meta, now), Span::ZERO, now);
                self.refresh(process, key, meta.fence);
            }
            Decision::Load | Decision::LoadAlone | Decision::NotCached => self.miss(process, key),
        }
    }

    fn miss(&mut self, process: u32, key: u32) {
        let now = self.now;
        if self.set.leases() && self.cooling(process, key).is_some() {
            return self.unanswered(process, key, (now, 1), Why::Cooling);
        }
        self.record.blocked(1, now);
        if !self.set.coalesces() {
            let (mut task, step) = Task::new(process, key, None);
            task.waits(now);
            return self.launch(task, step);
        }
        let deadline = Some(now + self.policy.timeout);
        let asker = Asker { demand: Demand::Any, priority: Priority::Normal, deadline, floor: Fence::ZERO };
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
                let (mut task, step) = Task::new(process, key, self.sharing());
                task.waits(now);
                self.launch(task, step);
            }
        }
    }

    fn refresh(&mut self, process: u32, key: u32, seen: Fence) {
        let tier = self.set.leases();
        if self.set.coalesces() {
            let asker =
                Asker { demand: Demand::Any, priority: Priority::Background, deadline: None, floor: Fence::ZERO };
            let place = self.flight_place(process, key);
            let covered = self.flights[place].as_ref().is_some_and(|flights| flights.covers(&asker, self.now));
            if covered || (tier && self.cooling(process, key).is_some()) {
                return;
            }
            self.join(process, key, &asker);
        }
        let (task, step) = Task::new(process, key, self.sharing());
        self.launch(Task { seen, ..task }, step);
    }

    /// What a leader knows of the shared tier, where its policy asks one.
    fn sharing(&self) -> Option<Sharing> {
        let timeout = self.case.load_timeout;
        let lease = lease::length(None, timeout);
        self.set.leases().then_some(Sharing { lease, timeout, expected: None, unwatched: timeout, refresh: false })
    }

    fn flight_place(&self, process: u32, key: u32) -> usize {
        process as usize * self.case.keys as usize + key as usize
    }

    fn cooling(&self, process: u32, key: u32) -> Option<Cooling> {
        let cooling = self.flights[self.flight_place(process, key)].as_ref()?.cooling?;
        cooling.remaining(self.now).and(Some(cooling))
    }

    /// A flight's number is that of the task that leads it: the next one.
    fn join(&mut self, process: u32, key: u32, asker: &Asker) -> Join {
        let (place, id) = (self.flight_place(process, key), FlightId(self.tasks.len() as u64));
        self.flights[place].get_or_insert_default().join(asker, id, NO_HEDGE, self.now)
    }

    /// What a flight has inherited from those who joined.
    fn standing(&self, process: u32, key: u32, id: FlightId) -> (Priority, u32, Tick) {
        let flights = self.flights[self.flight_place(process, key)].as_ref();
        let flight = flights.and_then(|flights| flights.get(id));
        let inherited = flight.map(|f| (f.priority, f.followers, f.deadline.unwrap_or(Tick::NEVER)));
        inherited.unwrap_or((Priority::Normal, 0, Tick::NEVER))
    }

    fn launch(&mut self, task: Task, step: Step) {
        let id = self.tasks.len() as u64;
        self.tasks.push(Some(Box::new(task)));
        self.perform(id, step);
    }

    pub(super) fn happen(&mut self, event: Event) {
        match event {
            Event::Tier(id) => self.at_tier(id),
            Event::Answer(id) => self.answered(id),
            Event::GiveUp(id) => self.give_up(id),
            Event::Publish(id) => self.publish(id),
            Event::Guard(process) => {
                self.guard_wakes[process as usize] = None;
                self.guard(process);
            }
        }
    }

    fn walk(&mut self, id: u64, event: Walked) {
        let (now, draw) = (self.now, self.draw());
        let Some(task) = &mut self.tasks[id as usize] else { return };
        let step = task.walk.on(event, now, &self.policy, draw);
        self.perform(id, step);
    }

    fn perform(&mut self, id: u64, step: Step) {
        match step {
            Step::Probe => self.after(HOP, Event::Tier(id)),
            Step::Admit => self.admit(id),
            Step::Load => self.load(id),
            Step::Adopt { meta, .. } => self.land(id, meta, false),
            Step::Keep(meta) => self.land(id, meta, true),
            Step::Fail { why, cooling, .. } => self.fail(id, why, cooling),
            Step::AwaitTurn | Step::Look | Step::Mark { .. } | Step::Acquire(_) | Step::Wait(_) | Step::Leave => {
                debug_assert!(
                    false,
                    "no invalidation, no disk, no answer that may not be kept, no silent tier: {step:?}"
                );
            }
        }
    }

    /// Reads the shared tier, and asks for the lease where it has nothing usable.
    fn at_tier(&mut self, id: u64) {
        let (now, draw) = (self.now, self.draw());
        let Some(task) = &self.tasks[id as usize] else { return };
        let (key, seen) = (task.key as usize, task.seen);
        self.record.probes += 1;
        let held = self.tier.read(key);
        // A refresher knows this value already.
        let news = held.filter(|meta| meta.fence > seen);
        let seen =
            |meta| Seen { meta, floor: Floor::NONE, crossed: false, demand: Demand::Any, newer: true, lease: None };
        let probed = news.map_or(Heard::Nothing { lease: None }, |meta| Heard::Entry(seen(meta)));
        let step = task.walk.clone().on(Walked::Heard(probed), now, &self.policy, draw);
        if matches!(step, Step::Adopt { refresh: false, .. }) {
            return self.perform(id, step);
        }
        match self.tier.acquire(key, id, now) {
            Lease::Granted(fence) => {
                if let Some(task) = &mut self.tasks[id as usize] {
                    (task.holds_lease, task.fence) = (true, fence);
                }
                self.walk(id, Walked::Heard(Heard::Granted));
            }
            Lease::Held => self.wait_for_lease(id, held),
            Lease::Failed(cooling) => {
                let retry_after = cooling.remaining(now);
                self.perform(id, Step::Fail { why: cooling.class.why(), retry_after, cooling: Some(cooling) });
            }
        }
    }

    /// At first as long as a load is expected to take, then more and more often apart.
    fn wait_for_lease(&mut self, id: u64, held: Option<Meta>) {
        let off = BACKOFF_JITTER * self.draw().unit();
        let Some(task) = &mut self.tasks[id as usize] else { return };
        let refused = task.refused as usize;
        task.refused += 1;
        let pause = match held {
            Some(meta) if refused == 0 => Span(u64::from(meta.cost_ms)).max(BACKOFF[0]),
            _ => BACKOFF[refused.min(BACKOFF.len() - 1)],
        };
        self.after(Span(pause.0 - pause.scale(off).0).max(HOP), Event::Tier(id));
    }

    fn admit(&mut self, id: u64) {
        if !self.set.leases() {
            return self.walk(id, Walked::Admitted);
        }
        let Some(task) = &self.tasks[id as usize] else { return };
        let process = task.process;
        let (class, waiters, give_up) = self.standing(process, task.key, FlightId(id));
        match self.gates[process as usize].ask(Ticket(id), class, waiters, give_up, self.now) {
            Admission::Wait => self.guard(process),
            verdict => self.admitted(id, verdict),
        }
    }

    fn admitted(&mut self, id: u64, verdict: Admission) {
        match verdict {
            Admission::Go(pass) => {
                if let Some(task) = &mut self.tasks[id as usize] {
                    task.pass = Some(pass);
                }
                self.walk(id, Walked::Admitted);
            }
            Admission::Shed(why, retry_after) => self.walk(id, Walked::Shed(why, retry_after)),
            Admission::Wait => {}
        }
    }

    /// Lets go and sheds what is due at a process's guard.
    fn guard(&mut self, process: u32) {
        let at = process as usize;
        let mut verdicts = Vec::new();
        let next = self.gates[at].advance(self.now, &mut verdicts);
        if let Some(next) = next
            && self.guard_wakes[at].is_none_or(|wake| next < wake)
        {
            self.guard_wakes[at] = Some(next);
            self.after(next.since(self.now), Event::Guard(process));
        }
        for (ticket, verdict) in verdicts {
            self.admitted(ticket.0, verdict);
        }
    }

    fn load(&mut self, id: u64) {
        let (now, fresh_fence) = (self.now, self.next_fence());
        let Some(task) = &mut self.tasks[id as usize] else { return };
        (task.started, task.loads) = (now, true);
        // A lease's fence is fixed when it is granted; without one it is drawn here.
        task.fence = task.fence.max(if task.holds_lease { Fence::ZERO } else { fresh_fence });
        let (process, key, fence) = (task.process, task.key, task.fence);
        if self.set.coalesces() {
            let place = self.flight_place(process, key);
            if let Some(flights) = &mut self.flights[place] {
                flights.begin_read(FlightId(id), fence, now);
            }
        }
        if let Some(service) = self.origin.arrive(id, now) {
            self.after(service, Event::Answer(id));
        }
        self.after(self.case.load_timeout, Event::GiveUp(id));
        let others = self.under_way[key as usize];
        self.under_way[key as usize] += 1;
        self.record.load(others == 0, self.origin.present(), now);
    }

    /// The origin is done with a load, whether anybody still wants it or not.
    fn answered(&mut self, id: u64) {
        let now = self.now;
        if let Some((next, service)) = self.origin.end(now) {
            self.after(service, Event::Answer(next));
        }
        let Some(task) = &self.tasks[id as usize] else { return };
        if !task.loads {
            return;
        }
        let (process, started, fence) = (task.process, task.started, task.fence);
        let times = &mut self.times[process as usize];
        times.record(now.since(started));
        let times = (times.p99(), times.ewma());
        self.loaded(id, Ended::Answered { took_us: Some(now.since(started).0 * 1000) });
        self.walk(id, Walked::Loaded(Report { started, fence, found: Found::Value, ttl: None, times }));
    }

    fn give_up(&mut self, id: u64) {
        let Some(task) = &self.tasks[id as usize] else { return };
        if !task.loads {
            return;
        }
        let key = task.key as usize;
        let before = self.tier.last_failure(key);
        self.loaded(id, Ended::Failed { class: FailClass::Timeout, again: before.is_some() });
        self.record.load_failed();
        self.walk(id, Walked::Failed(FailClass::Timeout, before));
    }

    /// The load is over for its process: the permit comes back.
    fn loaded(&mut self, id: u64, ended: Ended) {
        let Some(task) = &mut self.tasks[id as usize] else { return };
        task.loads = false;
        let (process, key) = (task.process, task.key as usize);
        self.under_way[key] -= 1;
        if let Some(pass) = task.pass.take() {
            self.gates[process as usize].end(pass, ended, self.now);
            self.guard(process);
        }
    }

    /// A value comes home: resident, and everybody who waits is answered.
    fn land(&mut self, id: u64, meta: Meta, loaded: bool) {
        let Some(task) = &mut self.tasks[id as usize] else { return };
        let (process, key, waiters) = (task.process, task.key, std::mem::take(&mut task.waiters));
        for waiter in waiters {
            self.served(process, key, waiter, &meta);
        }
        let place = self.place(process, key);
        self.keep(place, meta);
        if loaded {
            self.record.stamped(meta.fresh_until.since(self.now), self.lead_of(&meta));
        }
        self.end_flight(id, process, key, None);
        self.part(id, Some(meta).filter(|_| loaded), None);
    }

    /// What the policy takes off a ttl by design.
    fn lead_of(&self, meta: &Meta) -> Span {
        match self.policy.early {
            bellwether_core::policy::Early::Lead => Span(u64::from(meta.early_ms)),
            _ => Span::ZERO,
        }
    }

    fn fail(&mut self, id: u64, why: Why, cooling: Option<Cooling>) {
        let Some(task) = &mut self.tasks[id as usize] else { return };
        let (process, key, waiters) = (task.process, task.key, std::mem::take(&mut task.waiters));
        for waiter in waiters {
            self.unanswered(process, key, waiter, why);
        }
        self.end_flight(id, process, key, cooling);
        self.part(id, None, cooling);
    }

    fn end_flight(&mut self, id: u64, process: u32, key: u32, cooling: Option<Cooling>) {
        if !self.set.coalesces() {
            return;
        }
        let (place, now) = (self.flight_place(process, key), self.now);
        if let Some(flights) = &mut self.flights[place] {
            flights.end(FlightId(id));
            flights.cooling = cooling;
            if flights.idle(now) {
                self.flights[place] = None;
            }
        }
    }

    /// The task ends; a holder first tells the shared tier.
    fn part(&mut self, id: u64, brings: Option<Meta>, cooling: Option<Cooling>) {
        let Some(task) = &mut self.tasks[id as usize] else { return };
        if task.holds_lease {
            (task.brings, task.cooling) = (brings, cooling);
            self.after(HOP, Event::Publish(id));
        } else {
            self.tasks[id as usize] = None;
        }
    }

    fn publish(&mut self, id: u64) {
        let Some(task) = self.tasks[id as usize].take() else { return };
        match task.brings {
            Some(meta) => self.tier.publish(task.key as usize, id, meta),
            None => self.tier.release(task.key as usize, id, task.cooling),
        }
    }

    /// Those who came at one moment get the value, if it comes before their deadline.
    fn served(&mut self, process: u32, key: u32, (came, n): (Tick, u64), meta: &Meta) {
        if self.now > came + self.policy.timeout {
            return self.unanswered(process, key, (came, n), Why::Timeout);
        }
        self.record.ended(n, fresh_or_stale(meta, self.now), self.now.since(came), self.now);
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
        self.record.ended(n, ending, at.since(came), at);
    }
}

fn fresh_or_stale(meta: &Meta, at: Tick) -> Ending {
    if at < meta.fresh_until { Ending::Fresh } else { Ending::Stale(at.since(meta.fresh_until)) }
}
