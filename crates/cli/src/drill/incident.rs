//! How is an incident held from the command line, and how does one naive server run beside it?

use std::net::SocketAddr;
use std::path::PathBuf;

use bellwether_drill::incidents::{self, Incident, Kind, Options, Progress};
use bellwether_drill::{DrillError, FleetFlaw, Nodes, PASSWORD, Target, serve_fleet};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Command};

use super::held::{conclude, failed, program, runtime};
use crate::failure::Failure;
use crate::output::complain;
use crate::report::Place;

const HELP: &str = "Starts an engine, several servers that share it, an origin that counts and callers, as \
    processes of this machine, and judges by what that origin saw and what callers were told. It ends within a \
    minute or two, and ends what it has started.\n\nExit codes:\n  0  every row is ok\n  1  a row failed, or the drill could \
    not be held\n  2  bad input";

#[derive(Args)]
pub(crate) struct Arguments {
    /// Share this Redis instead of an own: redis://[[USER]:PASSWORD@]HOST:PORT[/DB]; the password may stand in
    /// BELLWETHER_DRILL_PASSWORD. It is not touched but for keys that begin with bw-drill-
    #[arg(long, value_name = "URL")]
    against: Option<String>,
    /// Start naive servers instead of ours, to see the drill fail
    #[arg(long, value_name = "FLAW", value_parser = flaws())]
    control: Option<FleetFlaw>,
    /// Shorter, with fewer callers
    #[arg(long)]
    quick: bool,
    /// Write the report as JSON too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What is wrong with each server of a naive fleet, by its name.
fn flaws() -> impl TypedValueParser<Value = FleetFlaw> {
    let names = FleetFlaw::ALL.map(|flaw| PossibleValue::new(flaw.name()).help(flaw.what()));
    PossibleValuesParser::new(names).try_map(|name| FleetFlaw::named(&name).ok_or("there is no such flaw"))
}

/// One process of a naive fleet.
#[derive(Args)]
pub(crate) struct Control {
    #[arg(long, value_parser = flaws())]
    flaw: FleetFlaw,
    #[arg(long)]
    origin: SocketAddr,
    /// A file with redis://… or memcached://HOST:PORT,…
    #[arg(long)]
    shared: PathBuf,
}

/// How an incident is asked for.
pub(super) fn command(incident: &'static Incident) -> Command {
    let mut what = incident.what.to_owned();
    // A sentence on the command line begins with a capital.
    what[..1].make_ascii_uppercase();
    Arguments::augment_args(Command::new(incident.name)).about(what).after_help(HELP)
}

pub(super) fn hold(incident: &'static Incident, arguments: &Arguments) -> Result<(), Failure> {
    let options = options(arguments).map_err(failed)?;
    // Before anything is started: a report that can't be written is better known now.
    let place = Place::reserve("--json", arguments.json.as_ref())?;
    let report = runtime()?.block_on(incidents::run(incident, &options, show)).map_err(failed)?;
    conclude(&report, place)
}

fn options(arguments: &Arguments) -> Result<Options, DrillError> {
    let against = arguments.against.as_ref().map(|url| Target::parse(url, std::env::var(PASSWORD).ok())).transpose()?;
    Ok(Options { program: program()?, control: arguments.control, against, quick: arguments.quick })
}

/// What goes on, on stderr: the table alone is the output.
fn show(progress: Progress<'_>) {
    match progress {
        Progress::Starting { kind, servers } => {
            let engine = match kind {
                None => "",
                Some(Kind::Redis) => "a Redis, and ",
                Some(Kind::Cluster) => "a Cluster of three primaries with a replica each, and ",
                Some(Kind::Sentinel) => "a primary, two replicas and three sentinels, and ",
                Some(Kind::Memcached) => "four memcached, and ",
            };
            complain(&format!("starting {engine}{servers} servers over it"));
        }
        Progress::Playing { target } => complain(&format!("they run; the incident begins for {target}")),
        Progress::NotCleaned { mark } => {
            complain(&format!("the drill's keys could not be removed: those with `{mark}` in their names may go"));
        }
    }
}

pub(super) fn control(arguments: &Control) -> Result<(), Failure> {
    let file = arguments.shared.display();
    let unreadable = |error: std::io::Error| Failure::input(format!("--shared {file}: {error}"));
    let url = std::fs::read_to_string(&arguments.shared).map_err(unreadable)?;
    let nodes = match url.trim().strip_prefix("memcached://") {
        Some(list) => list.split(',').map(str::parse).collect::<Result<_, _>>().map(Nodes::Memcached).ok(),
        None => Target::parse(url.trim(), None).map(Nodes::Redis).ok(),
    };
    let expected = || Failure::input(format!("--shared {file}: expected redis://… or memcached://…"));
    let nodes = nodes.ok_or_else(expected)?;
    let serving = serve_fleet(arguments.flaw, arguments.origin, nodes);
    runtime()?.block_on(serving).map_err(|error| Failure::Run(error.to_string()))
}
