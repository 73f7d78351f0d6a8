//! How is it told? Markdown tables and verdicts.

/// Rows of text as a Markdown table with aligned columns.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |at: usize| {
        let cells = rows.iter().map(|row| row[at].chars().count());
        cells.chain([head[at].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("| {} |\n", padded.join(" | "))
    };
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    let mut text = line(head.to_vec()) + &line(rule.iter().map(String::as_str).collect());
    rows.iter().for_each(|row| text += &line(row.iter().map(String::as_str).collect()));
    text
}

/// The same without alignment, as it stands in a document.
pub fn compact(head: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
    let mut text = line(head.to_vec()) + "|" + &"---|".repeat(head.len()) + "\n";
    rows.iter().for_each(|row| text += &line(row.iter().map(String::as_str).collect()));
    text
}

/// A figure beside its bar.
pub struct Bar {
    /// What is measured.
    pub what: String,
    /// The figure.
    pub value: f64,
    /// The most it may be.
    pub at_most: Option<f64>,
    /// The least it may be.
    pub at_least: Option<f64>,
}

impl Bar {
    /// A figure that must not be greater.
    pub fn at_most(what: impl Into<String>, value: f64, bar: f64) -> Bar {
        Bar { what: what.into(), value, at_most: Some(bar), at_least: None }
    }

    /// A figure that must not be smaller.
    pub fn at_least(what: impl Into<String>, value: f64, bar: f64) -> Bar {
        Bar { what: what.into(), value, at_most: None, at_least: Some(bar) }
    }

    /// Exactly this figure.
    pub fn exactly(what: impl Into<String>, value: f64, bar: f64) -> Bar {
        Bar { what: what.into(), value, at_most: Some(bar), at_least: Some(bar) }
    }

    /// Is the bar met?
    pub fn met(&self) -> bool {
        self.at_most.is_none_or(|bar| self.value <= bar) && self.at_least.is_none_or(|bar| self.value >= bar)
    }

    fn limit(&self) -> (&'static str, f64) {
        match (self.at_most, self.at_least) {
            (Some(bar), Some(_)) => ("=", bar),
            (Some(bar), None) => ("<=", bar),
            (None, bar) => (">=", bar.unwrap_or_default()),
        }
    }

    fn said(&self) -> String {
        let missing = 100.0 * (self.value / self.limit().1 - 1.0).abs();
        match self.met() {
            true => "met".to_owned(),
            false if missing.is_finite() => format!("MISSED by {missing:.0} %"),
            false => "MISSED".to_owned(),
        }
    }

    /// The bar and whether it is met, in words.
    pub fn verdict(&self) -> String {
        let (sign, bar) = self.limit();
        format!("{sign} {}: {}", number(bar), self.said())
    }

    fn row(&self) -> Vec<String> {
        let (sign, bar) = self.limit();
        vec![self.what.clone(), number(self.value), format!("{sign} {}", number(bar)), self.said()]
    }
}

/// Three digits that matter.
pub fn number(value: f64) -> String {
    let places = if value.fract() == 0.0 || value.abs() >= 100.0 { 0 } else { 2 };
    format!("{value:.places$}")
}

/// Figures beside their bars, as a table.
pub fn bars(bars: &[Bar]) -> String {
    table(&["figure", "measured", "bar", "verdict"], &bars.iter().map(Bar::row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_can_be_missed() {
        assert!(Bar::at_most("a", 1.0, 1.0).met() && !Bar::at_most("a", 1.1, 1.0).met());
        assert!(Bar::at_least("a", 1.0, 1.0).met() && !Bar::at_least("a", 0.9, 1.0).met());
        assert!(!Bar::exactly("a", 2.0, 1.0).met());
        assert!(bars(&[Bar::at_most("a", 1.5, 1.0)]).contains("MISSED by 50 %"));
    }
}
