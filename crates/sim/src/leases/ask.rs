//! What becomes of a request? It looks, joins or leads, and is answered by its deadline.

use bellwether_core::draw::Draw;
use bellwether_core::fence::Fence;
use bellwether_core::policy::Priority;
use bellwether_core::read::decide::{Decision, Demand, Resident, decide};
use bellwether_core::read::flight::{Asker, FlightId, Join};
use bellwether_core::read::rescue::{Held, Rescue, rescue};
use bellwether_core::time::{Span, Tick};
use bellwether_core::why::Why;

use super::event::Act;
use super::fleet::Fleet;
use super::mutant::Mutant;
use super::process::{Entry, Outcome, Request};

/// How long a successor waits for an overtaken load while load times are unknown.
const HEDGE_UNKNOWN: Span = Span::ms(50);

impl Fleet {
    pub(super) fn request(&mut self, process: u16, id: u64) {
        self.catch_up(process);
        let now = self.now();
        let keys = u64::from(self.scenario.keys);
        let dice = &mut self.world.dice;
        let key = dice.below(keys) as u8;
        let demand = if dice.chance(0.05) { Demand::Fresh } else { Demand::Any };
        let due = self.check.due(process, key);
        self.check.report.requests += 1;
        let deadline = now + self.scenario.policy.timeout;
        let it = self.of(process);
        let request = Request { key, demand, began: now, deadline, fence: it.fence, due, waits: None };
        it.requests.insert(id, request);
        let local = it.now(now);
        if let Some(entry) = it.memory.get_mut(&key) {
            entry.hits += 1;
        }
        match self.judge(process, key, demand, local) {
            Decision::Serve(why) => self.serve(process, id, why),
            Decision::ServeAndRefresh(why) => {
                let seen = self.of(process).memory.get(&key).map_or(Fence::ZERO, |entry| entry.meta.fence);
                self.soon(process, Act::Refresh { key, seen });
                self.serve(process, id, why);
            }
            Decision::Load | Decision::LoadAlone | Decision::NotCached => self.enter(process, id),
        }
    }

    fn judge(&mut self, process: u16, key: u8, demand: Demand, local: Tick) -> Decision {
        let draw = self.world.dice.draw();
        let it = &self.processes[usize::from(process)];
        let found = it.memory.get(&key).map(|entry| Resident { meta: &entry.meta, hits: entry.hits });
        // A key's own invalidations take its entry out of memory.
        let decision = decide(found, bellwether_core::fence::Floor::NONE, demand, local, &self.scenario.policy, draw);
        self.believed(process, key, demand, decision)
    }

    /// Looks once more and joins or starts a flight.
    pub(super) fn enter(&mut self, process: u16, id: u64) {
        let (now, local) = (self.now(), self.local(process));
        let Some(request) = self.of(process).requests.get(&id).copied() else { return };
        let key = request.key;
        if let Decision::Serve(why) | Decision::ServeAndRefresh(why) = self.judge(process, key, request.demand, local) {
            return self.serve(process, id, why);
        }
        let it = self.of(process);
        if it.slot(key).flights.cooling.as_ref().is_some_and(|cooling| cooling.remaining(local).is_some()) {
            return self.rescued(process, id, Why::Cooling);
        }
        let deadline = Some(local + request.deadline.since(now));
        let asker = Asker { demand: request.demand, priority: Priority::Normal, deadline, floor: Fence::ZERO };
        let (flight, leads) = match self.join(process, key, &asker) {
            Join::Follow { id, .. } => (id.0, false),
            Join::Lead(flight) => {
                self.launch(process, key, flight.0, false, None);
                (flight.0, true)
            }
            Join::LeadLater { id: flight, at } => {
                self.launch(process, key, flight.0, false, Some(at));
                (flight.0, true)
            }
        };
        let it = self.of(process);
        it.waiting.entry(flight).or_default().push(id);
        if let Some(request) = it.requests.get_mut(&id) {
            request.waits = Some((flight, leads));
        }
        self.later(process, request.deadline.since(now), Act::Deadline(id));
    }

