//! Which sketch finds hot keys best, and what does an access cost? Two HeavyKeepers and RAP, beside exact counts.
//!
//! `cargo run --release -p bellwether-benches --bin heat [DIRECTORY]`
//!
//! DIRECTORY (or the environment's `BELLWETHER_TRACES`) holds recorded traces, see `hitratio`. Without one only the
//! seeded mixes run. Each trace is cut into windows; at the end of each the keys are ranked by what was counted.

use std::collections::{HashMap, HashSet};
use std::hint::black_box;
use std::path::Path;

use bellwether_benches::report::{Bar, bars, table};
use bellwether_benches::stats::Spread;
use bellwether_benches::traces::{Trace, recorded};
use bellwether_benches::{cpu, load, machine};
use bellwether_core::draw::Draw;
use bellwether_core::heat::sample::{SAMPLE, is_due};
use bellwether_core::heat::sketch::{Id, Sketch};

/// Requests of a trace that count.
const REQUESTS: usize = 1_000_000;
/// Requests of a window: 100 ms of a process that answers a million a second; and a second of it.
const WINDOWS: [usize; 2] = [100_000, 1_000_000];
/// Keys of the seeded mixes.
const KEYS: usize = 100_000;
const ROUNDS: usize = 9;
/// A key that has this part of a window is to be found.
const HOT: u64 = 100;
/// The library's: see `state/heat.rs`.
const CELLS: usize = 8_192;

/// Counts keys.
trait Counter {
    fn add(&mut self, id: Id, draw: Draw);
    fn count(&self, id: Id) -> u64;
    fn clear(&mut self);
    fn bytes(&self) -> usize;
}

impl Counter for Sketch {
    fn add(&mut self, id: Id, draw: Draw) {
        Sketch::add(self, id, 1, draw);
    }
    fn count(&self, id: Id) -> u64 {
        u64::from(Sketch::count(self, id))
    }
    fn clear(&mut self) {
        Sketch::clear(self);
    }
    fn bytes(&self) -> usize {
        Sketch::bytes(self)
    }
}

/// HeavyKeeper as in the paper: in each row a key has one cell, and wears it down if another has it.
struct Rows {
    cells: Vec<u64>,
    row: usize,
    decay: Vec<u64>,
}

impl Rows {
    fn new(cells: usize) -> Rows {
        let chance = |count: i32| (1.08f64.powi(-count) * u64::MAX as f64) as u64;
        Rows { cells: vec![0; cells * 2], row: cells, decay: (0..256).map(chance).collect() }
    }

    fn places(&self, id: Id) -> [usize; 2] {
        let (one, two) = (id.0 as usize, (id.0 >> 16) as usize);
        [one & (self.row - 1), self.row + (two & (self.row - 1))]
    }
}

impl Counter for Rows {
    fn add(&mut self, id: Id, draw: Draw) {
        let mark = (id.0 >> 32).max(1);
        for (row, at) in self.places(id).into_iter().enumerate() {
            let held = self.cells[at];
            let count = held & 0xFFFF_FFFF;
            if held >> 32 == mark {
                self.cells[at] = held + 1;
            } else if count == 0 {
                self.cells[at] = mark << 32 | 1;
            } else if draw.fork(row as u64).0 <= self.decay.get(count as usize).copied().unwrap_or(0) {
                self.cells[at] = if count == 1 { mark << 32 | 1 } else { held - 1 };
            }
        }
    }
    fn count(&self, id: Id) -> u64 {
        let mark = (id.0 >> 32).max(1);
        let held = self.places(id).map(|at| self.cells[at]);
        held.into_iter().filter(|held| held >> 32 == mark).map(|held| held & 0xFFFF_FFFF).max().unwrap_or(0)
    }
    fn clear(&mut self) {
        self.cells.fill(0);
    }
    fn bytes(&self) -> usize {
        self.cells.len() * 8 + self.decay.len() * 8
    }
}

/// Space-Saving with randomised admission (Basat et al., 2017): of one thread.
struct Rap {
    of: HashMap<u64, usize, ahash::RandomState>,
    ids: Vec<u64>,
    counts: Vec<u32>,
}

const SLOTS: usize = 256;

impl Rap {
    fn new() -> Rap {
        Rap {
            of: HashMap::with_capacity_and_hasher(SLOTS * 2, ahash::RandomState::new()),
            ids: Vec::with_capacity(SLOTS),
            counts: Vec::with_capacity(SLOTS),
        }
    }
}

