//! What is done about keys that do not exist? The filter of those that do, and what one client may ask for in vain.

use super::problem::Wrong;
use super::resolved::{FilterConfig, Source, Strangers};
use super::section::Section;
use super::units;
use bellwether_core::time::Span;

/// How often a filter is built anew, unless a file says otherwise.
const REBUILD: Span = Span::secs(600);
/// The shortest period: an origin tells all its keys each time.
const SHORTEST: Span = Span::secs(1);

/// Of one space; `source` is `None` where it could not be read.
pub(super) fn strangers(section: &mut Section<'_, '_>, source: Option<&Source>) -> Strangers {
    Strangers {
        filter: filter(section, source),
        absent_per_client: section.parsed("absent_per_client", whole_rate),
        loads_per_client: section.parsed("loads_per_client", whole_rate),
    }
}

/// A budget below one a second would be one.
fn whole_rate(text: &str) -> Result<f64, Wrong> {
    let wrong = || Wrong::expected("at least \"1/s\", such as \"50/s\"");
    units::rate(text).and_then(|rate| if rate < 1.0 { Err(wrong()) } else { Ok(rate) })
}

fn filter(section: &mut Section<'_, '_>, source: Option<&Source>) -> Option<FilterConfig> {
    let on = section.boolean("filter");
    let rebuild = section.parsed("filter_rebuild", units::duration);
    let hides = section.parsed("filter_hides", units::duration);
    if on != Some(true) {
        for key in ["filter_rebuild", "filter_hides"] {
            if let Some((place, shown)) =
                section.setting(key).filter(|_| on.is_some() || section.setting("filter").is_none())
            {
                let wrong = Wrong::expected("filter = true beside it").hint("add filter = true, or remove it");
                section.say(&place, shown, wrong);
            }
        }
        return None;
    }
    needs_keys(section, source);
    let usual = hides.map_or(REBUILD, |hides| Span(hides.0 / 2).at_most(REBUILD));
    let every = rebuild.unwrap_or(usual);
    if rebuild.is_some_and(|every| every < SHORTEST)
        && let Some((place, shown)) = section.setting("filter_rebuild")
    {
        let wrong = Wrong::expected(format!("at least {SHORTEST}: each time the origin tells all keys of the space"));
        section.say(&place, shown, wrong);
    }
    let least = rebuild.map_or(Span(2 * SHORTEST.0), |every| every);
    if hides.is_some_and(|hides| hides < least)
        && let Some((place, shown)) = section.setting("filter_hides")
    {
        let expected = match rebuild {
            Some(every) => format!("at least {every}, the `filter_rebuild`: an older filter answers nothing"),
            None => format!("at least {least}: within half of it the origin tells all keys of the space"),
        };
        section.say(&place, shown, Wrong::expected(expected));
    }
    Some(FilterConfig { rebuild: every, hides })
}

/// A filter is made from a list of keys.
fn needs_keys(section: &mut Section<'_, '_>, source: Option<&Source>) {
    let Some((place, shown)) = section.setting("filter") else { return };
    let expected = match source {
        Some(Source::Sql(sql)) if sql.keys.is_none() => "`keys` beside it, which names all keys of the space",
        Some(Source::Http(http)) if http.keys.is_none() => "`keys` beside it, a path that names all keys of the space",
        // A plain space is told so elsewhere, with all that only a load could use.
        _ => return,
    };
    let hint = match source {
        Some(Source::Http(_)) => "for example keys = \"/products/keys\", one key a line, or remove `filter`",
        _ => "for example keys = \"SELECT id FROM …\", or remove `filter`",
    };
    let wrong = Wrong::expected(expected).hint(hint);
    section.say(&place, shown, wrong);
}
