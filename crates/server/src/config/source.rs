//! Where does a space get what it has not, and how does it ask there? Its origin, and the knobs that speak its language.

use super::origin::{Declared, Speaks};
use super::path::is_plain;
use super::problem::{Wrong, did_you_mean, one_of};
use super::raw::{Field, Value};
use super::resolved::{HttpSource, Query, Source, SqlSource};
use super::section::{Section, Text, bare};
use super::sql;
use super::template::in_template;
use super::units;
use bellwether_adapters::{Accept, Dialect, Rows};
use bellwether_core::template::{Expansion, Template};

/// `None` without a problem never happens: a space without an origin is plain.
pub(super) fn source(
    section: &mut Section<'_, '_>,
    template: Option<&Template>,
    origins: &[Declared],
) -> Option<Source> {
    let captures: Vec<&str> =
        template.map(|template| template.captures().map(|(name, _)| name).collect()).unwrap_or_default();
    let origin = section.text("origin");
    let dialect = dialect(origin.as_ref(), origins);
    let declared = origin.as_ref().and_then(|origin| origins.iter().find(|declared| declared.name == origin.value));
    let over_http = matches!(declared.and_then(|declared| declared.speaks), Some(Speaks::Http));
    let keys = keys(section, dialect, over_http);
    let sql = sql_knobs(section, template.map(|_| &captures[..]), dialect);
    let (get, accept) = (section.text("get"), accept(section));
    let get = get.and_then(|text| Some((path(section, &text, template?), text.place)));
    let Some(origin) = origin else {
        if let Some((place, shown)) = section.setting("query").or_else(|| section.setting("get"))
            && section.setting("origin").is_none()
        {
            let known: Vec<&str> = origins.iter().map(|origin| origin.name.as_str()).collect();
            let hint = match known.as_slice() {
                [] => "define one, for example [origin.shop]".to_owned(),
                known => format!("add origin = \"{}\"", known.first().copied().unwrap_or_default()),
            };
            section.missing(
                &["origin"],
                place,
                format!("{shown} without an origin"),
                Wrong::expected("an `origin`").hint(hint),
            );
        }
        return Some(Source::Plain);
    };
    let Some(declared) = origins.iter().find(|declared| declared.name == origin.value) else {
        unknown_origin(section, &origin, origins);
        return None;
    };
    match declared.speaks? {
        Speaks::Sql(_) => {
            section.refuse_beside(&["get", "accept"], &origin.value, "SQL");
            let Some(query) = sql.query else {
                section.required("query", &origin, "an SQL origin needs `query`");
                return None;
            };
            let SqlKnobs { many, rows, column, .. } = sql;
            Some(Source::Sql(SqlSource { origin: origin.value, query, many, keys, rows, column }))
        }
        Speaks::Http => {
            section.refuse_beside(&["query", "many", "rows", "column"], &origin.value, "HTTP");
            let Some((get, place)) = get else {
                section.required("get", &origin, "an HTTP origin needs `get`");
                return None;
            };
            Some(Source::Http(HttpSource { origin: origin.value, get: get?, keys, accept, place }))
        }
    }
}

/// Whose SQL a space's statements are in, as far as is known.
fn dialect(origin: Option<&Text>, origins: &[Declared]) -> Option<Dialect> {
    let declared = origin.and_then(|origin| origins.iter().find(|declared| declared.name == origin.value));
    match declared.and_then(|declared| declared.speaks) {
        Some(Speaks::Sql(dialect)) => dialect,
        Some(Speaks::Http) | None => None,
    }
}

/// What is wrong with a statement; where nobody knows whose it is, what is wrong with it in either's words.
fn judged(dialect: Option<Dialect>, check: impl Fn(Dialect) -> Vec<sql::Fault>) -> Vec<sql::Fault> {
    match dialect {
        Some(dialect) => check(dialect),
        None if check(Dialect::Postgres).is_empty() => Vec::new(),
        None => check(Dialect::Sqlite),
    }
}

fn unknown_origin(section: &mut Section<'_, '_>, origin: &Text, origins: &[Declared]) {
    let names = || origins.iter().map(|declared| declared.name.as_str());
    let wrong = match origins {
        [] => Wrong::expected(format!("a section [origin.{}]", origin.value)),
        _ => Wrong::expected(format!("one of the origins: {}", one_of(names()))),
    };
    let wrong = match did_you_mean(&origin.value, names()) {
        Some(meant) => wrong.hint(format!("did you mean \"{meant}\"?")),
        None => wrong,
    };
    section.cx.report.missing(&origin.place, &section.subject, origin.shown.clone(), wrong);
}

impl Section<'_, '_> {
    fn refuse_beside(&mut self, keys: &[&str], origin: &str, kind: &str) {
        for key in keys {
            if let Some((place, shown)) = self.setting(key) {
                let wrong = Wrong::expected(format!("no `{key}`: the origin '{origin}' speaks {kind}"));
                self.say(&place, shown, wrong.hint("remove it"));
            }
        }
    }

    /// `key` is needed by the origin; silent if it was set but can't be read.
    fn required(&mut self, key: &'static str, origin: &Text, expected: &str) {
        if self.setting(key).is_none() {
            let keys: &'static [&'static str] = if key == "query" { &["query"] } else { &["get"] };
            self.missing(
                keys,
                origin.place.clone(),
                format!("{} without `{key}`", origin.shown),
                Wrong::expected(expected),
            );
        }
    }
}

