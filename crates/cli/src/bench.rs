//! How fast is Bellwether on this machine, beside what is installed on it?

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use bellwether_bench::{Contender, Options, Stop, compare};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use tokio::signal::unix::SignalKind;

use crate::failure::Failure;
use crate::files;
use crate::output::{complain, say};
use crate::report::Place;
use crate::signals;

/// Files that loader and servers have open at most: 50 connections each, and what else they need.
const FILES: u64 = 256;
/// The longest that one run may be asked to take.
const MAX_SECONDS: f64 = 60.0;
/// Shorter runs measure their own beginning.
const MIN_SECONDS: f64 = 0.02;

/// What is to be compared, and how thoroughly.
#[derive(Args)]
pub(crate) struct Arguments {
    /// How often every server has its turn
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// Seconds of each run: one per server, protocol and depth of the pipeline in every round
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    seconds: f64,
    /// Compare with this one; may be given several times [default: all that are installed]
    #[arg(long, value_name = "NAME", value_parser = names())]
    only: Vec<Contender>,
    /// Also write the figures to FILE, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn names() -> impl clap::builder::TypedValueParser<Value = Contender> {
    // The parser lets nothing else through.
    PossibleValuesParser::new(Contender::ALL.map(Contender::name))
        .map(|name| Contender::named(&name).unwrap_or(Contender::Bellwether))
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (MIN_SECONDS..=MAX_SECONDS).contains(seconds));
    seconds.ok_or_else(|| format!("expected seconds from {MIN_SECONDS} to {MAX_SECONDS}, such as 0.5"))
}

pub(crate) fn bench(arguments: &Arguments) -> Result<(), Failure> {
    if cfg!(debug_assertions) {
        complain("bellwether: this is a debug build: its figures mean nothing; cargo build --release");
    }
    files::enough(FILES)?;
    for wanted in &arguments.only {
        if *wanted != Contender::Bellwether && wanted.installed().is_none() {
            return Err(Failure::Run(missing(*wanted)));
        }
    }
    let place = Place::reserve("--json", arguments.json.as_ref())?;
    let program = std::env::current_exe().map_err(|error| Failure::Run(format!("where am I? {error}")))?;
    let options =
        Options { program, rounds: arguments.rounds.into(), seconds: arguments.seconds, only: arguments.only.clone() };
    let stop = Stop::default();
    stop_on_signals(stop.clone());
    let mut progress = Progress { rewrites: io::stderr().is_terminal() };
    let compared = compare(&options, &stop, &mut |line| progress.tell(line));
    progress.end();
    let comparison = compared.map_err(|error| Failure::Run(error.to_string()))?;
    say(&comparison.text());
    if let Some(place) = place {
        place.write(&format!("{:#}\n", comparison.json()))?;
    }
    match comparison.failures().find(|(contender, _)| arguments.only.contains(contender)) {
        Some((contender, why)) => Err(Failure::Run(format!("{} could not be measured: {why}", contender.name()))),
        None => Ok(()),
    }
}

fn missing(wanted: Contender) -> String {
    format!(
        "{} is not installed: no {} in PATH (Debian: apt-get install {})",
        wanted.name(),
        wanted.program(),
        wanted.package()
    )
}

/// What goes on, on stderr: one line that is rewritten where somebody watches, else a line each.
struct Progress {
    rewrites: bool,
}

impl Progress {
    fn tell(&mut self, line: &str) {
        if self.rewrites {
            // Whoever doesn't see it gets the figures all the same.
            let _ = write!(io::stderr(), "\r\x1b[2K{line}");
        } else {
            complain(line);
        }
    }

    fn end(&mut self) {
        if self.rewrites {
            // As above.
            let _ = write!(io::stderr(), "\r\x1b[2K");
        }
    }
}

/// Servers that were started must end with this program, however it is told to end.
fn stop_on_signals(stop: Stop) {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    if let Err(error) = signals::hear(kinds, move |_| stop.request()) {
        complain(&format!("bellwether: no thread for signals ({error}): don't interrupt this run"));
    }
}
