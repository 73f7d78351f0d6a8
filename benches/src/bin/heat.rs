//! Which sketch finds hot keys best, and what does an access cost? Two HeavyKeepers and RAP, beside exact counts; and
//! what do looks tell that ask an entry for its own count, beside looks that only stand for others?
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
use bellwether_core::heat::sample::Sampling;
use bellwether_core::heat::sketch::{Id, Look, Sketch};

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
    fn look(&mut self, id: Id, look: Look, draw: Draw);
    fn count(&self, id: Id) -> u64;
    fn clear(&mut self);
    fn bytes(&self) -> usize;
}

impl Counter for Sketch {
    fn look(&mut self, id: Id, look: Look, draw: Draw) {
        Sketch::look(self, id, look, draw);
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
    fn look(&mut self, id: Id, look: Look, draw: Draw) {
        let by = u64::from(look.weight);
        let mark = (id.0 >> 32).max(1);
        for (row, at) in self.places(id).into_iter().enumerate() {
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
    fn look(&mut self, id: Id, look: Look, draw: Draw) {
        let by = look.weight;
        if let Some(at) = self.of.get(&id.0) {
            self.counts[*at] += by;
        } else if self.ids.len() < SLOTS {
            self.of.insert(id.0, self.ids.len());
            self.ids.push(id.0);
            self.counts.push(by);
        } else {
            let least = self.counts.iter().copied().min().unwrap_or(0);
            if draw.unit() * f64::from(least / by + 1) < 1.0 {
                let at = self.counts.iter().position(|count| *count == least).unwrap_or(0);
                self.of.remove(&self.ids[at]);
                self.of.insert(id.0, at);
                self.ids[at] = id.0;
                self.counts[at] = least + by;
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

/// A contender: its name, how it is made, how many accesses of a window it sees, and whether it is told what an entry
/// counted itself.
struct Contender {
    name: &'static str,
    make: fn() -> Box<dyn Counter>,
    sampled: Sampled,
    told: bool,
}

#[derive(Clone, Copy)]
enum Sampled {
    /// As the library does in a window of so many.
    Library,
    One(u32),
    All,
}

impl Sampled {
    /// Which accesses are seen of a window of so many; `None`: all.
    fn of(self, window: usize) -> Option<Sampling> {
        match self {
            Sampled::All => None,
            Sampled::One(thin) => Some(Sampling(thin)),
            Sampled::Library => Some(Sampling::of(window as u64, window as u64 / HOT)),
        }
    }
}

/// What the `nth` access stands for; 0, if it is not seen.
fn weight(sampling: Option<Sampling>, nth: u64) -> u32 {
    sampling.map_or(1, |sampling| sampling.draw(nth).map_or(0, |drawn| drawn.weight))
}

fn sketch() -> Box<dyn Counter> {
    Box::new(Sketch::new(CELLS))
}

/// The first is the library's.
const CONTENDERS: [Contender; 7] = [
    Contender { name: "HeavyKeeper, buckets, told (ours)", make: sketch, sampled: Sampled::Library, told: true },
    Contender { name: "HeavyKeeper, buckets", make: sketch, sampled: Sampled::Library, told: false },
    Contender { name: "HeavyKeeper, buckets, 1/8", make: sketch, sampled: Sampled::One(2), told: false },
    Contender { name: "HeavyKeeper, buckets, all", make: sketch, sampled: Sampled::All, told: false },
    Contender {
        name: "HeavyKeeper, 2 rows",
        make: || Box::new(Rows::new(CELLS)),
        sampled: Sampled::Library,
        told: false,
    },
    Contender { name: "RAP, 256 slots", make: || Box::new(Rap::new()), sampled: Sampled::Library, told: false },
    Contender { name: "RAP, 256 slots, all", make: || Box::new(Rap::new()), sampled: Sampled::All, told: false },
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
    /// In all that a view shows of a trace, or in one of the whole trace where it is shorter.
    fn of(contender: &Contender, trace: &Trace, view: View) -> Found {
        let (mut counter, mut found, mut nth) = ((contender.make)(), Found::default(), 0u64);
        // What each entry counts; a key's first request finds none.
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
                    let resident = served.entry(*key).and_modify(|hits| *hits += 1).or_insert(0);
                    let weight = weight(contender.sampled.of(view.window), nth);
                    if weight > 0 {
                        let served = (contender.told && *resident > 0).then_some(*resident);
                        counter.look(id(*key), Look { weight, cost: 1, served }, Draw(nth).fork(1));
                    }
                }
                for key in seen {
                    *counted.entry(key).or_default() += counter.count(id(key));
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
    let ids: Vec<Id> = trace.keys.iter().map(|key| id(*key)).collect();
    let mut counters: Vec<_> = CONTENDERS.iter().map(|contender| (contender.make)()).collect();
    let mut times = vec![Vec::new(); CONTENDERS.len()];
    // An entry counts what it serves, whoever looks.
    let mut served = vec![0u32; KEYS];
    let mut serve = |key: &u32| {
        let served = &mut served[*key as usize];
        *served = served.wrapping_add(1);
        black_box(*served)
    };
    for _ in 0..ROUNDS {
        let began = cpu::thread();
        for (id, key) in ids.iter().zip(&trace.keys) {
            let _kept = black_box((*id, serve(key)));
        }
        let empty = cpu::thread() - began;
        for ((contender, counter), times) in CONTENDERS.iter().zip(&mut counters).zip(&mut times) {
            let sampling = contender.sampled.of(VIEWS[0].window);
            let began = cpu::thread();
            for (nth, (id, key)) in ids.iter().zip(&trace.keys).enumerate() {
                let (served, nth) = (serve(key), nth as u64);
                let weight = weight(sampling, nth);
                if weight > 0 {
                    let look = Look { weight, cost: 1, served: contender.told.then_some(served) };
                    counter.look(black_box(*id), look, Draw(nth).fork(1));
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
