//! How did everything go? One line per case: without defence, with some, with all, and whether that is enough.

use std::fmt::Write as _;

use super::comparison::{Comparison, Seeds, written};
use super::table::Table;
use super::words::{self, escaped};
use crate::scenarios::{Level, Run, Set};

/// The set that stands for a level: the first without defence and the first with some, the last with all.
pub(super) fn chosen(comparison: &Comparison, level: Level) -> Option<(&Set, &[Run])> {
    let mut of = comparison.sets.iter().filter(|(set, _)| set.level == level);
    let found = if level == Level::Full { of.next_back() } else { of.next() };
    found.map(|(set, runs)| (set, runs.as_slice()))
}

fn cell(comparison: &Comparison, level: Level) -> String {
    let measure = comparison.about.measure;
    chosen(comparison, level).map_or("-".to_owned(), |(_, runs)| Seeds(runs).written(measure))
}

/// The verdict on the whole of the defences, and whether it is a good one.
fn verdict(comparison: &Comparison) -> (String, bool) {
    let about = &comparison.about;
    match chosen(comparison, Level::Full) {
        Some((_, runs)) => (Seeds(runs).verdict(about), Seeds(runs).missed(about).is_empty()),
        None => ("-".to_owned(), true),
    }
}

fn ratio(comparison: &Comparison) -> String {
    let full = chosen(comparison, Level::Full);
    full.and_then(|(_, runs)| Seeds(runs).ratio(&comparison.about)).map_or("-".to_owned(), words::number)
}

/// For a terminal.
pub fn summary(comparisons: &[Comparison]) -> Table {
    let mut table =
        Table::new(&["scenario", "measure", "naive", "partial", "full", "bound", "full x bound", "verdict"]);
    for comparison in comparisons {
        let about = &comparison.about;
        table.row(vec![
            about.name(),
            about.measure.heading().to_owned(),
            cell(comparison, Level::Naive),
            cell(comparison, Level::Partial),
            cell(comparison, Level::Full),
            written(about.measure, about.bound),
            ratio(comparison),
            verdict(comparison).0,
        ]);
    }
    table
}

/// For the page: the same, with links.
pub(super) fn overview(comparisons: &[Comparison]) -> String {
    let mut rows = String::new();
    for comparison in comparisons {
        let about = &comparison.about;
        let (words, good) = verdict(comparison);
        // Writing into a String can't fail.
        let _ = writeln!(
            rows,
            "<tr><td><a href=\"#{}\">{}</a> <small>{}</small></td><td class=\"what\">{}</td><td>{}</td><td>{}</td>\
             <td><b>{}</b></td><td>{}</td><td>{}</td><td class=\"verdict {}\">{}</td></tr>",
            comparison.anchor(),
            escaped(&about.name()),
            escaped(&about.says),
            escaped(about.measure.heading()),
            escaped(&cell(comparison, Level::Naive)),
            escaped(&cell(comparison, Level::Partial)),
            escaped(&cell(comparison, Level::Full)),
            escaped(&written(about.measure, about.bound)),
            escaped(&ratio(comparison)),
            if good { "good" } else { "poor" },
            escaped(&words),
        );
    }
    format!(
        "<section class=\"overview\">\n<h2>At a glance</h2>\n<div class=\"scroll\"><table>\n<thead><tr><th>scenario</th>\
         <th class=\"what\">measure</th><th>naive</th><th>partial</th><th>full</th><th>bound</th><th>full x bound</th>\
         <th class=\"verdict\">verdict on full</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n</section>\n"
    )
}
