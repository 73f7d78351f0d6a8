//! How does a figure read, and a number to reach? The same in every table and on the page.

use bellwether_core::time::Span;

use super::words;
use crate::scenarios::{Bar, Figure, Goal, Unit};

/// A figure as people read it.
pub(crate) fn written(figure: Figure, value: f64) -> String {
    match figure.unit() {
        Unit::Number | Unit::PerSecond => words::number(value),
        Unit::Time if !value.is_finite() => "never".to_owned(),
        Unit::Time => words::time(Span(value.round() as u64)),
        Unit::Share => words::percent(value, 1.0),
    }
}

/// "loads <= 2".
pub(crate) fn goal(goal: &Goal) -> String {
    format!("{} {}", goal.figure.heading(), bar(goal))
}

/// "<= 2".
pub(crate) fn bar(goal: &Goal) -> String {
    let (sign, value) = match goal.bar {
        Bar::AtMost(most) => ("<=", most),
        Bar::AtLeast(least) => (">=", least),
    };
    format!("{sign} {}", written(goal.figure, value))
}
