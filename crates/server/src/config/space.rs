//! Which keys, from where, for how long? One `[[space]]`.

use super::origin::{Declared, MAX_CONCURRENCY, Speaks};
use super::path::is_plain;
use super::preset::{self, PRESETS};
use super::problem::{Place, Wrong, did_you_mean, one_of};
use super::raw::{Field, Fields, Value};
use super::resolved::{HttpSource, Query, Source, SpaceConfig, SqlSource, Tiers};
use super::section::{Context, Section, Text, bare, quoted};
use super::sql;
use super::strangers::strangers;
use super::units;
use bellwether_adapters::{Accept, Dialect, Rows};
use bellwether_core::policy::{Early, Policy, Priority};
use bellwether_core::template::{Expansion, Template, TemplateError};
use bellwether_core::time::Span;

/// Where XFetch's beta starts: half a load's time ahead on average costs fewer early loads than 4 would.
const XFETCH_BETA: f64 = 2.0;
/// The most tags that one space gives its entries.
const MAX_TAGS: usize = 16;
/// The longest name or generation, in bytes: both go into every metric or stored key.
const MAX_NAME: usize = 64;

/// A space as far as it could be read.
pub(super) struct Read {
    pub(super) name: String,
    pub(super) subject: String,
    /// Of `name`, else of `match`, else of the header.
    pub(super) name_place: Place,
    pub(super) match_place: Place,
    pub(super) template: Option<Template>,
    pub(super) tiers: Tiers,
    pub(super) strict: bool,
    /// Where `tags` stand and how they read, if there are any.
    pub(super) tags: Option<(Place, String)>,
    /// The same of `filter_hides`.
    pub(super) hides: Option<(Place, String)>,
    pub(super) config: Option<SpaceConfig>,
}

/// What the file says outside of a space that each of them is read with.
pub(super) struct Around<'d> {
    pub(super) origins: &'d [Declared],
    /// The tiers that there are.
    pub(super) tiers: Tiers,
    /// `strict` at the top of the file.
    pub(super) strict: bool,
}

pub(super) fn space(cx: &mut Context<'_>, number: usize, place: Place, fields: Fields, around: &Around<'_>) -> Read {
    let origins = around.origins;
    let subject = subject(number, &fields);
    let mut section = Section::new(cx, subject.clone(), place.clone(), fields);
    let template = template(&mut section);
    let match_place = section.setting("match").map_or_else(|| place.clone(), |(place, _)| place);
    let (name, name_place) = name(&mut section, template.as_ref(), &match_place);
    let source = source(&mut section, template.as_ref(), origins);
    let policy = policy(&mut section);
    let strangers = strangers(&mut section, source.as_ref());
    within_origin(&mut section, &policy, source.as_ref().and_then(Source::origin), origins);
    let default = section.text("default").map(|text| text.value);
    let tags = tags(&mut section, template.as_ref());
    let generation = generation(&mut section);
    let (tiers, memory) = tiers(&mut section, around.tiers);
    let policy = Policy { memory, ..policy };
    let strict = section.boolean("strict").unwrap_or(around.strict);
    let tagged = section.setting("tags").filter(|_| !tags.is_empty());
    let hides = section.setting("filter_hides");
    if section.setting("origin").is_none() {
        refuse_on_plain(&mut section);
    }
    section.finish();
    let config = template.clone().zip(source).map(|(template, source)| SpaceConfig {
        name: name.clone(),
        template,
        source,
        policy,
        strangers,
        default,
        tags,
        generation,
        tiers,
        strict,
        place,
    });
    Read { name, subject, name_place, match_place, template, tiers, strict, tags: tagged, hides, config }
}

/// `[[space]] 'product'`, before anything is known to be right.
fn subject(number: usize, fields: &Fields) -> String {
    let text = |key| match fields.get(key).map(|field: &Field| &field.value) {
        Some(Value::Text(text)) if !text.is_empty() => Some(text.as_str()),
        _ => None,
    };
    let label =
        text("name").or_else(|| text("match").map(|m| m.split('{').next().unwrap_or(m).trim_end_matches([':', '/'])));
    match label.filter(|label| !label.is_empty()) {
        Some(label) => format!("[[space]] '{}'", quoted(label).trim_matches('"')),
        None => format!("[[space]] number {number}"),
    }
}

