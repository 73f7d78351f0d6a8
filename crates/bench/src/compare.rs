//! Who is asked what, in which order? Rounds in which everybody has their turn, another one first each time.

use std::path::Path;
use std::time::Duration;

use crate::contender::Contender;
use crate::cores::Cores;
use crate::error::Error;
use crate::load::{Load, Until};
use crate::machine;
use crate::outcome::{Absent, Comparison};
use crate::run::{Lane, Measured, Options, Run};
use crate::server::Server;
use crate::stop::Stop;
use crate::wire::Wire;

/// Part of a run's time that is spent before it, unmeasured, to warm up.
const WARM_UP: f64 = 0.2;
/// Share of requests that a cache may still pass on while it is measured as a cache.
const PASSED_ON: f64 = 0.01;

/// Measures `server` once.
///
/// # Errors
/// It fails under load, or passes requests on that it should answer by itself.
pub fn run(server: &Server, wire: Wire, depth: usize, seconds: f64, stop: &Stop) -> Result<Run, Error> {
    let who = server.contender().name();
    let address = server.address(wire)?;
    let load = |seconds: f64| {
        let until = Until::Elapsed(Duration::from_secs_f64(seconds));
        Load { address, wire, depth, until }.run(stop).map_err(|error| match error {
            Error::System(error) => Error::Server { who, why: error.to_string() },
            other => other,
        })
    };
    load(seconds * WARM_UP)?;
    let (cpu, passed_on) = (server.cpu()?, server.passed_on());
    let loaded = load(seconds)?;
    let spent = server.cpu()?.saturating_sub(cpu);
    let requests = loaded.requests.max(1) as f64;
    let passed_on = server.passed_on() - passed_on;
    if passed_on as f64 > PASSED_ON * requests {
        let why = format!("{passed_on} of {requests} requests went to its origin: that is no hit to compare with");
        return Err(Error::Server { who, why });
    }
    Ok(Run {
        cpu_us: spent.as_secs_f64() * 1e6 / requests,
        rate: requests / loaded.took.as_secs_f64() / 1000.0,
        p50_ms: loaded.latency.quantile(0.5),
        p99_ms: loaded.latency.quantile(0.99),
    })
}

/// Runs all rounds; `tell` hears what goes on.
///
/// # Errors
/// Ours can't be measured, a server that was asked for by name can't be, or `stop` was asked for. Others that can't
/// be measured are named in the result.
pub fn compare(options: &Options, stop: &Stop, tell: &mut dyn FnMut(&str)) -> Result<Comparison, Error> {
    if !cfg!(target_os = "linux") {
        return Err(Error::NoProc);
    }
    // Before this thread is given one core: the machine is told as it is.
    let machine = machine::line();
    let cores = Cores::split()?;
    let mut comparison = Comparison::new(machine, cores.apart(), options);
    let mut there = vec![(Contender::Bellwether, options.program.clone())];
    for other in Contender::OTHERS {
        match other.installed() {
            _ if !options.only.is_empty() && !options.only.contains(&other) => {}
            Some(program) => there.push((other, program)),
            None => comparison.absent.push((other, Absent::NotInstalled)),
        }
    }
    let wires: Vec<Wire> = match &there[1..] {
        [] => Contender::Bellwether.wires().to_vec(),
        others => others.iter().map(|(other, _)| other.beside()).collect(),
    };
    for (contender, program) in &there {
        comparison.versions.push((*contender, contender.version(program)));
    }
    for round in 0..options.rounds {
        for step in 0..there.len() {
            let Some((contender, program)) = there.get((round + step) % there.len()) else { continue };
            if comparison.failed(*contender) {
                continue;
            }
            let at = format!("round {} of {}: {}", round + 1, options.rounds, contender.name());
            let asked: Vec<Wire> = match contender {
                Contender::Bellwether => {
                    contender.wires().iter().copied().filter(|wire| wires.contains(wire)).collect()
                }
                other => other.wires().to_vec(),
            };
            let place = Place { contender: *contender, program, cores: &cores };
            match turn(&place, &asked, options.seconds, stop, &mut |what| tell(&format!("{at}, {what}"))) {
                Ok(turn) => comparison.add(*contender, turn),
                Err(Error::Server { why, .. }) if *contender != Contender::Bellwether => {
                    tell(&format!("{at} is left out: {why}"));
                    comparison.leave_out(*contender, why);
                }
                Err(error) => {
                    // A Ctrl-C at a terminal ends the servers, too: that is the reason, not the fault.
                    stop.check()?;
                    return Err(error);
                }
            }
        }
    }
    Ok(comparison)
}

/// Whose turn it is.
struct Place<'a> {
    contender: Contender,
    program: &'a Path,
    cores: &'a Cores,
}

/// One server's turn: a fresh process, so that no round inherits the last one's places in memory.
fn turn(
    place: &Place<'_>,
    wires: &[Wire],
    seconds: f64,
    stop: &Stop,
    tell: &mut dyn FnMut(&str),
) -> Result<Measured, Error> {
    tell("starting");
    let server = Server::start(place.contender, place.program, place.cores, stop)?;
    let mut measured = Measured { start: server.start_time(), runs: Vec::new() };
    for wire in wires {
        for depth in wire.depths() {
            tell(&format!("{} at depth {depth}", wire.name()));
            let run = run(&server, *wire, *depth, seconds, stop)?;
            measured.runs.push((Lane { wire: *wire, depth: *depth }, run));
        }
    }
    Ok(measured)
}
