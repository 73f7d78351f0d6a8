//! How is a flight led? The core's walk, its questions to the tier, and its load.

use bellwether_core::cell::{Ask, Reply, What};
use bellwether_core::draw::Draw;
use bellwether_core::entry::{Kind, Meta};
use bellwether_core::failure::FailClass;
use bellwether_core::fence::{Fence, Floor};
use bellwether_core::guard::cooldown::Cooling;
use bellwether_core::lease::{heartbeat, length};
use bellwether_core::read::decide::Demand;
use bellwether_core::read::flight::FlightId;
use bellwether_core::read::walk::{
    Event as Walked, Found, Heard, LONE_FRESH, Parting, Report, Seen, Sharing, Step, Walk, unproven,
};
use bellwether_core::time::{Span, Tick};
use bellwether_core::why::Why;
use bellwether_core::write::keep::{Newness, Resident, may_keep};
use bellwether_core::write::stamp::{Travelled, adopted};

use super::event::{Act, Answer, Body, By, Caller, Held, Op};
use super::fleet::Fleet;
use super::mutant::Mutant;
use super::process::{Asked, Claim, Entry, Leader, Outcome, Publishing, Reading};

/// Where copies are not compared in a scenario: what a lone value would be good for, if that were not less.
const UNWATCHED: Span = Span::secs(5);

/// What the tier's entry is to this process.
struct Offer {
    entry: Entry,
    floor: Floor,
    newer: bool,
    lease: Option<Span>,
}

impl Fleet {
    pub(super) fn launch(&mut self, process: u16, key: u8, id: u64, refresh: bool, parked: Option<Option<Tick>>) {
        let (timeout, unwatched) = (self.scenario.timeout, self.scenario.resync.unwrap_or(UNWATCHED));
        let it = self.of(process);
        let holds = it.memory.get(&key).map_or(Fence::ZERO, |entry| entry.tier);
        let lease = length(it.times.p99(), timeout);
        let sharing = Sharing { lease, timeout, expected: it.times.ewma(), unwatched, refresh };
        let (walk, step) = Walk::start(parked.is_some(), Some(sharing));
        let leader = Leader {
            key,
            refresh,
            walk,
            step,
            until: parked.flatten(),
            awaits_turn: false,
            turned: false,
            call: None,
            holds,
            claim: None,
            read: None,
            crossed: false,
        };
        it.leaders.insert(id, leader);
        self.soon(process, Act::Start(id));
    }

    /// The walk goes on after `event`.
    fn on(&mut self, process: u16, id: u64, event: Walked) {
        let (local, draw) = (self.local(process), self.draw());
        let policy = self.scenario.policy.clone();
        let Some(leader) = self.of(process).leaders.get_mut(&id) else { return };
        leader.step = leader.walk.on(event, local, &policy, draw);
        self.step(process, id);
    }

    /// Performs the walk's next step.
    pub(super) fn step(&mut self, process: u16, id: u64) {
        let Some(leader) = self.of(process).leaders.get_mut(&id) else { return };
        let step = leader.step.clone();
        match step {
            Step::AwaitTurn => {
                leader.awaits_turn = true;
                let (turned, until) = (leader.turned, leader.until);
                if turned {
                    self.turn(process, id);
                } else if let Some(until) = until {
                    let span = until.since(self.local(process));
                    self.later(process, span, Act::TurnTimer(id));
                }
            }
            Step::Probe | Step::Acquire(_) => self.question(process, id),
            Step::Wait(span) => {
                let call = self.of(process).fresh();
                if let Some(leader) = self.of(process).leaders.get_mut(&id) {
                    leader.call = Some(Asked { call, fence: Fence::ZERO, at: Tick(0), held_back: false });
                }
                self.later(process, span, Act::Waited { id, call });
            }
            Step::Admit => self.on(process, id, Walked::Admitted),
            Step::Load => self.soon(process, Act::Begin(id)),
            Step::Adopt { .. } => {}
            end => self.settle(process, id, &end),
        }
    }

