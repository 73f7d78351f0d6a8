//! Which keys, from where, for how long? One `[[space]]`.

use super::origin::{Declared, MAX_CONCURRENCY};
use super::preset::{self, PRESETS};
use super::problem::{Place, Wrong};
use super::raw::{Field, Fields, Value};
use super::resolved::{Source, SpaceConfig, Tiers};
use super::section::{Context, Section, Text, quoted};
use super::source::source;
use super::strangers::strangers;
use super::template::{in_template, template};
use super::units;
use bellwether_core::policy::{Early, Policy, Priority};
use bellwether_core::template::{Expansion, Template};
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
    no_longer_than_loads(&mut section, &policy, source.as_ref().and_then(Source::origin), origins);
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

/// Callers that are to wait for a load that ends before: it fails then, and they have waited for nothing.
fn no_longer_than_loads(section: &mut Section<'_, '_>, policy: &Policy, name: Option<&str>, origins: &[Declared]) {
    let origin = name.and_then(|name| origins.iter().find(|origin| origin.name == name));
    let Some((name, config)) = name.zip(origin.and_then(|origin| origin.config.as_ref())) else { return };
    let loads = config.budget.timeout;
    if let Some((place, shown)) = section.setting("timeout").filter(|_| policy.timeout > loads) {
        let found = format!("{shown}, while a load of [origin.{name}] ends after {loads}");
        let wrong = Wrong::expected(format!(
            "at most {loads}, the `timeout` of [origin.{name}]: callers wait in vain beyond it"
        ));
        let subject = section.subject.clone();
        section.cx.report.warn(
            &place,
            &subject,
            found,
            wrong.hint(format!("raise it in [origin.{name}] if loads take so long")),
        );
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
