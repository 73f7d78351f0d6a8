//! How is a drill held from the command line: on what, which rows, and where does its report go?

mod held;
mod incident;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use bellwether_drill::races::{self, Options, Progress, Subject};
use bellwether_drill::{DrillError, Flaw, PASSWORD, Target, drills, incidents};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand};

use crate::failure::Failure;
use crate::files;
use crate::output::{complain, printable, say};
use crate::report::Place;
use held::{conclude, failed, program, runtime};
use incident::Control as Naive;

/// Which drill is held.
pub(crate) enum Drill {
    /// An incident: which there are is told by the drills themselves.
    Incident(&'static incidents::Incident, incident::Arguments),
    Other(Other),
}

#[derive(Subcommand)]
pub(crate) enum Other {
    /// Tell which drills there are, and their rows
    List,
    /// Races that caches lose, on this program's own `serve` unless told otherwise
    #[command(after_help = RACES)]
    Races(Box<Races>),
    /// One process of a naive fleet: what the other drills start with --control
    #[command(hide = true)]
    Control(Naive),
    /// A name that no drill has.
    #[command(external_subcommand)]
    Unknown(Vec<OsString>),
}

fn named(name: &str) -> Option<&'static incidents::Incident> {
    incidents::ALL.into_iter().find(|incident| incident.name == name)
}

impl FromArgMatches for Drill {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Drill, clap::Error> {
        match matches.subcommand().and_then(|(name, below)| Some((named(name)?, below))) {
            Some((incident, below)) => Ok(Drill::Incident(incident, incident::Arguments::from_arg_matches(below)?)),
            None => Other::from_arg_matches(matches).map(Drill::Other),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Drill::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Subcommand for Drill {
    fn augment_subcommands(command: Command) -> Command {
        incidents::ALL.into_iter().map(incident::command).fold(Other::augment_subcommands(command), Command::subcommand)
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Drill::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        named(name).is_some() || Other::has_subcommand(name)
    }
}

/// Files that callers, origin and servers of a drill have open at most.
const FILES: u64 = 512;

const RACES: &str = "Starts an origin that is slow, fails, hangs or breaks off when it is told to, and judges the \
    server by what that origin saw and what callers were told. With --against only keys that begin with bw-drill- \
    are touched.\n\nExit codes:\n  0  every row is ok\n  1  a row failed, or the drill could not be held\n  2  bad input";

#[derive(Args)]
pub(crate) struct Races {
    /// Race this endpoint instead of an own server: redis://[[USER]:PASSWORD@]HOST:PORT[/DB]; the password may
    /// stand in BELLWETHER_DRILL_PASSWORD
    #[arg(long, value_name = "URL", conflicts_with = "control")]
    against: Option<String>,
    /// Race a deliberately faulty server, to see the drill fail
    #[arg(long, value_name = "FLAW", value_parser = flaws())]
    control: Option<Flaw>,
    /// Where the drill's origin listens [default: any free port; with --against 127.0.0.1:7411]
    #[arg(long, value_name = "HOST:PORT")]
    origin: Option<SocketAddr>,
    /// Print what an endpoint must be told so that it reads the drill's keys through, and end
    #[arg(long)]
    print_config: bool,
    /// Run only this row; may be given several times
    #[arg(long, value_name = "ROW")]
    only: Vec<String>,
    /// Fewer tries and shorter storms: some seconds
    #[arg(long)]
    quick: bool,
    /// Write the report as JSON too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What is wrong with a server that must fail, by its name.
fn flaws() -> impl TypedValueParser<Value = Flaw> {
    let names = Flaw::ALL.map(|flaw| PossibleValue::new(flaw.name()).help(flaw.what()));
    PossibleValuesParser::new(names).try_map(|name| Flaw::named(&name).ok_or("there is no such flaw"))
}

pub(crate) fn drill(drill: Drill) -> Result<(), Failure> {
    let other = match drill {
        Drill::Incident(incident, arguments) => {
            files::enough(FILES)?;
            return incident::hold(incident, &arguments);
        }
        Drill::Other(other) => other,
    };
    match other {
        Other::List => {
            list();
            Ok(())
        }
        Other::Races(arguments) if arguments.print_config => {
            say(races::config(arguments.origin.unwrap_or(races::ORIGIN)).trim_end());
            Ok(())
        }
        Other::Races(arguments) => files::enough(FILES).and_then(|()| run(&arguments)),
        Other::Control(arguments) => incident::control(&arguments),
        Other::Unknown(words) => Err(Failure::input(unknown(&words))),
    }
}

/// Which drill may have been meant, and which there are.
fn unknown(words: &[OsString]) -> String {
    let word = words.first().map(|word| word.to_string_lossy().to_lowercase()).unwrap_or_default();
    let distance = |name: &&str| strsim::damerau_levenshtein(&word, name);
    let drills: Vec<&str> = drills().map(|drill| drill.name).collect();
    let near =
        drills.iter().copied().chain(["list"]).filter(|name| distance(name) <= (name.len().max(word.len()) / 3).max(1));
    let hint = near.min_by_key(distance).map(|name| format!(" Did you mean '{name}'?")).unwrap_or_default();
    format!(
        "there is no drill '{}'.{hint} There are: {} (`bellwether drill list` tells what each is)",
        printable(&word),
        drills.join(", ")
    )
}

fn list() {
    for drill in drills() {
        say(&format!("{:<18} {}", drill.name, drill.what));
    }
    say("\nrows of `races`, for --only:");
    for (name, race) in races::rows() {
        say(&format!("  {name:<10} {race}"));
    }
}

fn run(arguments: &Races) -> Result<(), Failure> {
    let options = options(arguments).map_err(failed)?;
    // Before anything is started: a report that can't be written is better known now.
    let place = Place::reserve("--json", arguments.json.as_ref())?;
    let report = runtime()?.block_on(races::run(&options, show)).map_err(failed)?;
    conclude(&report, place)
}

fn options(arguments: &Races) -> Result<Options, DrillError> {
    let subject = match (&arguments.against, arguments.control) {
        (Some(url), _) => Subject::Endpoint(Target::parse(url, std::env::var(PASSWORD).ok())?),
        (None, Some(control)) => Subject::Control(control),
        (None, None) => Subject::Own(program()?),
    };
    let (origin, quick, only) = (arguments.origin, arguments.quick, arguments.only.clone());
    Ok(Options { subject, origin, quick, only })
}

/// What goes on, on stderr: the table alone is the output.
fn show(progress: Progress<'_>) {
    match progress {
        Progress::Ready { target, origin } => complain(&format!("racing {target}; its origin listens at {origin}")),
        Progress::Row { number, of, name, race } => {
            complain(&format!("[{number:>2}/{of}] {name}: {race}"));
        }
        Progress::NotCleaned => complain("the drill's keys could not be removed: they go with their ttl of 10 minutes"),
    }
}
