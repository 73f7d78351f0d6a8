//! What would a recorded trace have cost under other limits? The grid of setups, and what can be wrong with a trace.

use std::fmt::Write as _;
use std::path::Path;

use bellwether_sim::replay::{self, MOST_REQUESTS, Malformed, ReadError, Setup, Span, Trace};
use bellwether_sim::show::WhatIf;

use super::arguments::{self, Arguments};
use super::files::Files;
use crate::failure::Failure;
use crate::output::say;

/// Requests a second where the trace has no times.
const RATE: f64 = 1000.0;
/// A value's size where the trace names none.
const SIZE: u64 = 1024;
/// Fresh for so long unless said otherwise.
const TTL: Span = Span::secs(3600);
/// What the cache keeps of an entry besides key and value, about; for limits as shares of everything.
const OVERHEAD: u64 = 192;
/// Cells of the table.
const MOST_SETUPS: usize = 500;
/// The least limit that a cache accepts.
const LEAST_MEMORY: u64 = 64 << 10;

/// The grid, but for the limits that depend on the trace.
struct Grid {
    memory: Vec<u64>,
    ttls: Vec<Span>,
    graces: Vec<Span>,
    evictions: Vec<replay::Eviction>,
    rate: f64,
    size: u32,
    seed: u64,
}

pub(super) fn replay(arguments: &Arguments, file: &Path) -> Result<(), Failure> {
    let mut wrong = Vec::new();
    let format = arguments::format(&arguments.format, &mut wrong);
    let mut grid = grid(arguments, &mut wrong);
    if arguments.limit == Some(0) {
        wrong.push("--limit: expected at least 1, found 0".to_owned());
    }
    if !wrong.is_empty() {
        return Err(Failure::inputs(wrong));
    }
    let files = Files::reserve(arguments)?;
    let trace =
        replay::read(file, format, arguments.limit.unwrap_or(MOST_REQUESTS)).map_err(|error| told(file, error))?;
    if grid.memory.is_empty() {
        grid.memory = shares(&trace, grid.size);
    }
    let setups = grid.setups();
    if setups.len() > MOST_SETUPS {
        let words = format!("{} combinations are more than the limit of {MOST_SETUPS}", setups.len());
        return Err(Failure::input(words));
    }
    let figures = replay::run_all(&trace, &setups).map_err(Failure::input)?;
    let rows: Vec<_> = setups.into_iter().zip(figures).collect();
    let name = file.display().to_string();
    let whatif = WhatIf { file: &name, trace: &trace, rows: &rows };
    say(whatif.table().trim_end());
    let command = |report: &str| format!("{} {report}", command(arguments, &name));
    files.write(
        || format!("{:#}\n", whatif.json(&command("--json report.json"))),
        || whatif.csv(),
        || whatif.html(&command("--html report.html")),
    )
}

fn grid(arguments: &Arguments, wrong: &mut Vec<String>) -> Grid {
    let memory = arguments::sizes("--memory", &arguments.memory, wrong);
    if let Some(small) = memory.iter().find(|bytes| **bytes < LEAST_MEMORY) {
        wrong.push(format!("--memory: {small} bytes are too few: at least 64KiB"));
    }
    let ttls = arguments::times("--ttl", &arguments.ttl, TTL, wrong);
    if ttls.contains(&Span::ZERO) {
        wrong.push("--ttl: must be longer than zero".to_owned());
    }
    let graces = arguments::times("--grace", &arguments.grace, Span::ZERO, wrong);
    if graces.iter().any(|grace| grace.0 > u64::from(u32::MAX)) {
        wrong.push("--grace: is longer than the limit of 49 days".to_owned());
    }
    let evictions = arguments::evictions(&arguments.eviction, wrong);
    let named: Vec<String> = arguments.size.iter().cloned().collect();
    let size = arguments::sizes("--size", &named, wrong).first().copied().unwrap_or(SIZE);
    let size = u32::try_from(size).unwrap_or_else(|_| {
        wrong.push("--size: a value is at most 4 GiB".to_owned());
        0
    });
    let rate = arguments::rate(arguments.rate.as_ref(), wrong).unwrap_or(RATE);
    Grid { memory, ttls, graces, evictions, rate, size, seed: arguments.seed }
}