impl Counter for Rap {
    fn add(&mut self, id: Id, draw: Draw) {
        if let Some(at) = self.of.get(&id.0) {
            self.counts[*at] += 1;
        } else if self.ids.len() < SLOTS {
            self.of.insert(id.0, self.ids.len());
            self.ids.push(id.0);
            self.counts.push(1);
        } else {
            let least = self.counts.iter().copied().min().unwrap_or(0);
            if draw.unit() * f64::from(least + 1) < 1.0 {
                let at = self.counts.iter().position(|count| *count == least).unwrap_or(0);
                self.of.remove(&self.ids[at]);
                self.of.insert(id.0, at);
                self.ids[at] = id.0;
                self.counts[at] = least + 1;
            }
        }
    }
    fn count(&self, id: Id) -> u64 {
        self.of.get(&id.0).map_or(0, |at| u64::from(self.counts[*at]))
    }
    fn clear(&mut self) {
        self.of.clear();
        self.ids.clear();
        self.counts.clear();
    }
    fn bytes(&self) -> usize {
        self.of.capacity() * 17 + SLOTS * 12
    }
}

/// A contender: its name, how it is made, and whether it sees one access in eight.
struct Contender {
    name: &'static str,
    make: fn() -> Box<dyn Counter>,
    sampled: bool,
}

const CONTENDERS: [Contender; 6] = [
    Contender { name: "HeavyKeeper, buckets (ours), 1/8", make: || Box::new(Sketch::new(CELLS)), sampled: true },
    Contender { name: "HeavyKeeper, buckets, all", make: || Box::new(Sketch::new(CELLS)), sampled: false },
    Contender { name: "HeavyKeeper, 2 rows, 1/8", make: || Box::new(Rows::new(CELLS)), sampled: true },
    Contender { name: "HeavyKeeper, 2 rows, all", make: || Box::new(Rows::new(CELLS)), sampled: false },
    Contender { name: "RAP, 256 slots, 1/8", make: || Box::new(Rap::new()), sampled: true },
    Contender { name: "RAP, 256 slots, all", make: || Box::new(Rap::new()), sampled: false },
];

fn id(key: u32) -> Id {
    Id(Draw(u64::from(key)).fork(7).0)
}

/// What a contender finds in all windows of a trace, summed.
#[derive(Default)]
struct Found {
    windows: usize,
    recall_32: f64,
    recall_100: f64,
    traffic_100: f64,
    /// Keys above the bar, those of them that were not found, and those that were found although they have less than
    /// four fifths of it.
    hot: usize,
    missed: usize,
    false_hot: usize,
}

impl Found {
    /// In windows of so many requests, or in one of the whole trace where it is shorter.
    fn of(contender: &Contender, trace: &Trace, window: usize) -> Found {
        let (mut counter, mut found, mut nth) = ((contender.make)(), Found::default(), 0u64);
        for window in trace.keys.chunks_exact(window.min(trace.keys.len())) {
            counter.clear();
            let mut exact: HashMap<u32, u64> = HashMap::new();
            for key in window {
                nth += 1;
                *exact.entry(*key).or_default() += 1;
                if !contender.sampled || is_due(nth) {
                    counter.add(id(*key), Draw(nth).fork(1));
                }
            }
            found.window(&exact, window.len() as u64 / HOT, |key| {
                counter.count(id(key)) * if contender.sampled { SAMPLE } else { 1 }
            });
        }
        found
    }

    fn window(&mut self, exact: &HashMap<u32, u64>, bar: u64, counted: impl Fn(u32) -> u64) {
        let ranked = |count: &dyn Fn(u32) -> u64| {
            let mut keys: Vec<(u64, u32)> = exact.keys().map(|key| (count(*key), *key)).collect();
            keys.sort_unstable_by_key(|(count, key)| (std::cmp::Reverse(*count), *key));
            keys
        };
        let (truth, said) = (ranked(&|key| exact[&key]), ranked(&counted));
        // A key that has as much as the last of the top is as right as that one.
        let recall = |n: usize| {
            let least = truth.get(n - 1).map_or(1, |(count, _)| *count);
            let right = said.iter().take(n).filter(|(count, key)| *count > 0 && exact[key] >= least).count();
            right as f64 / truth.len().min(n) as f64
        };
        let traffic = |keys: &[(u64, u32)]| -> u64 { keys.iter().take(100).map(|(_, key)| exact[key]).sum() };
        self.windows += 1;
        self.recall_32 += recall(32);
        self.recall_100 += recall(100);
        let seen: Vec<(u64, u32)> = said.iter().copied().filter(|(count, _)| *count > 0).collect();
        self.traffic_100 += traffic(&seen) as f64 / traffic(&truth) as f64;
        let hot: HashSet<u32> = said.iter().filter(|(count, _)| *count >= bar).map(|(_, key)| *key).collect();
        self.hot += truth.iter().filter(|(count, _)| *count >= bar).count();
        self.missed += truth.iter().filter(|(count, key)| *count >= bar * 5 / 4 && !hot.contains(key)).count();
        self.false_hot += hot.iter().filter(|key| exact[key] < bar * 4 / 5).count();
    }

    fn mean(&self, sum: f64) -> f64 {
        sum / self.windows.max(1) as f64
    }
}

