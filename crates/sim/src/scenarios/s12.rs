//! S12: the node that holds a hot key dies.
//!
//! Nodes of the shared tier bear so many reads a second each; keys are placed on them by the core's own ring. Time runs
//! in steps of a millisecond. A node that is asked for more than it bears keeps its readers waiting, and one that does
//! so for long is taken for dead as well: that is how a cascade begins.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_core::draw::Draw;
use bellwether_core::heat::sketch::Id;
use bellwether_core::ring::{rendezvous, split};
use bellwether_core::time::{Span, Tick};

use super::figure::Figure;
use super::name::Scenario;
use super::promoted::{Promoted, copies};
use super::study::{About, Goal, Height, Level, Picture, Run, Set, Sizes, Study};
use super::watch::Watcher;
use crate::fleet::{Poisson, masses};
use crate::parallel::side_by_side;

const START: Tick = Tick(1_000_000_000);
/// The node dies here, long after its key was found to be hot.
const FROM: Span = Span::secs(4);
const LENGTH: Span = Span::secs(12);
const NODES: usize = 10;
const KEYS: u32 = 20_000;
/// The hot key's name.
const HOT: &[u8] = b"product:1";
/// What a node bears, in reads of the hot key: it bears that one, and a tenth of all others, and not two such parts.
const SPARE: f64 = 1.25;
/// For so long after the death was noticed loads are compared: what is asked of each node, answered or not.
const COMPARED: Span = Span::secs(1);
/// A read that waits longer for its node has failed.
const TIMEOUT: Span = Span::ms(250);
/// A node whose readers waited so long, for so many milliseconds in a row, is taken for dead by everybody.
const PATIENCE: u64 = 1_000;
/// Until a dead node is known to be dead, a read of it waits for a connection that does not come.
const NOTICED: Span = Span::ms(100);
/// Numbers of keys to ids that look like hashes.
const IDS: Draw = Draw(0x12D5);
/// Numbers of nodes to their names' hashes.
const NAMES: Draw = Draw(0x0DE5);

struct Node {
    variant: &'static str,
    says: &'static str,
    instances: u32,
    /// Reads a second of the hot key, and of all others.
    hot: f64,
    others: f64,
    /// What a node bears.
    capacity: f64,
    /// Whether the space allows that the key is held in memory for a moment.
    memory: bool,
}

const SETS: [Set; 3] = [
    Set {
        word: "naive",
        says: "a ring with a point for each node: what a dead node had goes to the next one",
        level: Level::Naive,
    },
    Set {
        word: "partial",
        says: "keys by rendezvous: a dead node's keys go to all others, the hot key to one of them",
        level: Level::Partial,
    },
    Set {
        word: "full",
        says: "rendezvous, and the hot key found, promoted or split as the plan says",
        level: Level::Full,
    },
];

pub(super) fn studies(sizes: &Sizes) -> Vec<Box<dyn Study>> {
    let scale = if sizes.small { 0.1 } else { 1.0 };
    let hot = sizes.rate.unwrap_or(80_000.0 * scale);
    let of = |variant, says, memory| -> Box<dyn Study> {
        let instances = sizes.processes.unwrap_or(if sizes.small { 10 } else { 50 });
        Box::new(Node { variant, says, instances, hot, others: hot * 1.5, capacity: hot * SPARE, memory })
    };
    vec![
        of("promoted", "the node that holds a key at 80,000 requests/s dies; copies in memory are allowed", true),
        of("split", "the node that holds a key at 80,000 requests/s dies; no staleness is allowed", false),
    ]
}

