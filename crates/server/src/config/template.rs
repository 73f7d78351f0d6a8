//! Which keys does a text of the file speak of? Templates, and what is wrong with them.

use super::problem::Wrong;
use super::section::{Section, Text};
use bellwether_core::template::{Template, TemplateError};

pub(super) fn template(section: &mut Section<'_, '_>) -> Option<Template> {
    let Some(text) = section.text("match") else {
        if section.setting("match").is_none() {
            let wrong = Wrong::expected("a template such as match = \"product:{id:int}\"");
            section.missing(&["match"], section.place.clone(), "no `match`", wrong);
        }
        return None;
    };
    let template = in_template(section, &text, Template::parse(&text.value))?;
    if template.captures().len() == 0 && text.value.contains(['?', '[']) {
        // A star is a mistake wherever it stands; these may well be meant.
        let wrong = Wrong::expected("captures for what differs from key to key")
            .hint("`{x}` is any text without `:` and `/`, `{x*}` any text up to the end");
        let found = format!("{}, which one key alone matches: `?` and `[…]` mean themselves", text.shown);
        section.cx.report.warn(&text.place, &section.subject, found, wrong);
    }
    Some(template)
}

/// `result`, or the mistake in `text` that it found.
pub(super) fn in_template<T>(
    section: &mut Section<'_, '_>,
    text: &Text,
    result: Result<T, TemplateError>,
) -> Option<T> {
    result
        .map_err(|error| {
            let wrong = Wrong { expected: error.expected, hint: error.hint };
            section.say(&text.place, format!("{}: {}", text.shown, error.found), wrong);
        })
        .ok()
}
