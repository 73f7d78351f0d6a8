//! S1, while it is sold: a key that is removed 500 times a second while 10,000 requests a second ask for it.
//!
//! Each removal follows a write of the row, so whoever asks after it was answered must not get an older row. A load reads
//! its row as it begins: whatever is written afterwards overtakes it. The whole set decides by the core's flights and
//! floors, as the engine does; time runs in steps of a millisecond, whose requests and removals come in a drawn order.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use bellwether_core::draw::Draw;
use bellwether_core::fence::{Fence, Floor, Invalidation};
use bellwether_core::loadtimes::LoadTimes;
use bellwether_core::policy::Priority;
use bellwether_core::read::decide::Demand;
use bellwether_core::read::flight::{Asker, FlightId, Flights, Join};
use bellwether_core::time::{Span, Tick};
use bellwether_core::write::keep::{Newness, Resident, may_keep};

use super::figure::Figure;
use super::name::Scenario;
use super::study::{About, Goal, Height, Level, Picture, Run, Set, Sizes, Study};
use crate::fleet::{MOST_REQUESTS, Poisson};
use crate::parallel::side_by_side;

const START: Tick = Tick(1_000_000_000);
const LENGTH: Span = Span::secs(20);
const BIN: Span = Span::ms(100);
/// What is asked for, and removed, a second.
const READS: f64 = 10_000.0;
const REMOVALS: f64 = 500.0;
/// A load takes so long on average, and spreads by a lognormal's sigma.
const LOAD: Span = Span::ms(20);
const SPREAD: f64 = 0.3;
/// A caller's.
const TIMEOUT: Span = Span::secs(1);
/// A successor waits so long for an overtaken load while load times are unknown: as the engine's does.
const HEDGE_UNKNOWN: Span = Span::ms(50);
/// Loads of one run; more cut it short.
const MOST_LOADS: usize = 5_000_000;

/// What a process does against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Defence {
    None,
    Coalesced,
    Fenced,
    Whole,
}

const SETS: [(Set, Defence); 4] = [
    (
        Set {
            word: "naive",
            says: "whoever finds nothing loads and stores what came; a removal deletes what is there",
            level: Level::Naive,
        },
        Defence::None,
    ),
    (
        Set {
            word: "coalesced",
            says: "whoever finds nothing waits for the load that runs, whenever it began",
            level: Level::Partial,
        },
        Defence::Coalesced,
    ),
    (
        Set {
            word: "fenced",
            says: "whoever finds nothing loads; what a removal overtook is not kept",
            level: Level::Partial,
        },
        Defence::Fenced,
    ),
    (
        Set {
            word: "full",
            says: "coalesced; what a removal overtook is neither kept nor joined, and one successor waits for it",
            level: Level::Full,
        },
        Defence::Whole,
    ),
];

pub(super) struct Storm {
    rate: f64,
    length: Span,
}

pub(super) fn study(sizes: &Sizes) -> Box<dyn Study> {
    let length = if sizes.small { Span::secs(3) } else { LENGTH };
    Box::new(Storm { rate: sizes.rate.unwrap_or(READS), length })
}

impl Study for Storm {
    fn about(&self) -> About {
        About {
            scenario: Scenario::S1,
            variant: "removals",
            says: "a key is removed 500 times a second, each time after its row was written, while it is asked for"
                .to_owned(),
            parameters: vec![
                ("processes", "1".to_owned()),
                ("requests", format!("{}/s", self.rate)),
                ("removals", format!("{REMOVALS}/s")),
                ("run", self.length.to_string()),
                ("a load takes", format!("{LOAD} (lognormal, sigma {SPREAD})")),
                ("a caller waits", TIMEOUT.to_string()),
            ],
            sets: SETS.iter().map(|(set, _)| *set).collect(),
            measure: Figure::PeakAtOrigin,
            bound: 1.0,
            bound_says: "one load at a time; a second one is its successor, where the first was overtaken and is slow",
            columns: vec![
                Figure::Older,
                Figure::Failures,
                Figure::Loads,
                Figure::Requests,
                Figure::WaitP50,
                Figure::WaitP99,
                Figure::WaitMax,
            ],
            goals: vec![
                Goal::at_most(Figure::PeakAtOrigin, 2.0),
                Goal::at_most(Figure::Older, 0.0),
                Goal::at_most(Figure::Failures, 0.0),
            ],
            length: self.length,
            bin: BIN,
            shade: None,
        }
    }