    pub(super) fn turn(&mut self, process: u16, id: u64) {
        let Some(leader) = self.of(process).leaders.get_mut(&id) else { return };
        if std::mem::take(&mut leader.awaits_turn) {
            self.on(process, id, Walked::Turn);
        } else {
            leader.turned = true;
        }
    }

    /// The older flight takes too long.
    pub(super) fn turn_timer(&mut self, process: u16, id: u64) {
        let it = self.of(process);
        let Some(key) = it.leaders.get(&id).filter(|leader| leader.awaits_turn).map(|leader| leader.key) else {
            return;
        };
        if it.slot(key).flights.unpark(FlightId(id)) {
            self.turn(process, id);
        }
    }

    /// Asks the tier, unless it has not been told of an invalidation yet: then what it holds is not believed.
    pub(super) fn question(&mut self, process: u16, id: u64) {
        let (now, believing, knows) = (self.now(), self.is(Mutant::Believing), !self.is(Mutant::NoAtLeast));
        let random = !self.is(Mutant::SameToken);
        let (timeout, draw) = (self.scenario.timeout, self.draw());
        let it = self.of(process);
        let Some(leader) = it.leaders.get(&id) else { return };
        let (key, holds) = (leader.key, leader.holds);
        let op = match leader.step {
            Step::Acquire(mode) => {
                let known = it.raised.get(&key).copied().unwrap_or_default().max(holds);
                let at_least = if knows { known.above() } else { Fence::ZERO };
                let draw = if random { draw } else { Draw::default() };
                Op::Acquire(Ask { lease: length(it.times.p99(), timeout), mode, holds, at_least, draw })
            }
            _ => Op::Get,
        };
        let waits = it.owed.contains_key(&key) && !believing;
        let (fence, at) = (it.next_fence(now), it.now(now));
        let call = if waits {
            let call = it.fresh();
            let budget = self.scenario.budget;
            self.later(process, budget, Act::Silent { by: By::Leader(id), call });
            call
        } else {
            self.call(process, By::Leader(id), key, op)
        };
        if let Some(leader) = self.of(process).leaders.get_mut(&id) {
            leader.call = Some(Asked { call, fence, at, held_back: waits });
        }
    }

    pub(super) fn waited(&mut self, process: u16, id: u64, call: u64) {
        let Some(leader) = self.of(process).leaders.get_mut(&id) else { return };
        if leader.call.is_some_and(|asked| asked.call == call) {
            leader.call = None;
            self.on(process, id, Walked::Waited);
        }
    }

    pub(super) fn silent(&mut self, process: u16, id: u64, call: u64) {
        let impatient = self.is(Mutant::Impatient);
        let Some(leader) = self.of(process).leaders.get_mut(&id) else { return };
        if leader.call.is_none_or(|asked| asked.call != call) {
            return;
        }
        leader.call = None;
        if impatient {
            leader.step = Step::Load;
            return self.step(process, id);
        }
        let idle = self.is_idle(process, id);
        self.on(process, id, Walked::Heard(Heard::Unreachable { idle }));
    }

    fn is_idle(&self, process: u16, id: u64) -> bool {
        let (it, local) = (&self.processes[usize::from(process)], self.local(process));
        let Some(key) = it.leaders.get(&id).map(|leader| leader.key) else { return false };
        let waits = it.slots.get(&key).and_then(|slot| slot.flights.get(FlightId(id))?.deadline).is_some();
        !waits && it.memory.get(&key).is_some_and(|entry| local < entry.meta.fresh_until)
    }

