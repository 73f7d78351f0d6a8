//! Which requests does memory answer, policy by policy, and how near is that to the best there can be?
//!
//! `cargo run --release -p bellwether-benches --bin hitratio [DIRECTORY]`
//!
//! DIRECTORY (or the environment's `BELLWETHER_TRACES`) holds recorded traces: `*.trace.xz`, keys as
//! big-endian 32-bit integers, and `*.lis.zst`, lines `start count …` that stand for the keys from
//! start on. Without a directory only the seeded mixes run.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use bellwether::{Cache, Eviction, Policy, Space, Weigh};
use bellwether_benches::report::{Bar, bars, table};
use bellwether_benches::traces::{Trace, recorded};
use bellwether_benches::{load, machine};

/// Requests of a trace that count: the first of them.
const REQUESTS: usize = 1_000_000;
/// Entries that find room, as a share of the distinct keys.
const SIZES: [f64; 3] = [0.01, 0.05, 0.20];
/// Bytes that every entry counts, whatever the policy adds of its own.
const WEIGHT: usize = 1024;
/// Keys of the seeded mixes.
const KEYS: usize = 100_000;

/// A value that counts so many bytes and holds none.
struct Claimed(usize);
impl Weigh for Claimed {
    fn weight(&self) -> usize {
        self.0
    }
}

/// A memory tier with room for some entries of [`WEIGHT`] bytes.
struct Tier {
    cache: Cache,
    space: Space<u32, Claimed>,
    claim: usize,
}

impl Tier {
    fn new(policy: Eviction, bytes: u64, claim: usize) -> Tier {
        let cache = Cache::builder().memory_bytes(bytes.max(64 << 10)).eviction(policy).build();
        let cache = cache.expect("this build has every policy");
        let space = cache.space("trace", Policy::ttl("100d"));
        Tier { cache, space, claim }
    }

    /// A tier that holds `entries`: its own overheads are found by filling one.
    fn of(policy: Eviction, entries: usize) -> Tier {
        let empty = Tier::new(policy, 1 << 20, 0);
        empty.space.put(&0, Claimed(0));
        let own = usize::try_from(empty.cache.snapshot().memory.bytes).expect("a few hundred bytes");
        let claim = WEIGHT - own;
        let asked = (entries * WEIGHT) as u64;
        let full = Tier::new(policy, asked, claim);
        (0..entries as u32 * 3).for_each(|key| full.put(key));
        let held = full.cache.entries() as f64;
        Tier::new(policy, (asked as f64 * entries as f64 / held) as u64, claim)
    }

    fn put(&self, key: u32) {
        assert!(self.space.put(&key, Claimed(self.claim)), "every value finds room");
    }

    /// Hits among these requests, from empty; what misses is stored.
    fn run(&self, keys: &[u32]) -> f64 {
        let mut hits = 0u64;
        for key in keys {
            match self.space.hit(key) {
                Some(_) => hits += 1,
                None => self.put(*key),
            }
        }
        hits as f64 / keys.len() as f64
    }
}

/// The hits of a store that knows the future (Belady, "A study of replacement algorithms for a
/// virtual-storage computer", 1966): it drops what is asked for last, the newcomer included.
fn optimum(keys: &[u32], entries: usize) -> f64 {
    const NEVER: u32 = u32::MAX;
    let mut next = vec![NEVER; keys.len()];
    let mut last: HashMap<u32, u32> = HashMap::new();
    for (at, key) in keys.iter().enumerate().rev() {
        next[at] = last.insert(*key, at as u32).unwrap_or(NEVER);
    }
    // By the place of the next use, which names the key: those never used again are not kept at all.
    let mut held: BTreeSet<u32> = BTreeSet::new();
    let mut hits = 0u64;
    for (at, next) in next.into_iter().enumerate() {
        hits += u64::from(held.remove(&(at as u32)));
        if next != NEVER {
            held.insert(next);
        }
        if held.len() > entries {
            held.pop_last();
        }
    }
    hits as f64 / keys.len() as f64
}

/// Seeded mixes: popularity alone, popularity with scans in between, and with loops.
fn mixes() -> Vec<Trace> {
    let zipf = |seed| load::zipf(KEYS, REQUESTS, seed);
    let named = |name: &str, keys: Vec<u32>| Trace { name: name.to_owned(), keys };
    // Every tenth thousand of requests is a scan over keys that nobody asks for otherwise.
    let mut fresh = KEYS as u32..;
    let scanned = zipf(11).into_iter().enumerate().map(|(at, key)| match at / 1_000 % 10 {
        9 => fresh.next().unwrap_or_default(),
        _ => key,
    });
    let scanned: Vec<u32> = scanned.collect();
    // Every second request goes round in a circle of a tenth of the keys.
    let circle = |at: usize| (KEYS + at / 2 % (KEYS / 10)) as u32;
    let looped = zipf(13).into_iter().enumerate().map(|(at, key)| if at % 2 == 0 { circle(at) } else { key }).collect();
    vec![named("zipf 0.99", zipf(7)), named("zipf + scans", scanned), named("zipf + loop", looped)]
}

