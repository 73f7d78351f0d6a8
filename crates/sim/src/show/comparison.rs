//! How did the policy sets compare? One case under several seeds: table, JSON and CSV.

use std::fmt::Write as _;

use bellwether_core::time::Span;
use serde_json::{Value, json};

use super::table::Table;
use super::words;
use crate::fleet::{Case, Outcome, PolicySet, compare};

/// One case, its policy sets, and an outcome for each seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The case.
    pub case: Case,
    /// Per policy set, in order; per seed.
    pub outcomes: Vec<Vec<Outcome>>,
}

impl Comparison {
    /// Runs `case` for every set under the seeds `first..first + seeds`.
    ///
    /// # Errors
    /// The case makes no sense.
    pub fn run(case: Case, sets: &[PolicySet], first: u64, seeds: u64) -> Result<Comparison, String> {
        let mut outcomes: Vec<Vec<Outcome>> = vec![Vec::new(); sets.len()];
        for seed in first..first.saturating_add(seeds) {
            for (all, outcome) in outcomes.iter_mut().zip(compare(&case, sets, seed)?) {
                all.push(outcome);
            }
        }
        Ok(Comparison { case, outcomes })
    }

    /// The heading, the bound, and a table: means where there are several seeds.
    pub fn table(&self) -> String {
        let scenario = self.case.scenario;
        let parameters: Vec<String> =
            self.case.parameters().iter().map(|(name, value)| format!("{name} {value}")).collect();
        let mut text = format!("{}: {}\n", self.case.name(), self.case.says);
        for line in wrapped(&parameters, 110) {
            // Writing into a String can't fail.
            let _ = writeln!(text, "  {line}");
        }
        let bound = words::number(self.case.bound());
        let _ = writeln!(text, "  bound {bound}: {}\n", scenario.bound_says());
        let _ = write!(text, "{}", self.figures());
        if self.outcomes.iter().flatten().any(|outcome| outcome.cut_short) {
            text.push_str("  (cut short: too many loads; its figures are those until then)\n");
        }
        text
    }

    /// The figures alone.
    pub(crate) fn figures(&self) -> Table {
        let mut headings = vec!["policy", self.case.scenario.measure(), "x bound"];
        let troubled = self.case.fault.is_some();
        if troubled {
            headings.extend(["answered", "recovered after"]);
        }
        headings.extend(["loads", "x due", "blocked", "failed", "stale", "p99.9 wait", "oldest past ttl"]);
        let mut table = Table::new(&headings);
        for all in &self.outcomes {
            let Some(first) = all.first() else { continue };
            let mean = Mean(all);
            let mut row = vec![first.policy.to_string(), words::number(mean.of(|o| o.measured))];
            row.push(words::number(mean.of(Outcome::ratio)));
            if troubled {
                row.extend([mean.answered(), mean.recovery()]);
            }
            let requests = mean.of(|o| o.requests as f64);
            row.extend([
                words::number(mean.of(|o| o.loads as f64)),
                words::number(mean.of(Outcome::loads_ratio)),
                words::number(mean.of(|o| o.blocked as f64).round()),
                words::percent(mean.of(|o| o.failed as f64), requests),
                words::percent(mean.of(|o| o.stale as f64), requests),
                words::time(Span(mean.of(|o| o.waits.p999.0 as f64).round() as u64)),
                words::time(mean.oldest()),
            ]);
            table.row(row);
        }
        table
    }

    /// Everything, for programs.
    pub fn json(&self) -> Value {
        let parameters: serde_json::Map<String, Value> =
            self.case.parameters().into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
        json!({
            "scenario": self.case.scenario.as_str(),
            "variant": self.case.variant,
            "says": self.case.says,
            "measure": self.case.scenario.measure(),
            "bound": self.case.bound(),
            "bound_says": self.case.scenario.bound_says(),
            "parameters": parameters,
            "results": self.outcomes.iter().flatten().map(|outcome| result(outcome, self.case.bin)).collect::<Vec<_>>(),
        })
    }