/// CPU nanoseconds per access, in rounds with all contenders in turn; the loop's own is taken off.
fn cost(trace: &Trace) -> Vec<Spread> {
    let ids: Vec<Id> = trace.keys.iter().map(|key| id(*key)).collect();
    let mut counters: Vec<_> = CONTENDERS.iter().map(|contender| (contender.make)()).collect();
    let mut times = vec![Vec::new(); CONTENDERS.len()];
    for _ in 0..ROUNDS {
        let began = cpu::thread();
        for id in &ids {
            let _kept = black_box(*id);
        }
        let empty = cpu::thread() - began;
        for ((contender, counter), times) in CONTENDERS.iter().zip(&mut counters).zip(&mut times) {
            let began = cpu::thread();
            for (nth, id) in ids.iter().enumerate() {
                if !contender.sampled || is_due(nth as u64) {
                    counter.add(black_box(*id), Draw(nth as u64).fork(1));
                }
            }
            let took = (cpu::thread() - began).saturating_sub(empty);
            times.push(took.as_nanos() as f64 / ids.len() as f64);
        }
    }
    times.iter().map(|times| Spread::of(times)).collect()
}

/// Popularity alone; with a flood of keys that are asked for once; and one key in the midst of it.
fn mixes() -> Vec<Trace> {
    let zipf = load::zipf(KEYS, REQUESTS, 7);
    let flood = |every: usize| {
        let keys = zipf.iter().enumerate().map(|(at, key)| if at % every == 0 { *key } else { (KEYS + at) as u32 });
        keys.collect::<Vec<u32>>()
    };
    let lone = (0..REQUESTS as u32).map(|at| if at % 50 == 0 { 1 } else { at + 2 }).collect();
    let named = |name: &str, keys| Trace { name: name.to_owned(), keys };
    vec![
        named("zipf 0.99", zipf.clone()),
        named("zipf in a flood of once", flood(4)),
        named("one key of 2 % in a flood", lone),
    ]
}

fn main() {
    println!("{}\n", machine::line());
    let directory = std::env::args_os().nth(1).or_else(|| std::env::var_os("BELLWETHER_TRACES"));
    let mut traces = mixes();
    match directory.map(|directory| recorded(Path::new(&directory), REQUESTS)) {
        Some(Ok(recorded)) => traces.extend(recorded),
        Some(Err(error)) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
        None => println!("No recorded traces: name their directory, `heat DIRECTORY` or BELLWETHER_TRACES.\n"),
    }
    let head =
        ["trace", "sketch", "recall@32", "recall@100", "traffic of the top 100", "keys of 1 %", "missed", "false"];
    let mut rows = Vec::new();
    let mut ours = Vec::new();
    // A trace that is shorter than a window is one.
    let fits = |trace: &Trace, window: usize| window == WINDOWS[0] || trace.keys.len() > WINDOWS[0];
    let windows =
        |trace| WINDOWS.into_iter().filter(move |window| fits(trace, *window)).map(move |window| (trace, window));
    for (trace, window) in traces.iter().flat_map(windows) {
        for contender in &CONTENDERS {
            let found = Found::of(contender, trace, window);
            let share = |sum: f64| format!("{:.3}", found.mean(sum));
            rows.push(vec![
                trace.name.clone(),
                window.min(trace.keys.len()).to_string(),
                contender.name.to_owned(),
                share(found.recall_32),
                share(found.recall_100),
                share(found.traffic_100),
                found.hot.to_string(),
                found.missed.to_string(),
                found.false_hot.to_string(),
            ]);
            if contender.name == CONTENDERS[0].name {
                ours.push((format!("{}, {window}", trace.name), found));
            }
        }
    }
    println!("{}", table(&head, &rows));
    let spreads = cost(&traces[0]);
    let costs: Vec<Vec<String>> = CONTENDERS
        .iter()
        .zip(&spreads)
        .map(|(contender, spread)| {
            let bytes = (contender.make)().bytes();
            vec![contender.name.to_owned(), format!("{:.1}", spread.median), format!("{:.0}", bytes as f64 / 1024.0)]
        })
        .collect();
    println!("{}", table(&["sketch", "CPU ns per access", "KiB of a window"], &costs));
    let mut verdicts = vec![Bar::at_most("ns per access, sampled (ours)", spreads[0].median, 10.0)];
    for (name, found) in &ours {
        verdicts.push(Bar::at_least(format!("traffic of the top 100, {name}"), found.mean(found.traffic_100), 0.99));
        verdicts.push(Bar::at_least(format!("recall@32, {name}"), found.mean(found.recall_32), 0.95));
        verdicts.push(Bar::exactly(format!("false and missed, {name}"), (found.false_hot + found.missed) as f64, 0.0));
    }
    println!("{}", bars(&verdicts));
}
