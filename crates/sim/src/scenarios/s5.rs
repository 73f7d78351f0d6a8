//! S5: a large fleet is restarted, instance by instance.
//!
//! Keys do not meet: no instance's guard is near its limit, so each key's fleet is simulated on its own, one after
//! the other, and exactly. Requests for a key at an instance are a Poisson process; the next one that can matter is
//! drawn directly, because until a copy's calm ends every decision is a hit.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use bellwether_core::cell::{Ask, Cell, Now, Reply, What};
use bellwether_core::draw::Draw;
use bellwether_core::entry::{Kind, Meta};
use bellwether_core::fence::{Fence, Floor};
use bellwether_core::lease;
use bellwether_core::policy::Policy;
use bellwether_core::read::decide::{Decision, Demand, Resident, decide};
use bellwether_core::read::walk::{Event as Walked, Found, Heard, Report, Seen, Sharing, Step, Walk};
use bellwether_core::time::{Span, Tick};
use bellwether_core::write::stamp::{Stamping, Travelled, adopted, stamp};

use super::figure::Figure;
use super::name::Scenario;
use super::study::{About, Goal, Height, Level, Picture, Run, Set, Sizes, Study};
use crate::parallel::side_by_side;

/// When the restarts begin; before it everything is warm.
const START: Tick = Tick(1_000_000_000);
/// One instance after the other.
const APART: Span = Span::secs(1);
/// So long an instance that restarts answers without any cache, where nobody prevents it.
const DOWN: Span = Span::secs(1);
/// Mean service time of a load.
const LOAD: Span = Span::ms(50);
/// Of a load.
const TIMEOUT: Span = Span::secs(2);
/// Of the space.
const TTL: Span = Span::secs(3_600);
/// The design's bar.
const MOST_RATE: f64 = 5_000.0;
/// Origin loads a second that a run may record; beyond it is counted with the last.
const TAIL: u64 = 20;

struct Restart {
    instances: u32,
    keys: u32,
    /// Requests a second for each key at each instance.
    rate: f64,
}

pub(super) fn studies(sizes: &Sizes) -> Vec<Box<dyn Study>> {
    let (instances, keys) = if sizes.small { (20, 100) } else { (500, 10_000) };
    let instances = sizes.processes.unwrap_or(instances);
    let rate = sizes.rate.map_or(20.0, |rate| rate / f64::from(instances) / f64::from(keys));
    vec![Box::new(Restart { instances, keys, rate })]
}

const SETS: [Set; 3] = [
    Set { word: "naive", says: "an instance that restarts answers without a cache for 1 s", level: Level::Naive },
    Set {
        word: "partial",
        says: "each instance has a memory tier of its own, empty after a restart",
        level: Level::Partial,
    },
    Set { word: "full", says: "memory and shared tier, leases, early refresh", level: Level::Full },
];

impl Study for Restart {
    fn about(&self) -> About {
        let everything = f64::from(self.instances) * f64::from(self.keys) * self.rate;
        About {
            scenario: Scenario::S5,
            variant: "",
            says: Scenario::S5.says().to_owned(),
            parameters: vec![
                ("instances", self.instances.to_string()),
                ("keys", self.keys.to_string()),
                ("requests", format!("{everything}/s: {}/s for each key at each instance", self.rate)),
                ("restarts", format!("one every {APART}")),
                ("ttl", TTL.to_string()),
                ("a load takes", LOAD.to_string()),
                ("simulated", "every key on its own, every instance".to_owned()),
            ],
            sets: SETS.to_vec(),
            measure: Figure::PeakLoads,
            bound: 0.0,
            bound_says: "0 because of the restarts: the shared tier is warm. Expiries go on at keys / ttl",
            columns: vec![Figure::Loads, Figure::OriginRate, Figure::SharedReads, Figure::Requests],
            goals: vec![Goal::at_most(Figure::PeakLoads, MOST_RATE * self.scaled())],
            length: self.length(),
            bin: Span::secs(1),
            shade: None,
        }
    }

