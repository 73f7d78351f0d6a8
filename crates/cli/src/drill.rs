//! How is a drill held from the command line: on what, which rows, and where does its report go?

mod held;
mod incident;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use bellwether_drill::races::{self, Options, Progress, Subject};
use bellwether_drill::{DrillError, Flaw, PASSWORD, Target, drills};
use clap::{Args, Subcommand, ValueEnum};

use crate::failure::Failure;
use crate::output::{complain, printable, say};
use crate::report::Place;
use held::{conclude, failed, program, runtime};
use incident::{Control as Naive, Incident, hold};

#[derive(Subcommand)]
pub(crate) enum Drill {
    /// Tell which drills there are, and their rows
    List,
    /// Races that caches lose, on this program's own `serve` unless told otherwise
    #[command(after_help = RACES)]
    Races(Box<Races>),
    /// Every caller of a fleet asks for one key that nobody holds, then for keys that expire
    #[command(after_help = incident::HELP)]
    FleetCold(Incident),
    /// The process that loads a key is killed, or stopped past its lease
    #[command(after_help = incident::HELP)]
    LeaderKilled(Incident),
    /// A row is written and its key removed at one server while another loads it
    #[command(after_help = incident::HELP)]
    DeleteDuringLoad(Incident),
    /// The shared Redis stops in the middle of what it does, and goes on later
    #[command(after_help = incident::HELP)]
    RedisFrozen(Incident),
    /// The shared Redis is killed, and comes back empty
    #[command(after_help = incident::HELP)]
    RedisDown(Incident),
    /// A primary of a Cluster, then one under Sentinels, is killed, and a replica takes its place
    #[command(after_help = incident::HELP)]
    Failover(Incident),
    /// One server is cut off from the backplane, then from everything, then stopped, while keys that it holds are removed elsewhere
    #[command(after_help = incident::HELP)]
    BackplaneLost(Incident),
    /// A Memcached fleet gets a fourth node, then loses one under load and finds it again
    #[command(after_help = incident::HELP)]
    NodeAdded(Incident),
    /// One of three Memcached nodes is left out, server by server and under load, and is taken in again
    #[command(after_help = incident::HELP)]
    NodeRemoved(Incident),
    /// Every caller of every server asks for one key of a cluster, from one moment to the next
    #[command(after_help = incident::HELP)]
    Viral(Incident),
    /// The node of the key that everybody asks for is killed
    #[command(after_help = incident::HELP)]
    HotNodeDies(Incident),
    /// One popular key expires, then is written ten times a second, under everybody
    #[command(after_help = incident::HELP)]
    FlashSale(Incident),
    /// Many keys are loaded in one moment, and would all expire together
    #[command(after_help = incident::HELP)]
    Avalanche(Incident),
    /// The servers are killed and started again one after the other, under load
    #[command(after_help = incident::HELP)]
    RollingRestart(Incident),
    /// The origin takes ten times as long, while values go stale under callers
    #[command(after_help = incident::HELP)]
    OriginSlow(Incident),
    /// The origin answers errors alone, while values go stale under callers
    #[command(after_help = incident::HELP)]
    OriginDead(Incident),
    /// Clients ask again and again for rows that do not exist
    #[command(after_help = incident::HELP)]
    Penetration(Incident),
    /// Clients ask for a row that nobody has asked for, each time another one
    #[command(after_help = incident::HELP)]
    CacheBusting(Incident),
    /// One process of a naive fleet: what the other drills start with --control
    #[command(hide = true)]
    Control(Naive),
    /// A name that no drill has.
    #[command(external_subcommand)]
    Unknown(Vec<OsString>),
}

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
    #[arg(long, value_name = "FLAW")]
    control: Option<Control>,
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

/// What is wrong with a server that must fail.
#[derive(Clone, Copy, ValueEnum)]
enum Control {
    /// Every miss loads for itself
    Naive,
    /// Misses share the first caller's load, which knows nothing of removals
    Singleflight,
    /// A pool of connections that takes back unread answers
    Pool,
}

impl From<Control> for Flaw {
    fn from(control: Control) -> Flaw {
        match control {
            Control::Naive => Flaw::Naive,
            Control::Singleflight => Flaw::Singleflight,
            Control::Pool => Flaw::Pool,
        }
    }
}

pub(crate) fn drill(drill: Drill) -> Result<(), Failure> {
    match drill {
        Drill::List => {
            list();
            Ok(())
        }
        Drill::Races(arguments) if arguments.print_config => {
            say(races::config(arguments.origin.unwrap_or(races::ORIGIN)).trim_end());
            Ok(())
        }
        Drill::Races(arguments) => run(&arguments),
        Drill::FleetCold(arguments) => hold("fleet-cold", &arguments),
        Drill::LeaderKilled(arguments) => hold("leader-killed", &arguments),
        Drill::DeleteDuringLoad(arguments) => hold("delete-during-load", &arguments),
        Drill::RedisFrozen(arguments) => hold("redis-frozen", &arguments),
        Drill::RedisDown(arguments) => hold("redis-down", &arguments),
        Drill::Failover(arguments) => hold("failover", &arguments),
        Drill::BackplaneLost(arguments) => hold("backplane-lost", &arguments),
        Drill::NodeAdded(arguments) => hold("node-added", &arguments),
        Drill::NodeRemoved(arguments) => hold("node-removed", &arguments),
        Drill::Viral(arguments) => hold("viral", &arguments),
        Drill::HotNodeDies(arguments) => hold("hot-node-dies", &arguments),
        Drill::FlashSale(arguments) => hold("flash-sale", &arguments),
        Drill::Avalanche(arguments) => hold("avalanche", &arguments),
        Drill::RollingRestart(arguments) => hold("rolling-restart", &arguments),
        Drill::OriginSlow(arguments) => hold("origin-slow", &arguments),
        Drill::OriginDead(arguments) => hold("origin-dead", &arguments),
        Drill::Penetration(arguments) => hold("penetration", &arguments),
        Drill::CacheBusting(arguments) => hold("cache-busting", &arguments),
        Drill::Control(arguments) => incident::control(&arguments),
        Drill::Unknown(words) => Err(Failure::input(unknown(&words))),
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
        (None, Some(control)) => Subject::Control(control.into()),
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
