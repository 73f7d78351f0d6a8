//! What does the file say, before it is understood? TOML with a place for every value, and the
//! environment's overrides on top.

use super::problem::{Place, Report, Wrong, did_you_mean};
use std::collections::BTreeMap;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(super) struct Field {
    /// Of the value.
    pub(super) place: Place,
    /// Of the key; in a list, of the value.
    pub(super) key_place: Place,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Bool(bool),
    List(Vec<Field>),
    Table(Fields),
    /// From the environment: text that may stand for a number or a bool too.
    Override(String),
    /// What no knob takes: floats, dates, integers beyond 64 bits; as written.
    Other(String),
}

pub(super) type Fields = BTreeMap<String, Field>;

/// Reads TOML, with all of its syntax errors at once and as much of the rest as can be read.
pub(super) fn read(text: &str, report: &mut Report) -> Fields {
    let lines = Lines::of(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    // Where a section ends that was written like the only one of its kind: what it repeats is said once.
    let mut repeated = 0;
    for error in errors {
        let Some(span) = error.span() else {
            report.syntax(Place::File, error.message().trim());
            continue;
        };
        let place = lines.place(span.start);
        if error.message().trim() != DUPLICATE && lines.begins_section(span.start) {
            // Where what follows belongs nobody knows: it is not judged.
            report.header(place, error.message().trim(), lines.line(lines.end_of_section(span.start)));
        } else if error.message().trim() != DUPLICATE {
            report.syntax(place, error.message().trim());
        } else if let Some((brackets, name)) = lines.header(span.start).filter(|(_, name)| LISTS.contains(name)) {
            repeated = lines.end_of_section(span.start);
            // One that is written as it should be repeats one that is not, which is told where it stands.
            report.repeated(place, name, brackets == "[[");
        } else if span.start >= repeated {
            report.syntax(place, DUPLICATE);
        }
    }
    fields(document.get_ref(), &lines)
}

/// What TOML says of a section or key that is there already.
const DUPLICATE: &str = "duplicate key";
/// Sections that there may be several of.
pub(super) const LISTS: [&str; 2] = ["space", "hot.announce"];

fn fields(table: &DeTable<'_>, lines: &Lines<'_>) -> Fields {
    let entry = |(key, value): (&Spanned<std::borrow::Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
        let key_place = lines.place(key.span().start);
        (key.get_ref().to_string(), Field { key_place, ..field(value, lines) })
    };
    table.iter().map(entry).collect()
}

fn field(value: &Spanned<DeValue<'_>>, lines: &Lines<'_>) -> Field {
    let place = lines.place(value.span().start);
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(n) => {
            i64::from_str_radix(n.as_str(), n.radix()).map_or_else(|_| Value::Other(n.to_string()), Value::Integer)
        }
        DeValue::Float(n) => Value::Other(n.to_string()),
        DeValue::Boolean(b) => Value::Bool(*b),
        DeValue::Datetime(date) => Value::Other(date.to_string()),
        DeValue::Array(items) => Value::List(items.iter().map(|item| field(item, lines)).collect()),
        DeValue::Table(table) => Value::Table(fields(table, lines)),
    };
    Field { key_place: place.clone(), place, value }
}

/// Byte offsets to lines and columns.
struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn of(text: &'t str) -> Lines<'t> {
        let behind_breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(i, _)| i + 1);
        Lines { text, starts: std::iter::once(0).chain(behind_breaks).collect() }
    }

    /// The section that the line of this place begins, and the brackets in front of its name.
    fn header(&self, offset: usize) -> Option<(&'t str, &'t str)> {
        let start = self.text.get(..offset)?.rfind('\n').map_or(0, |at| at + 1);
        let line = self.text.get(start..)?.lines().next()?.trim();
        let brackets = line.get(..line.len() - line.trim_start_matches('[').len()).filter(|some| !some.is_empty())?;
        let (name, _) = line.get(brackets.len()..)?.split_once(']')?;
        Some((brackets, name.trim()))
    }

    /// Whether the line of this place is meant to begin a section.
    fn begins_section(&self, offset: usize) -> bool {
        let before = self.text.get(..offset).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        self.text.get(start..).is_some_and(|line| line.trim_start_matches([' ', '\t']).starts_with('['))
    }

    /// The number of the line that ends here.
    fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|&start| start <= offset)
    }

    /// Where the next section begins, or the text ends.
    fn end_of_section(&self, offset: usize) -> usize {
        let rest = self.text.get(offset..).unwrap_or_default();
        rest.find("\n[").map_or(self.text.len(), |at| offset + at)
    }

    fn place(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|&start| start <= offset);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = self.text.get(start..offset).map_or(0, |text| text.chars().count());
        Place::Line { line, column: before + 1 }
    }
}

