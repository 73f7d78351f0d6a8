//! What happens next? Events in their order, calls on their way, and the fleet's faults.

use bellwether_core::read::doubt::Ageing;
use bellwether_core::time::{Span, Tick};

use super::check::Checker;
use super::event::{Act, By, Caller, Event, Life, Op};
use super::mutant::Mutant;
use super::node::Node;
use super::process::Process;
use super::scenario::{LONGEST_PAUSE, Scenario};
use crate::report::Report;
use crate::world::World;

/// Events after which a run is said to have no end.
const MOST_EVENTS: u64 = 400_000;
/// Moments before the start must be expressible.
const START: Tick = Tick(1_000_000);

/// The fleet and the world around it.
pub(super) struct Fleet {
    pub(super) world: World<Event>,
    pub(super) scenario: Scenario,
    pub(super) broken: Option<Mutant>,
    pub(super) check: Checker,
    pub(super) processes: Vec<Process>,
    /// The origin's rows, by version.
    pub(super) rows: Vec<u64>,
    node: Node,
    frozen_until: Tick,
}

impl Fleet {
    pub(super) fn new(seed: u64, scenario: &Scenario, broken: Option<Mutant>) -> Fleet {
        let mut world = World::new(START, seed);
        let skew = scenario.faults.skew.0;
        let processes = (0..scenario.processes)
            .map(|process| {
                let (life, ahead) = (Life { process, number: 0 }, Span(world.dice.between(0, skew)));
                Process::new(life, ahead, ageing(scenario, START + ahead))
            })
            .collect();
        let node = Node::new(Span(world.dice.between(0, skew)), broken);
        let mut fleet = Fleet {
            world,
            scenario: scenario.clone(),
            broken,
            check: Checker::new(seed, scenario),
            processes,
            rows: vec![1; usize::from(scenario.keys)],
            node,
            frozen_until: Tick(0),
        };
        fleet.plan();
        (0..scenario.processes).for_each(|process| fleet.begin_to_age(process));
        fleet
    }

    /// Requests in bursts, writes, faults: when, not yet how.
    fn plan(&mut self) {
        let (length, processes) = (self.scenario.length.0, u64::from(self.scenario.processes));
        let keys = u64::from(self.scenario.keys);
        let mut burst = START;
        for id in 0..u64::from(self.scenario.requests) {
            let dice = &mut self.world.dice;
            if dice.chance(0.1) {
                burst = START + Span(dice.below(length));
            }
            let (at, process) = (burst + Span(dice.below(6)), dice.below(processes) as u16);
            self.world.at(at, Event::Request { process, id });
        }
        let faults = self.scenario.faults.clone();
        let counts = [
            self.scenario.writes,
            faults.failovers,
            faults.freezes,
            faults.deletes,
            faults.stops,
            faults.crashes,
            faults.cuts,
        ];
        for (what, count) in counts.into_iter().enumerate() {
            for _ in 0..count {
                let dice = &mut self.world.dice;
                let at = START + Span(dice.below(length));
                let (process, key) = (dice.below(processes) as u16, dice.below(keys) as u8);
                let pause = Span(dice.between(10, LONGEST_PAUSE.0));
                let event = match what {
                    0 => Event::Write { process, key },
                    1 => Event::Failover,
                    2 => Event::Freeze(pause),
                    3 => Event::Delete(key),
                    4 => Event::Stop(process, pause),
                    5 => Event::Crash(process),
                    _ => Event::CutOff(process, pause),
                };
                self.world.at(at, event);
            }
        }
    }

    pub(super) fn run(mut self) -> Report {
        let mut events = 0;
        while let Some(event) = self.world.next() {
            events += 1;
            if events > MOST_EVENTS {
                let left = [("events, of which there was no end", 1)];
                let now = self.now();
                return self.check.finish(&left, now);
            }
            self.perform(event);
        }
        let sum = |count: fn(&Process) -> usize| self.processes.iter().map(count).sum();
        let left = [
            ("flights", sum(|p| p.slots.values().map(|slot| slot.flights.iter().count()).sum())),
            ("leaders", sum(|p| p.leaders.len())),
            ("requests", sum(|p| p.requests.len())),
            ("invalidations that the tier was not told of", sum(|p| p.owed.len())),
        ];
        let now = self.now();
        self.check.finish(&left, now)
    }