    pub(super) fn heard(&mut self, process: u16, id: u64, call: u64, answer: Answer) {
        let (now, late) = (self.now(), self.is(Mutant::LateAdoption));
        let it = self.of(process);
        let drawn = if late { it.next_fence(now) } else { Fence::ZERO };
        let Some(leader) = it.leaders.get_mut(&id) else { return };
        // An answer that nobody waits for any more is not heard.
        let Some(asked) = leader.call.filter(|asked| asked.call == call) else { return };
        leader.call = None;
        let asked = Asked { fence: asked.fence.max(drawn), ..asked };
        match answer {
            Answer::Found(held) => self.found(process, id, held, asked),
            Answer::Asked(Reply::Fresh | Reply::Foreign, held) => self.found(process, id, held, asked),
            Answer::Asked(reply, held) => {
                if let Some(offer) = held.and_then(|held| self.offer(process, id, held, asked)) {
                    self.reserve(process, id, &offer);
                }
                self.replied(process, id, reply);
            }
            Answer::Stored(_) | Answer::Raised(_) => {}
        }
    }

    fn replied(&mut self, process: u16, id: u64, reply: Reply) {
        let (local, timeout, impatient) = (self.local(process), self.scenario.timeout, self.is(Mutant::Impatient));
        let heard = match reply {
            Reply::Granted { token, .. } => {
                let it = self.of(process);
                let lease = length(it.times.p99(), timeout);
                if let Some(leader) = it.leaders.get_mut(&id) {
                    leader.claim = Some(Claim { token, lease, until: local + timeout });
                }
                self.later(process, heartbeat(lease), Act::Beat { id, token });
                Heard::Granted
            }
            Reply::Denied { .. } if impatient => Heard::HitForMiss,
            Reply::Denied { left, .. } => Heard::Denied(left),
            Reply::Failed { left, class, .. } => Heard::Failed(left, class),
            Reply::HitForMiss { .. } => Heard::HitForMiss,
            Reply::Fresh | Reply::Foreign => Heard::Passing,
        };
        self.on(process, id, Walked::Heard(heard));
    }

    fn found(&mut self, process: u16, id: u64, held: Option<Held>, asked: Asked) {
        let Some(held) = held else {
            if let Some(key) = self.of(process).leaders.get(&id).map(|leader| leader.key) {
                self.disown(process, key);
            }
            return self.on(process, id, Walked::Heard(Heard::Nothing { lease: None }));
        };
        if let (What::Failed(class), Some(left)) = (held.cell.what, held.cell.cooling(held.now)) {
            return self.on(process, id, Walked::Heard(Heard::Failed(left, class)));
        }
        let Some(offer) = self.offer(process, id, held, asked) else {
            let lease = held.cell.held(held.now);
            return self.on(process, id, Walked::Heard(Heard::Nothing { lease }));
        };
        self.adopt(process, id, &offer);
    }

    fn offer(&mut self, process: u16, id: u64, held: Held, asked: Asked) -> Option<Offer> {
        let Held { cell, body, now } = held;
        let body = body.filter(|_| cell.what == What::Value && now < cell.hard_until)?;
        let (local, draw) = (self.local(process), self.draw());
        let (policy, due) = (self.scenario.policy.clone(), self.due(process));
        let it = self.of(process);
        // Whatever passed since the question may have passed since the answer.
        let now = now + local.since(asked.at);
        if now >= cell.hard_until {
            return None;
        }
        let stale = now.max(cell.fresh_until);
        let travelled = Travelled {
            kind: Kind::Value,
            fence: asked.fence,
            age: now.since(cell.created),
            fresh: cell.fresh_until.since(now),
            swr_ms: cell.swr_until.since(stale).as_u32(),
            hard_ms: cell.hard_until.since(stale).as_u32(),
            cost_ms: body.cost_ms,
        };
        let meta = adopted(travelled, it.times.p99(), it.times.ewma(), &policy, local, draw);
        let leader = it.leaders.get_mut(&id)?;
        let (key, newer) = (leader.key, cell.fence > leader.holds);
        leader.holds = leader.holds.max(cell.fence);
        let raised = it.raised.get(&key).copied().unwrap_or_default();
        let expired = cell.fresh_until <= cell.created && cell.swr_until <= cell.created;
        let covered = expired || cell.fence <= raised;
        let floor = if covered { Floor { removed: asked.fence, expired: asked.fence } } else { Floor::NONE };
        let entry = Entry { meta, body, tier: cell.fence, due, hits: 0 };
        Some(Offer { entry, floor, newer, lease: cell.held(now) })
    }