/// What an override begins with.
const PREFIX: &str = "BELLWETHER__";
/// Sections of one level.
const SECTIONS: [&str; 5] = ["listen", "memory", "disk", "shared", "hot"];

/// Puts `BELLWETHER__SECTION__KEY` and `BELLWETHER__ORIGIN__NAME__KEY` over the file's values.
pub(super) fn override_from(env: &BTreeMap<String, String>, document: &mut Fields, report: &mut Report) {
    for (variable, value) in env {
        let Some(path) = variable.strip_prefix(PREFIX) else {
            if let Some(hint) = single_underscores(variable) {
                let wrong = Wrong::expected("two underscores between the parts of an override").hint(hint);
                report.say(&Place::Environment(variable.clone()), "", "an override of nothing", wrong);
            }
            continue;
        };
        let path: Vec<String> = path.split("__").map(str::to_lowercase).collect();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let place = Place::Environment(variable.clone());
        let field = Field { key_place: place.clone(), place: place.clone(), value: Value::Override(value.clone()) };
        let target = match path.as_slice() {
            [section, key] if SECTIONS.contains(section) && !key.is_empty() => {
                section_of(document, section, &place).map(|fields| (fields, *key))
            }
            ["origin", name, key] if !key.is_empty() => {
                let Some(origin) = origin_of(document, name) else {
                    let found = format!("the origin '{name}'");
                    let expected = Wrong::expected("an origin that the file defines");
                    report.missing(&place, "", found, expected.hint(format!("add [origin.{name}] to the file")));
                    continue;
                };
                Some((origin, *key))
            }
            _ => None,
        };
        match target {
            Some((fields, key)) => drop(fields.insert(key.to_owned(), field)),
            None => report.say(&place, "", "an override of nothing", no_such_override(&path)),
        }
    }
}

/// What was meant by `BELLWETHER_LISTEN_REDIS`, which would be ignored in silence.
fn single_underscores(variable: &str) -> Option<String> {
    let rest = variable.strip_prefix("BELLWETHER_")?;
    let (section, key) = rest.split_once('_')?;
    let ours = SECTIONS.contains(&section.to_lowercase().as_str()) && !key.is_empty();
    ours.then(|| format!("did you mean {PREFIX}{section}__{}?", key.trim_start_matches('_')))
}

fn no_such_override(path: &[&str]) -> Wrong {
    let wrong = Wrong::expected("BELLWETHER__LISTEN__KEY, BELLWETHER__MEMORY__KEY or BELLWETHER__ORIGIN__NAME__KEY");
    let section = path.first().copied().unwrap_or_default();
    if section.starts_with("space") {
        return wrong.hint("spaces can't be overridden; use ${VARIABLE} in the file");
    }
    match did_you_mean(section, SECTIONS.into_iter().chain(["origin"])) {
        Some(meant) if meant != section => wrong.hint(format!("did you mean BELLWETHER__{}?", meant.to_uppercase())),
        _ => wrong,
    }
}

/// The table `section`, made if absent; `None` if the file has something else there.
fn section_of<'f>(document: &'f mut Fields, section: &str, place: &Place) -> Option<&'f mut Fields> {
    let absent = || Field { key_place: place.clone(), place: place.clone(), value: Value::Table(Fields::new()) };
    table_in(document.entry(section.to_owned()).or_insert_with(absent))
}

/// Environment variables are upper case and have no `-`: `my-shop` is asked for as `MY_SHOP`.
fn origin_of<'f>(document: &'f mut Fields, wanted: &str) -> Option<&'f mut Fields> {
    let origins = table_in(document.get_mut("origin")?)?;
    let found = origins.iter_mut().find(|(name, _)| name.to_lowercase().replace('-', "_") == wanted);
    found.and_then(|(_, field)| table_in(field))
}

fn table_in(field: &mut Field) -> Option<&mut Fields> {
    match &mut field.value {
        Value::Table(fields) => Some(fields),
        _ => None,
    }
}