    fn join(&mut self, process: u16, key: u8, asker: &Asker) -> Join {
        let local = self.local(process);
        let it = self.of(process);
        let hedge = it.times.hedge_after().unwrap_or(HEDGE_UNKNOWN);
        let fresh = FlightId(it.fresh());
        it.slot(key).flights.join(asker, fresh, hedge, local)
    }

    /// A refresh that nobody waits for, unless one runs or memory holds something newer than its reader saw.
    pub(super) fn refresh(&mut self, process: u16, key: u8, seen: Fence) {
        let local = self.local(process);
        let asker = Asker { demand: Demand::Any, priority: Priority::Background, deadline: None, floor: Fence::ZERO };
        let it = self.of(process);
        let newer = it.memory.get(&key).is_some_and(|entry| entry.meta.fence > seen);
        let slot = it.slot(key);
        let cooling = slot.flights.cooling.as_ref().is_some_and(|cooling| cooling.remaining(local).is_some());
        if newer || cooling || slot.flights.covers(&asker, local) {
            return;
        }
        match self.join(process, key, &asker) {
            Join::Lead(id) => self.launch(process, key, id.0, true, None),
            Join::LeadLater { id, at } => self.launch(process, key, id.0, true, Some(at)),
            Join::Follow { .. } => {}
        }
    }

    /// A flight has landed: whoever waits for it is answered.
    pub(super) fn complete(&mut self, process: u16, flight: u64, outcome: Outcome) {
        let joins = self.is(Mutant::JoinAfterRemoval);
        for id in self.of(process).waiting.remove(&flight).unwrap_or_default() {
            let Some(request) = self.of(process).requests.get(&id).copied() else { continue };
            match outcome {
                Outcome::Failed(why) => self.rescued(process, id, why),
                Outcome::Landed(entry, why) => {
                    let follows = request.waits.is_none_or(|(_, leads)| !leads);
                    let outdated = entry.meta.fence <= request.fence
                        && self.of(process).floor(request.key).covers(entry.meta.fence);
                    if follows && outdated && !joins {
                        self.soon(process, Act::Enter(id));
                    } else {
                        self.answer(process, id, Some(entry), why);
                    }
                }
            }
        }
    }

    pub(super) fn deadline(&mut self, process: u16, id: u64) {
        let now = self.now();
        if self.of(process).requests.get(&id).is_some_and(|request| now >= request.deadline) {
            self.rescued(process, id, Why::Timeout);
        }
    }

    /// The error, or what the policy prefers to it.
    fn rescued(&mut self, process: u16, id: u64, cause: Why) {
        let local = self.local(process);
        let policy = self.scenario.policy.clone();
        let it = self.of(process);
        let Some(request) = it.requests.get(&id) else { return };
        let found = it.memory.get(&request.key).copied();
        let standing = found.map(|entry| it.standing(entry.meta.fence)).unwrap_or_default();
        let held = found.as_ref().map(|entry| Held { standing, ..Held::sound(&entry.meta) });
        match rescue(held, request.demand, cause, false, local, &policy) {
            Rescue::Body(why) => self.answer(process, id, found, why),
            Rescue::Default | Rescue::Nothing => self.answer(process, id, None, cause),
        }
    }

    fn serve(&mut self, process: u16, id: u64, why: Why) {
        let it = self.of(process);
        let Some(key) = it.requests.get(&id).map(|request| request.key) else { return };
        let entry = it.memory.get(&key).copied();
        self.answer(process, id, entry, why);
        self.compare(process, key);
    }

    fn answer(&mut self, process: u16, id: u64, entry: Option<Entry>, why: Why) {
        let now = self.now();
        let it = self.of(process);
        let Some(request) = it.requests.remove(&id) else { return };
        let excused = if it.stopped_until >= request.began { it.stopped_until } else { Tick(0) };
        self.check.answered((process, id), &request, entry.as_ref(), why, now, excused);
    }

    pub(super) fn local(&self, process: u16) -> Tick {
        self.processes[usize::from(process)].now(self.now())
    }

    pub(super) fn draw(&mut self) -> Draw {
        self.world.dice.draw()
    }
}