    fn adopt(&mut self, process: u16, id: u64, offer: &Offer) {
        let (local, draw) = (self.local(process), self.draw());
        let policy = self.scenario.policy.clone();
        let it = self.of(process);
        let Some(leader) = it.leaders.get_mut(&id) else { return };
        let key = leader.key;
        let slot = it.slots.entry(key).or_default();
        let demand = slot.flights.get(FlightId(id)).map_or(Demand::Any, |flight| flight.demand);
        let fence = offer.entry.meta.fence;
        let (floor, crossed) = (slot.floor.merge(offer.floor), slot.floor.covers(fence) && !offer.floor.covers(fence));
        let seen = Seen { meta: offer.entry.meta, floor, crossed, demand, newer: offer.newer, lease: offer.lease };
        leader.step = leader.walk.on(Walked::Heard(Heard::Entry(seen)), local, &policy, draw);
        let Step::Adopt { why, refresh, .. } = leader.step else {
            leader.crossed = crossed;
            let now = self.now();
            self.check.note(now, "is found, and will not do for", key, process, offer.entry.body.version);
            self.reserve(process, id, offer);
            return self.step(process, id);
        };
        self.keep(process, key, offer.entry);
        self.land(process, id, Some(None), Outcome::Landed(offer.entry, why));
        if refresh {
            self.soon(process, Act::Refresh { key, seen: offer.entry.meta.fence });
        }
    }

    /// What does not answer may still rescue, if the load fails and memory has nothing as new.
    fn reserve(&mut self, process: u16, id: u64, offer: &Offer) {
        let it = self.of(process);
        let Some(key) = it.leaders.get(&id).map(|leader| leader.key) else { return };
        let covered = it.floor(key).merge(offer.floor).covers(offer.entry.meta.fence);
        if !covered && (offer.newer || !it.memory.contains_key(&key)) {
            self.keep(process, key, offer.entry);
        }
    }

    /// Stores `entry` unless an invalidation or a newer load came first.
    fn keep(&mut self, process: u16, key: u8, entry: Entry) -> bool {
        let it = self.of(process);
        let newness = |entry: &Entry| Newness { fence: entry.meta.fence, version: None };
        // Entries carry no tags here: their key's floor is all there is.
        let there = it.memory.get(&key).map(|old| Resident { newness: newness(old), floor: Floor::NONE });
        if !may_keep(it.floor(key), there, newness(&entry)) {
            return false;
        }
        it.memory.insert(key, entry);
        true
    }

    /// From here on the flight reads: an invalidation overtakes it.
    pub(super) fn begin(&mut self, process: u16, id: u64) {
        let (now, local) = (self.now(), self.local(process));
        let begun = self.check.next_order();
        let faults = self.scenario.faults.clone();
        let it = self.of(process);
        let (life, fence) = (it.life, it.next_fence(now));
        let Some(key) = it.leaders.get(&id).map(|leader| leader.key) else { return };
        it.slot(key).flights.begin_read(FlightId(id), fence, local);
        let (fails, hangs) = (self.loses(faults.fail), self.loses(faults.hang));
        let service = Span(self.world.dice.between(self.scenario.load.0 / 2, self.scenario.load.0 * 3 / 2));
        let until_read = Span(self.world.dice.between(0, service.0));
        self.check.load_began(key, life, id, begun, now);
        self.check.note(now, "begins to be read by", key, process, begun);
        let reading = Reading { begun, fence, started: local, world: now, version: None, fails };
        if let Some(leader) = self.of(process).leaders.get_mut(&id) {
            leader.read = Some(reading);
        }
        // The origin reads when it reads, whatever becomes of its client.
        self.later(process, until_read, Act::Read(id));
        if !hangs {
            self.later(process, service, Act::Return(id));
        }
        let timeout = self.scenario.timeout;
        self.later(process, timeout, Act::Cut(id));
    }

