//! What does one process do, event by event? The engine's order of actions around the core.
//!
//! Whatever the engine does under one lock is one event here; between two locks there are two
//! events, and the dice decide what comes in between.

mod ask;
pub(crate) mod caller;
pub(crate) mod entry;
mod event;
mod gate;
mod land;
mod lead;
mod leader;
mod write;

use std::collections::BTreeMap;

use bellwether_core::draw::Draw;
use bellwether_core::fence::{Fence, Floor};
use bellwether_core::guard::cooldown::Cooling;
use bellwether_core::guard::gate::Gate;
use bellwether_core::loadtimes::LoadTimes;
use bellwether_core::read::decide::{Decision, Demand, Resident, decide};
use bellwether_core::read::flight::Flights;
use bellwether_core::time::{Span, Tick};
use bellwether_core::why::Why;

use crate::check::{COARSE_LAG, Checker};
use crate::guarantee::Guarantee;
use crate::origin::Row;
use crate::report::Report;
use crate::rules::{Rule, Rules};
use crate::scenario::Scenario;
use crate::world::World;
use caller::Caller;
use entry::{Entry, Outcome};
use event::Event;
use leader::Leader;

/// Tags of the run; a key carries the one of its number.
const TAGS: u8 = 2;
/// How long a successor waits for an overtaken load while load times are unknown.
const HEDGE_UNKNOWN: Span = Span::ms(50);
/// Events after which a run is said to have no end.
const MOST_EVENTS: u64 = 200_000;
/// Moments before the start must be expressible.
const START: Tick = Tick(1_000_000);

/// What memory says to a reader.
pub(crate) enum Look {
    Serve { entry: Entry, why: Why, refresh: bool },
    Load,
    LoadAlone,
    NotCached,
}

#[derive(Default)]
struct Slot {
    flights: Flights,
    floor: Floor,
}

/// What callers of one flight wait on.
#[derive(Default)]
struct Cell {
    outcome: Option<Outcome>,
    waiters: Vec<u64>,
}

/// The simulated process and the world around it.
pub(crate) struct Process {
    world: World<Event>,
    rules: Rules,
    scenario: Scenario,
    check: Checker,
    // The origin.
    rows: BTreeMap<u8, Row>,
    // The process: all maps are ordered, so that a seed gives the same run everywhere.
    memory: BTreeMap<u8, Entry>,
    slots: BTreeMap<u8, Slot>,
    space_floor: Floor,
    tag_floors: [Floor; TAGS as usize],
    fence: Fence,
    /// The wall clock steps back and forth; fences must not.
    wall_skew: u64,
    coarse: Tick,
    gate: Gate,
    gate_wake: Option<Tick>,
    times: LoadTimes,
    refreshing: usize,
    ids: u64,
    callers: BTreeMap<u64, Caller>,
    leaders: BTreeMap<u64, Leader>,
    cells: BTreeMap<u64, Cell>,
    /// Loads that the process has counted, and those it was not there to count.
    noted: u64,
    aborted: u64,
}

impl Process {
    pub(crate) fn new(seed: u64, scenario: &Scenario, rules: Rules) -> Process {
        let mut process = Process {
            world: World::new(START, seed),
            rules,
            scenario: scenario.clone(),
            check: Checker::new(seed, &scenario.policy, &scenario.budget),
            rows: BTreeMap::new(),
            memory: BTreeMap::new(),
            slots: BTreeMap::new(),
            space_floor: Floor::NONE,
            tag_floors: [Floor::NONE; TAGS as usize],
            fence: Fence::ZERO,
            wall_skew: 0,
            coarse: START,
            gate: Gate::new(&scenario.budget),
            gate_wake: None,
            times: LoadTimes::default(),
            refreshing: 0,
            ids: 0,
            callers: BTreeMap::new(),
            leaders: BTreeMap::new(),
            cells: BTreeMap::new(),
            noted: 0,
            aborted: 0,
        };
        process.plan_the_run();
        process
    }

    /// Requests in bursts, writes, evictions, jumps: when, not yet how.
    fn plan_the_run(&mut self) {
        let length = self.scenario.length.0;
        let keys = u64::from(self.scenario.keys.max(1));
        for key in 0..self.scenario.keys {
            self.rows.insert(key, Row { version: 1, present: true });
        }
        let mut burst = START;
        for id in 0..u64::from(self.scenario.requests) {
            let dice = &mut self.world.dice;
            if dice.chance(0.2) {
                burst = START + Span(dice.below(length));
            }
            let at = burst + Span(dice.below(4));
            self.world.at(at, Event::Arrive(id));
        }
        for (count, what) in
            [(self.scenario.writes, 0), (self.scenario.faults.evictions, 1), (self.scenario.faults.jumps, 2)]
        {
            for _ in 0..count {
                let dice = &mut self.world.dice;
                let (at, key) = (START + Span(dice.below(length)), dice.below(keys) as u8);
                let event = match what {
                    0 => Event::Write(key),
                    1 => Event::Evict(key),
                    _ => Event::Jump(Span(dice.between(1, length))),
                };
                self.world.at(at, event);
            }
        }
    }

