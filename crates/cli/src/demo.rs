//! How is the demo asked for, and what does its verdict mean to a shell?

use std::path::PathBuf;

use bellwether_demo::{Ended, Incident, Options, play};

use crate::failure::Failure;
use crate::output::say;
use crate::report::Place;

/// Unless said otherwise: everybody sees the same herd.
const SEED: u64 = 42;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Play one incident: its number or its name
    #[arg(long, value_name = "N", value_parser = Incident::parse)]
    only: Option<Incident>,
    /// Write the verdict as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Leave Bellwether running afterwards, with lines to try, until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Draw another herd
    #[arg(long, value_name = "N", default_value_t = SEED)]
    seed: u64,
    /// A smaller herd with longer deadlines, for slow machines
    #[arg(long)]
    quick: bool,
}

pub(crate) fn demo(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { only, json, keep, seed, quick } = arguments;
    let place = Place::reserve("--json", json.as_ref())?;
    let mut written = Ok(());
    let ended = play(&Options { only, seed, quick, keep }, say, |verdict| {
        written = place.map_or(Ok(()), |place| place.write(&format!("{verdict:#}\n")));
        written.is_ok()
    });
    let ended = ended.map_err(|error| Failure::Run(error.to_string()))?;
    written?;
    judged(&ended)
}

/// A claim that does not hold is a failure that names it.
fn judged(ended: &Ended) -> Result<(), Failure> {
    if ended.passed() {
        return Ok(());
    }
    let broken = ended.broken.join("\n  ");
    Err(Failure::Run(format!("{} of {} claims fail:\n  {broken}", ended.broken.len(), ended.claims)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_that_does_not_hold_ends_the_program_with_a_failure_that_names_it() {
        let good = Ended { claims: 2, broken: Vec::new() };
        assert!(judged(&good).is_ok(), "control");
        let bad = Ended { claims: 2, broken: vec!["cold: one query: found 2, wanted at most 1".to_owned()] };
        let Err(Failure::Run(words)) = judged(&bad) else { panic!("a failure") };
        assert!(words.contains("1 of 2") && words.contains("cold: one query"), "{words}");
    }
}
