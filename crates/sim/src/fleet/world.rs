//! What happens next in the fleet? Millisecond by millisecond: what is due, then who asks.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use bellwether_core::draw::Draw;
use bellwether_core::entry::{Kind, Meta};
use bellwether_core::fence::Fence;
use bellwether_core::guard::gate::Gate;
use bellwether_core::guard::pacer::Pacer;
use bellwether_core::guard::unmet::Unmet;
use bellwether_core::heat::fleet::FleetView;
use bellwether_core::loadtimes::LoadTimes;
use bellwether_core::policy::{Budget, Policy};
use bellwether_core::read::flight::Flights;
use bellwether_core::time::{Span, Tick};
use bellwether_core::write::stamp::{Stamping, stamp};

use super::arrivals::Crowd;
use super::case::{Case, Memory, Start};
use super::origin::Origin;
use super::outcome::Outcome;
use super::policy_set::PolicySet;
use super::record::{Ending, Record};
use super::strangers::passes_below;
use super::task::{Event, MOST_TASKS, Task};
use super::tier::SharedTier;
use super::warming::{Warming, shares};

/// Moments before the start must be expressible.
pub(super) const START: Tick = Tick(1_000_000_000);
/// How often it is looked whether everything is calm.
const LOOK_EVERY: Span = Span::secs(1);
/// Values that had expired when a run begins did so this long ago.
const EXPIRED_SINCE: Span = Span::secs(1);
/// Share of the keys that a disk kept.
const KEPT: f64 = 0.95;
/// Purposes of the seed.
const STORED: u64 = 0x57;
const DRAWS: u64 = 0xD4;
const DIES: u64 = 0xD1;
const GATES: u64 = 0x6A;
const PACERS: u64 = 0x9A;
const LISTS: u64 = 0x17;
/// Purpose of a request's draw.
const RAMP: u64 = 0x4A;
/// Copies that live for a while live up to so much shorter, each its own.
const SHORTER: f64 = 0.10;

/// What is done with requests while no decision can differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Calm {
    /// They are counted.
    Counted,
    /// They are decided one by one: for the comparison.
    #[cfg_attr(not(test), allow(dead_code, reason = "the other half of a test"))]
    Decided,
}

/// A fleet, its shared tier and its origin.
pub(super) struct Fleet<'a> {
    pub(super) case: &'a Case,
    pub(super) set: PolicySet,
    pub(super) policy: Policy,
    pub(super) seed: u64,
    crowd: &'a Crowd,
    calm: Calm,
    pub(super) now: Tick,
    pub(super) record: Record,
    pub(super) origin: Origin,
    pub(super) tier: SharedTier,
    /// Values by place: of each process where they have memory tiers, else of the one shared cache.
    pub(super) values: Vec<Option<Meta>>,
    /// Reads of each value since it was stored.
    pub(super) hits: Vec<u32>,
    /// When a copy in memory is no longer believed, where that is before its end.
    dies: Vec<Tick>,
    /// Flights by process and key, of those who coalesce: only where there is one, or was a moment ago.
    pub(super) flights: BTreeMap<u64, Flights>,
    pub(super) gates: Vec<Gate>,
    pub(super) guard_wakes: Vec<Option<Tick>>,
    /// Of each process, for those who pace.
    pub(super) pacers: Vec<Pacer<u32>>,
    pub(super) pace_wakes: Vec<Option<Tick>>,
    /// Of each process that has a hot list, and the shares of all requests that its steps have.
    pub(super) warming: Vec<Warming>,
    pub(super) list: Vec<f64>,
    /// What each process could not load when it was asked for.
    pub(super) unmet: Vec<Unmet<u32>>,
    /// Where there is a filter of the keys that exist: below this draw another one passes it.
    pub(super) strangers_pass: Option<f64>,
    /// Who there is, as all of them hear it.
    pub(super) marks: FleetView,
    pub(super) times: Vec<LoadTimes>,
    /// By number; gone when done.
    pub(super) tasks: Vec<Option<Box<Task>>>,
    /// Loads of each key at the origin, as processes see it.
    pub(super) under_way: Vec<u32>,
    queue: BinaryHeap<Reverse<(Tick, u64, Event)>>,
    scheduled: u64,
    draws: Draw,
    drawn: u64,
    fence: Fence,
    /// Before this moment every value is calm.
    calm_until: Tick,
    /// A process that died.
    pub(super) dead: Option<u32>,
}

