//! S11: somebody asks for one page under ever new parameters.
//!
//! What is asked is who stays in memory: the library's own memory tier, on the clock of the requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_core::draw::Draw;
use bellwether_core::time::Span;

use super::figure::Figure;
use super::name::Scenario;
use super::study::{About, Goal, Height, Level, Picture, Run, Set, Sizes, Study};
use crate::fleet::masses;
use crate::parallel::side_by_side;
use crate::replay::{Eviction, Op, Request, Setup, Trace, watched};

/// Bytes of a value.
const SIZE: u32 = 1_024;
/// The attack starts here, and goes on to the end.
const FROM: Span = Span::secs(60);
const LENGTH: Span = Span::secs(120);
/// What was cold at first is not counted as "before".
const WARM_AFTER: u64 = 30;
/// What counts as unchanged: as elsewhere, within 5 % of what is usual.
const UNCHANGED: f64 = 0.95;
/// Requests of the attack for one of the others.
const TIMES: u64 = 2;

struct Busting {
    keys: u32,
    rate: f64,
    /// Share of the hot set that fits.
    fits: f64,
}

const SETS: [(Set, Eviction); 3] = [
    (Set { word: "naive", says: "memory by least recent use (lru)", level: Level::Naive }, Eviction::Lru),
    (
        Set { word: "partial", says: "memory by s3-fifo: new keys pass a small queue first", level: Level::Partial },
        Eviction::S3Fifo,
    ),
    (Set { word: "full", says: "Bellwether's own choice (auto)", level: Level::Full }, Eviction::Auto),
];

pub(super) fn studies(sizes: &Sizes) -> Vec<Box<dyn Study>> {
    let (keys, rate) = if sizes.small { (2_000, 500.0) } else { (20_000, 5_000.0) };
    vec![Box::new(Busting { keys, rate: sizes.rate.unwrap_or(rate), fits: 0.5 })]
}

impl Busting {
    fn memory(&self) -> u64 {
        // What an entry of the memory tier takes beside its value, about.
        const OVERHEAD: f64 = 160.0;
        (f64::from(self.keys) * self.fits * (f64::from(SIZE) + OVERHEAD)) as u64
    }

    fn trace(&self, seed: u64) -> Trace {
        let draws = Draw(seed).fork(0x511);
        let below = masses(self.keys, 0.9);
        let whole = below.last().copied().unwrap_or(1.0);
        let mut keys: Vec<Arc<[u8]>> = (0..self.keys).map(|key| format!("page:{key}").into_bytes().into()).collect();
        let mut requests = Vec::new();
        let mut request = |at: u64, key: u32| requests.push(Request { at, key, size: Some(SIZE), op: Op::Get });
        let n = (self.rate * LENGTH.0 as f64 / 1000.0) as u64;
        for number in 0..n {
            let at = number * LENGTH.0 / n;
            let unit = draws.fork(number).unit() * whole;
            request(at, below.partition_point(|mass| *mass <= unit) as u32);
            for again in 0..if at >= FROM.0 { TIMES } else { 0 } {
                request(at, keys.len() as u32);
                keys.push(format!("page:1?v={:x}-{again}", draws.fork(number).0).into_bytes().into());
            }
        }
        Trace { requests, keys, timed: true, ..Trace::default() }
    }

    fn run_one(&self, trace: &Trace, eviction: Eviction, seed: u64) -> Result<Run, String> {
        let setup = Setup {
            memory: Some(self.memory()),
            ttl: Span::secs(3_600),
            grace: Span::ZERO,
            eviction,
            rate: self.rate,
            size: SIZE,
            seed,
        };
        let seconds = (LENGTH.0 / 1000) as usize;
        let bins = watched(trace, &setup, seconds, self.keys).map_err(|error| error.to_string())?;
        let ratio = |range: std::ops::Range<u64>| {
            let (mut reads, mut hits) = (0, 0);
            for bin in &bins[range.start as usize..range.end as usize] {
                (reads, hits) = (reads + bin.reads, hits + bin.hits);
            }
            hits as f64 / reads.max(1) as f64
        };
        let (from, until) = (FROM.0 / 1000, LENGTH.0 / 1000);
        let (before, during) = (ratio(WARM_AFTER..from), ratio(from..until));
        let of = |bin: &crate::replay::Watched| bin.hits as f64 / bin.reads.max(1) as f64;
        let series: Vec<f64> = bins.iter().map(of).collect();
        let others: u64 = bins.iter().map(|bin| bin.other_misses).sum();
        let missed: u64 = bins.iter().map(|bin| bin.reads - bin.hits).sum();
        let miss_rate: Vec<f64> = bins.iter().map(|bin| (bin.reads - bin.hits) as f64).collect();
        Ok(Run {
            figures: BTreeMap::from([
                (Figure::HotHits, during / before),
                (Figure::Loads, (missed + others) as f64),
                (Figure::Requests, trace.requests.len() as f64),
            ]),
            pictures: vec![
                Picture {
                    title: "the hot set's hit ratio".to_owned(),
                    height: Height::Stack,
                    layers: vec![("fresh", series.clone())],
                    bound: None,
                },
                Picture::of("misses of the hot set per second", Height::Decades, "loads", miss_rate),
            ],
            more: vec![("hot_hit_ratio", series)],
            cut_short: false,
        })
    }
}

impl Study for Busting {
    fn about(&self) -> About {
        About {
            scenario: Scenario::S11,
            variant: "",
            says: Scenario::S11.says().to_owned(),
            parameters: vec![
                ("the hot set", format!("{} keys (Zipf 0.9), values of {SIZE} bytes", self.keys)),
                ("requests for it", format!("{}/s", self.rate)),
                ("the flood", format!("{} times as many, each for a key never asked for before", TIMES)),
                ("memory", format!("room for {:.0} % of the hot set", self.fits * 100.0)),
                ("run", format!("{LENGTH}, the flood from {FROM} on")),
                ("simulated", "the library's memory tier itself, one process".to_owned()),
            ],
            sets: SETS.map(|(set, _)| set).to_vec(),
            measure: Figure::HotHits,
            bound: 1.0,
            bound_says: "unchanged: the hot set is hit as often during the flood as before it",
            columns: vec![Figure::Loads, Figure::Requests],
            goals: vec![Goal::at_least(Figure::HotHits, UNCHANGED)],
            length: LENGTH,
            bin: Span::secs(1),
            shade: Some((FROM, LENGTH)),
        }
    }

    fn run(&self, sets: &[usize], seed: u64) -> Result<Vec<Run>, String> {
        let trace = self.trace(seed);
        side_by_side(sets, |set| self.run_one(&trace, SETS[*set].1, seed)).into_iter().collect()
    }
}
