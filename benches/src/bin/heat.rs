//! Which sketch finds hot keys best, and what does an access cost? Two HeavyKeepers and RAP, beside exact counts; and
//! what do looks tell that follow what entries count themselves, beside looks that are drawn?
//!
//! `cargo run --release -p bellwether-benches --bin heat [DIRECTORY]`
//!
//! DIRECTORY (or the environment's `BELLWETHER_TRACES`) holds recorded traces, see `hitratio`. Without one only the
//! seeded mixes run. Each trace is cut into windows; at the end of each the keys are ranked by what was counted. Keys
//! that are asked for as often as the last of the top are as right as that one. Every key is found in memory but for
//! its first request.

use std::collections::{HashMap, HashSet};
use std::hint::black_box;
use std::path::Path;

use bellwether_benches::report::{Bar, bars, table};
use bellwether_benches::stats::Spread;
use bellwether_benches::traces::{Trace, recorded};
use bellwether_benches::{cpu, load, machine};
use bellwether_core::draw::Draw;
use bellwether_core::heat::sample::{Sampling, phase};
use bellwether_core::heat::sketch::Sketch;

/// Requests of a trace that count.
const REQUESTS: usize = 1_000_000;
/// What is judged: windows of 100 ms, one by one or summed, as the shown rates are.
const VIEWS: [View; 3] = [
    View { name: "100 ms at 1 M/s", window: 100_000, windows: 1 },
    View { name: "1 s at 1 M/s", window: 100_000, windows: 10 },
    View { name: "100 ms at 10 M/s", window: 1_000_000, windows: 1 },
];
/// Keys of the seeded mixes.
const KEYS: usize = 100_000;
const ROUNDS: usize = 9;
/// A key that has this part of a window is to be found.
const HOT: u64 = 100;
/// The library's: see `state/heat.rs`.
const CELLS: usize = 8_192;

/// Requests of a window, and how many of them are judged together.
#[derive(Clone, Copy)]
struct View {
    name: &'static str,
    window: usize,
    windows: usize,
}

/// Counts keys.
trait Counter {
    fn look(&mut self, hash: u64, by: u32, draw: Draw);
    fn count(&self, hash: u64) -> u64;
    fn clear(&mut self);
    fn bytes(&self) -> usize;
}