fn template(section: &mut Section<'_, '_>) -> Option<Template> {
    let Some(text) = section.text("match") else {
        if section.setting("match").is_none() {
            let wrong = Wrong::expected("a template such as match = \"product:{id:int}\"");
            section.missing(&["match"], section.place.clone(), "no `match`", wrong);
        }
        return None;
    };
    in_template(section, &text, Template::parse(&text.value))
}

/// `result`, or the mistake in `text` that it found.
fn in_template<T>(section: &mut Section<'_, '_>, text: &Text, result: Result<T, TemplateError>) -> Option<T> {
    result
        .map_err(|error| {
            let wrong = Wrong { expected: error.expected, hint: error.hint };
            section.say(&text.place, format!("{}: {}", text.shown, error.found), wrong);
        })
        .ok()
}

fn name(section: &mut Section<'_, '_>, template: Option<&Template>, match_place: &Place) -> (String, Place) {
    if let Some(text) = section.text("name") {
        let plain = |c: char| !c.is_control() && !c.is_whitespace();
        if text.value.is_empty() || text.value.len() > MAX_NAME || !text.value.chars().all(plain) {
            let expected = format!("1 to {MAX_NAME} bytes without spaces");
            section.say(&text.place, text.shown, Wrong::expected(expected));
        }
        return (text.value, text.place);
    }
    let name = template.map_or("", Template::literal_prefix);
    if let Some(template) = template
        && (name.is_empty() || name.len() > MAX_NAME)
        && section.setting("name").is_none()
    {
        let found =
            format!("no `name`, and no short literal in front of {} to take it from", quoted(template.as_str()));
        section.missing(&["name"], match_place.clone(), found, Wrong::expected("a name such as name = \"pages\""));
    }
    (name.to_owned(), match_place.clone())
}

fn policy(section: &mut Section<'_, '_>) -> Policy {
    let ttl = section.parsed("ttl", units::duration);
    if ttl.is_none() && section.setting("ttl").is_none() {
        let wrong = Wrong::expected("how long a value is fresh, such as ttl = \"60s\"");
        section.missing(&["ttl"], section.place.clone(), "no `ttl`", wrong);
    }
    let preset = section.parsed("preset", |text| units::choice(text, &PRESETS));
    // Where the ttl can't be read the other knobs are still checked.
    let usual = preset::policy(preset, ttl.unwrap_or(Span::secs(60)));
    let grace = section.parsed("grace", units::duration);
    let mut span = |key, usual| section.parsed(key, units::duration).unwrap_or(usual);
    let policy = Policy {
        stale_while_revalidate: span("stale_while_revalidate", grace.unwrap_or(usual.stale_while_revalidate)),
        stale_if_error: span("stale_if_error", grace.unwrap_or(usual.stale_if_error)),
        timeout: span("timeout", usual.timeout),
        negative_ttl: span("negative_ttl", usual.negative_ttl),
        staleness_budget: span("staleness_budget", usual.staleness_budget),
        jitter: section.parsed("jitter", units::percentage).unwrap_or(usual.jitter),
        early: section.parsed("early", early).unwrap_or(usual.early),
        priority: section.parsed("priority", priority).unwrap_or(usual.priority),
        max_concurrency: section.integer("max_concurrency", 1..=MAX_CONCURRENCY).and_then(|n| u32::try_from(n).ok()),
        rate: section.parsed("rate", units::rate),
        rescue_invalidated: section.boolean("rescue_invalidated").unwrap_or(usual.rescue_invalidated),
        ..usual
    };
    section.mistakes(&policy.mistakes());
    policy
}

/// A limit of the space's own that its origin's never lets it reach would only look like one.
fn within_origin(section: &mut Section<'_, '_>, policy: &Policy, name: Option<&str>, origins: &[Declared]) {
    let origin = name.and_then(|name| origins.iter().find(|origin| origin.name == name));
    let Some((name, config)) = name.zip(origin.and_then(|origin| origin.config.as_ref())) else { return };
    let budget = &config.budget;
    let too_many = policy.max_concurrency.is_some_and(|own| own > budget.max_concurrency);
    let too_fast = policy.rate.zip(budget.rate).is_some_and(|(own, whole)| own > whole);
    for (key, wrong, most) in [
        ("max_concurrency", too_many, budget.max_concurrency.to_string()),
        ("rate", too_fast, budget.rate.map_or_else(String::new, |rate| format!("{rate}/s"))),
    ] {
        if let Some((place, shown)) = section.setting(key).filter(|_| wrong) {
            let hint =
                format!("a space's own limit is a part of its origin's: raise it in [origin.{name}], or remove it");
            let expected = format!("at most {most}, the `{key}` of [origin.{name}]");
            section.say(&place, shown, Wrong::expected(expected).hint(hint));
        }
    }
}