impl Grid {
    /// For each ttl and grace: first without limit, then every limit under every eviction.
    fn setups(&self) -> Vec<Setup> {
        let mut setups = Vec::new();
        for (ttl, grace) in self.ttls.iter().flat_map(|ttl| self.graces.iter().map(move |grace| (*ttl, *grace))) {
            let (rate, size, seed) = (self.rate, self.size, self.seed);
            let setup = |memory, eviction| Setup { memory, ttl, grace, eviction, rate, size, seed };
            setups.push(setup(None, replay::Eviction::Auto));
            for eviction in &self.evictions {
                setups.extend(self.memory.iter().map(|bytes| setup(Some(*bytes), *eviction)));
            }
        }
        setups
    }
}

/// 1 %, 5 % and 20 % of what all keys of the trace need together.
fn shares(trace: &Trace, size: u32) -> Vec<u64> {
    let keys: u64 = trace.keys.iter().map(|key| key.len() as u64 + OVERHEAD).sum();
    let all = trace.distinct_bytes(size) + keys;
    let mut limits: Vec<u64> = [1, 5, 20].iter().map(|share| (all * share / 100).max(LEAST_MEMORY)).collect();
    limits.dedup();
    limits
}

/// What is wrong with the trace, and what to do.
fn told(file: &Path, error: ReadError) -> Failure {
    let name = file.display();
    let line = |(number, what): &(u64, String)| format!("  line {number}: {what}");
    match error {
        ReadError::Unreadable(what) => Failure::input(format!("--trace {name}: {what}; expected a readable trace")),
        ReadError::Empty => Failure::input(format!("--trace {name}: there is no request in it")),
        ReadError::Wrong(what) => Failure::input(format!("--trace {name}: {what}")),
        ReadError::CutOff { requests, what } => {
            let hint = match requests {
                0 => "fetch it again".to_owned(),
                n => format!("{n} requests could be read before: fetch it again, or replay those with --limit {n}"),
            };
            Failure::input(format!("--trace {name}: can't be read to its end ({what}); {hint}"))
        }
        ReadError::Senseless(Malformed { count, first }) => {
            let head = format!("bellwether: --trace {name}: none of its {count} lines makes sense; is --format right?");
            Failure::Input(std::iter::once(head).chain(first.iter().map(line)).collect())
        }
    }
}

/// The command that makes the same figures, but for the report: its name does not matter.
fn command(arguments: &Arguments, file: &str) -> String {
    let mut text = format!("bellwether simulate --trace {} --seed {}", quoted(file), arguments.seed);
    let lists = [
        ("--memory", &arguments.memory),
        ("--ttl", &arguments.ttl),
        ("--grace", &arguments.grace),
        ("--eviction", &arguments.eviction),
    ];
    for (option, words) in lists.iter().filter(|(_, words)| !words.is_empty()) {
        // Writing into a String can't fail, here and below.
        let _ = write!(text, " {option} {}", words.join(","));
    }
    let options = [("--rate", &arguments.rate), ("--size", &arguments.size)];
    for (option, word) in options.iter().filter_map(|(option, word)| Some((option, word.as_ref()?))) {
        let _ = write!(text, " {option} {word}");
    }
    if arguments.format != "auto" {
        let _ = write!(text, " --format {}", arguments.format);
    }
    if let Some(limit) = arguments.limit {
        let _ = write!(text, " --limit {limit}");
    }
    text
}

/// A file's name as a shell takes it for one word.
fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,:+@%".contains(c);
    if !name.is_empty() && name.chars().all(plain) {
        name.to_owned()
    } else {
        format!("'{}'", name.replace('\'', "'\\''"))
    }
}