struct SqlKnobs {
    query: Option<Query>,
    many: Option<Query>,
    rows: Rows,
    column: Option<Query>,
}

/// What names all keys: a statement or, over HTTP, a path.
fn keys(section: &mut Section<'_, '_>, dialect: Option<Dialect>, over_http: bool) -> Option<Query> {
    let text = section.text("keys")?;
    if !over_http {
        faults(section, &text, judged(dialect, |dialect| sql::check_keys(&text.value, dialect)));
    } else if text.value.contains(['{', '}']) {
        let wrong = Wrong::expected("a path such as \"/products/keys\"").hint("the whole list has no captures");
        section.say(&text.place, text.shown.clone(), wrong);
    } else {
        plain_path(section, &text, "a path such as \"/products/keys\"");
    }
    Some(Query { text: text.value, place: text.place })
}

/// `captures` are `None` if the template can't be read: then nothing is said about names.
fn sql_knobs(section: &mut Section<'_, '_>, captures: Option<&[&str]>, dialect: Option<Dialect>) -> SqlKnobs {
    let query = section.text("query");
    let many = section.text("many");
    if let (Some(text), Some(captures)) = (&query, captures) {
        faults(section, text, judged(dialect, |dialect| sql::check_query(&text.value, captures, dialect)));
    }
    if let (Some(text), Some(captures)) = (&many, captures) {
        faults(section, text, judged(dialect, |dialect| sql::check_many(&text.value, captures, dialect)));
        if captures.len() != 1 {
            let found = format!("`many` beside a `match` with {} captures", captures.len());
            section.say(&text.place, found, Wrong::expected("exactly one capture: `:ids` is a list of its values"));
        }
    }
    let rows = section
        .parsed("rows", |text| units::choice(text, &[("one", Rows::One), ("all", Rows::All)]))
        .unwrap_or_default();
    let column = section.text("column");
    if let Some(text) = &column
        && (text.value.is_empty() || rows == Rows::All)
    {
        let wrong = match rows {
            Rows::One => Wrong::expected("a column's name"),
            Rows::All => Wrong::expected("rows = \"one\" beside `column`: the answer is one raw value"),
        };
        section.say(&text.place, text.shown.clone(), wrong);
    }
    let query_of = |text: Text| Query { text: text.value, place: text.place };
    SqlKnobs { query: query.map(query_of), many: many.map(query_of), rows, column: column.map(query_of) }
}

fn faults(section: &mut Section<'_, '_>, text: &Text, faults: Vec<sql::Fault>) {
    let key = text.shown.split(' ').next().unwrap_or_default();
    for (found, wrong) in faults {
        section.say(&text.place, format!("{found} in `{key}`"), wrong);
    }
}

/// The path of `get`. It goes behind the origin's base as it is; captures are percent-encoded for each key.
fn path(section: &mut Section<'_, '_>, text: &Text, template: &Template) -> Option<Expansion> {
    plain_path(section, text, "a path such as \"/pages/{path}\"");
    let expansion = Expansion::parse(&text.value, template);
    in_template(section, text, expansion)
}

/// Says what is wrong with a path that goes behind the origin's base.
fn plain_path(section: &mut Section<'_, '_>, text: &Text, expected: &'static str) {
    let literal = &text.value;
    let say = |section: &mut Section<'_, '_>, wrong| section.say(&text.place, text.shown.clone(), wrong);
    let wrong = || Wrong::expected(expected);
    let (in_path, _) = literal.split_once('?').unwrap_or((literal, ""));
    if !literal.starts_with('/') || literal.starts_with("//") {
        say(section, wrong().hint("begin with one `/`: the host belongs to the origin"));
    } else if !literal.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\^`|#".contains(&b)) {
        say(section, wrong().hint("percent-encode what is no letter or digit"));
    } else if !is_plain(in_path) {
        say(section, wrong().hint("without `.` and `..`, and without empty parts"));
    }
}

fn accept(section: &mut Section<'_, '_>) -> Accept {
    let usual = Accept::default();
    let Some(mut accept) = section.table("accept") else { return usual };
    let status = accept.list("status").map(|items| statuses(&mut accept, items)).unwrap_or(usual.status);
    let content_type = accept.parsed("content_type", media_type);
    let json = accept.boolean("json").unwrap_or(usual.json);
    accept.finish();
    Accept { status, content_type, json }
}

fn statuses(accept: &mut Section<'_, '_>, items: Vec<Field>) -> Vec<u16> {
    let place = accept.setting("status").map_or_else(|| accept.place.clone(), |(place, _)| place);
    let wrong = || Wrong::expected("success codes from 200 to 299, such as status = [200]");
    if items.is_empty() {
        accept.say(&place, "status = []", wrong());
    }
    let read = |item: Field| match item.value {
        Value::Integer(code @ 200..=299) => u16::try_from(code).ok(),
        other => {
            let wrong = match other {
                Value::Integer(404) => wrong().hint("404 already means that the row does not exist"),
                _ => wrong(),
            };
            accept.say(&item.place, format!("{} in `status`", bare(&other)), wrong);
            None
        }
    };
    items.into_iter().filter_map(read).collect()
}

fn media_type(text: &str) -> Result<String, Wrong> {
    let token = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b));
    match text.split_once('/') {
        Some((kind, sub)) if token(kind) && token(sub) => Ok(text.to_ascii_lowercase()),
        _ => Err(Wrong::expected("a media type without parameters, such as \"application/json\"")),
    }
}