    fn run(&self, sets: &[usize], seed: u64) -> Result<Vec<Run>, String> {
        if !(self.rate.is_finite() && self.rate > 0.0) {
            return Err(format!("expected a rate above zero, found {}", self.rate));
        }
        if self.rate * self.length.0 as f64 / 1000.0 > MOST_REQUESTS {
            return Err(format!(
                "{}/s for {} are more than the limit of 4,000,000,000 requests",
                self.rate, self.length
            ));
        }
        Ok(side_by_side(sets, |set| Process::new(self, SETS[*set].1, seed).run()))
    }
}

/// Somebody who asked: when, and the newest version whose removal had been answered by then.
#[derive(Clone, Copy)]
struct Caller {
    came: Tick,
    due: u64,
}

/// One load.
struct Load {
    fence: Fence,
    /// The row that it read.
    version: u64,
    began: Tick,
    callers: Vec<Caller>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The origin has answered.
    Answer,
    /// A successor has waited long enough for an older load.
    Turn,
}

struct Process<'a> {
    of: &'a Storm,
    defence: Defence,
    draws: Draw,
    now: Tick,
    /// Of the row.
    version: u64,
    fence: Fence,
    floor: Floor,
    flights: Flights,
    held: Option<(Fence, u64)>,
    times: LoadTimes,
    /// By number; gone when they have ended.
    loads: Vec<Option<Load>>,
    due: BinaryHeap<Reverse<(Tick, usize, Event)>>,
    running: usize,
    told: Told,
}

/// What is counted.
struct Told {
    requests: u64,
    older: u64,
    failed: u64,
    at_once: usize,
    /// How many waited how long, in milliseconds.
    waits: BTreeMap<u64, u64>,
    most: Vec<f64>,
    stale: Vec<f64>,
}

