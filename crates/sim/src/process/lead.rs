//! How is a flight led? The walk's steps, with the loader's faults in between.

use bellwether_core::entry::Kind;
use bellwether_core::failure::FailClass;
use bellwether_core::guard::gate::Ticket;
use bellwether_core::read::flight::FlightId;
use bellwether_core::read::walk::{self, Found, Report, Step};
use bellwether_core::time::Span;
use bellwether_core::why::Why;

use super::Process;
use super::entry::Outcome;
use super::event::Event;
use super::leader::{Begun, Ending, Leader, Parked};
use crate::check::LoadEnd;
use crate::origin::{Plan, Says};
use crate::rules::Rule;

impl Process {
    pub(super) fn launch(&mut self, leader: Leader) {
        let (id, now) = (leader.id, self.now());
        let what = match (leader.alone, leader.refresh, leader.parked) {
            (Some(_), ..) => "is loaded alone, in load",
            (None, true, _) => "is refreshed, in flight",
            (None, false, Parked::No) => "is led, in flight",
            (None, false, Parked::Until(_)) => "has a successor, flight",
        };
        self.check.note(now, what, leader.key, id, leader.caller.unwrap_or(0));
        self.check.report.successors += u64::from(leader.parked != Parked::No);
        self.cells.entry(id).or_default();
        self.leaders.insert(id, leader);
        let delay = self.delay();
        self.world.after(delay, Event::Start(id));
    }

    pub(super) fn start(&mut self, id: u64) {
        let park = self.rules.keep(Rule::Park);
        let Some(leader) = self.leaders.get_mut(&id) else { return };
        match leader.parked {
            Parked::Until(until) if park => {
                leader.awaits_turn = true;
                if leader.turned {
                    self.turn(id);
                } else if let Some(until) = until {
                    self.world.at(until, Event::TurnTimer(id));
                }
            }
            _ => self.admit(id),
        }
    }

    pub(super) fn turn(&mut self, id: u64) {
        let now = self.now();
        let Some(leader) = self.leaders.get_mut(&id) else { return };
        if !std::mem::take(&mut leader.awaits_turn) {
            leader.turned = true;
            return;
        }
        let draw = self.world.dice.draw();
        let step = leader.walk.on(walk::Event::Turn, now, &self.scenario.policy, draw);
        debug_assert_eq!(step, Step::Admit);
        self.admit(id);
    }

    /// The older flight takes too long.
    pub(super) fn turn_timer(&mut self, id: u64) {
        let Some(leader) = self.leaders.get(&id).filter(|leader| leader.awaits_turn) else { return };
        let key = leader.key;
        if self.slot(key).flights.unpark(FlightId(id)) {
            self.turn(id);
        }
    }

    pub(super) fn shed(&mut self, id: u64, why: Why, retry_after: Option<Span>) {
        self.step(id, walk::Event::Shed(why, retry_after));
        self.settle(id);
    }

    /// The walk's next step, kept until it is performed.
    fn step(&mut self, id: u64, event: walk::Event) {
        let (now, draw) = (self.now(), self.draw());
        let Some(leader) = self.leaders.get_mut(&id) else { return };
        leader.end = Some(leader.walk.on(event, now, &self.scenario.policy, draw));
    }

    /// From here on the flight is reading: an invalidation overtakes it.
    pub(super) fn begin(&mut self, id: u64) {
        let now = self.now();
        self.step(id, walk::Event::Admitted);
        let Some(leader) = self.leaders.get_mut(&id) else { return };
        debug_assert_eq!(leader.end.take(), Some(Step::Load));
        leader.end = None;
        leader.loads = true;
        let (key, flight) = (leader.key, leader.alone.is_none());
        let fence = self.next_fence();
        if flight {
            self.slot(key).flights.begin_read(FlightId(id), fence, now);
        }
        // After a removal nothing older may be revived, so no validator is shown.
        let have = self.memory.get(&key).copied().filter(|entry| {
            flight && entry.meta.kind == Kind::Value && entry.meta.fence > self.floor_of(key, entry).removed
        });
        let plan = Plan::draw(&mut self.world.dice, &self.scenario);
        let order = self.check.load_began(key, id, flight, now);
        self.check.note(now, "begins to be read by", key, id, fence.0);
        let begun = Begun { order, fence, started: now, have, plan, row: None, said: None, ended: now };
        if let Some(leader) = self.leaders.get_mut(&id) {
            leader.begun = Some(begun);
        }
        self.world.after(plan.until_read, Event::ReadRow(id));
        if let Some(end) = plan.until_end {
            self.world.after(end, Event::Return(id));
        }
        if self.rules.keep(Rule::Timeout) {
            self.world.after(self.scenario.budget.timeout, Event::Cut(id));
        }
        if let Some(abort) = plan.abort {
            self.world.after(abort, Event::Abort(id));
        }
    }

