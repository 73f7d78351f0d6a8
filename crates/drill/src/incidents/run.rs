//! How is an incident held: what is started, in which order, and how does it surely end?

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::blocking::blocking;
use crate::client::Client;
use crate::control::FleetFlaw;
use crate::error::{ClientError, DrillError};
use crate::incidents::check::{Check, part};
use crate::incidents::clean::{clean, mark};
use crate::incidents::engine::{Engine, Nodes};
use crate::incidents::fleet::Cast;
use crate::incidents::incident::Incident;
use crate::incidents::kind::Kind;
use crate::incidents::scale::Scale;
use crate::incidents::space::list;
use crate::incidents::stage::{Stage, known};
use crate::interrupt::interrupted;
use crate::key::run_name;
use crate::origin::Origin;
use crate::report::{Judged, Report};
use crate::target::Target;

/// Nobody waits longer for one incident on one engine.
const PLAY_LIMIT: Duration = Duration::from_secs(55);
/// Nobody waits longer until the run's keys are removed.
const CLEAN_LIMIT: Duration = Duration::from_secs(5);

/// How an incident is held.
#[derive(Clone, Debug)]
pub struct Options {
    /// This program: the servers are other processes of it.
    pub program: PathBuf,
    /// Naive servers in place of ours.
    pub control: Option<FleetFlaw>,
    /// A Redis that somebody else runs, in place of one that is started.
    pub against: Option<Target>,
    /// In less time.
    pub quick: bool,
}

/// What goes on.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// An engine and servers are started.
    Starting {
        /// Which engine; none if it is somebody's own.
        kind: Option<Kind>,
        /// How many servers.
        servers: usize,
    },
    /// They run, and the incident begins.
    Playing {
        /// What is put to the test.
        target: &'a str,
    },
    /// The keys of the run could not be removed.
    NotCleaned {
        /// How their names begin.
        mark: &'a str,
    },
}

/// Holds an incident. What was started is ended when this returns, or is dropped.
pub async fn run(
    incident: &Incident,
    options: &Options,
    progress: impl Fn(Progress<'_>),
) -> Result<Report, DrillError> {
    suits(incident, options)?;
    let name = run_name();
    let report = tokio::select! {
        report = hold(incident, options, &name, &progress) => report,
        () = interrupted() => Err(DrillError::Interrupted),
    };
    // Only now: a server that still runs would write again.
    if let Some(target) = &options.against
        && !matches!(report, Err(DrillError::Unreachable { .. }))
        && !matches!(timeout(CLEAN_LIMIT, clean(target, &mark(&name))).await, Ok(Ok(())))
    {
        progress(Progress::NotCleaned { mark: &mark(&name) });
    }
    report
}

/// Whether it can be held so at all.
fn suits(incident: &Incident, options: &Options) -> Result<(), DrillError> {
    if let Some(flaw) = options.control
        && !incident.controls.contains(&flaw)
    {
        let known = incident.controls.iter().map(|flaw| flaw.name()).collect::<Vec<_>>().join(", ");
        return Err(DrillError::NoControl { drill: incident.name, control: flaw.name(), known });
    }
    if options.against.is_some() && !incident.elsewhere {
        return Err(DrillError::OwnEngine { drill: incident.name });
    }
    Ok(())
}

async fn hold(
    incident: &Incident,
    options: &Options,
    run: &str,
    progress: &impl Fn(Progress<'_>),
) -> Result<Report, DrillError> {
    let mut rows = Vec::new();
    let mut shown = String::new();
    for &kind in incident.kinds {
        let shared = options.against.is_none().then_some(kind);
        progress(Progress::Starting { kind: shared, servers: incident.servers });
        let mut stage = set(incident, options, kind, run).await?;
        shown = target(incident, options);
        progress(Progress::Playing { target: &shown });
        let begun = Instant::now();
        let played = timeout(PLAY_LIMIT, (incident.play)(&mut stage)).await;
        let checks = match played {
            Ok(played) => part("asked", played),
            Err(_) => Ok(vec![unfinished(incident)]),
        };
        rows.extend(checks?.into_iter().map(|check| judged(check, begun.elapsed())));
    }
    Ok(Report { drill: incident.name, target: shown, rows })
}

async fn set(incident: &Incident, options: &Options, kind: Kind, run: &str) -> Result<Stage, DrillError> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let origin = Origin::bind(address).map_err(|source| DrillError::Origin { address, source })?;
    let engine = match &options.against {
        Some(target) => {
            let let_in = async { Client::open(target).await?.is_let_in().await };
            let let_in: Result<(), ClientError> = let_in.await;
            let_in.map_err(|error| DrillError::Unreachable { target: target.to_string(), error })?;
            Engine::Elsewhere(target.clone())
        }
        None => blocking(move || Engine::start(kind)).await?,
    };
    let cast = Cast {
        program: options.program.clone(),
        flaw: options.control,
        origin: origin.address(),
        permits: incident.permits,
        budget: incident.budget,
        prefix: format!("{}:", mark(run)),
        run: run.to_owned(),
        filters: incident.filters,
        nodes: Nodes::First,
        besides: "",
    };
    if incident.filters {
        let names: Vec<String> = known(run).into_iter().map(|key| key.name).collect();
        origin.set(&list(run), &names.join("\n"));
    }
    let scale = if options.quick { Scale::QUICK } else { Scale::FULL };
    Stage::set(kind, engine, origin, cast, incident.servers, scale).await
}

fn target(incident: &Incident, options: &Options) -> String {
    let servers = incident.servers;
    let who = match options.control {
        Some(flaw) => format!("{servers} naive servers (`{}`)", flaw.name()),
        None => format!("{servers} x bellwether serve"),
    };
    let over = |target: &Target| format!("{who} over {target}");
    options.against.as_ref().map_or(who.clone(), over)
}

fn judged(check: Check, took: Duration) -> Judged {
    let Check { name, what, measured, wanted, ok } = check;
    Judged { name, race: what, measured, wanted, ok, took }
}

fn unfinished(incident: &Incident) -> Check {
    let measured = format!("not done in {} s", PLAY_LIMIT.as_secs());
    Check { name: "end", what: incident.what.into(), measured, wanted: "an end".into(), ok: false }
}