    fn run(&self, sets: &[usize], seed: u64) -> Result<Vec<Run>, String> {
        if self.instances == 0 || !(self.rate.is_finite() && self.rate > 0.0) {
            return Err("a fleet has at least one instance, and a rate above zero".to_owned());
        }
        Ok(side_by_side(sets, |set| self.told(&self.loads(SETS[*set].level, seed))))
    }
}

/// What came of one set, by second.
struct Counts {
    loads: Vec<u64>,
    reads: u64,
}

impl Restart {
    fn length(&self) -> Span {
        Span(APART.0 * u64::from(self.instances))
    }

    /// A smaller fleet has a smaller bar: it is one of a rate.
    fn scaled(&self) -> f64 {
        f64::from(self.keys) / 10_000.0
    }

    fn told(&self, counts: &Counts) -> Run {
        let seconds = self.length().0 as f64 / 1000.0;
        let (loads, peak) = (counts.loads.iter().sum::<u64>(), counts.loads.iter().max().copied().unwrap_or(0));
        let requests = f64::from(self.instances) * f64::from(self.keys) * self.rate * seconds;
        let series: Vec<f64> = counts.loads.iter().map(|n| *n as f64).collect();
        Run {
            figures: BTreeMap::from([
                (Figure::PeakLoads, peak as f64),
                (Figure::Loads, loads as f64),
                (Figure::OriginRate, loads as f64 / seconds),
                (Figure::SharedReads, counts.reads as f64 / seconds),
                (Figure::Requests, requests.round()),
            ]),
            pictures: vec![Picture::of("loads per second", Height::Decades, "loads", series.clone())],
            more: vec![("loads", series)],
            cut_short: false,
        }
    }

    fn loads(&self, level: Level, seed: u64) -> Counts {
        let seconds = (self.length().0 / 1000 + TAIL) as usize;
        let mut counts = Counts { loads: vec![0; seconds], reads: 0 };
        for key in 0..self.keys {
            let dice = Dice::of(Draw(seed).fork(0x55).fork(u64::from(key)));
            match level {
                Level::Naive => self.without(dice, &mut counts),
                Level::Partial => self.alone(dice, &mut counts),
                Level::Full => KeyRun::new(self, dice, &mut counts).run(),
            }
        }
        counts.loads.truncate((self.length().0 / 1000) as usize);
        counts
    }

    /// Every request of the time without a cache is a load.
    fn without(&self, mut dice: Dice, counts: &mut Counts) {
        for instance in 0..u64::from(self.instances) {
            let (from, mut after) = (instance * APART.0, dice.gap(self.rate));
            while after < DOWN.0 as f64 {
                counts.load(from + after as u64);
                after += dice.gap(self.rate);
            }
        }
    }

    /// The first request after a restart is a load.
    fn alone(&self, mut dice: Dice, counts: &mut Counts) {
        for instance in 0..u64::from(self.instances) {
            counts.load(instance * APART.0 + dice.gap(self.rate) as u64);
        }
    }
}

impl Counts {
    fn load(&mut self, ms: u64) {
        let second = ((ms / 1000) as usize).min(self.loads.len() - 1);
        self.loads[second] += 1;
    }
}

/// Draws one after the other.
struct Dice {
    draw: Draw,
    drawn: u64,
}

impl Dice {
    fn of(draw: Draw) -> Dice {
        Dice { draw, drawn: 0 }
    }

    fn next(&mut self) -> Draw {
        self.drawn += 1;
        self.draw.fork(self.drawn)
    }

    /// Milliseconds to the next event of a Poisson process.
    fn gap(&mut self, per_second: f64) -> f64 {
        -(1.0 - self.next().unit()).ln() * 1000.0 / per_second
    }
}

/// What happens next to a key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Restart(u32),
    /// A request that can matter comes to an instance; of its copy of this number.
    Touch(u32, u32),
    /// A pause of an instance's leader is over.
    Waited(u32),
    /// An instance's load ends.
    Loaded(u32),
}

#[derive(Clone, Default)]
struct Instance {
    copy: Option<Meta>,
    /// How many copies it has had: a touch of an earlier one is void.
    number: u32,
    walk: Option<Box<Walk>>,
    loading: Option<(Tick, Fence)>,
}