    pub(crate) fn run(mut self) -> Report {
        let mut events = 0;
        while let Some(event) = self.world.next() {
            events += 1;
            if events > MOST_EVENTS {
                let now = self.now();
                self.check.violated(Guarantee::NothingLost, now, format!("no end after {MOST_EVENTS} events"));
                break;
            }
            self.perform(event);
        }
        let now = self.now();
        let left = [
            ("flights", self.slots.values().map(|slot| slot.flights.iter().count()).sum()),
            ("leaders", self.leaders.len()),
            ("permits", self.gate.running()),
            ("tickets", self.gate.waiting()),
            ("refreshes", self.refreshing),
            ("callers without an answer", self.callers.values().filter(|caller| !caller.done).count()),
        ];
        self.check.finish(self.noted, self.aborted, &left, now)
    }

    fn perform(&mut self, event: Event) {
        match event {
            Event::Arrive(caller) => self.arrive(caller),
            Event::Enter(caller) => self.enter(caller),
            Event::Wake(caller) => self.wake(caller),
            Event::Hedge { caller, cell } => self.hedge(caller, cell),
            Event::Deadline(caller) => self.deadline(caller),
            Event::GiveUp(caller) => self.give_up(caller),
            Event::Refresh { key, seen } => self.refresh(key, seen),
            Event::Start(id) => self.start(id),
            Event::Turn(id) => self.turn(id),
            Event::TurnTimer(id) => self.turn_timer(id),
            Event::Ask { id, class, waiters, give_up } => self.ask(id, class, waiters, give_up),
            Event::Raise { id, class, waiters, give_up } => self.raise(id, class, waiters, give_up),
            Event::GateWake => self.gate_wake(),
            Event::Begin(id) => self.begin(id),
            Event::Shed { id, why, retry_after } => self.shed(id, why, retry_after),
            Event::ReadRow(id) => self.read_row(id),
            Event::Return(id) => self.returned(id),
            Event::Cut(id) => self.cut(id),
            Event::Digest(id) => self.digest(id),
            Event::Settle(id) => self.settle(id),
            Event::Complete(id) => self.complete(id),
            Event::Abort(id) => self.abort(id),
            Event::Write(key) => self.write(key),
            Event::Invalidate(key) => self.invalidate(key),
            Event::Evict(key) => drop(self.memory.remove(&key)),
            Event::Jump(by) => {
                let from = self.now();
                self.world.jump(by);
                let to = self.now();
                self.check.jumped(from, to);
                self.check.note(to, "the clock jumps", 0, 0, by.0);
            }
        }
    }

    fn now(&self) -> Tick {
        self.world.now()
    }

    fn draw(&mut self) -> Draw {
        self.world.dice.draw()
    }

    /// A task that could run is not run at once.
    fn delay(&mut self) -> Span {
        Span(self.world.dice.between(0, self.scenario.faults.delay.0))
    }

    /// The hit path's clock: never steps back, lags a little.
    fn coarse(&mut self) -> Tick {
        let lag = Span(self.world.dice.between(0, COARSE_LAG.0));
        self.coarse = self.coarse.max(self.now() - lag);
        self.coarse
    }

    fn next_fence(&mut self) -> Fence {
        if self.world.dice.chance(0.1) {
            self.wall_skew = self.world.dice.below(10_000_000);
        }
        self.fence = self.fence.next((self.now().0 * 1000).saturating_sub(self.wall_skew));
        self.fence
    }

    fn fresh_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    fn slot(&mut self, key: u8) -> &mut Slot {
        self.slots.entry(key).or_default()
    }

    /// The newest invalidations of an entry's space and tag and of itself. A removed key's entry is gone.
    fn floor_of(&self, key: u8, entry: &Entry) -> Floor {
        let tag = if entry.tagged() { self.tag_floors[usize::from(key % TAGS)] } else { Floor::NONE };
        self.space_floor.merge(tag).merge(entry.own_floor())
    }

    fn judge(&mut self, key: u8, demand: Demand, at: Tick) -> Look {
        let Some(entry) = self.memory.get(&key).copied() else {
            return if demand == Demand::CachedOnly { Look::NotCached } else { Look::Load };
        };
        let floor = self.floor_of(key, &entry);
        let draw = if at < entry.meta.calm_until() { Draw(0) } else { self.draw() };
        let found = Resident { meta: &entry.meta, hits: entry.hits };
        match decide(Some(found), floor, demand, at, &self.scenario.policy, draw) {
            Decision::Serve(why) => Look::Serve { entry, why, refresh: false },
            Decision::ServeAndRefresh(why) => Look::Serve { entry, why, refresh: demand != Demand::CachedOnly },
            Decision::Load => Look::Load,
            Decision::LoadAlone => Look::LoadAlone,
            Decision::NotCached => Look::NotCached,
        }
    }

    /// The key's last failure while it cools down.
    fn cooling(&self, key: u8) -> Option<Cooling> {
        let cooling = self.slots.get(&key)?.flights.cooling?;
        cooling.remaining(self.now()).and(Some(cooling)).filter(|_| self.rules.keep(Rule::Cool))
    }

    /// How long a successor waits for an overtaken load before it starts beside it.
    fn successor_after(&self) -> Span {
        self.times.hedge_after().unwrap_or(HEDGE_UNKNOWN)
    }
}
