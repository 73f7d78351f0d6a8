//! What do all drills share on the command line: how they run, and how they end?

use std::path::PathBuf;

use bellwether_drill::{DrillError, Report};

use crate::failure::Failure;
use crate::output::say;
use crate::report::Place;

/// Threads of the drill's own clients: the server under test needs the others.
const THREADS: usize = 2;

pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    runtime.map_err(|error| Failure::Run(format!("no thread can be started: {error}")))
}

pub(super) fn program() -> Result<PathBuf, DrillError> {
    std::env::current_exe().map_err(|error| DrillError::Server(format!("its program is not found: {error}")))
}

/// The table, the report for a program, and the verdict.
pub(super) fn conclude(report: &Report, place: Option<Place>) -> Result<(), Failure> {
    say(report.table().trim_end());
    if let Some(place) = place {
        place.write(&format!("{:#}\n", report.json()))?;
    }
    verdict(report)
}

pub(super) fn failed(error: DrillError) -> Failure {
    if error.is_input() { Failure::input(error) } else { Failure::Run(error.to_string()) }
}

fn verdict(report: &Report) -> Result<(), Failure> {
    let (failed, all) = (report.failed(), report.rows.len());
    say(&format!("\n{}: {} of {all} rows ok", report.target, all - failed.len()));
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::Run(format!("{} of {all} rows FAILED: {}", failed.len(), failed.join(", "))))
}
