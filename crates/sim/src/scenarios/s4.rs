//! S4: one key goes viral.
//!
//! The space has no memory of its own: every read goes to the shared tier, until the key is found to be hot and is
//! promoted into each instance's memory. Time runs in steps of a millisecond; a node is a queue of a known speed.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_core::draw::Draw;
use bellwether_core::heat::fleet::Told;
use bellwether_core::heat::policy::WINDOW;
use bellwether_core::heat::sketch::Id;
use bellwether_core::time::{Span, Tick};

use super::figure::Figure;
use super::name::Scenario;
use super::promoted::{Promoted, planned};
use super::study::{About, Goal, Height, Level, Picture, Run, Set, Sizes, Study};
use super::watch::Watcher;
use crate::fleet::{Poisson, masses};
use crate::parallel::side_by_side;

const START: Tick = Tick(1_000_000_000);
/// The spike begins here.
const FROM: Span = Span::secs(3);
const LENGTH: Span = Span::secs(73);
/// At the end everything is as it will be for so long: thirty lives of a copy. Of ten one read more or less would be a tenth
/// of the figure, as instances that promote together ask together for a while.
const SETTLED: Span = Span::secs(60);
/// What is drawn: it is found at once or not at all.
const SHOWN: Span = Span::secs(13);
/// Before and after.
const CALM_RATE: f64 = 500.0;
/// One way between instances.
const HOP: Span = Span::ms(1);
/// A request that waits longer for its node is slow.
const SLOW: Span = Span::ms(50);
/// A request that waits longer has failed.
const TIMEOUT: Span = Span::secs(1);
/// What a center of its own looks at that counts for all.
const CENTRAL: Span = Span::secs(2);
/// In which time the fleet must have found it; and half of instances that see 320 requests or more in a window.
const FLEET: Span = Span::ms(300);
const LOCAL: Span = Span::ms(30);
/// Nodes of the shared tier; the viral key lies on one of them.
const NODES: f64 = 6.0;
/// The viral key; others follow it.
const VIRAL: Id = Id(1);
/// Numbers of keys to ids that look like hashes.
const IDS: Draw = Draw(0x1D5);
/// Requests for all other keys.
const OTHERS: u32 = 20_000;

struct Viral {
    variant: &'static str,
    says: &'static str,
    instances: u32,
    rate: f64,
    others: f64,
    /// Operations a second that a node bears.
    capacity: f64,
    /// In which time half of the instances must have found it.
    found: Span,
}

const SETS: [Set; 3] = [
    Set { word: "naive", says: "every read goes to the shared tier", level: Level::Naive },
    Set {
        word: "partial",
        says: "a center counts for all, in windows of 2 s, and tells everybody what is hot",
        level: Level::Partial,
    },
    Set {
        word: "full",
        says: "each instance counts for itself, and promotes what is hot into its memory",
        level: Level::Full,
    },
];

pub(super) fn studies(sizes: &Sizes) -> Vec<Box<dyn Study>> {
    let scale = if sizes.small { 0.1 } else { 1.0 };
    let rate = sizes.rate.unwrap_or(80_000.0 * scale);
    let of = |variant, says, instances, found| -> Box<dyn Study> {
        Box::new(Viral {
            variant,
            says,
            instances: sizes.processes.unwrap_or(instances),
            rate,
            others: rate / 4.0,
            capacity: rate / 2.0,
            found,
        })
    };
    let (many, few) = if sizes.small { (10, 5) } else { (50, 25) };
    vec![
        of("50 instances", "one key goes from 500 to 80,000 requests/s in a moment; 50 instances", many, FLEET),
        of("25 instances", "the same, so that each instance sees 320 requests for it in a window", few, LOCAL),
    ]
}

impl Viral {
    /// For how long the plan promotes the key.
    fn hold(&self) -> Option<Span> {
        planned(self.instances, self.capacity, self.rate)
    }

    fn bound(&self) -> (f64, &'static str) {
        match self.hold() {
            Some(hold) => (
                f64::from(self.instances) * 1000.0 / hold.0 as f64,
                "instances / the time for which the plan promotes: each asks once in it",
            ),
            None => (0.0, "nothing is promoted"),
        }
    }
}