    fn perform(&mut self, event: Event) {
        match event {
            Event::In(life, act) => {
                let process = &self.processes[usize::from(life.process)];
                if process.life != life {
                    return;
                }
                match process.stopped_until {
                    until if until > self.now() => self.world.at(until, event),
                    _ => self.act(life.process, act),
                }
            }
            Event::Request { process, id } => {
                let until = self.processes[usize::from(process)].stopped_until;
                if until > self.now() { self.world.at(until, event) } else { self.request(process, id) }
            }
            Event::Call(caller, key, op) if self.frozen_until > self.now() => {
                self.world.at(self.frozen_until, Event::Call(caller, key, op));
            }
            Event::Call(caller, key, op) => self.execute(caller, key, op),
            Event::Write { process, key } => {
                self.rows[usize::from(key)] += 1;
                let version = self.rows[usize::from(key)];
                let (now, life) = (self.now(), self.processes[usize::from(process)].life);
                self.check.note(now, "is written, to be invalidated by", key, process, version);
                let later = Span(self.world.dice.below(20));
                self.world.after(later, Event::In(life, Act::Invalidate { key, version }));
            }
            Event::Stop(process, span) => {
                let now = self.now();
                self.check.note(now, "- stands still:", 0, process, span.0);
                let it = self.of(process);
                it.stopped_until = it.stopped_until.max(now + span);
            }
            Event::Crash(process) => self.crash(process),
            Event::CutOff(process, span) => {
                let now = self.now();
                self.check.note(now, "- is cut off:", 0, process, span.0);
                let it = self.of(process);
                it.cut_until = it.cut_until.max(now + span);
            }
            Event::Failover => {
                let (now, lag) = (self.now(), self.scenario.faults.lag);
                let ahead = Span(self.world.dice.between(0, self.scenario.faults.skew.0));
                self.check.note(now, "- the tier fails over", 0, 0, ahead.0);
                self.node.fail_over(now, lag, ahead);
            }
            Event::Freeze(span) => {
                self.frozen_until = self.now() + span;
                let now = self.now();
                self.check.note(now, "- the tier is frozen", 0, 0, span.0);
            }
            Event::Delete(key) => {
                let now = self.now();
                self.check.note(now, "is deleted in the tier by somebody else", key, 0, 0);
                self.node.delete(key, now);
            }
        }
    }

    fn act(&mut self, process: u16, act: Act) {
        match act {
            Act::Enter(id) => self.enter(process, id),
            Act::Deadline(id) => self.deadline(process, id),
            Act::Refresh { key, seen } => self.refresh(process, key, seen),
            Act::Start(id) => self.step(process, id),
            Act::Turn(id) => self.turn(process, id),
            Act::TurnTimer(id) => self.turn_timer(process, id),
            Act::Heard { by, call, answer } => match self.spoken(process, by) {
                By::Leader(id) => self.heard(process, id, call, answer),
                By::Teller(key) => self.told(process, key, call, answer),
                By::Verifier(key) => self.verified(process, key, call, answer),
                By::Nobody => self.published(process, call, answer),
            },
            Act::Silent { by, call } => match self.unspoken(process, by, call) {
                By::Leader(id) => self.silent(process, id, call),
                By::Teller(key) => self.not_told(process, key, call),
                By::Verifier(key) => self.not_verified(process, key, call),
                By::Nobody => self.not_published(process, call),
            },
            Act::Waited { id, call } => self.waited(process, id, call),
            Act::Begin(id) => self.begin(process, id),
            Act::Read(id) => self.read(process, id),
            Act::Return(id) => self.returned(process, id, false),
            Act::Cut(id) => self.returned(process, id, true),
            Act::Beat { id, token } => self.beat(process, id, token),
            Act::Invalidate { key, version } => self.invalidate(process, key, version),
            Act::Tell(key) => self.tell(process, key),
            Act::Age => self.age(process),
            Act::Message { key, verb, fence, version } => self.message(process, key, verb, fence, version),
        }
    }

