//! How do the policy sets compare? Scenario by scenario.

use std::fmt::Write as _;

use bellwether_sim::fleet::{Case, PolicySet, Scenario};
use bellwether_sim::show::{self, Comparison};
use serde_json::json;

use super::arguments::{self, Arguments, MOST_SEEDS};
use super::files::Files;
use crate::failure::Failure;
use crate::output::say;

pub(super) fn list() {
    let mut text = "scenarios\n".to_owned();
    for scenario in Scenario::ALL {
        // Writing into a String can't fail, here and below.
        let _ = writeln!(text, "  {:<13} {}", scenario.as_str(), scenario.says());
        let _ = writeln!(text, "  {:<13} measure: {}; bound: {}", "", scenario.measure(), scenario.bound_says());
    }
    text.push_str("\npolicy sets\n");
    for set in PolicySet::ALL {
        let _ = writeln!(text, "  {set:<13} {}", set.says());
    }
    say(text.trim_end());
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut wrong = Vec::new();
    let scenarios = arguments::scenarios(&arguments.scenarios, &mut wrong);
    let sets = arguments::policies(&arguments.policy, &mut wrong);
    let rate = arguments::rate(arguments.rate.as_ref(), &mut wrong);
    if !(1..=MOST_SEEDS).contains(&arguments.seeds) {
        wrong.push(format!("bellwether: --seeds: expected 1 to {MOST_SEEDS}, found {}", arguments.seeds));
    }
    if let Some(beta) = arguments.beta
        && !(beta.is_finite() && beta > 0.0)
    {
        wrong.push(format!("bellwether: --beta: expected a number above zero, found {beta}"));
    }
    if arguments.processes == Some(0) {
        wrong.push("bellwether: --processes: expected at least 1, found 0".to_owned());
    }
    if !wrong.is_empty() {
        return Err(Failure::Input(wrong));
    }
    let files = Files::reserve(arguments)?;
    let mut comparisons = Vec::new();
    for case in scenarios.iter().flat_map(|scenario| Case::all(*scenario)) {
        let case = Case {
            processes: arguments.processes.unwrap_or(case.processes),
            rate: rate.unwrap_or(case.rate),
            beta: arguments.beta.unwrap_or(case.beta),
            ..case
        };
        let comparison = Comparison::run(case, &sets, arguments.seed, arguments.seeds)
            .map_err(|words| Failure::Input(vec![format!("bellwether: {words}")]))?;
        say(&comparison.table());
        comparisons.push(comparison);
    }
    let command = command(arguments, &scenarios, &sets);
    let json = || {
        let cases: Vec<_> = comparisons.iter().map(Comparison::json).collect();
        format!(
            "{:#}\n",
            json!({ "command": command, "seed": arguments.seed, "seeds": arguments.seeds, "cases": cases })
        )
    };
    let csv = || Comparison::CSV_HEADER.to_owned() + &comparisons.iter().map(Comparison::csv_lines).collect::<String>();
    files.write(json, csv, || show::scenarios(&comparisons, &command))
}

/// The command that makes the same figures; where they are written does not matter.
fn command(arguments: &Arguments, scenarios: &[Scenario], sets: &[PolicySet]) -> String {
    let names: Vec<&str> = scenarios.iter().map(|scenario| scenario.as_str()).collect();
    let mut text = format!("bellwether simulate {} --seed {}", names.join(" "), arguments.seed);
    if arguments.seeds != 1 {
        let _ = write!(text, " --seeds {}", arguments.seeds);
    }
    if sets != PolicySet::ALL {
        let names: Vec<&str> = sets.iter().map(|set| set.as_str()).collect();
        let _ = write!(text, " --policy {}", names.join(","));
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