fn early(text: &str) -> Result<Early, Wrong> {
    units::choice(text, &[("lead", Early::Lead), ("xfetch", Early::XFetch { beta: XFETCH_BETA }), ("off", Early::Off)])
}

fn priority(text: &str) -> Result<Priority, Wrong> {
    units::choice(text, &Priority::ALL.map(|priority| (priority.as_str(), priority)))
}

/// What only a load could use.
fn refuse_on_plain(section: &mut Section<'_, '_>) {
    const LOADING: [&str; 16] = [
        "many",
        "keys",
        "filter",
        "filter_rebuild",
        "filter_hides",
        "absent_per_client",
        "loads_per_client",
        "rows",
        "column",
        "accept",
        "default",
        "negative_ttl",
        "early",
        "priority",
        "max_concurrency",
        "rate",
    ];
    for key in LOADING {
        if let Some((place, shown)) = section.setting(key) {
            let wrong = Wrong::expected(format!("no `{key}` in a space without an origin: nothing is loaded here"));
            section.missing(&["origin"], place, shown, wrong.hint("add `origin`, or remove it"));
        }
    }
}

/// `None` without a problem never happens: a space without an origin is plain.
fn source(section: &mut Section<'_, '_>, template: Option<&Template>, origins: &[Declared]) -> Option<Source> {
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

fn tags(section: &mut Section<'_, '_>, template: Option<&Template>) -> Vec<Expansion> {
    let Some(texts) = section.texts("tags") else { return Vec::new() };
    if texts.len() > MAX_TAGS
        && let Some((place, _)) = section.setting("tags")
    {
        section.say(&place, format!("{} tags", texts.len()), Wrong::expected(format!("at most {MAX_TAGS}")));
    }
    let Some(template) = template else { return Vec::new() };
    let read = |text: Text| in_template(section, &text, Expansion::parse(&text.value, template));
    texts.into_iter().filter_map(read).collect()
}

fn generation(section: &mut Section<'_, '_>) -> Option<String> {
    section.parsed("generation", |text| {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if plain && !text.is_empty() && text.len() <= MAX_NAME {
            return Ok(text.to_owned());
        }
        Err(Wrong::expected("letters, digits, `.`, `_` and `-`, such as \"v2\""))
    })
}

/// A place where entries live.
#[derive(Clone, Copy)]
enum Tier {
    Memory,
    Disk,
    Shared,
}

const TIERS: [(&str, Tier); 3] = [("memory", Tier::Memory), ("disk", Tier::Disk), ("shared", Tier::Shared)];

/// Which of the tiers that there are, and whether memory answers; all of them unless said otherwise.
fn tiers(section: &mut Section<'_, '_>, there: Tiers) -> (Tiers, bool) {
    let Some(texts) = section.texts("tiers") else { return (there, true) };
    // One that can't be read may have been meant for it.
    let (mut memory, mut chosen) = (false, Tiers::default());
    for text in &texts {
        let wrong = match units::choice(&text.value, &TIERS) {
            Ok(Tier::Memory) => {
                memory = true;
                continue;
            }
            Ok(Tier::Disk) if there.disk => {
                chosen.disk = true;
                continue;
            }
            Ok(Tier::Shared) if there.shared => {
                chosen.shared = true;
                continue;
            }
            Ok(Tier::Disk) => Wrong::expected("a section [disk]: there is none").hint("add one, or remove it here"),
            Ok(Tier::Shared) => Wrong::expected("a section [shared]: there is none").hint("add one, or remove it here"),
            Err(wrong) => {
                memory = true;
                wrong
            }
        };
        section.say(&text.place, format!("{} in `tiers`", quoted(&text.value)), wrong);
    }
    let instead = chosen.shared || !there.shared && texts.iter().any(|text| text.value == "shared");
    if !memory
        && !instead
        && let Some((place, shown)) = section.setting("tiers")
    {
        let wrong = Wrong::expected("\"memory\" or \"shared\" among them: something must answer");
        let hint = if texts.is_empty() { "remove it" } else { "write tiers = [\"memory\", …], or remove it" };
        section.say(&place, shown, wrong.hint(hint));
    }
    (chosen, memory || !chosen.shared)
}