    fn crash(&mut self, process: u16) {
        let now = self.now();
        self.check.note(now, "- dies:", 0, process, 0);
        self.check.died(process);
        let before = &self.processes[usize::from(process)];
        let life = Life { number: before.life.number + 1, ..before.life };
        // Invalidations that the tier was not told of die with it: what outlives a process is not simulated here.
        let cut_until = before.cut_until;
        let mut born = Process::new(life, before.ahead, ageing(&self.scenario, now + before.ahead));
        born.cut_until = cut_until;
        self.processes[usize::from(process)] = born;
        self.begin_to_age(process);
    }

    fn execute(&mut self, caller: Caller, key: u8, op: Op) {
        let (now, order) = (self.now(), self.check.next_order());
        let (answer, effect) = self.node.execute(key, op, now, order);
        if effect.raised || effect.spared {
            let told = self.processes[usize::from(caller.life.process)].owed.get(&key);
            if let Some(owed) = told.filter(|owed| owed.call == Some(caller.call)) {
                self.check.removed(key, owed.version, now);
            }
        }
        if effect.raised {
            self.check.raised(key, order);
            self.check.note(now, "is invalidated in the tier by", key, caller.life.process, order);
        }
        if effect.spared {
            self.check.report.spared += 1;
            self.check.note(now, "is newer than what the tier is told late by", key, caller.life.process, order);
        }
        if let (true, By::Leader(id)) = (effect.granted, caller.by) {
            self.check.granted(key, caller.life.process, id, order);
            self.check.note(now, "may be loaded by", key, caller.life.process, order);
        }
        if let Some(body) = effect.stored_late {
            self.check.stored_late(key, body, now);
        }
        if let Some(body) = effect.granted_beside
            && self.would_do(caller, key, &body)
        {
            self.check.granted_beside(key, body, now);
        }
        if !self.loses(self.scenario.faults.lost) && !self.is_cut(caller.life.process) {
            let delay = self.delay();
            let heard = Act::Heard { by: caller.by, call: caller.call, answer };
            self.world.after(delay, Event::In(caller.life, heard));
        }
    }

    /// Sends a call to the tier. Whatever becomes of it, its caller hears no later than its budget.
    pub(super) fn call(&mut self, process: u16, by: By, key: u8, op: Op) -> u64 {
        let call = self.processes[usize::from(process)].fresh();
        let life = self.processes[usize::from(process)].life;
        if !self.loses(self.scenario.faults.lost) && !self.is_cut(process) {
            let delay = self.delay();
            self.world.after(delay, Event::Call(Caller { life, by, call }, key, op));
        }
        self.world.after(self.scenario.budget, Event::In(life, Act::Silent { by, call }));
        call
    }

    /// Something happens in this process a moment later.
    pub(super) fn soon(&mut self, process: u16, act: Act) {
        self.later(process, Span::ZERO, act);
    }

    pub(super) fn later(&mut self, process: u16, span: Span, act: Act) {
        let life = self.processes[usize::from(process)].life;
        self.world.after(span, Event::In(life, act));
    }

    /// When the run began.
    pub(super) fn started(&self) -> Tick {
        START
    }

    pub(super) fn now(&self) -> Tick {
        self.world.now()
    }

    pub(super) fn of(&mut self, process: u16) -> &mut Process {
        &mut self.processes[usize::from(process)]
    }

    pub(super) fn is(&self, mutant: Mutant) -> bool {
        self.broken == Some(mutant)
    }

    /// A way between two machines.
    pub(super) fn delay(&mut self) -> Span {
        Span(self.world.dice.between(0, self.scenario.faults.delay.0))
    }

    pub(super) fn loses(&mut self, share: f64) -> bool {
        share > 0.0 && self.world.dice.chance(share)
    }
}

/// The mark of a process that begins, by its own clock.
fn ageing(scenario: &Scenario, now: Tick) -> Option<Ageing> {
    scenario.resync.map(|resync| Ageing::new(resync, scenario.budget, now))
}