impl Study for Node {
    fn about(&self) -> About {
        let staleness = if self.memory { "a budget of 2 s" } else { "none" };
        let copies = copies(self.instances, self.capacity, self.hot, NODES as u32, self.memory);
        About {
            scenario: Scenario::S12,
            variant: self.variant,
            says: self.says.to_owned(),
            parameters: vec![
                ("nodes of the shared tier", format!("{NODES}, {}/s each", self.capacity)),
                ("instances", self.instances.to_string()),
                ("the hot key", format!("{}/s", self.hot)),
                ("other keys", format!("{KEYS} (Zipf 0.7), {}/s", self.others)),
                ("staleness allowed", staleness.to_owned()),
                ("copies by the plan", copies.to_string()),
                ("a read fails after", TIMEOUT.to_string()),
                ("a dead node is noticed after", NOTICED.to_string()),
                ("a node is given up after", format!("{PATIENCE} ms of failing")),
            ],
            sets: SETS.to_vec(),
            measure: Figure::NodeLoad,
            bound: 1.0,
            bound_says: "what the dead node had is spread evenly",
            columns: vec![Figure::Failures, Figure::Failed, Figure::NodesLost, Figure::Loads, Figure::WaitMax],
            goals: vec![
                Goal::at_most(Figure::NodeLoad, 1.3),
                Goal::at_most(Figure::Failures, 0.0),
                Goal::at_most(Figure::NodesLost, 1.0),
            ],
            length: LENGTH,
            bin: Span::ms(50),
            shade: Some((FROM, LENGTH)),
        }
    }

    fn run(&self, sets: &[usize], seed: u64) -> Result<Vec<Run>, String> {
        if self.instances == 0 {
            return Err("a fleet has at least one instance".to_owned());
        }
        Ok(side_by_side(sets, |set| Course::new(self, SETS[*set].level, seed).run()))
    }
}

#[derive(Clone, Default)]
struct Server {
    alive: bool,
    /// Since when everybody knows that it is dead.
    missed_from: Option<u64>,
    backlog: f64,
    failing: u64,
    /// Reads of the stretch that is measured.
    reads: u64,
    bin: u64,
}

struct Course<'a> {
    of: &'a Node,
    level: Level,
    draws: Draw,
    servers: Vec<Server>,
    watches: Vec<Watcher>,
    promoted: Vec<Option<Promoted>>,
    hot_id: Id,
    split: u16,
    /// Nodes of the hot key's copies, its own among them.
    places: Vec<usize>,
    failed: u64,
    requests: u64,
    longest: Span,
    /// Keys that an instance loaded because their node did not answer.
    loads: BTreeSet<(usize, Id)>,
    busiest: Vec<f64>,
}

