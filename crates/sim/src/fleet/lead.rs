//! How is a load led? The core's walk, its questions to the shared tier, the guard, and the load itself.

use bellwether_core::cell::{Ask, Reply, What};
use bellwether_core::draw::Draw;
use bellwether_core::entry::{Kind, Meta};
use bellwether_core::failure::FailClass;
use bellwether_core::fence::{Fence, Floor};
use bellwether_core::guard::breaker::Position;
use bellwether_core::guard::cooldown::Cooling;
use bellwether_core::guard::gate::{Admission, Ended, Ticket};
use bellwether_core::lease::{self, Mode};
use bellwether_core::read::decide::Demand;
use bellwether_core::read::flight::FlightId;
use bellwether_core::read::rumour::rumour;
use bellwether_core::read::walk::{Event as Walked, Found, Heard, Report, Seen, Step};
use bellwether_core::time::Span;
use bellwether_core::write::stamp::{Travelled, adopted};

use super::task::{Event, Task};
use super::tier::Held;
use super::world::Fleet;

/// The way to the shared tier and back.
const HOP: Span = Span::ms(1);
/// What people write who hold a lock in a shared cache: look again after so long.
const POLL: Span = Span::ms(50);

impl Fleet<'_> {
    pub(super) fn launch(&mut self, task: Task) {
        let (id, step) = (self.tasks.len() as u64, task.step.clone());
        self.tasks.push(Some(Box::new(task)));
        self.perform(id, step);
    }

    pub(super) fn walk(&mut self, id: u64, event: Walked) {
        let (now, draw) = (self.now, self.draw());
        let Some(task) = &mut self.tasks[id as usize] else { return };
        let step = task.walk.on(event, now, &self.policy, draw);
        self.perform(id, step);
    }

    fn perform(&mut self, id: u64, step: Step) {
        if let Some(task) = &mut self.tasks[id as usize] {
            task.step = step.clone();
        }
        match step {
            Step::Probe | Step::Acquire(_) => self.after(HOP, Event::Tier(id)),
            Step::Wait(span) => {
                let span = if self.set.polls() { POLL } else { span };
                self.after(span.max(Span(1)), Event::Waited(id));
            }
            Step::Admit => self.admit(id),
            Step::Load => self.load(id),
            Step::Adopt { meta, refresh, .. } => {
                let whose = self.tasks[id as usize].as_ref().map(|task| (task.process, task.key));
                self.land(id, meta, false);
                if let Some((process, key)) = whose.filter(|_| refresh) {
                    self.refresh(process, key, meta.fence);
                }
            }
            Step::Keep(meta) => self.land(id, meta, true),
            Step::Fail { why, cooling, .. } => self.fail(id, why, cooling),
            Step::AwaitTurn | Step::Look | Step::Mark { .. } | Step::Leave => {
                debug_assert!(
                    false,
                    "no invalidation, no disk, no answer that may not be kept, no silent tier: {step:?}"
                );
            }
        }
    }

    pub(super) fn waited(&mut self, id: u64) {
        self.walk(id, Walked::Waited);
    }

    /// The shared tier answers a leader's question.
    pub(super) fn at_tier(&mut self, id: u64) {
        let (now, draw) = (self.now, self.draw());
        let Some(task) = &self.tasks[id as usize] else { return };
        self.record.polls(1, now);
        let (key, process, seen) = (task.key as usize, task.process, task.seen);
        let Step::Acquire(mode) = task.step else {
            let heard = self.found(self.tier.read(key, now), process, seen, draw);
            return self.hear(id, heard);
        };
        // A lock without a heartbeat is nobody's until it runs out.
        let mode = if self.set.polls() { Mode::Miss } else { mode };
        let lease = lease::length(self.times[process as usize].p99(), self.case.load_timeout);
        let ask = Ask { lease, mode, holds: seen, at_least: Fence::ZERO, draw };
        let heard = match self.tier.acquire(key, ask, now) {
            Reply::Granted { token, .. } => {
                if let Some(task) = &mut self.tasks[id as usize] {
                    (task.claim, task.fence) = (Some((token, lease)), token);
                }
                if !self.set.polls() {
                    self.after(lease::heartbeat(lease), Event::Beat(id));
                }
                Heard::Granted
            }
            Reply::Denied { left, .. } => Heard::Denied(left),
            Reply::Failed { left, class, .. } => Heard::Failed(left, class),
            Reply::Fresh => self.found(self.tier.read(key, now), process, seen, draw),
            Reply::HitForMiss { .. } | Reply::Foreign => Heard::Passing,
        };
        self.hear(id, heard);
    }

    /// The guard is told what the tier says of another's load, then the walk goes on.
    fn hear(&mut self, id: u64, heard: Heard) {
        let Some((process, key)) = self.tasks[id as usize].as_ref().map(|task| (task.process, task.key)) else {
            return;
        };
        if self.set.guards() {
            let flights = self.flights.get(&self.flight_place(process, key));
            let failing = flights.and_then(|flights| flights.cooling).is_some_and(|before| !before.forgotten(self.now));
            if let Some(rumour) = rumour(&heard, failing, self.now)
                && self.gates[process as usize].heard(rumour, self.now)
            {
                self.guard(process);
            }
        }
        self.walk(id, Walked::Heard(heard));
    }

    /// What the tier holds of a key, to this process.
    fn found(&self, held: Option<Held>, process: u32, seen: Fence, draw: Draw) -> Heard {
        let now = self.now;
        let Some(Held { cell, cost_ms }) = held else { return Heard::Nothing { lease: None } };
        if let (What::Failed(class), Some(left)) = (cell.what, cell.cooling(now)) {
            return Heard::Failed(left, class);
        }
        let lease = cell.held(now);
        let kind = match cell.what {
            What::Value => Kind::Value,
            What::Negative => Kind::Negative,
            _ => return Heard::Nothing { lease },
        };
        if now >= cell.hard_until {
            return Heard::Nothing { lease };
        }
        let stale = now.max(cell.fresh_until);
        let travelled = Travelled {
            kind,
            fence: cell.fence,
            age: now.since(cell.created),
            fresh: cell.fresh_until.since(now),
            swr_ms: cell.swr_until.since(stale).as_u32(),
            hard_ms: cell.hard_until.since(stale).as_u32(),
            cost_ms,
        };
        let times = &self.times[process as usize];
        let mut meta = adopted(travelled, times.p99(), times.ewma(), &self.policy, now, draw);
        // How long ago it expired is what callers are told: the moment of adoption is not.
        if cell.fresh_until < now {
            let past = now.since(cell.fresh_until).as_u32();
            meta = Meta {
                fresh_until: cell.fresh_until,
                swr_ms: meta.swr_ms.saturating_add(past),
                hard_ms: meta.hard_ms.saturating_add(past),
                ..meta
            };
        }
        let newer = cell.fence > seen;
        Heard::Entry(Seen { meta, floor: Floor::NONE, crossed: false, demand: Demand::Any, newer, lease })
    }

    /// A holder says that it is alive.
    pub(super) fn beat(&mut self, id: u64) {
        let Some(task) = &self.tasks[id as usize] else { return };
        let Some((token, lease)) = task.claim.filter(|_| task.brings.is_none()) else { return };
        self.tier.renew(task.key as usize, token, lease, self.now);
        self.after(lease::heartbeat(lease), Event::Beat(id));
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
    pub(super) fn guard(&mut self, process: u32) {
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
        task.fence = task.fence.max(if task.claim.is_some() { Fence::ZERO } else { fresh_fence });
        let (process, key, fence) = (task.process, task.key, task.fence);
        if self.set.coalesces() {
            let place = self.flight_place(process, key);
            if let Some(flights) = self.flights.get_mut(&place) {
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
        if self.dead.is_none() && self.case.crash.is_some_and(|at| now >= self.start() + at) {
            // Nobody else dies meanwhile: what is meant is this one.
            self.dead = Some(u32::MAX);
            self.after(Span(self.case.load.0 / 2), Event::Crash(process));
        }
    }

    /// The origin is done with a load, whether anybody still wants it or not.
    pub(super) fn answered(&mut self, id: u64) {
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
        let found = if self.case.missing { Found::Missing } else { Found::Value };
        self.walk(id, Walked::Loaded(Report { started, fence, found, ttl: None, times }));
    }

    pub(super) fn give_up(&mut self, id: u64) {
        let Some(task) = &self.tasks[id as usize] else { return };
        if !task.loads {
            return;
        }
        let process = task.process;
        let place = self.flight_place(process, task.key);
        let before = self.flights.get(&place).and_then(|flights| flights.cooling);
        self.loaded(id, Ended::Failed { class: FailClass::Timeout, again: before.is_some() });
        self.record.load_failed();
        let broken = self.gates[process as usize].breaker() != Position::Closed;
        let before = Cooling::before(before, broken, FailClass::Timeout, self.now);
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

    /// The task ends; a holder first tells the shared tier.
    pub(super) fn part(&mut self, id: u64, brings: Option<Meta>, cooling: Option<Cooling>) {
        let now = self.now;
        let Some(task) = &mut self.tasks[id as usize] else { return };
        if task.claim.is_some() {
            task.brings = brings;
            task.failed = cooling.and_then(|cooling| Some((cooling.remaining(now)?, cooling.class)));
            self.after(HOP, Event::Publish(id));
        } else {
            self.tasks[id as usize] = None;
        }
    }

    pub(super) fn publish(&mut self, id: u64) {
        let Some(task) = self.tasks[id as usize].take() else { return };
        let Some((token, _)) = task.claim else { return };
        match task.brings {
            Some(meta) => self.tier.publish(task.key as usize, token, &meta, self.now),
            None => self.tier.release(task.key as usize, token, task.failed, self.now),
        }
    }
}
