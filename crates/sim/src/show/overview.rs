//! How did everything go? One line per case: without defence, with some, with all, and whether that is enough.

use super::comparison::Comparison;
use super::html::{self, Cell};
use super::reading::{bar, written};
use super::table::Table;
use super::words::{self, escaped};
use crate::scenarios::{Level, Run, Set};

/// The set that stands for a level: the first without defence, the last with all; of those with some the first that holds,
/// or the first.
pub(super) fn chosen(comparison: &Comparison, level: Level) -> Option<(&Set, &[Run])> {
    let mut of = comparison.sets.iter().filter(|(set, _)| set.level == level);
    let found = match level {
        Level::Naive => of.next(),
        Level::Partial => {
            of.clone().find(|(_, runs)| comparison.seeds(runs).hold(&comparison.about)).or_else(|| of.next())
        }
        Level::Full => of.next_back(),
    };
    found.map(|(set, runs)| (set, runs.as_slice()))
}

/// What the level reached, and by which set, where that is called otherwise.
fn cell(comparison: &Comparison, level: Level) -> String {
    let Some((set, runs)) = chosen(comparison, level) else { return "-".to_owned() };
    let reached = comparison.seeds(runs).spread(comparison.about.measure);
    if level == Level::Partial && set.word != "partial" { format!("{reached} ({})", set.word) } else { reached }
}

/// The verdict on the whole of the defences, and whether it is a good one.
fn verdict(comparison: &Comparison) -> (String, bool) {
    let about = &comparison.about;
    match chosen(comparison, Level::Full) {
        Some((_, runs)) => (comparison.seeds(runs).verdict(about), comparison.seeds(runs).hold(about)),
        None => ("-".to_owned(), true),
    }
}

fn ratio(comparison: &Comparison) -> String {
    let full = chosen(comparison, Level::Full);
    full.and_then(|(_, runs)| comparison.seeds(runs).ratio(&comparison.about)).map_or("-".to_owned(), words::number)
}

/// What the measure must reach: beside it a verdict can be checked.
fn to_reach(comparison: &Comparison) -> String {
    let about = &comparison.about;
    about.goals.iter().find(|goal| goal.figure == about.measure).map_or("-".to_owned(), bar)
}

const HEADINGS: [&str; 9] =
    ["scenario", "measure", "naive", "partial", "full", "bound", "full x bound", "to reach", "verdict"];

/// Which seeds these figures are of, and how to see others.
fn seeds_say(comparisons: &[Comparison]) -> String {
    match comparisons.first() {
        Some(first) => first.seeds_say().unwrap_or_else(|| {
            format!("seed {}; --seeds 8 runs eight of them and shows how far figures differ by chance", first.seed)
        }),
        None => String::new(),
    }
}

/// For a terminal.
pub fn summary(comparisons: &[Comparison]) -> String {
    let mut table = Table::new(&HEADINGS);
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
            to_reach(comparison),
            verdict(comparison).0,
        ]);
    }
    format!("At a glance\n  {}\n\n{table}", seeds_say(comparisons))
}

/// For the page: the same, with links.
pub(super) fn overview(comparisons: &[Comparison]) -> String {
    let row = |comparison: &Comparison| {
        let about = &comparison.about;
        let (words, good) = verdict(comparison);
        let (name, says) = (escaped(&about.name()), escaped(&about.says));
        let scenario = format!("<a href=\"#{}\">{name}</a> <small>{says}</small>", comparison.anchor());
        vec![
            Cell { html: scenario, class: "" },
            Cell { html: escaped(about.measure.heading()), class: "what" },
            Cell::of(&cell(comparison, Level::Naive)),
            Cell::of(&cell(comparison, Level::Partial)),
            Cell { html: format!("<b>{}</b>", escaped(&cell(comparison, Level::Full))), class: "" },
            Cell::of(&written(about.measure, about.bound)),
            Cell::of(&ratio(comparison)),
            Cell::of(&to_reach(comparison)),
            Cell { html: escaped(&words), class: if good { "verdict good" } else { "verdict poor" } },
        ]
    };
    let rows: Vec<Vec<Cell>> = comparisons.iter().map(row).collect();
    let says = escaped(&seeds_say(comparisons));
    let table = html::cells(&HEADINGS.map(str::to_owned), &rows);
    format!("<section class=\"overview\">\n<h2>At a glance</h2>\n<p class=\"note\">{says}</p>\n{table}</section>\n")
}