    /// A line per policy set and seed.
    pub fn csv_lines(&self) -> String {
        let mut text = String::new();
        for o in self.outcomes.iter().flatten() {
            let through = o.fault;
            let optional = |value: Option<String>| value.unwrap_or_default();
            let cells = [
                self.case.scenario.as_str().to_owned(),
                self.case.variant.to_owned(),
                o.policy.to_string(),
                o.seed.to_string(),
                self.case.scenario.measure().to_owned(),
                o.measured.to_string(),
                o.bound.to_string(),
                o.ratio().to_string(),
                o.requests.to_string(),
                o.fresh.to_string(),
                o.stale.to_string(),
                o.failed.to_string(),
                o.blocked.to_string(),
                o.loads.to_string(),
                o.loads_failed.to_string(),
                o.due.to_string(),
                o.periods.to_string(),
                o.peak_loads.to_string(),
                o.peak_at_origin.to_string(),
                o.probes.to_string(),
                o.waits.p50.0.to_string(),
                o.waits.p99.0.to_string(),
                o.waits.p999.0.to_string(),
                o.waits.max.0.to_string(),
                o.oldest.0.to_string(),
                optional(through.map(|t| t.answered.to_string())),
                optional(through.and_then(|t| t.recovery).map(|span| span.0.to_string())),
                optional(through.map(|t| t.amplification.to_string())),
                o.cut_short.to_string(),
            ];
            // Writing into a String can't fail.
            let _ = writeln!(text, "{}", cells.map(|cell| words::field(&cell)).join(","));
        }
        text
    }

    /// The first line of a CSV file.
    pub const CSV_HEADER: &str = "scenario,variant,policy,seed,measure,measured,bound,ratio,requests,fresh,stale,failed,\
        blocked,loads,loads_failed,loads_due,periods,peak_loads_1s,peak_at_origin,probes,wait_p50_ms,wait_p99_ms,\
        wait_p999_ms,wait_max_ms,oldest_past_ttl_ms,fault_answered,fault_recovery_ms,fault_amplification,cut_short\n";
}

/// Means over seeds.
pub(crate) struct Mean<'a>(pub(crate) &'a [Outcome]);

impl Mean<'_> {
    pub(crate) fn of(&self, figure: impl Fn(&Outcome) -> f64) -> f64 {
        self.0.iter().map(figure).sum::<f64>() / self.0.len().max(1) as f64
    }

    fn answered(&self) -> String {
        words::percent(self.of(|o| o.fault.map_or(0.0, |through| through.answered)), 1.0)
    }

    /// The slowest; never, if it was never once.
    fn recovery(&self) -> String {
        let all: Option<Vec<Span>> = self.0.iter().map(|o| o.fault.and_then(|through| through.recovery)).collect();
        all.and_then(|all| all.into_iter().max()).map_or("never".to_owned(), words::time)
    }

    /// The oldest of all.
    fn oldest(&self) -> Span {
        self.0.iter().map(|o| o.oldest).max().unwrap_or_default()
    }
}

fn result(o: &Outcome, bin: Span) -> Value {
    let series = |of: fn(&crate::fleet::Bin) -> u64| o.series.iter().map(of).collect::<Vec<_>>();
    json!({
        "policy": o.policy.as_str(),
        "seed": o.seed,
        "measured": o.measured,
        "ratio": o.ratio(),
        "requests": o.requests,
        "fresh": o.fresh,
        "stale": o.stale,
        "failed": o.failed,
        "blocked": o.blocked,
        "loads": o.loads,
        "loads_failed": o.loads_failed,
        "loads_due": o.due,
        "periods": o.periods,
        "peak_loads_1s": o.peak_loads,
        "peak_at_origin": o.peak_at_origin,
        "probes": o.probes,
        "wait_ms": { "p50": o.waits.p50.0, "p99": o.waits.p99.0, "p999": o.waits.p999.0, "max": o.waits.max.0 },
        "oldest_past_ttl_ms": o.oldest.0,
        "fault": o.fault.map(|through| json!({
            "answered": through.answered,
            "recovery_ms": through.recovery.map(|span| span.0),
            "amplification": through.amplification,
        })),
        "cut_short": o.cut_short,
        "series": {
            "bin_ms": bin.0,
            "requests": series(|bin| bin.requests),
            "fresh": series(|bin| bin.fresh),
            "stale": series(|bin| bin.stale),
            "failed": series(|bin| bin.failed),
            "blocked": series(|bin| bin.blocked),
            "loads": series(|bin| bin.loads),
            "at_origin": series(|bin| bin.at_origin),
            "wait_p99_ms": series(|bin| bin.p99.0),
        },
    })
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
