//! How did the policy sets compare? One case under several seeds: table, JSON and CSV.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::reading::{goal, written};
use super::seeds::Seeds;
use super::table::Table;
use super::words;
use crate::scenarios::{About, Bar, Figure, Picture, Run, Set, Study};

/// One case, its policy sets, and a run for each seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// What is said of the case.
    pub about: About,
    /// The sets that were run, each with its runs, one per seed.
    pub sets: Vec<(Set, Vec<Run>)>,
    /// The first seed; the others follow it.
    pub seed: u64,
}

impl Comparison {
    /// Runs a case for the sets at these places of [`About::sets`] under the seeds `first..first + seeds`.
    ///
    /// # Errors
    /// The case makes no sense.
    pub fn run(study: &dyn Study, sets: &[usize], first: u64, seeds: u64) -> Result<Comparison, String> {
        let about = study.about();
        let named = sets.iter().filter_map(|at| about.sets.get(*at)).copied();
        let mut all: Vec<(Set, Vec<Run>)> = named.map(|set| (set, Vec::new())).collect();
        for seed in first..first.checked_add(seeds).ok_or("the last seed is beyond the largest")? {
            for ((_, runs), run) in all.iter_mut().zip(study.run(sets, seed)?) {
                runs.push(run);
            }
        }
        Ok(Comparison { about, sets: all, seed: first })
    }

    /// The heading, the bound, and a table: means and ranges where there are several seeds.
    pub fn table(&self) -> String {
        let about = &self.about;
        let parameters: Vec<String> =
            about.parameters.iter().map(|(name, value)| format!("{name} {}", words::grouped(value))).collect();
        let mut text = format!("{}: {}\n", about.name(), about.says);
        for line in wrapped(&parameters, 110) {
            // Writing into a String can't fail, here and below.
            let _ = writeln!(text, "  {line}");
        }
        let _ = writeln!(text, "  bound {}: {}", written(about.measure, about.bound), about.bound_says);
        let goals: Vec<String> = about.goals.iter().map(goal).collect();
        let _ = writeln!(text, "  to reach: {}", goals.join(", "));
        if let Some(says) = self.seeds_say() {
            let _ = writeln!(text, "  {says}");
        }
        text.push('\n');
        let _ = write!(text, "{}", self.figures());
        if self.sets.iter().flat_map(|(_, runs)| runs).any(|run| run.cut_short) {
            text.push_str("  (cut short: too many loads; its figures are those until then)\n");
        }
        text
    }

