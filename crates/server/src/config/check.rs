//! Do the spaces get along? What no space can know of itself alone.

use super::problem::{Report, Wrong};
use super::section::quoted;
use super::space::Read;
use bellwether_core::template::Template;

/// Two spaces of one name would share their metrics and their generation's keys.
pub(super) fn same_names(spaces: &[Read], report: &mut Report) {
    for (i, space) in spaces.iter().enumerate().filter(|(_, space)| !space.name.is_empty()) {
        let Some(first) = spaces.iter().take(i).find(|first| first.name == space.name) else { continue };
        let found = format!("a second space called '{}'{}", space.name, line_of(first));
        let hint = "set `name`; by default it is the literal in front of the first capture";
        report.say(&space.name_place, &space.subject, found, Wrong::expected("a name for each space").hint(hint));
    }
}

/// A space that no key can ever reach.
pub(super) fn hidden(spaces: &[Read], report: &mut Report) {
    for (i, space) in spaces.iter().enumerate() {
        let Some(template) = &space.template else { continue };
        let hides = |earlier: &Template| earlier.hides(template);
        let Some(earlier) = spaces.iter().take(i).find(|earlier| earlier.template.as_ref().is_some_and(hides)) else {
            continue;
        };
        let above = earlier.template.as_ref().map_or("", Template::as_str);
        let found = format!(
            "match = {}, hidden by {} of '{}'{}",
            quoted(template.as_str()),
            quoted(above),
            earlier.name,
            line_of(earlier)
        );
        let wrong =
            Wrong::expected("a template that some key reaches: spaces are tried in file order, the first match wins");
        report.say(&space.match_place, &space.subject, found, wrong.hint("put the narrower space first, or remove it"));
    }
}

fn line_of(space: &Read) -> String {
    match space.match_place {
        super::problem::Place::Line { line, .. } => format!(" (the first is on line {line})"),
        _ => String::new(),
    }
}
