//! How do the policy sets compare? Scenario by scenario.

use std::fmt::Write as _;

use bellwether_sim::scenarios::{Scenario, Set, Sizes, Study, studies};
use bellwether_sim::show::{self, Comparison};
use serde_json::json;

use super::arguments::{self, Arguments, MOST_SEEDS};
use super::files::Files;
use super::progress::Progress;
use crate::failure::Failure;
use crate::output::say;

/// Tells what there is: all of it, or the scenarios that are named.
pub(super) fn list(arguments: &Arguments) -> Result<(), Failure> {
    let named: Vec<String> = arguments.scenarios.iter().filter(|word| *word != "list").cloned().collect();
    let mut wrong = Vec::new();
    let scenarios = arguments::scenarios(&named, &mut wrong);
    if !wrong.is_empty() {
        return Err(Failure::inputs(wrong));
    }
    let mut text = "scenarios\n".to_owned();
    let mut sets: Vec<Set> = Vec::new();
    for scenario in scenarios {
        // Writing into a String can't fail, here and below.
        let _ = writeln!(text, "  {:<13} {}", scenario.as_str(), scenario.says());
        let cases = studies(scenario, &Sizes::default());
        for about in cases.iter().map(|study| study.about()) {
            let variant = if about.variant.is_empty() { String::new() } else { format!("{}: ", about.variant) };
            let _ = writeln!(text, "  {:<13} {variant}{}; bound: {}", "", about.measure.heading(), about.bound_says);
            let words: Vec<&str> = about.sets.iter().map(|set| set.word).collect();
            let _ = writeln!(text, "  {:<13} sets: {}", "", words.join(", "));
            sets.extend(about.sets);
        }
    }
    text.push_str("\npolicy sets (--policy takes these words, or a level: naive, partial, full)\n");
    let mut told: Vec<Set> = Vec::new();
    for set in sets {
        if !told.contains(&set) {
            let _ = writeln!(text, "  {:<13} {:<8} {}", set.word, set.level.as_str(), set.says);
            told.push(set);
        }
    }
    say(text.trim_end());
    Ok(())
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut wrong = Vec::new();
    let scenarios = arguments::scenarios(&arguments.scenarios, &mut wrong);
    let rate = arguments::rate(arguments.rate.as_ref(), &mut wrong);
    if !(1..=MOST_SEEDS).contains(&arguments.seeds) {
        wrong.push(format!("--seeds: expected 1 to {MOST_SEEDS}, found {}", arguments.seeds));
    } else if arguments.seed.checked_add(arguments.seeds).is_none() {
        let (seed, seeds) = (arguments.seed, arguments.seeds);
        wrong.push(format!("--seed: expected at most {} with --seeds {seeds}, found {seed}", u64::MAX - seeds));
    }
    if let Some(beta) = arguments.beta
        && !(beta.is_finite() && beta > 0.0)
    {
        wrong.push(format!("--beta: expected a number above zero, found {beta}"));
    }
    if arguments.processes == Some(0) {
        wrong.push("--processes: expected at least 1, found 0".to_owned());
    }
    let sizes = Sizes { small: false, processes: arguments.processes.filter(|n| *n > 0), rate, beta: arguments.beta };
    let named = if scenarios.is_empty() { Scenario::ALL.to_vec() } else { scenarios.clone() };
    let cases: Vec<Box<dyn Study>> = named.iter().flat_map(|scenario| studies(*scenario, &sizes)).collect();
    let known: Vec<Set> = cases.iter().flat_map(|study| study.about().sets).collect();
    let asked = arguments::policies(&arguments.policy, &known, &mut wrong);
    if !wrong.is_empty() {
        return Err(Failure::inputs(wrong));
    }
    let files = Files::reserve(arguments)?;
    let mut comparisons = Vec::new();
    let mut progress = Progress::of(cases.len());
    for (number, study) in cases.iter().enumerate() {
        let about = study.about();
        let sets: Vec<usize> = (0..about.sets.len()).filter(|at| asked.for_set(&about.sets[*at])).collect();
        // A scenario that has none of the sets that are asked for is left out: another one has.
        if sets.is_empty() {
            continue;
        }
        progress.begins(number, &about.name());
        let comparison = Comparison::run(&**study, &sets, arguments.seed, arguments.seeds)
            .map_err(|words| Failure::input(format!("{}: {words}", about.name())));
        progress.clear();
        let mut comparison = comparison?;
        comparison.about.says += &other_sizes(arguments);
        say(&comparison.table());
        comparisons.push(comparison);
    }
    if comparisons.len() > 1 {
        say(&show::summary(&comparisons));
    }
    let command = |report: &str| format!("{} {report}", command(arguments, &scenarios));
    let json = || {
        let cases: Vec<_> = comparisons.iter().map(Comparison::json).collect();
        format!(
            "{:#}\n",
            json!({ "command": command("--json report.json"), "seed": arguments.seed, "seeds": arguments.seeds, "cases": cases })
        )
    };
    let csv = || Comparison::csv_header() + &comparisons.iter().map(Comparison::csv_lines).collect::<String>();
    files.write(json, csv, || show::scenarios(&comparisons, &command("--html report.html")))
}

/// Added to a case's line, which speaks of the scenario's own sizes: what was asked for instead.
fn other_sizes(arguments: &Arguments) -> String {
    let rate = arguments.rate.as_ref().map(|rate| format!("--rate {rate}"));
    let processes = arguments.processes.map(|number| format!("--processes {number}"));
    match [rate, processes].into_iter().flatten().collect::<Vec<_>>() {
        none if none.is_empty() => String::new(),
        sizes => format!(" (here: {})", sizes.join(" ")),
    }
}

/// The command that makes the same figures, but for the report: its name does not matter, so that the same figures are the
/// same bytes in any file.
fn command(arguments: &Arguments, scenarios: &[Scenario]) -> String {
    let names: Vec<&str> = scenarios.iter().map(|scenario| scenario.as_str()).collect();
    let mut text = format!("bellwether simulate {} --seed {}", names.join(" "), arguments.seed);
    if arguments.seeds != 1 {
        let _ = write!(text, " --seeds {}", arguments.seeds);
    }
    if !arguments.policy.is_empty() {
        let _ = write!(text, " --policy {}", arguments.policy.join(","));
    }
    if let Some(processes) = arguments.processes {
        let _ = write!(text, " --processes {processes}");
    }
    if let Some(rate) = &arguments.rate {
        let _ = write!(text, " --rate {rate}");
    }
    if let Some(beta) = arguments.beta {
        let _ = write!(text, " --beta {beta}");
    }
    text
}