impl Counter for Sketch {
    fn look(&mut self, hash: u64, by: u32, draw: Draw) {
        self.add(hash, by, draw);
    }
    fn count(&self, hash: u64) -> u64 {
        u64::from(Sketch::count(self, hash))
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

    fn places(&self, hash: u64) -> [usize; 2] {
        let (one, two) = (hash as usize, (hash >> 16) as usize);
        [one & (self.row - 1), self.row + (two & (self.row - 1))]
    }
}

impl Counter for Rows {
    fn look(&mut self, hash: u64, by: u32, draw: Draw) {
        let by = u64::from(by);
        let mark = (hash >> 32).max(1);
        for (row, at) in self.places(hash).into_iter().enumerate() {
            let held = self.cells[at];
            let count = held & 0xFFFF_FFFF;
            if held >> 32 == mark {
                self.cells[at] = held + by;
            } else if count == 0 {
                self.cells[at] = mark << 32 | by;
            } else if draw.fork(row as u64).0 <= self.decay.get((count / by) as usize).copied().unwrap_or(0) {
                self.cells[at] = if count <= by { mark << 32 | by } else { held - by };
            }
        }
    }
    fn count(&self, hash: u64) -> u64 {
        let mark = (hash >> 32).max(1);
        let held = self.places(hash).map(|at| self.cells[at]);
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
    fn look(&mut self, hash: u64, by: u32, draw: Draw) {
        if let Some(at) = self.of.get(&hash) {
            self.counts[*at] += by;
        } else if self.ids.len() < SLOTS {
            self.of.insert(hash, self.ids.len());
            self.ids.push(hash);
            self.counts.push(by);
        } else {
            let least = self.counts.iter().copied().min().unwrap_or(0);
            if draw.unit() * f64::from(least / by + 1) < 1.0 {
                let at = self.counts.iter().position(|count| *count == least).unwrap_or(0);
                self.of.remove(&self.ids[at]);
                self.of.insert(hash, at);
                self.ids[at] = hash;
                self.counts[at] = least + by;
            }
        }
    }
    fn count(&self, hash: u64) -> u64 {
        self.of.get(&hash).map_or(0, |at| u64::from(self.counts[*at]))
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

/// A contender: its name, how it is made, and which accesses of a window it sees.
struct Contender {
    name: &'static str,
    make: fn() -> Box<dyn Counter>,
    seen: Seen,
}

#[derive(Clone, Copy)]
enum Seen {
    /// As the library does: by what the entry counts, so many as it looks at in a window of so many accesses.
    Library,
    /// By what the entry counts, one in so many.
    Counted(Sampling),
    /// As many as the library, drawn by the number of the access.
    Drawn,
    All,
}

/// An access.
#[derive(Clone, Copy)]
struct Access {
    /// Its number.
    nth: u64,
    /// What its entry has counted, from its phase on; `None`: there was none.
    served: Option<u32>,
}

impl Seen {
    /// What an access stands for in a window of so many; 0, if it is not seen.
    fn weight(self, access: Access, window: usize) -> u32 {
        let library = || Sampling::of(window as u64, window as u64 / HOT);
        let sampling = match self {
            Seen::All => return 1,
            Seen::Counted(sampling) => sampling,
            Seen::Library | Seen::Drawn => library(),
        };
        match access.served {
            Some(served) if !matches!(self, Seen::Drawn) => {
                if sampling.is_due(served) {
                    sampling.weight()
                } else {
                    0
                }
            }
            _ => sampling.draw(access.nth).map_or(0, |drawn| drawn.weight),
        }
    }
}

fn sketch() -> Box<dyn Counter> {
    Box::new(Sketch::new(CELLS))
}

fn rows() -> Box<dyn Counter> {
    Box::new(Rows::new(CELLS))
}

fn rap() -> Box<dyn Counter> {
    Box::new(Rap::new())
}

/// The first is the library's.
const CONTENDERS: [Contender; 9] = [
    Contender { name: "HeavyKeeper, buckets, by entries' counts (ours)", make: sketch, seen: Seen::Library },
    Contender { name: "the same, one in 4", make: sketch, seen: Seen::Counted(Sampling::one_in(2)) },
    Contender { name: "the same, one in 8", make: sketch, seen: Seen::Counted(Sampling::one_in(3)) },
    Contender { name: "the same, one in 32", make: sketch, seen: Seen::Counted(Sampling::one_in(5)) },
    Contender { name: "HeavyKeeper, buckets, drawn", make: sketch, seen: Seen::Drawn },
    Contender { name: "HeavyKeeper, buckets, all", make: sketch, seen: Seen::All },
    Contender { name: "HeavyKeeper, 2 rows", make: rows, seen: Seen::Library },
    Contender { name: "RAP, 256 slots", make: rap, seen: Seen::Library },
    Contender { name: "RAP, 256 slots, all", make: rap, seen: Seen::All },
];

fn hash(key: u32) -> u64 {
    Draw(u64::from(key)).fork(7).0
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
    /// In all that a view shows of a trace, or in one of the whole trace where it is shorter.
    fn of(contender: &Contender, trace: &Trace, view: View) -> Found {
        let (mut counter, mut found, mut nth) = ((contender.make)(), Found::default(), 0u64);
        // What each entry counts, from anywhere; a key's first request finds none.
        let mut served: HashMap<u32, u32> = HashMap::new();
        for judged in trace.keys.chunks_exact((view.window * view.windows).min(trace.keys.len())) {
            let (mut exact, mut counted): (HashMap<u32, u64>, HashMap<u32, u64>) = Default::default();
            for window in judged.chunks(view.window) {
                counter.clear();
                let mut seen: HashSet<u32> = HashSet::new();
                for key in window {
                    nth += 1;
                    *exact.entry(*key).or_default() += 1;
                    seen.insert(*key);
                    let access = match served.get_mut(key) {
                        Some(served) => {
                            *served += 1;
                            Access { nth, served: Some(*served) }
                        }
                        None => {
                            served.insert(*key, phase(nth));
                            Access { nth, served: None }
                        }
                    };
                    let weight = contender.seen.weight(access, view.window);
                    if weight > 0 {
                        counter.look(hash(*key), weight, Draw(nth).fork(1));
                    }
                }
                for key in seen {
                    *counted.entry(key).or_default() += counter.count(hash(key));
                }
            }
            found.window(&exact, judged.len() as u64 / HOT, |key| counted.get(&key).copied().unwrap_or(0));
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
    let hashes: Vec<u64> = trace.keys.iter().map(|key| hash(*key)).collect();
    let mut counters: Vec<_> = CONTENDERS.iter().map(|contender| (contender.make)()).collect();
    let mut times = vec![Vec::new(); CONTENDERS.len()];
    // An entry counts what it serves, whoever looks.
    let mut served: Vec<u32> = (0..KEYS as u64).map(phase).collect();
    let mut serve = |key: &u32| {
        let served = &mut served[*key as usize];
        *served = served.wrapping_add(1);
        black_box(*served)
    };
    for _ in 0..ROUNDS {
        let began = cpu::thread();
        for (hash, key) in hashes.iter().zip(&trace.keys) {
            let _kept = black_box((*hash, serve(key)));
        }
        let empty = cpu::thread() - began;
        for ((contender, counter), times) in CONTENDERS.iter().zip(&mut counters).zip(&mut times) {
            let began = cpu::thread();
            for (nth, (hash, key)) in (0..).zip(hashes.iter().zip(&trace.keys)) {
                let access = Access { nth, served: Some(serve(key)) };
                let weight = contender.seen.weight(access, VIEWS[0].window);
                if weight > 0 {
                    counter.look(black_box(*hash), weight, Draw(nth).fork(1));
                }
            }
            let took = (cpu::thread() - began).saturating_sub(empty);
            times.push(took.as_nanos() as f64 / hashes.len() as f64);
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
    let head = [
        "trace",
        "window",
        "sketch",
        "recall@32",
        "recall@100",
        "traffic of the top 100",
        "keys of 1 %",
        "missed",
        "false",
    ];
    let mut rows = Vec::new();
    let mut ours = Vec::new();
    // Of a trace that is shorter there is but one window.
    let fits = |trace: &Trace, view: View| view.name == VIEWS[0].name || trace.keys.len() > VIEWS[0].window;
    let views = |trace| VIEWS.into_iter().filter(move |view| fits(trace, *view)).map(move |view| (trace, view));
    for (trace, view) in traces.iter().flat_map(views) {
        for contender in &CONTENDERS {
            let found = Found::of(contender, trace, view);
            let share = |sum: f64| format!("{:.3}", found.mean(sum));
            rows.push(vec![
                trace.name.clone(),
                view.name.to_owned(),
                contender.name.to_owned(),
                share(found.recall_32),
                share(found.recall_100),
                share(found.traffic_100),
                found.hot.to_string(),
                found.missed.to_string(),
                found.false_hot.to_string(),
            ]);
            if contender.name == CONTENDERS[0].name {
                ours.push((format!("{}, {}", trace.name, view.name), found));
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
    let mut verdicts = vec![Bar::at_most("ns per access (ours)", spreads[0].median, 10.0)];
    for (name, found) in &ours {
        verdicts.push(Bar::at_least(format!("traffic of the top 100, {name}"), found.mean(found.traffic_100), 0.99));
        verdicts.push(Bar::at_least(format!("recall@32, {name}"), found.mean(found.recall_32), 0.95));
        verdicts.push(Bar::exactly(format!("false and missed, {name}"), (found.false_hot + found.missed) as f64, 0.0));
    }
    println!("{}", bars(&verdicts));
}
