//! How is a drill held: what is started, in which order, and how does it surely end?

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bellwether_servers::Announced;
use tokio::time::timeout;

use crate::blocking::blocking;
use crate::control::{Control, Flaw};
use crate::error::DrillError;
use crate::interrupt::interrupted;
use crate::origin::Origin;
use crate::races::row::{Outcome, Row};
use crate::races::scale::Scale;
use crate::races::space::{ORIGIN, config};
use crate::races::stage::Stage;
use crate::races::{preflight, rows};
use crate::report::{Judged, Report};
use crate::server::serve;
use crate::target::Target;

/// Nobody waits longer for one row.
const ROW_LIMIT: Duration = Duration::from_secs(15);
/// Nobody waits longer for all of them; rows that come later are not run, and so failed.
const RUN_LIMIT: Duration = Duration::from_secs(50);
/// Nobody waits longer until the run's keys are removed.
const CLEAN_LIMIT: Duration = Duration::from_secs(3);

/// What is put to the test.
#[derive(Clone, Debug)]
pub enum Subject {
    /// This program's `serve`, started for the drill.
    Own(PathBuf),
    /// An endpoint that somebody else runs.
    Endpoint(Target),
    /// A faulty server, which must fail.
    Control(Flaw),
}

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Options {
    /// On what.
    pub subject: Subject,
    /// Where the origin listens; the default is any free port, for an endpoint [`ORIGIN`].
    pub origin: Option<SocketAddr>,
    /// Fewer tries, shorter storms.
    pub quick: bool,
    /// Only these rows; all if empty.
    pub only: Vec<String>,
}

/// What goes on.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// The origin listens, and the subject is about to be asked.
    Ready {
        /// What is put to the test.
        target: &'a str,
        /// The origin's address.
        origin: SocketAddr,
    },
    /// A row begins.
    Row {
        /// Its number, from 1.
        number: usize,
        /// Of how many.
        of: usize,
        /// Its name.
        name: &'static str,
        /// What happens in it.
        race: &'static str,
    },
    /// The keys of the run could not be removed; they go with their ttl.
    NotCleaned,
}

/// Races the subject. What was started is ended when this returns, or is dropped.
pub async fn run(options: &Options, progress: impl Fn(Progress<'_>)) -> Result<Report, DrillError> {
    let rows = chosen(&options.only)?;
    tokio::select! {
        report = hold(options, &rows, progress) => report,
        () = interrupted() => Err(DrillError::Interrupted),
    }
}

async fn hold(options: &Options, rows: &[&'static Row], progress: impl Fn(Progress<'_>)) -> Result<Report, DrillError> {
    let origin = origin(options)?;
    let (target, _running) = start(&options.subject, &origin).await?;
    let shown = match &options.subject {
        Subject::Own(_) => format!("bellwether serve at {target}"),
        Subject::Endpoint(_) => target.to_string(),
        Subject::Control(flaw) => format!("the control `{}` at {target}", flaw.name()),
    };
    progress(Progress::Ready { target: &shown, origin: origin.address() });
    let stage = Stage::new(origin, target, if options.quick { Scale::QUICK } else { Scale::FULL });
    preflight::check(&stage).await?;
    let (begun, mut judged) = (Instant::now(), Vec::with_capacity(rows.len()));
    for (at, row) in rows.iter().enumerate() {
        progress(Progress::Row { number: at + 1, of: rows.len(), name: row.name, race: row.race });
        judged.push(judge(row, &stage, RUN_LIMIT.saturating_sub(begun.elapsed())).await);
    }
    stage.calm();
    if let Subject::Endpoint(_) = options.subject
        && !matches!(timeout(CLEAN_LIMIT, stage.clean()).await, Ok(Ok(())))
    {
        progress(Progress::NotCleaned);
    }
    Ok(Report { drill: "races", target: shown, rows: judged })
}

/// Rows by name, in the order of the table.
fn chosen(only: &[String]) -> Result<Vec<&'static Row>, DrillError> {
    for name in only {
        if !rows::all().any(|row| row.name.eq_ignore_ascii_case(name)) {
            let distance = |row: &&Row| strsim::damerau_levenshtein(&name.to_ascii_lowercase(), row.name);
            let near = |row: &&Row| distance(row) <= (name.len().max(3) / 3).max(1);
            let meant = rows::all().filter(near).min_by_key(distance).map(|row| row.name);
            return Err(DrillError::UnknownRow { name: name.clone(), meant });
        }
    }
    let named = |row: &&Row| only.is_empty() || only.iter().any(|name| row.name.eq_ignore_ascii_case(name));
    Ok(rows::all().filter(named).collect())
}

fn origin(options: &Options) -> Result<Origin, DrillError> {
    let usual = match options.subject {
        Subject::Endpoint(_) => ORIGIN,
        Subject::Own(_) | Subject::Control(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    };
    let address = options.origin.unwrap_or(usual);
    Origin::bind(address).map_err(|source| DrillError::Origin { address, source })
}

/// What ends with the drill.
enum Running {
    Server { _server: Announced },
    Control { _control: Control },
    Elsewhere,
}

async fn start(subject: &Subject, origin: &Origin) -> Result<(Target, Running), DrillError> {
    match subject {
        Subject::Own(program) => {
            let (program, text) = (program.clone(), config(origin.address()));
            let server = blocking(move || serve(&program, &text)).await?;
            let address = server.listening("redis").ok_or_else(|| DrillError::Server("it has no port".into()))?;
            Ok((Target::started(address), Running::Server { _server: server }))
        }
        Subject::Endpoint(target) => Ok((target.clone(), Running::Elsewhere)),
        Subject::Control(flaw) => {
            let control = Control::start(*flaw, origin.address());
            let control = control.map_err(|error| DrillError::Server(error.to_string()))?;
            Ok((Target::started(control.address()), Running::Control { _control: control }))
        }
    }
}

async fn judge(row: &'static Row, stage: &Stage, left: Duration) -> Judged {
    stage.calm();
    let begun = Instant::now();
    let limit = ROW_LIMIT.min(left);
    let outcome = match timeout(limit, (row.run)(stage)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => Outcome::new(error.to_string(), false),
        Err(_) => Outcome::new(format!("not done in {} s", limit.as_secs()), false),
    };
    let Outcome { measured, ok } = outcome;
    Judged { name: row.name, race: row.race.into(), measured, wanted: row.wanted.into(), ok, took: begun.elapsed() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_chosen_by_name_and_a_wrong_one_gets_a_suggestion() {
        assert_eq!(chosen(&[]).unwrap().len(), rows::all().count());
        let names = |only: &[&str]| {
            let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
            chosen(&only).map(|rows| rows.iter().map(|row| row.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&["Storm", "COLD"]).unwrap(), ["cold", "storm"]);
        let error = |name| names(&[name]).unwrap_err().to_string();
        assert!(error("STROM").contains("did you mean `storm`?"), "{}", error("STROM"));
        assert!(!error("zzzzzz").contains("did you mean") && error("zzzzzz").contains("drill list"));
    }

    #[test]
    fn no_two_rows_have_one_name() {
        let mut names: Vec<&str> = rows::all().map(|row| row.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