impl<'a> Course<'a> {
    fn new(of: &'a Node, level: Level, seed: u64) -> Course<'a> {
        let instances = if level == Level::Full { of.instances } else { 0 };
        Course {
            of,
            level,
            draws: Draw(seed).fork(0x512),
            servers: vec![Server { alive: true, ..Server::default() }; NODES],
            watches: (0..instances).map(|_| Watcher::new(of.instances, of.capacity, START)).collect(),
            promoted: (0..of.instances).map(|_| None).collect(),
            hot_id: Id(IDS.fork(u64::MAX).0),
            split: 1,
            places: Vec::new(),
            failed: 0,
            requests: 0,
            longest: Span::ZERO,
            loads: BTreeSet::new(),
            busiest: Vec::new(),
        }
    }

    fn run(mut self) -> Run {
        let hot = Poisson::of(self.of.hot / 1000.0);
        let others = Poisson::of(self.of.others / 1000.0);
        let below = masses(KEYS, 0.7);
        let whole = below.last().copied().unwrap_or(1.0);
        self.place_copies();
        let doomed = self.owner(self.hot_id);
        for ms in 0..LENGTH.0 {
            let (now, of_ms) = (START + Span(ms), self.draws.fork(ms));
            if ms == FROM.0 {
                self.dies(doomed, ms);
            }
            if ms.is_multiple_of(100) && ms > 0 {
                self.window(now, of_ms.fork(1));
            }
            for number in 0..hot.draw(of_ms.fork(2)) {
                self.asks(self.hot_id, of_ms.fork(3).fork(u64::from(number)), now, ms);
            }
            for number in 0..others.draw(of_ms.fork(4)) {
                let draw = of_ms.fork(5).fork(u64::from(number));
                let key = below.partition_point(|mass| *mass <= draw.fork(9).unit() * whole);
                self.asks(Id(IDS.fork(key as u64).0), draw, now, ms);
            }
            self.work(ms);
        }
        self.told()
    }

    /// The node of a key, among those that are not known to be dead.
    fn owner(&self, id: Id) -> usize {
        let known = |node: usize| self.servers[node].missed_from.is_none();
        let score = |node: usize| NAMES.fork(node as u64).fork(id.0).0;
        if self.level == Level::Naive {
            // One point each: the next one on the circle that is not known to be dead.
            let at = (0..NODES).max_by_key(|node| score(*node)).unwrap_or(0);
            return (0..NODES).map(|step| (at + step) % NODES).find(|node| known(*node)).unwrap_or(at);
        }
        let left: Vec<usize> = (0..NODES).filter(|node| known(*node)).collect();
        let best = rendezvous::owner(left.iter().map(|node| score(*node)));
        best.and_then(|at| left.get(at)).copied().unwrap_or(0)
    }

    /// Where the hot key and its copies lie: salts and names are the core's.
    fn place_copies(&mut self) {
        let of_name = |name: &[u8]| Id(name.iter().fold(IDS, |hash, byte| hash.fork(u64::from(*byte))).0);
        let own = self.owner(self.hot_id);
        let owner = |name: &[u8]| Some(if name == HOT { own } else { self.owner(of_name(name)) });
        let salts = split::salts(HOT, usize::from(self.split - 1), owner);
        let copies = salts.iter().map(|salt| self.owner(of_name(&split::name(*salt, HOT))));
        self.places = std::iter::once(own).chain(copies).collect();
    }

    fn dies(&mut self, node: usize, ms: u64) {
        self.servers[node].alive = false;
        self.servers[node].failing = ms;
    }

    fn asks(&mut self, id: Id, draw: Draw, now: Tick, ms: u64) {
        self.requests += 1;
        let instance = (((draw.0 >> 32) * u64::from(self.of.instances)) >> 32) as usize;
        let hot = id == self.hot_id;
        if let Some(watch) = self.watches.get_mut(instance)
            && watch.read(id, draw.fork(1), now)
        {
            self.found(instance, id);
        }
        let mut rescued = false;
        if let Some(Some(promoted)) = self.promoted.get_mut(instance).filter(|_| hot) {
            if !promoted.asks_again(draw.fork(2), now) {
                return;
            }
            // The copy is a rescue: it is within its grace.
            rescued = true;
        }
        let mut node = if hot { self.one_of_the_copies(draw.fork(3)) } else { self.owner(id) };
        if !self.servers[node].alive {
            self.longest = self.longest.max(NOTICED);
            match self.level {
                Level::Naive | Level::Partial => return self.failed += 1,
                // The copy in memory is within its grace, or there is another one on another node.
                Level::Full if rescued => return,
                Level::Full if hot && self.split > 1 => node = self.another_copy(node),
                // The tier does not answer: each instance loads the key once, under its origin's guard.
                Level::Full => {
                    self.loads.insert((instance, id));
                    return;
                }
            }
        }
        let server = &mut self.servers[node];
        server.bin += 1;
        let noticed = FROM.0 + NOTICED.0;
        server.reads += u64::from((noticed..noticed + COMPARED.0).contains(&ms));
        let wait = Span((server.backlog * 1000.0 / self.of.capacity) as u64);
        self.longest = self.longest.max(wait.at_most(TIMEOUT));
        if wait >= TIMEOUT {
            if !rescued {
                self.failed += 1;
            }
            return;
        }
        server.backlog += 1.0;
    }

    /// Which copy is asked, or the key itself where there is none.
    fn one_of_the_copies(&self, draw: Draw) -> usize {
        let busy: Vec<u32> = self.places.iter().map(|node| self.servers[*node].backlog as u32).collect();
        self.places.get(split::pick(&busy, draw)).copied().unwrap_or(0)
    }

    /// Where a split key lies besides.
    fn another_copy(&self, dead: usize) -> usize {
        let living = self.places.iter().copied().filter(|node| *node != dead && self.servers[*node].alive);
        let busy = |node: &usize| self.servers[*node].backlog;
        living.min_by(|one, other| busy(one).total_cmp(&busy(other))).unwrap_or(dead)
    }

    /// An instance found a key to be hot.
    fn found(&mut self, instance: usize, id: Id) {
        if id != self.hot_id || self.promoted[instance].is_some() {
            return;
        }
        let hot = self.watches[instance].hot(id);
        if self.of.memory {
            self.promoted[instance] = Promoted::planned(hot, self.of.instances, self.of.capacity, self.of.hot);
        } else {
            let copies = copies(self.of.instances, self.of.capacity, self.of.hot, NODES as u32, false);
            if copies > self.split {
                self.split = copies;
                self.place_copies();
            }
        }
    }

    fn window(&mut self, now: Tick, draw: Draw) {
        for instance in 0..self.watches.len() {
            let watch = &mut self.watches[instance];
            let told = watch.turn(now, draw.fork(instance as u64));
            let hot: Vec<Id> = watch.all_hot().collect();
            for id in hot {
                self.found(instance, id);
            }
            for other in (0..self.watches.len()).filter(|other| *other != instance) {
                self.watches[other].hear(instance as u64, &told, now);
            }
        }
    }

    /// Every node works for a millisecond.
    fn work(&mut self, ms: u64) {
        let mut news = false;
        for node in 0..NODES {
            let server = &mut self.servers[node];
            if !server.alive {
                if server.missed_from.is_none() && ms >= server.failing + NOTICED.0 {
                    server.missed_from = Some(ms);
                    news = true;
                }
                continue;
            }
            let full = server.backlog * 1000.0 / self.of.capacity >= TIMEOUT.0 as f64;
            server.failing = if full { server.failing + 1 } else { 0 };
            server.backlog = (server.backlog - self.of.capacity / 1000.0).max(0.0);
            if server.failing >= PATIENCE {
                self.dies(node, ms);
            }
        }
        if news {
            self.place_copies();
        }
        if (ms + 1).is_multiple_of(50) {
            let busiest = self.servers.iter().map(|server| server.bin).max().unwrap_or(0);
            self.busiest.push(busiest as f64 * 20.0);
            self.servers.iter_mut().for_each(|server| server.bin = 0);
        }
    }

    fn told(self) -> Run {
        let asked: Vec<f64> = self.servers.iter().map(|server| server.reads as f64).filter(|n| *n > 0.0).collect();
        let mean = asked.iter().sum::<f64>() / asked.len().max(1) as f64;
        let most = asked.iter().copied().fold(0.0, f64::max);
        let lost = self.servers.iter().filter(|server| !server.alive).count();
        let load = most / mean.max(1.0);
        Run {
            figures: BTreeMap::from([
                (Figure::NodeLoad, load),
                (Figure::Failures, self.failed as f64),
                (Figure::Failed, self.failed as f64 / self.requests.max(1) as f64),
                (Figure::NodesLost, lost as f64),
                (Figure::Loads, self.loads.len() as f64),
                (Figure::WaitMax, self.longest.0 as f64),
                (Figure::Requests, self.requests as f64),
            ]),
            pictures: vec![Picture::of(
                "reads per second at the busiest node",
                Height::Even,
                "origin",
                self.busiest.clone(),
            )],
            more: vec![("busiest_node_reads_per_s", self.busiest)],
            cut_short: false,
        }
    }
}