    pub(super) fn read(&mut self, process: u16, id: u64) {
        let rows = self.rows.clone();
        let Some(leader) = self.of(process).leaders.get_mut(&id) else { return };
        if let Some(reading) = leader.read.as_mut() {
            reading.version = Some(rows[usize::from(leader.key)]);
        }
    }

    /// The loader is over; `cut`: by the origin's timeout.
    pub(super) fn returned(&mut self, process: u16, id: u64, cut: bool) {
        if self
            .of(process)
            .leaders
            .get(&id)
            .is_some_and(|leader| leader.read.is_some_and(|read| read.version.is_none()))
        {
            self.read(process, id);
        }
        let (now, local) = (self.now(), self.local(process));
        let it = self.of(process);
        let life = it.life;
        let Some(leader) = it.leaders.get_mut(&id) else { return };
        let (key, Some(reading)) = (leader.key, leader.read) else { return };
        let failed = cut || reading.fails;
        self.check.load_ended(key, life, id, failed);
        self.check.note(now, "was read by", key, process, reading.version.unwrap_or(0));
        let it = self.of(process);
        if failed {
            let class = if cut { FailClass::Timeout } else { FailClass::Failed };
            let before = it.slot(key).flights.cooling.filter(|cooling| !cooling.forgotten(local));
            return self.on(process, id, Walked::Failed(class, before));
        }
        it.times.record(local.since(reading.started));
        let times = (it.times.p99(), it.times.ewma());
        let publishes = self.is(Mutant::PublishFence);
        let fence = if publishes { self.of(process).next_fence(now) } else { reading.fence };
        let report = Report { started: reading.started, fence, found: Found::Value, ttl: None, times };
        self.on(process, id, Walked::Loaded(report));
    }

    /// Performs the walk's last step.
    fn settle(&mut self, process: u16, id: u64, end: &Step) {
        let (now, local) = (self.now(), self.local(process));
        let Some(leader) = self.of(process).leaders.get(&id) else { return };
        let (key, claim, parting) = (leader.key, leader.claim, leader.walk.parting(end, local));
        let entry = match (end, leader.read) {
            (Step::Keep(meta), Some(read)) => Some(loaded(meta, &read, claim, now, self.due(process))),
            _ => None,
        };
        match end {
            Step::Keep(_) => {
                let Some(entry) = entry else { return };
                self.keep(process, key, entry);
                self.land(process, id, Some(None), Outcome::Landed(entry, Why::Loaded));
            }
            Step::Fail { why, cooling, .. } => self.land(process, id, cooling.map(Some), Outcome::Failed(*why)),
            _ => self.land(process, id, None, Outcome::Failed(Why::Timeout)),
        }
        match (parting, claim, entry) {
            (Parting::Publish, Some(claim), Some(entry)) => self.publish(process, key, claim.token, &entry),
            (Parting::Release(failed), Some(claim), _) => {
                self.call(process, By::Nobody, key, Op::Release { token: claim.token, failed });
            }
            _ => {}
        }
    }

    /// Ends a flight. `cooling`: nothing to say of the key's failures, a success, or its failed state.
    fn land(&mut self, process: u16, id: u64, cooling: Option<Option<Cooling>>, outcome: Outcome) {
        let it = self.of(process);
        let Some(leader) = it.leaders.remove(&id) else { return };
        let slot = it.slot(leader.key);
        let Some((flight, next)) = slot.flights.end(FlightId(id)) else { return };
        match cooling {
            Some(None) => slot.flights.cooling = None,
            Some(Some(cooling)) if !flight.overtaken => slot.flights.cooling = Some(cooling),
            _ => {}
        }
        if let Some(next) = next {
            self.soon(process, Act::Turn(next.0));
        }
        self.complete(process, id, outcome);
    }