impl Study for Viral {
    fn about(&self) -> About {
        let hold = self.hold();
        let (bound, bound_says) = self.bound();
        About {
            scenario: Scenario::S4,
            variant: self.variant,
            says: self.says.to_owned(),
            parameters: vec![
                ("instances", self.instances.to_string()),
                ("the key", format!("{CALM_RATE}/s, from {FROM} on {}/s", self.rate)),
                ("other keys", format!("{OTHERS} (Zipf 0.9), {}/s", self.others)),
                ("nodes of the shared tier", format!("{NODES}, {}/s each", self.capacity)),
                ("a request is slow from", SLOW.to_string()),
                ("it fails after", TIMEOUT.to_string()),
                ("promoted for", hold.map_or("-".to_owned(), |hold| hold.to_string())),
                ("memory", "off for this space, until a key is promoted".to_owned()),
                ("invalidations", "are heard over the backplane, and end copies".to_owned()),
            ],
            sets: SETS.to_vec(),
            measure: Figure::SharedReads,
            bound,
            bound_says,
            columns: vec![
                Figure::DetectedByHalf,
                Figure::Detected,
                Figure::Slow,
                Figure::Failures,
                Figure::WaitMax,
                Figure::FalseAlarms,
            ],
            goals: vec![
                Goal::at_most(Figure::DetectedByHalf, self.found.0 as f64),
                Goal::at_most(Figure::Detected, FLEET.0 as f64),
                Goal::at_most(Figure::Slow, 0.0),
                Goal::at_most(Figure::Failures, 0.0),
                // A copy lives up to a tenth shorter, so that instances do not ask together.
                Goal::at_most(Figure::SharedReads, 1.1 * bound),
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

/// One set's run.
struct Course<'a> {
    of: &'a Viral,
    level: Level,
    draws: Draw,
    instances: Vec<Instance>,
    /// Reads that wait at the viral key's node.
    backlog: f64,
    /// What others told, on its way: when it arrives, who said it.
    mail: Vec<(Tick, u32, Vec<Told>)>,
    /// Of the central count: reads of the viral key in its window.
    counted: u64,
    slow: u64,
    failed: u64,
    longest: Span,
    /// Reads of the shared tier for the key, by millisecond.
    reads: Vec<u32>,
    alarms: BTreeSet<Id>,
}

struct Instance {
    watch: Watcher,
    hot: Option<Promoted>,
    since: Option<Tick>,
}

impl<'a> Course<'a> {
    fn new(of: &'a Viral, level: Level, seed: u64) -> Course<'a> {
        let instance = |_| Instance { watch: Watcher::new(of.instances, of.capacity, START), hot: None, since: None };
        Course {
            of,
            level,
            draws: Draw(seed).fork(0x54),
            instances: (0..of.instances).map(instance).collect(),
            backlog: 0.0,
            mail: Vec::new(),
            counted: 0,
            slow: 0,
            failed: 0,
            longest: Span::ZERO,
            reads: vec![0; LENGTH.0 as usize],
            alarms: BTreeSet::new(),
        }
    }

    fn run(mut self) -> Run {
        let (calm, spike) = (Poisson::of(CALM_RATE / 1000.0), Poisson::of(self.of.rate / 1000.0));
        let others = Poisson::of(self.of.others / 1000.0);
        let below = masses(OTHERS, 0.9);
        let whole = below.last().copied().unwrap_or(1.0);
        for ms in 0..LENGTH.0 {
            let (now, of_ms) = (START + Span(ms), self.draws.fork(ms));
            if ms % WINDOW.0 == 0 && ms > 0 {
                self.window(now, of_ms.fork(1));
            }
            self.post(now);
            let table = if ms < FROM.0 { &calm } else { &spike };
            let mut arrived = 0;
            for number in 0..table.draw(of_ms.fork(2)) {
                arrived += u32::from(self.asks(VIRAL, of_ms.fork(3).fork(u64::from(number)), now));
            }
            for number in 0..others.draw(of_ms.fork(4)) {
                let draw = of_ms.fork(5).fork(u64::from(number));
                let key = below.partition_point(|mass| *mass <= draw.fork(9).unit() * whole);
                // Others lie on other nodes, but for their share of this one.
                let _elsewhere = self.asks(Id(IDS.fork(key as u64).0), draw, now);
            }
            self.node(ms, arrived, self.of.others / NODES / 1000.0);
        }
        self.told()
    }

    /// A read of a key at some instance. True: it goes to the shared tier.
    fn asks(&mut self, id: Id, draw: Draw, now: Tick) -> bool {
        let instance = ((draw.0 >> 32) * u64::from(self.of.instances)) >> 32;
        let Some(it) = self.instances.get_mut(instance as usize) else { return true };
        let viral = id == VIRAL;
        match self.level {
            Level::Naive => {}
            Level::Partial => self.counted += u64::from(viral),
            Level::Full => {
                if it.watch.read(id, draw.fork(1), now) {
                    promote(it, id, self.of, now, &mut self.alarms);
                }
            }
        }
        match &mut it.hot {
            Some(hot) if viral => hot.asks_again(draw.fork(2), now),
            _ => true,
        }
    }

    /// The end of a window of the detectors.
    fn window(&mut self, now: Tick, draw: Draw) {
        match self.level {
            Level::Naive => {}
            Level::Partial => {
                if now.since(START).0.is_multiple_of(CENTRAL.0) {
                    let rate = self.counted as f64 * 1000.0 / CENTRAL.0 as f64;
                    self.counted = 0;
                    if rate >= self.of.capacity / 2.0 {
                        for it in &mut self.instances {
                            promote(it, VIRAL, self.of, now, &mut self.alarms);
                        }
                    }
                }
            }
            Level::Full => {
                for number in 0..self.of.instances {
                    let it = &mut self.instances[number as usize];
                    let told = it.watch.turn(now, draw.fork(u64::from(number)));
                    let hot: Vec<Id> = it.watch.all_hot().collect();
                    for id in hot {
                        promote(it, id, self.of, now, &mut self.alarms);
                    }
                    if !told.is_empty() {
                        self.mail.push((now + HOP, number, told));
                    }
                }
            }
        }
    }

    /// What others told arrives.
    fn post(&mut self, now: Tick) {
        let due = self.mail.partition_point(|(at, ..)| *at <= now);
        for (_, sender, told) in self.mail.drain(..due) {
            for (number, it) in (0..).zip(&mut self.instances) {
                if number != sender {
                    it.watch.hear(u64::from(sender), &told, now);
                }
            }
        }
    }

    /// The viral key's node works for a millisecond.
    fn node(&mut self, ms: u64, arrived: u32, others: f64) {
        let per_ms = self.of.capacity / 1000.0;
        self.reads[ms as usize] = arrived;
        let wait = Span((self.backlog / per_ms) as u64);
        if arrived > 0 {
            self.longest = self.longest.max(wait.at_most(TIMEOUT));
        }
        if wait > SLOW {
            self.slow += u64::from(arrived);
        }
        if wait >= TIMEOUT {
            // They leave the queue in time: nobody waits longer.
            self.failed += u64::from(arrived);
        } else {
            self.backlog += f64::from(arrived) + others;
        }
        self.backlog = (self.backlog - per_ms).max(0.0);
    }

    fn told(self) -> Run {
        let spike = START + FROM;
        let mut found: Vec<f64> = self
            .instances
            .iter()
            .map(|it| it.since.map_or(f64::INFINITY, |since| since.since(spike).0 as f64))
            .collect();
        found.sort_by(f64::total_cmp);
        let (by_half, by_all) = (found[(found.len() - 1) / 2], found[found.len() - 1]);
        let settled: u32 = self.reads[(LENGTH.0 - SETTLED.0) as usize..].iter().sum();
        let series: Vec<f64> = self.reads.chunks(50).map(|few| f64::from(few.iter().sum::<u32>()) * 20.0).collect();
        let bound = self.of.bound().0;
        let shown = series[..(SHOWN.0 / 50) as usize].to_vec();
        Run {
            figures: BTreeMap::from([
                (Figure::SharedReads, f64::from(settled) * 1000.0 / SETTLED.0 as f64),
                (Figure::DetectedByHalf, by_half),
                (Figure::Detected, by_all),
                (Figure::Slow, self.slow as f64),
                (Figure::Failures, self.failed as f64),
                (Figure::WaitMax, self.longest.0 as f64),
                (Figure::FalseAlarms, self.alarms.len() as f64),
            ]),
            pictures: vec![
                Picture::of("reads of the key at its node per second", Height::Decades, "origin", shown)
                    .bounded((bound > 0.0).then_some(bound)),
            ],
            more: vec![("shared_reads_per_s", series)],
            cut_short: false,
        }
    }
}

fn promote(it: &mut Instance, id: Id, of: &Viral, now: Tick, alarms: &mut BTreeSet<Id>) {
    if id != VIRAL {
        alarms.insert(id);
        return;
    }
    if it.hot.is_none() {
        let hot = it.watch.hot(id);
        it.hot = Promoted::planned(hot, of.instances, of.capacity, of.rate);
        it.since = it.hot.as_ref().map(|_| now);
    }
}