/// Hit ratios of one trace and size: the optimum's, and each policy's in the order of `Eviction::ALL`.
struct Row {
    optimum: f64,
    ratios: Vec<f64>,
}

impl Row {
    fn share(&self, policy: usize) -> f64 {
        if self.optimum == 0.0 { 1.0 } else { self.ratios[policy] / self.optimum }
    }
}

fn main() {
    println!("{}; {REQUESTS} requests, sizes in shares of the distinct keys\n", machine::line());
    let directory = std::env::args().nth(1).or_else(|| std::env::var("BELLWETHER_TRACES").ok());
    let mut traces = mixes();
    match directory.as_deref().map(|directory| recorded(Path::new(directory), REQUESTS)) {
        Some(Ok(recorded)) => traces.extend(recorded),
        Some(Err(error)) => {
            eprintln!("hitratio: {error}");
            std::process::exit(2);
        }
        None => println!("No recorded traces: name their directory, `hitratio DIRECTORY` or BELLWETHER_TRACES.\n"),
    }
    let (mut told, mut rows) = (Vec::new(), Vec::new());
    for trace in &traces {
        let distinct = trace.keys.iter().collect::<HashSet<_>>().len();
        for size in SIZES {
            let entries = ((distinct as f64 * size) as usize).max(64);
            let ratios: Vec<f64> =
                Eviction::ALL.iter().map(|policy| Tier::of(*policy, entries).run(&trace.keys)).collect();
            let row = Row { optimum: optimum(&trace.keys, entries), ratios };
            let cell = |at: usize| format!("{:.3} ({:.3})", row.ratios[at], row.share(at));
            let mut cells =
                vec![trace.name.clone(), format!("{:.0} %, {entries}", size * 100.0), format!("{:.3}", row.optimum)];
            cells.extend((0..Eviction::ALL.len()).map(cell));
            told.push(cells);
            rows.push(row);
        }
    }
    let mut head = vec!["trace", "size, entries", "optimum"];
    head.extend(Eviction::ALL.map(Eviction::as_str));
    println!("hit ratio (share of the optimum):\n\n{}", table(&head, &told));
    println!("{}", summary(&rows));
    println!("{}\nload average at the end {}", verdict(&rows), machine::load());
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len().max(1) as f64;
    values.sum::<f64>() / count
}

fn summary(rows: &[Row]) -> String {
    let of = |(at, policy): (usize, &Eviction)| {
        let shares: Vec<f64> = rows.iter().map(|row| row.share(at)).collect();
        let worst = shares.iter().copied().fold(f64::INFINITY, f64::min);
        vec![policy.to_string(), format!("{:.3}", mean(shares.into_iter())), format!("{worst:.3}")]
    };
    let lines: Vec<_> = Eviction::ALL.iter().enumerate().map(of).collect();
    table(&["policy", "mean share of the optimum", "worst row"], &lines)
}

fn verdict(rows: &[Row]) -> String {
    let at = |policy| Eviction::ALL.iter().position(|known| *known == policy).expect("one of all");
    let (auto, lru) = (at(Eviction::Auto), at(Eviction::Lru));
    let ahead = rows.iter().map(|row| (row.ratios[auto] - row.ratios[lru]) * 100.0).fold(f64::INFINITY, f64::min);
    bars(&[
        Bar::at_least("auto: mean share of the optimum", mean(rows.iter().map(|row| row.share(auto))), 0.84),
        Bar::at_least("auto against lru, points of hit ratio, worst row", ahead, -2.0),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_optimum_is_beladys() {
        // The textbook's string over three frames: nine faults in twenty without bypassing; newcomers
        // that are not asked for again cost no place here, so hits can only be more.
        let keys = [7, 0, 1, 2, 0, 3, 0, 4, 2, 3, 0, 3, 2, 1, 2, 0, 1, 7, 0, 1];
        assert!(optimum(&keys, 3) * 20.0 >= 11.0);
        assert_eq!(optimum(&[1, 2, 1, 2], 1), 0.25, "one of the two is kept");
        assert_eq!(optimum(&[1, 2, 1, 2], 2), 0.5);
    }

    #[test]
    fn no_policy_beats_the_optimum_and_the_room_is_as_asked() {
        let keys = load::zipf(5_000, 50_000, 3);
        for policy in Eviction::ALL {
            let tier = Tier::of(policy, 500);
            let ratio = tier.run(&keys);
            let held = tier.cache.entries();
            assert!((450..=510).contains(&held), "{policy}: {held}");
            assert!(ratio > 0.2 && ratio <= optimum(&keys, 510), "{policy}: {ratio}");
        }
    }
}