    /// The origin reads the row, some time after the load began.
    pub(super) fn read_row(&mut self, id: u64) {
        let now = self.now();
        let Some(leader) = self.leaders.get_mut(&id).filter(|leader| leader.loads) else { return };
        let Some(begun) = leader.begun.as_mut() else { return };
        begun.row = self.rows.get(&leader.key).copied();
        self.check.note(now, "is read by", leader.key, id, begun.row.map_or(0, |row| row.version));
    }

    pub(super) fn returned(&mut self, id: u64) {
        let Some(begun) = self.leaders.get(&id).and_then(|leader| leader.begun) else { return };
        if begun.row.is_none() && begun.said.is_none() {
            // Both are due in this very millisecond; an answer without its row would be none.
            self.read_row(id);
        }
        self.load_over(id, begun.plan.says);
    }

    pub(super) fn cut(&mut self, id: u64) {
        self.load_over(id, Says::Error(FailClass::Timeout));
    }

    /// The loader is over: the permit goes back; what it said is looked at when the task runs on.
    fn load_over(&mut self, id: u64, says: Says) {
        let now = self.now();
        let Some(leader) = self.leaders.get_mut(&id).filter(|leader| leader.loads) else { return };
        leader.loads = false;
        let key = leader.key;
        let Some(begun) = leader.begun.as_mut() else { return };
        (begun.said, begun.ended) = (Some(says), now);
        let took = now.since(begun.started);
        let failed = matches!(says, Says::Error(_));
        self.noted += 1;
        self.check.load_ended(key, id, if failed { LoadEnd::Failed } else { LoadEnd::Answered }, now);
        self.check.note(now, if failed { "fails in" } else { "is brought by" }, key, id, took.0);
        if !failed {
            self.times.record(took);
        }
        if !failed || self.rules.keep(Rule::Release) {
            self.give_back(id);
        }
        let delay = self.delay();
        self.world.after(delay, Event::Digest(id));
    }

    /// Turns a loader's answer into what the walk needs to know.
    pub(super) fn digest(&mut self, id: u64) {
        let now = self.now();
        let Some(leader) = self.leaders.get(&id) else { return };
        let Some(Begun { fence, started, have, plan, row: Some(row), said: Some(said), .. }) = leader.begun else {
            let class = match leader.begun.and_then(|begun| begun.said) {
                Some(Says::Error(class)) => class,
                _ => FailClass::Failed,
            };
            return self.failed(id, class);
        };
        let found = match said {
            Says::Error(class) => return self.failed(id, class),
            Says::Uncacheable { private } => {
                let kind = if row.present { Kind::Value } else { Kind::Negative };
                Found::Uncacheable { kind, private }
            }
            Says::TheRow if !row.present => Found::Missing,
            Says::TheRow if have.is_some_and(|have| have.row == row) => Found::NotModified,
            Says::TheRow => Found::Value,
        };
        let times = (self.times.p99(), self.times.ewma());
        self.step(id, walk::Event::Loaded(Report { started, fence, found, ttl: plan.ttl, times }));
        self.world.at(now, Event::Settle(id));
    }

    fn failed(&mut self, id: u64, class: FailClass) {
        let now = self.now();
        let Some(key) = self.leaders.get(&id).map(|leader| leader.key) else { return };
        let before =
            self.slots.get(&key).and_then(|slot| slot.flights.cooling).filter(|cooling| !cooling.forgotten(now));
        self.step(id, walk::Event::Failed(class, before));
        self.world.at(now, Event::Settle(id));
    }

    /// The task is aborted with its runtime: what it held is dropped, and nobody may wait in vain.
    pub(super) fn abort(&mut self, id: u64) {
        if self.drop_task(id, LoadEnd::Aborted) {
            self.land(id, Ending::Neither, Outcome::Failed(Why::OriginFailed));
        }
    }

    /// What a cache without detached loads does when a leading caller goes away.
    pub(super) fn cancel(&mut self, id: u64) {
        if self.drop_task(id, LoadEnd::Cancelled) {
            self.end_task(id);
        }
    }

    fn drop_task(&mut self, id: u64, how: LoadEnd) -> bool {
        let now = self.now();
        let Some(leader) = self.leaders.get_mut(&id) else { return false };
        let key = leader.key;
        if std::mem::take(&mut leader.queued) {
            self.gate.withdraw(Ticket(id));
        }
        if std::mem::take(&mut leader.loads) {
            self.aborted += 1;
            self.check.load_ended(key, id, how, now);
        }
        self.check.note(now, "loses the task of", key, id, 0);
        self.give_back(id);
        true
    }

    pub(super) fn end_task(&mut self, id: u64) -> Option<Leader> {
        let leader = self.leaders.remove(&id)?;
        self.refreshing -= usize::from(leader.refresh);
        Some(leader)
    }
}