/// One key in the whole fleet.
struct KeyRun<'a> {
    of: &'a Restart,
    policy: Policy,
    dice: Dice,
    counts: &'a mut Counts,
    instances: Vec<Instance>,
    cell: Option<Cell>,
    now: Tick,
    queue: BinaryHeap<Reverse<(Tick, u64, Event)>>,
    scheduled: u64,
}

impl<'a> KeyRun<'a> {
    fn new(of: &'a Restart, mut dice: Dice, counts: &'a mut Counts) -> KeyRun<'a> {
        let policy = Policy::ttl(TTL).grace(TTL);
        // Stored at some moment of the last ttl, fresh whatever jitter took off it, and read by everybody since.
        let stored = START - TTL.scale((1.0 - policy.jitter) * dice.next().unit());
        let (finished, fence) = (stored, Now(stored.0 * 1000).fence());
        let started = stored - LOAD;
        let stamping = Stamping { kind: Kind::Value, started, finished, fence, ttl: None, p99: None, ewma: None };
        let meta = stamp(stamping, &policy, dice.next());
        let instances = vec![Instance { copy: Some(meta), ..Instance::default() }; of.instances as usize];
        let cell = Some(value(&meta));
        let queue = BinaryHeap::new();
        KeyRun { of, policy, dice, counts, instances, cell, now: START, queue, scheduled: 0 }
    }

    fn run(mut self) {
        for instance in 0..self.of.instances {
            self.at(START + Span(APART.0 * u64::from(instance)), Event::Restart(instance));
            self.touch_when_it_matters(instance);
        }
        let end = START + self.of.length();
        while let Some(Reverse((at, _, event))) = self.queue.pop()
            && at < end
        {
            self.now = at;
            match event {
                Event::Restart(instance) => {
                    let it = &mut self.instances[instance as usize];
                    // A leader that restarts leaves its lease to others.
                    *it = Instance { number: it.number + 1, ..Instance::default() };
                    self.touch_when_it_matters(instance);
                }
                Event::Touch(instance, number) => self.touch(instance, number),
                Event::Waited(instance) => self.on(instance, Walked::Waited),
                Event::Loaded(instance) => self.loaded(instance),
            }
        }
    }

    fn at(&mut self, at: Tick, event: Event) {
        self.scheduled += 1;
        self.queue.push(Reverse((at, self.scheduled, event)));
    }

    /// The first request after the calm of what this instance holds.
    fn touch_when_it_matters(&mut self, instance: u32) {
        let it = &self.instances[instance as usize];
        let number = it.number;
        let calm = it.copy.map_or(self.now, |copy| copy.calm_until().max(self.now));
        let after = Span(self.dice.gap(self.of.rate) as u64);
        self.at(calm + after, Event::Touch(instance, number));
    }

    fn touch(&mut self, instance: u32, number: u32) {
        let draw = self.dice.next();
        let it = &self.instances[instance as usize];
        if it.number != number || it.walk.is_some() {
            return;
        }
        let decision = match &it.copy {
            None => Decision::Load,
            Some(copy) => {
                let hits = self.of.rate * self.now.since(copy.born).0 as f64 / 1000.0;
                let found = Resident { meta: copy, hits: hits as u32 };
                decide(Some(found), Floor::NONE, Demand::Any, self.now, &self.policy, draw)
            }
        };
        let refresh = matches!(decision, Decision::ServeAndRefresh(_));
        if matches!(decision, Decision::Serve(_)) {
            return self.touch_when_it_matters(instance);
        }
        let sharing = Sharing {
            lease: lease::length(None, TIMEOUT),
            timeout: TIMEOUT,
            expected: None,
            unwatched: TIMEOUT,
            refresh,
        };
        let (walk, step) = Walk::start(false, Some(sharing));
        self.instances[instance as usize].walk = Some(Box::new(walk));
        self.perform(instance, step);
    }

    fn on(&mut self, instance: u32, event: Walked) {
        let draw = self.dice.next();
        let Some(walk) = &mut self.instances[instance as usize].walk else { return };
        let step = walk.on(event, self.now, &self.policy, draw);
        self.perform(instance, step);
    }

    fn perform(&mut self, instance: u32, step: Step) {
        match step {
            Step::Probe => {
                self.counts.reads += 1;
                let heard = self.found(instance);
                self.on(instance, Walked::Heard(heard));
            }
            Step::Acquire(mode) => {
                self.counts.reads += 1;
                let holds = self.instances[instance as usize].copy.map_or(Fence::ZERO, |copy| copy.fence);
                let draw = self.dice.next();
                let ask = Ask { lease: lease::length(None, TIMEOUT), mode, holds, at_least: Fence::ZERO, draw };
                let (reply, cell) = Cell::acquire(self.cell, ask, Now(self.now.0 * 1000));
                self.cell = cell;
                let heard = match reply {
                    Reply::Granted { token, .. } => {
                        self.instances[instance as usize].loading = Some((self.now, token));
                        Heard::Granted
                    }
                    Reply::Denied { left, .. } => Heard::Denied(left),
                    Reply::Fresh => self.found(instance),
                    Reply::Failed { left, class, .. } => Heard::Failed(left, class),
                    Reply::HitForMiss { .. } | Reply::Foreign => Heard::Passing,
                };
                self.on(instance, Walked::Heard(heard));
            }
            Step::Wait(span) => self.at(self.now + span, Event::Waited(instance)),
            Step::Admit => self.on(instance, Walked::Admitted),
            Step::Load => {
                self.counts.load(self.now.since(START).0);
                self.at(self.now + LOAD, Event::Loaded(instance));
            }
            Step::Adopt { meta, .. } | Step::Keep(meta) => self.keep(instance, Some(meta)),
            Step::Fail { .. } | Step::Leave | Step::AwaitTurn | Step::Look | Step::Mark { .. } => {
                let copy = self.instances[instance as usize].copy;
                self.keep(instance, copy);
            }
        }
    }

    fn loaded(&mut self, instance: u32) {
        let it = &self.instances[instance as usize];
        let Some((started, fence)) = it.loading else { return };
        let report = Report { started, fence, found: Found::Value, ttl: None, times: (None, None) };
        self.on(instance, Walked::Loaded(report));
        if let Some(meta) = self.instances[instance as usize].copy.filter(|copy| copy.fence == fence)
            && let Some(cell) = Cell::publish(self.cell, fence, value(&meta), self.now)
        {
            self.cell = Some(cell);
        }
    }

    fn keep(&mut self, instance: u32, copy: Option<Meta>) {
        let it = &mut self.instances[instance as usize];
        *it = Instance { copy, number: it.number + 1, walk: None, loading: None };
        self.touch_when_it_matters(instance);
    }

    fn found(&mut self, instance: u32) -> Heard {
        let (now, draw) = (self.now, self.dice.next());
        let Some(cell) = self.cell.filter(|cell| now < cell.ends()) else { return Heard::Nothing { lease: None } };
        let lease = cell.held(now);
        if cell.what != What::Value || now >= cell.hard_until {
            return Heard::Nothing { lease };
        }
        let stale = now.max(cell.fresh_until);
        let travelled = Travelled {
            kind: Kind::Value,
            fence: cell.fence,
            age: now.since(cell.created),
            fresh: cell.fresh_until.since(now),
            swr_ms: cell.swr_until.since(stale).as_u32(),
            hard_ms: cell.hard_until.since(stale).as_u32(),
            cost_ms: LOAD.as_u32(),
        };
        let meta = adopted(travelled, None, None, &self.policy, now, draw);
        let newer = self.instances[instance as usize].copy.is_none_or(|copy| cell.fence > copy.fence);
        Heard::Entry(Seen { meta, floor: Floor::NONE, crossed: false, demand: Demand::Any, newer, lease })
    }
}

fn value(meta: &Meta) -> Cell {
    Cell {
        what: What::Value,
        fence: meta.fence,
        token: None,
        lease_until: Tick(0),
        lease: Span::ZERO,
        created: meta.born,
        fresh_until: meta.fresh_until,
        swr_until: meta.swr_until(),
        hard_until: meta.hard_until(),
    }
}