impl<'a> Fleet<'a> {
    pub(super) fn new(case: &'a Case, set: PolicySet, seed: u64, crowd: &'a Crowd, calm: Calm) -> Fleet<'a> {
        let (processes, keys) = (case.processes as usize, case.keys as usize);
        // A fixed number of permits, or all that the guard knows.
        let (adaptive, breaker) = (set.guards(), set.guards());
        let budget = Budget {
            max_concurrency: case.permits,
            timeout: case.load_timeout,
            adaptive,
            breaker,
            ..Budget::default()
        };
        let gate = |process| Gate::new(&budget).drawing(Draw(seed).fork(GATES).fork(process));
        let pacer = |process| Pacer::drawn(Draw(seed).fork(PACERS).fork(process));
        let warms = case.hot_list && set.guards();
        let warming = |process| Warming::new((Draw(seed).fork(LISTS).fork(process).0 >> 40) as u32, START);
        let stores = if set.remembers() && case.memory != Memory::None { processes } else { 1 };
        // Copies that live for a while were made at any moment of it.
        let dies = match case.memory {
            Memory::For(span) => (0..stores * keys)
                .map(|place| START + span.scale(Draw(seed).fork(DIES).fork(place as u64).unit()))
                .collect(),
            Memory::Whole | Memory::None => Vec::new(),
        };
        let filters = set.filters() && case.existing.is_some() && case.missing;
        let mut fleet = Fleet {
            case,
            set,
            policy: set.knobs(case),
            seed,
            crowd,
            calm,
            now: START,
            record: Record::new(case, START),
            origin: Origin::new(case, seed, START),
            tier: SharedTier::new(keys),
            values: vec![None; stores * keys],
            hits: vec![0; stores * keys],
            dies,
            flights: BTreeMap::new(),
            gates: (0..processes as u64).map(gate).collect(),
            guard_wakes: vec![None; processes],
            pacers: (0..if set.paces() { processes as u64 } else { 0 }).map(pacer).collect(),
            pace_wakes: vec![None; processes],
            warming: (0..if warms { processes as u64 } else { 0 }).map(warming).collect(),
            list: if warms { shares(case) } else { Vec::new() },
            unmet: vec![Unmet::default(); processes],
            strangers_pass: filters.then(|| passes_below(case, seed)),
            marks: FleetView::default(),
            times: vec![LoadTimes::default(); processes],
            tasks: Vec::new(),
            under_way: vec![0; keys],
            queue: BinaryHeap::new(),
            scheduled: 0,
            draws: Draw(seed).fork(DRAWS),
            drawn: 0,
            fence: Fence::ZERO,
            calm_until: START,
            dead: None,
        };
        if case.start != Start::Empty {
            fleet.fill();
        }
        for process in 0..fleet.warming.len() {
            fleet.after(Span(1), Event::Warm(process as u32));
        }
        fleet
    }

    /// What is resident when the run begins: in the shared tier, and in every process that has a memory tier.
    fn fill(&mut self) {
        for key in 0..self.case.keys {
            let draw = Draw(self.seed).fork(STORED).fork(u64::from(key));
            if self.case.start == Start::Snapshot && draw.fork(3).unit() >= KEPT {
                continue;
            }
            let stored = match self.case.start {
                Start::Together => START,
                Start::Spread if self.case.keys == 1 => START,
                Start::Spread => START - self.case.ttl.scale(draw.fork(1).unit()),
                Start::Empty | Start::Expired | Start::Snapshot => START - self.case.ttl - EXPIRED_SINCE,
            };
            let (started, fence) = (stored - self.case.load, self.next_fence());
            let stamping =
                Stamping { kind: Kind::Value, started, finished: stored, fence, ttl: None, p99: None, ewma: None };
            let meta = stamp(stamping, &self.policy, draw.fork(2));
            self.tier.fill(key as usize, &meta, START);
            self.values.iter_mut().skip(key as usize).step_by(self.case.keys as usize).for_each(|v| *v = Some(meta));
        }
    }

    pub(super) fn run(mut self) -> Outcome {
        let end = START + self.case.length;
        let mut cut_short = false;
        while self.now < end && !cut_short {
            self.catch_up();
            self.measure();
            self.requests();
            self.now = self.now + Span(1);
            cut_short = self.tasks.len() > MOST_TASKS;
        }
        // Nobody else comes; those who wait are answered.
        while !cut_short && let Some(Reverse((at, ..))) = self.queue.peek() {
            self.now = *at;
            self.catch_up();
            cut_short = self.tasks.len() > MOST_TASKS;
        }
        self.record.outcome(self.case, self.set, self.seed, cut_short)
    }

    fn catch_up(&mut self) {
        while let Some(Reverse((at, _, event))) = self.queue.peek().copied()
            && at <= self.now
        {
            self.queue.pop();
            self.happen(event);
        }
    }

    fn requests(&mut self) {
        let at = self.now.since(START);
        let n = self.crowd.count(at);
        if n == 0 {
            return;
        }
        self.record.arrived(n, self.now);
        if self.all_calm() {
            self.count(at, n);
            return;
        }
        for request in self.crowd.requests(at) {
            self.ask(request);
        }
    }

    /// Requests that every value answers, whatever the draw.
    fn count(&mut self, at: Span, n: u32) {
        self.record.ended(u64::from(n), Ending::Fresh, Span::ZERO, self.now);
        if self.set == PolicySet::Direct {
            self.record.polls(u64::from(n), self.now);
        }
        // Only a lead asks how often a value was read.
        if matches!(self.set, PolicySet::Lead | PolicySet::Full) {
            for request in self.crowd.requests(at) {
                let place = self.place(request.process, request.key);
                self.hits[place] = self.hits[place].saturating_add(1);
            }
        }
    }

    fn all_calm(&mut self) -> bool {
        if self.calm == Calm::Decided || self.set.ramp().is_some() {
            return false;
        }
        if self.now < self.calm_until {
            return true;
        }
        if self.now.since(START).0.is_multiple_of(LOOK_EVERY.0) {
            let values = self.values.iter().map(|value| value.map_or(Tick(0), |meta| meta.calm_until()));
            // As soon as one is not calm the others don't matter: a fleet has a million values.
            let least = |least: Tick, calm: Tick| (calm > self.now).then_some(least.min(calm));
            let calm = values.chain(self.dies.iter().copied()).try_fold(Tick::NEVER, least);
            self.calm_until = calm.unwrap_or_default();
        }
        self.now < self.calm_until
    }

    /// When the run began.
    pub(super) fn start(&self) -> Tick {
        START
    }

    /// Whether a fleet that warms up lets this request in.
    pub(super) fn lets_in(&self, draw: Draw) -> bool {
        let share = |over: Span| self.now.since(START).0 as f64 / over.0 as f64;
        self.set.ramp().is_none_or(|over| draw.fork(RAMP).unit() < share(over))
    }

    /// Whether what is in memory is still believed.
    pub(super) fn remembers(&self, place: usize) -> bool {
        self.dies.get(place).is_none_or(|dies| self.now < *dies)
    }

    /// Where a process finds a key's value.
    pub(super) fn place(&self, process: u32, key: u32) -> usize {
        let own = self.set.remembers() && self.case.memory != Memory::None;
        let store = if own { process as usize } else { 0 };
        store * self.case.keys as usize + key as usize
    }

    /// A value is resident from now on.
    pub(super) fn keep(&mut self, place: usize, meta: Meta) {
        self.values[place] = Some(meta);
        self.hits[place] = 0;
        self.calm_until = self.calm_until.min(meta.calm_until());
        if let Memory::For(span) = self.case.memory {
            let off = span.scale(SHORTER * self.draw().unit());
            self.dies[place] = self.now + Span(span.0 - off.0);
            self.calm_until = self.calm_until.min(self.dies[place]);
        }
    }

    pub(super) fn after(&mut self, span: Span, event: Event) {
        self.scheduled += 1;
        self.queue.push(Reverse((self.now + span, self.scheduled, event)));
    }

    pub(super) fn draw(&mut self) -> Draw {
        self.drawn += 1;
        self.draws.fork(self.drawn)
    }

    pub(super) fn next_fence(&mut self) -> Fence {
        self.fence = self.fence.next(self.now.0 * 1000);
        self.fence
    }
}
