//! What does Bellwether do for a shop whose database is too weak? The same incidents, with and without it.
//!
//! Plain cache-aside and Bellwether face the same herd, drawn from a seed, with the same pool, the same ttl and the
//! same deadline; each has its own copy of the shop's database, whose counters are the verdict. Bellwether is the
//! real server on its real sockets. One side is played after the other, so that neither takes the other's cores.
#![forbid(unsafe_code)]

mod claims;
mod database;
mod failure;
mod files;
mod herd;
mod hop;
mod incident;
mod keep;
mod ledger;
mod measured;
mod plain;
mod report;
mod run;
mod script;
mod shop;
mod side;
mod verdict;
mod view;
mod words;

use std::time::Instant;

pub use failure::Failure;
pub use incident::Incident;
pub use view::Say;

use serde_json::Value;

use run::{Programme, Stage};
use script::Scale;
use verdict::Verdict;

/// What is to be played.
#[derive(Clone, Debug)]
pub struct Options {
    /// One incident instead of all.
    pub only: Option<Incident>,
    /// The herd is drawn from it.
    pub seed: u64,
    /// A smaller herd with more patience: for tests, where the build is slow and the machine busy.
    pub quick: bool,
    /// Bellwether goes on running afterwards.
    pub keep: bool,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Claims in all.
    pub claims: usize,
    /// Those that don't hold, in words.
    pub broken: Vec<String>,
}

impl Ended {
    fn of(verdict: &Verdict) -> Ended {
        let broken = verdict.broken().into_iter().map(|broken| broken.words).collect();
        Ended { claims: verdict.claims(), broken }
    }

    /// Whether every claim holds.
    pub fn passed(&self) -> bool {
        self.broken.is_empty()
    }
}

/// Plays the demo: `say` gets its progress and its verdict, line by line; on a terminal the progress lives there instead.
/// `report` gets the verdict as JSON before Bellwether is kept running; if it says false, that is not done.
///
/// # Errors
/// It could not be played. A claim that does not hold is no error: see [`Ended`].
pub fn play(options: &Options, say: Say, report: impl FnOnce(&Value) -> bool) -> Result<Ended, Failure> {
    let begun = Instant::now();
    let connections = files::connections()?;
    let temporary = tempfile::Builder::new().prefix("bellwether-demo-").tempdir();
    let temporary = temporary.map_err(|error| {
        let folder = std::env::temp_dir();
        Failure::Shop(format!("{}: {error}; TMPDIR names another place", folder.display()))
    })?;
    let mut stage = Stage::set()?;
    let scale = if options.quick { Scale::QUICK } else { Scale::FULL };
    let only = options.only.map(|incident| [incident]);
    let incidents = only.as_ref().map_or(&Incident::ALL[..], |only| &only[..]);
    let programme = Programme { incidents, scale, seed: options.seed, connections, home: temporary.path(), say };
    introduce(options, &scale, connections, say);
    let verdict = programme.play(&mut stage)?;
    say("");
    verdict.lines().iter().for_each(|line| say(line));
    say(&format!("\nseed {}, {} s in all", options.seed, begun.elapsed().as_secs()));
    let reported = report(&report::json(&verdict, &scale, options.seed, options.quick));
    if options.keep && reported {
        keep::serve(&mut stage, temporary.path(), &scale, say)?;
    }
    Ok(Ended::of(&verdict))
}

/// What is the same for both sides, what is not, and what was arranged.
fn introduce(options: &Options, scale: &Scale, connections: usize, say: Say) {
    let patience = scale.deadline.as_secs();
    say("One herd, two caches, the same weak database.");
    say("  database    SQLite, 16 connections, 50 ms a query (500 in 2 and 6): an SQL");
    say("              function sleeps so long on purpose: no machine's speed counts");
    say("  the same    herd, ttl, pool of connections, and how long a caller waits");
    say(&format!("              ({patience} s); both are asked over sockets of this machine"));
    say("  plain       a map with a ttl: get; on a miss query, then set. Nothing else");
    say("  bellwether  its real server over RESP, `grace = \"10m\"`, the rest at defaults");
    say("  order       plain first, then bellwether: neither takes the other's cores");
    say(&format!("  herd        drawn from seed {}; popularity by Zipf", options.seed));
    if connections < 1_000 {
        say(&format!("  note        few files may be open: {connections} connections, so that answers queue"));
        say("              behind each other, on both sides; `ulimit -n 4096` makes room");
    }
}