impl<'a> Process<'a> {
    fn new(of: &'a Storm, defence: Defence, seed: u64) -> Process<'a> {
        let bins = ((of.length + TIMEOUT).0.div_ceil(BIN.0) + 1) as usize;
        Process {
            of,
            defence,
            draws: Draw(seed).fork(0x5708),
            now: START,
            version: 1,
            fence: Fence::ZERO,
            floor: Floor::NONE,
            flights: Flights::default(),
            held: None,
            times: LoadTimes::default(),
            loads: Vec::new(),
            due: BinaryHeap::new(),
            running: 0,
            told: Told {
                requests: 0,
                older: 0,
                failed: 0,
                at_once: 0,
                waits: BTreeMap::new(),
                most: vec![0.0; bins],
                stale: vec![0.0; bins],
            },
        }
    }

    fn run(mut self) -> Run {
        let (reads, removals) = (Poisson::of(self.of.rate / 1000.0), Poisson::of(REMOVALS / 1000.0));
        for ms in 0..self.of.length.0 {
            self.now = START + Span(ms);
            self.catch_up();
            let of_ms = self.draws.fork(ms);
            let (asks, removes) = (reads.draw(of_ms.fork(1)), removals.draw(of_ms.fork(2)));
            let mut order: Vec<(u64, bool)> =
                (0..asks + removes).map(|n| (of_ms.fork(3).fork(u64::from(n)).0, n < removes)).collect();
            order.sort_unstable();
            for (_, removes) in order {
                if removes { self.removed() } else { self.asked() }
            }
            if self.loads.len() > MOST_LOADS {
                break;
            }
        }
        // Nobody else comes; those who wait are answered.
        while let Some(Reverse((at, ..))) = self.due.peek() {
            self.now = (*at).max(self.now);
            self.catch_up();
        }
        self.outcome()
    }

    fn catch_up(&mut self) {
        while let Some(Reverse((at, load, event))) = self.due.peek().copied()
            && at <= self.now
        {
            self.due.pop();
            match event {
                Event::Answer => self.answered(load),
                Event::Turn if self.flights.unpark(FlightId(load as u64)) => self.begin(load),
                Event::Turn => {}
            }
        }
    }

    fn next_fence(&mut self) -> Fence {
        self.fence = self.fence.next(self.now.0 * 1000);
        self.fence
    }

    /// The row is written, then the key is removed and that is answered.
    fn removed(&mut self) {
        self.version += 1;
        self.held = None;
        if matches!(self.defence, Defence::Fenced | Defence::Whole) {
            self.floor = self.floor.merge(Floor::of(Invalidation::Remove, self.next_fence()));
        }
        if self.defence == Defence::Whole {
            self.flights.overtake();
        }
    }

    fn asked(&mut self) {
        self.told.requests += 1;
        let caller = Caller { came: self.now, due: self.version };
        if let Some((_, version)) = self.held {
            return self.tell(caller, version);
        }
        match self.defence {
            Defence::None | Defence::Fenced => {
                let load = self.launch(caller);
                self.begin(load);
            }
            Defence::Coalesced => {
                let runs = self.flights.iter().next().map(|flight| flight.id);
                match runs {
                    Some(id) => self.follow(id, caller),
                    None => self.joined(caller),
                }
            }
            Defence::Whole => self.joined(caller),
        }
    }

    /// As the engine does: who may be followed is followed, otherwise one leads, or waits as the one successor.
    fn joined(&mut self, caller: Caller) {
        let asker = Asker {
            demand: Demand::Any,
            priority: Priority::Normal,
            deadline: Some(caller.came + TIMEOUT),
            floor: Fence::ZERO,
        };
        let hedge = self.times.hedge_after().unwrap_or(HEDGE_UNKNOWN);
        match self.flights.join(&asker, FlightId(self.loads.len() as u64), hedge, self.now) {
            Join::Follow { id, .. } => self.follow(id, caller),
            Join::Lead(_) => {
                let load = self.launch(caller);
                self.begin(load);
            }
            Join::LeadLater { at, .. } => {
                let load = self.launch(caller);
                if let Some(at) = at {
                    self.due.push(Reverse((at, load, Event::Turn)));
                }
            }
        }
    }

    fn follow(&mut self, id: FlightId, caller: Caller) {
        if let Some(Some(load)) = self.loads.get_mut(id.0 as usize) {
            load.callers.push(caller);
        }
    }

    fn launch(&mut self, caller: Caller) -> usize {
        self.loads.push(Some(Load { fence: Fence::ZERO, version: 0, began: Tick(0), callers: vec![caller] }));
        self.loads.len() - 1
    }

    fn begin(&mut self, number: usize) {
        let (fence, now, version) = (self.next_fence(), self.now, self.version);
        let Some(Some(load)) = self.loads.get_mut(number) else { return };
        if load.version > 0 {
            // Its turn came before its patience ended.
            return;
        }
        (load.fence, load.version, load.began) = (fence, version, now);
        self.flights.begin_read(FlightId(number as u64), fence, now);
        self.running += 1;
        self.told.at_once = self.told.at_once.max(self.running);
        let bin = self.told.bin(now);
        self.told.most[bin] = self.told.most[bin].max(self.running as f64);
        self.due.push(Reverse((now + self.service(number), number, Event::Answer)));
    }

    /// Lognormal around the mean (Box and Muller, 1958).
    fn service(&self, number: usize) -> Span {
        let draw = self.draws.fork(u64::MAX).fork(number as u64);
        let radius = (-2.0 * (1.0 - draw.fork(1).unit()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * draw.fork(2).unit()).cos();
        LOAD.scale((SPREAD * normal - SPREAD * SPREAD / 2.0).exp()).max(Span(1))
    }

    fn answered(&mut self, number: usize) {
        let Some(load) = self.loads.get_mut(number).and_then(Option::take) else { return };
        self.running -= 1;
        self.times.record(self.now.since(load.began));
        let kept = match self.defence {
            Defence::None | Defence::Coalesced => true,
            Defence::Fenced | Defence::Whole => {
                let newness = |fence| Newness { fence, version: None };
                let held = self.held.map(|(fence, _)| Resident { newness: newness(fence), floor: Floor::NONE });
                may_keep(self.floor, held, newness(load.fence))
            }
        };
        if kept {
            self.held = Some((load.fence, load.version));
        }
        for caller in load.callers {
            self.tell(caller, load.version);
        }
        let next = self.flights.end(FlightId(number as u64)).and_then(|(_, next)| next);
        if let Some(next) = next {
            self.begin(next.0 as usize);
        }
    }

    fn tell(&mut self, caller: Caller, version: u64) {
        let (wait, bin) = (self.now.since(caller.came), self.told.bin(self.now));
        *self.told.waits.entry(wait.at_most(TIMEOUT).0).or_default() += 1;
        if wait > TIMEOUT {
            self.told.failed += 1;
        } else if version < caller.due {
            self.told.older += 1;
            self.told.stale[bin] += 1.0;
        }
    }

    fn outcome(self) -> Run {
        let Told { requests, older, failed, at_once, ref waits, .. } = self.told;
        let longest = waits.last_key_value().map_or(0, |(wait, _)| *wait);
        let figures = BTreeMap::from([
            (Figure::PeakAtOrigin, at_once as f64),
            (Figure::Older, older as f64),
            (Figure::Failures, failed as f64),
            (Figure::Loads, self.loads.len() as f64),
            (Figure::Requests, requests as f64),
            (Figure::WaitP50, quantile(waits, 0.5)),
            (Figure::WaitP99, quantile(waits, 0.99)),
            (Figure::WaitMax, longest as f64),
        ]);
        let (most, stale) = (self.told.most, self.told.stale);
        let unit = format!("per {} ms", BIN.0);
        Run {
            figures,
            pictures: vec![
                Picture::of("loads at once", Height::Decades, "origin", most.clone()).bounded(Some(1.0)),
                Picture::of(format!("answers older than a removal {unit}"), Height::Decades, "stale", stale.clone()),
            ],
            more: vec![("loads_at_once", most), ("older", stale)],
            cut_short: self.loads.len() > MOST_LOADS,
        }
    }
}

impl Told {
    fn bin(&self, at: Tick) -> usize {
        ((at.since(START).0 / BIN.0) as usize).min(self.most.len() - 1)
    }
}

fn quantile(waits: &BTreeMap<u64, u64>, part: f64) -> f64 {
    let all: u64 = waits.values().sum();
    let mut below = 0;
    let found = waits.iter().find(|(_, n)| {
        below += **n;
        below as f64 >= part * all as f64
    });
    found.map_or(0.0, |(wait, _)| *wait as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_defence_alone_fails_in_its_own_way_and_both_together_do_not() {
        let sizes = Sizes { small: true, ..Sizes::default() };
        let runs = study(&sizes).run(&[0, 1, 2, 3], 5).expect("a sensible case");
        let of = |run: usize, figure| runs[run].get(figure).expect("it was measured");
        assert!(of(0, Figure::PeakAtOrigin) > 100.0 && of(0, Figure::Older) > 1_000.0, "a stampede, and old rows");
        assert!(of(1, Figure::PeakAtOrigin) == 1.0 && of(1, Figure::Older) > 1_000.0, "one load, and old rows");
        assert!(of(2, Figure::PeakAtOrigin) > 100.0 && of(2, Figure::Older) == 0.0, "a stampede, no old row");
        assert!(of(3, Figure::PeakAtOrigin) <= 2.0 && of(3, Figure::Older) == 0.0);
        assert!((0..4).all(|run| of(run, Figure::Requests) > 29_000.0 && of(run, Figure::Failures) == 0.0));
    }
}