    fn publish(&mut self, process: u16, key: u8, token: Fence, entry: &Entry) {
        let local = self.local(process);
        let meta = entry.meta;
        let windows = [meta.fresh_until.since(local), Span(u64::from(meta.swr_ms)), Span(u64::from(meta.hard_ms))];
        let sent = self.now();
        let call = self.call(process, By::Nobody, key, Op::Publish { token, body: entry.body, windows, sent });
        let publishing = Publishing { key, fence: meta.fence, body: entry.body, windows };
        self.of(process).publishing.insert(call, publishing);
    }

    pub(super) fn published(&mut self, process: u16, call: u64, answer: Answer) {
        let it = self.of(process);
        let Some(publishing) = it.publishing.remove(&call) else { return };
        let ours = it.memory.get(&publishing.key).is_some_and(|entry| entry.meta.fence == publishing.fence);
        if ours && matches!(answer, Answer::Stored(false)) {
            it.memory.remove(&publishing.key);
        }
    }

    /// Whether the tier has it is not known: it is not fresh for long here.
    pub(super) fn not_published(&mut self, process: u16, call: u64) {
        let (retries, unwatched) = (self.is(Mutant::BodyRetry), self.scenario.resync.unwrap_or(UNWATCHED));
        let it = self.of(process);
        let Some(Publishing { key, fence, body, windows }) = it.publishing.remove(&call) else { return };
        if let Some(entry) = it.memory.get_mut(&key).filter(|entry| entry.meta.fence == fence) {
            entry.meta = unproven(entry.meta, LONE_FRESH.at_most(unwatched));
        }
        if retries {
            self.call(process, By::Nobody, key, Op::Force { body, windows });
        }
    }

    pub(super) fn beat(&mut self, process: u16, id: u64, token: Fence) {
        let local = self.local(process);
        let Some(leader) = self.of(process).leaders.get(&id) else { return };
        let Some(claim) = leader.claim.filter(|claim| claim.token == token && local < claim.until) else { return };
        let key = leader.key;
        self.call(process, By::Nobody, key, Op::Renew { token, lease: claim.lease });
        self.later(process, heartbeat(claim.lease), Act::Beat { id, token });
    }

    /// Whether a caller that got a lease would have been served by what the tier has, as far as it could tell.
    pub(super) fn would_do(&self, caller: Caller, key: u8, body: &Body) -> bool {
        let By::Leader(id) = caller.by else { return false };
        // Who never heard of an invalidation may store under a fence below it, once a clock that stands behind has
        // taken over: those who did hear load once more than they must. So do they after an answer that was lost, and
        // who stood still can't tell how old the answer is that it finds.
        let faults = &self.scenario.faults;
        if faults.deaf + faults.lost > 0.0 || faults.stops + faults.crashes + faults.freezes > 0 {
            return false;
        }
        let it = &self.processes[usize::from(caller.life.process)];
        let demand = it.slots.get(&key).and_then(|slot| slot.flights.get(FlightId(id))).map(|flight| flight.demand);
        let wants =
            it.leaders.get(&id).is_some_and(|leader| !leader.refresh && !leader.crossed) && demand == Some(Demand::Any);
        wants && !self.check.outdated(key, body.begun)
    }
}

fn loaded(meta: &Meta, read: &Reading, claim: Option<Claim>, now: Tick, due: Tick) -> Entry {
    let version = read.version.unwrap_or(0);
    let body = Body { version, begun: read.begun, started: read.world, finished: now, cost_ms: meta.cost_ms };
    Entry { meta: *meta, body, tier: claim.map_or(Fence::ZERO, |claim| claim.token), due, hits: 0 }
}
