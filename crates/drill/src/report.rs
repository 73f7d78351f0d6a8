//! What was measured, what was wanted, and is it right?

use std::borrow::Cow;
use std::time::Duration;

use serde_json::{Value, json};

/// A row with its verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What `--only` takes.
    pub name: &'static str,
    /// What happens in it.
    pub race: Cow<'static, str>,
    /// What came out.
    pub measured: String,
    /// What had to come out.
    pub wanted: Cow<'static, str>,
    /// Is it right?
    pub ok: bool,
    /// How long it took.
    pub took: Duration,
}

/// Every row that was run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which drill.
    pub drill: &'static str,
    /// What was put to the test.
    pub target: String,
    /// In the order of the run.
    pub rows: Vec<Judged>,
}

impl Report {
    /// The names of the rows that are not right.
    pub fn failed(&self) -> Vec<&'static str> {
        self.rows.iter().filter(|row| !row.ok).map(|row| row.name).collect()
    }

    /// A table for people: aligned columns, Markdown as it is.
    pub fn table(&self) -> String {
        let head = ["row", "race", "measured", "wanted", "verdict"].map(str::to_owned);
        let cells = self.rows.iter().map(|row| {
            let verdict = if row.ok { "ok" } else { "FAIL" };
            [row.name, &row.race, &row.measured, &row.wanted, verdict].map(str::to_owned)
        });
        let mut lines = vec![head];
        lines.extend(cells);
        let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
        let widths: [usize; 5] = std::array::from_fn(width);
        lines.insert(1, widths.map(|width| "-".repeat(width)));
        let shown = lines.iter().map(|line| {
            let padded: Vec<String> = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            format!("| {} |\n", padded.join(" | "))
        });
        shown.collect()
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        let rows: Vec<Value> = self.rows.iter().map(Judged::json).collect();
        json!({ "drill": self.drill, "target": self.target, "passed": self.failed().is_empty(), "rows": rows })
    }
}

impl Judged {
    fn json(&self) -> Value {
        json!({
            "row": self.name, "race": self.race, "measured": self.measured, "wanted": self.wanted, "ok": self.ok,
            "took_ms": u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_row_is_a_failed_drill_in_table_and_json() {
        let row = |name, ok| Judged {
            name,
            race: "a race".into(),
            measured: "1 – 2".into(),
            wanted: "1".into(),
            ok,
            took: Duration::from_millis(7),
        };
        let mut report = Report { drill: "races", target: "x".into(), rows: vec![row("good", true)] };
        assert_eq!(report.json()["passed"], true);
        report.rows.push(row("bad", false));
        assert_eq!((report.failed(), report.json()["passed"].clone()), (vec!["bad"], false.into()));
        let table = report.table();
        let widths: Vec<usize> = table.lines().map(|line| line.chars().count()).collect();
        assert!(table.contains("FAIL") && widths.windows(2).all(|pair| pair[0] == pair[1]), "{table}");
    }
}