    /// The runs of a set.
    pub(super) fn seeds<'a>(&self, runs: &'a [Run]) -> Seeds<'a> {
        Seeds { runs, first: self.seed }
    }

    /// How several seeds are to be read; `None`: there is one.
    pub(super) fn seeds_say(&self) -> Option<String> {
        let seeds = self.sets.first().map_or(0, |(_, runs)| runs.len() as u64);
        let last = self.seed.saturating_add(seeds).saturating_sub(1);
        (seeds > 1).then(|| {
            format!("seeds {} to {last}: means, in brackets the lowest and the highest of what is judged", self.seed)
        })
    }

    /// What a link to its section is called.
    pub(super) fn anchor(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        self.about.name().chars().map(plain).collect()
    }

    /// The figures alone.
    pub(crate) fn figures(&self) -> Table {
        let about = &self.about;
        let mut headings = vec!["policy", about.measure.heading()];
        if about.bound > 0.0 {
            headings.push("x bound");
        }
        headings.extend(about.columns.iter().map(|figure| figure.heading()));
        headings.push("verdict");
        let mut table = Table::new(&headings);
        for (set, runs) in &self.sets {
            let all = self.seeds(runs);
            let mut row = vec![set.word.to_owned(), all.told(about, about.measure)];
            if about.bound > 0.0 {
                row.push(all.ratio(about).map_or("-".to_owned(), words::number));
            }
            row.extend(about.columns.iter().map(|figure| all.told(about, *figure)));
            row.push(all.verdict(about));
            table.row(row);
        }
        table
    }

    /// Everything, for programs.
    pub fn json(&self) -> Value {
        let about = &self.about;
        let parameters: serde_json::Map<String, Value> =
            about.parameters.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let goals = about.goals.iter().map(|goal| match goal.bar {
            Bar::AtMost(most) => json!({ "figure": goal.figure.name(), "at_most": number(most) }),
            Bar::AtLeast(least) => json!({ "figure": goal.figure.name(), "at_least": number(least) }),
        });
        let results = self.sets.iter().flat_map(|(set, runs)| {
            runs.iter().zip(self.seed..).map(|(run, seed)| self.result(set, run, seed)).collect::<Vec<Value>>()
        });
        json!({
            "scenario": about.scenario.as_str(),
            "variant": about.variant,
            "says": about.says,
            "measure": about.measure.name(),
            "bound": number(about.bound),
            "bound_says": about.bound_says,
            "goals": goals.collect::<Vec<_>>(),
            "parameters": parameters,
            "results": results.collect::<Vec<_>>(),
        })
    }

    fn result(&self, set: &Set, run: &Run, seed: u64) -> Value {
        let series = |values: &[f64]| values.iter().map(|value| number(*value)).collect::<Vec<Value>>();
        let map = |pairs: &[(&'static str, Vec<f64>)]| {
            pairs
                .iter()
                .map(|(name, values)| ((*name).to_owned(), json!(series(values))))
                .collect::<serde_json::Map<_, _>>()
        };
        let picture = |picture: &Picture| json!({ "title": picture.title, "series": map(&picture.layers) });
        let figures: serde_json::Map<String, Value> =
            run.figures.iter().map(|(figure, value)| (figure.name().to_owned(), number(*value))).collect();
        let missed = self.about.missed(|figure| run.get(figure));
        json!({
            "policy": set.word,
            "level": set.level.as_str(),
            "seed": seed,
            "measured": run.get(self.about.measure).map(number),
            "ratio": run.get(self.about.measure).and_then(|value| self.about.ratio(value)).map(number),
            "figures": figures,
            "misses": missed.iter().map(|goal| goal.figure.name()).collect::<Vec<_>>(),
            "cut_short": run.cut_short,
            "bin_ms": self.about.bin.0,
            "series": map(&run.more),
            "pictures": run.pictures.iter().map(picture).collect::<Vec<_>>(),
        })
    }

    /// A line per policy set and seed. What a scenario does not measure is empty.
    pub fn csv_lines(&self) -> String {
        let about = &self.about;
        let mut text = String::new();
        for (set, runs) in &self.sets {
            for (run, seed) in runs.iter().zip(self.seed..) {
                let optional = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
                let measured = run.get(about.measure);
                let missed = about.missed(|figure| run.get(figure));
                let missed: Vec<&str> = missed.iter().map(|goal| goal.figure.name()).collect();
                let mut cells = vec![
                    about.scenario.as_str().to_owned(),
                    about.variant.to_owned(),
                    set.word.to_owned(),
                    set.level.as_str().to_owned(),
                    seed.to_string(),
                    about.measure.name().to_owned(),
                    optional(measured),
                    about.bound.to_string(),
                    optional(measured.and_then(|value| about.ratio(value))),
                    missed.join(" "),
                    run.cut_short.to_string(),
                ];
                cells.extend(Figure::ALL.map(|figure| optional(run.get(figure))));
                let fields: Vec<String> = cells.iter().map(|cell| words::field(cell)).collect();
                // Writing into a String can't fail.
                let _ = writeln!(text, "{}", fields.join(","));
            }
        }
        text
    }

    /// The first line of a CSV file.
    pub fn csv_header() -> String {
        let first =
            ["scenario", "variant", "policy", "level", "seed", "measure", "measured", "bound", "ratio", "misses"];
        let names: Vec<&str> = first.into_iter().chain(["cut_short"]).chain(Figure::ALL.map(Figure::name)).collect();
        format!("{}\n", names.join(","))
    }
}

/// Counts as whole numbers; what is no number is null.
fn number(value: f64) -> Value {
    const EXACT: f64 = (1u64 << 53) as f64;
    if value.fract() == 0.0 && value.abs() < EXACT { json!(value as i64) } else { json!(value) }
}

/// Words on lines of at most `width` letters, divided by middle dots.
fn wrapped(words: &[String], width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() + 3 <= width => {
                line.push_str(" · ");
                line.push_str(word);
            }
            _ => lines.push(word.clone()),
        }
    }
    lines
}
