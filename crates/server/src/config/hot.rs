//! What is said of hot keys, and of those that will be? `[hot]`.

use super::heat;
use super::problem::{Place, Wrong, one_of};
use super::raw::{Field, Fields};
use super::resolved::{Announcement, Hot};
use super::section::{Context, Section, fields_of, quoted};
use super::space;
use super::units;
use bellwether::MOST_ANNOUNCED;
use bellwether_core::moment;
use bellwether_core::template::{Route, Template, route};
use bellwether_core::time::Span;
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) fn hot(cx: &mut Context<'_>, place: Place, fields: Fields, spaces: &[space::Read]) -> Hot {
    let mut section = Section::new(cx, "[hot]", place, fields);
    let announced = section.list("announce").unwrap_or_default();
    if announced.len() > MOST_ANNOUNCED
        && let Some((place, _)) = section.setting("announce")
    {
        let wrong = Wrong::expected(format!("at most {MOST_ANNOUNCED}"));
        section.say(&place, format!("{} of `announce`", announced.len()), wrong);
    }
    let policy = heat::thresholds(&mut section);
    section.finish();
    let announced = announced.into_iter().take(MOST_ANNOUNCED).filter_map(|field| announcement(cx, field, spaces));
    Hot { policy, announced: announced.collect() }
}

/// One `[[hot.announce]]`.
fn announcement(cx: &mut Context<'_>, field: Field, spaces: &[space::Read]) -> Option<Announcement> {
    let place = field.place.clone();
    let fields = fields_of(cx, field, "[[hot.announce]]")?;
    let mut section = Section::new(cx, "[[hot.announce]]", place.clone(), fields);
    let key = section.text("key");
    let from = section.parsed("from", |text| {
        moment::parse(text).map_err(|expected| Wrong::expected(expected).hint("with its zone: Z, or +01:00"))
    });
    let length = section.parsed("for", units::duration);
    for needed in ["key", "from", "for"] {
        if section.setting(needed).is_none() {
            let wrong = Wrong::expected("`key`, `from` and `for`: which key, from when on, for how long");
            let keys: &'static [&'static str] = match needed {
                "key" => &["key"],
                "from" => &["from"],
                _ => &["for"],
            };
            section.missing(keys, place.clone(), format!("no `{needed}`"), wrong);
        }
    }
    if length == Some(Span::ZERO)
        && let Some((place, shown)) = section.setting("for")
    {
        section.say(&place, shown, Wrong::expected("longer than zero"));
    }
    if let Some(key) = &key {
        let templates: Vec<&Template> = spaces.iter().filter_map(|space| space.template.as_ref()).collect();
        let wrong = match route(templates.iter().copied(), key.value.as_bytes()) {
            Route::Space { .. } => None,
            Route::WrongType { .. } => Some(Wrong::expected("a key whose captures have the types of its `match`")),
            Route::Nowhere => {
                let known = templates.iter().map(|template| template.as_str());
                Some(Wrong::expected("a key of a space").hint(format!("the spaces match {}", one_of(known))))
            }
        };
        // A space that can't be read was said already, and may be the one.
        if let Some(wrong) = wrong.filter(|_| templates.len() == spaces.len()) {
            section.say(&key.place, key.shown.clone(), wrong);
        }
    }
    let place_of_from = section.setting("from");
    section.finish();
    let (key, from, length) = (key?, from?, length?);
    let subject = format!("[[hot.announce]] {}", quoted(&key.value));
    if let Some((place, shown)) = place_of_from.clone().filter(|_| from.saturating_sub(now_ms()) > Span::LONGEST.0) {
        // Not a mistake: it will be right one day.
        let wrong = Wrong::expected("a time at most 400 days ahead");
        let wrong =
            wrong.hint("until then it is not in force, and only a start or a reload within 400 days of it takes it up");
        cx.report.warn(&place, &subject, shown, wrong);
    }
    if let Some((place, shown)) = place_of_from.filter(|_| from.saturating_add(length.0) <= now_ms()) {
        // Not a mistake: the file that was right yesterday must start today.
        let wrong = Wrong::expected("a time that is not over").hint("remove the announcement");
        let found = format!("{shown} for {length}, which is over");
        cx.report.warn(&place, &subject, found, wrong);
    }
    Some(Announcement { key: key.value, from_ms: from, length })
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
