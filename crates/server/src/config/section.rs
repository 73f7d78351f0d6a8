//! Which knobs does a section set? Each is asked for by name; what was never asked for is unknown.

use super::problem::{Place, Report, Wrong, did_you_mean, one_of};
use super::raw::{Field, Fields, LISTS, Value};
use super::secret::Secret;
use bellwether_adapters::tiers::address::{up_to_secret, without_secrets};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;

/// What every section's reader needs.
pub(super) struct Context<'c> {
    pub(super) report: Report,
    pub(super) env: BTreeMap<String, String>,
    /// Relative paths start here.
    pub(super) base: &'c Path,
    /// `--insecure`.
    pub(super) insecure: bool,
}

/// A table of the file, read knob by knob.
pub(super) struct Section<'a, 'c> {
    pub(super) cx: &'a mut Context<'c>,
    /// How problems call it: `[listen]`, `[[space]] 'product'`.
    pub(super) subject: String,
    /// Of its header.
    pub(super) place: Place,
    fields: Fields,
    asked: Vec<&'static str>,
    /// Where each knob that was set stands, and how it reads.
    set: BTreeMap<&'static str, (Place, String)>,
    /// Said at the end, unless an unknown key turns out to be the one that is missing.
    missing: Vec<(&'static [&'static str], Place, String, Wrong)>,
}

/// A string of the file with its `${VARIABLES}` filled in.
pub(super) struct Text {
    pub(super) value: String,
    pub(super) place: Place,
    /// `key = "…"` as written, for problems.
    pub(super) shown: String,
}

impl<'a, 'c> Section<'a, 'c> {
    pub(super) fn new(
        cx: &'a mut Context<'c>,
        subject: impl Into<String>,
        place: Place,
        fields: Fields,
    ) -> Section<'a, 'c> {
        let subject = subject.into();
        Section { cx, subject, place, fields, asked: Vec::new(), set: BTreeMap::new(), missing: Vec::new() }
    }

    /// The value of `key`, at most once.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Field> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        let field = self.fields.remove(key)?;
        self.set.insert(key, (field.place.clone(), shown(key, &field.value)));
        Some(field)
    }

    /// Where `key` was set and how it reads, once it has been asked for.
    pub(super) fn setting(&self, key: &str) -> Option<(Place, String)> {
        self.set.get(key).cloned()
    }

    pub(super) fn text(&mut self, key: &'static str) -> Option<Text> {
        let field = self.take(key)?;
        self.text_of(key, field)
    }

    fn text_of(&mut self, key: &str, field: Field) -> Option<Text> {
        let shown = shown(key, &field.value);
        let value = match field.value {
            Value::Text(written) => self.filled(&field.place, &written, &shown)?,
            Value::Override(value) => value,
            Value::Integer(n) => {
                let hint = format!("put it in quotes: {key} = \"{n}\"");
                return self.wrong(&field.place, shown, Wrong::expected("text in quotes").hint(hint));
            }
            _ => return self.wrong(&field.place, shown, Wrong::expected("text in quotes")),
        };
        Some(Text { value, place: field.place, shown })
    }

    /// Reads the text of `key` with `parse`.
    pub(super) fn parsed<T>(&mut self, key: &'static str, parse: impl FnOnce(&str) -> Result<T, Wrong>) -> Option<T> {
        let field = self.take(key)?;
        if let Value::Integer(_) | Value::Other(_) = &field.value {
            // `ttl = 60` deserves the hint that `ttl = "60"` gets, not a lecture about quotes.
            let written = bare(&field.value);
            // In quotes only where that is all that is missing.
            let quotes =
                || Wrong::expected("the same in quotes").hint(format!("put it in quotes: {key} = \"{written}\""));
            let wrong = parse(&written).err().unwrap_or_else(quotes);
            return self.wrong(&field.place, shown(key, &field.value), wrong);
        }
        let text = self.text_of(key, field)?;
        match parse(&text.value) {
            Ok(value) => Some(value),
            Err(wrong) => self.wrong(&text.place, text.shown, wrong),
        }
    }

    pub(super) fn integer(&mut self, key: &'static str, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let field = self.take(key)?;
        let number = match &field.value {
            Value::Integer(n) => Some(*n),
            Value::Override(text) => text.parse().ok(),
            _ => None,
        };
        if let Some(n) = number.filter(|n| range.contains(n)) {
            return Some(n);
        }
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let wrong = match &field.value {
            Value::Text(text) if text.parse::<i64>().is_ok() => {
                Wrong::expected(expected).hint(format!("without quotes: {key} = {text}"))
            }
            _ => Wrong::expected(expected),
        };
        self.wrong(&field.place, shown(key, &field.value), wrong)
    }

    pub(super) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let field = self.take(key)?;
        match &field.value {
            Value::Bool(b) => Some(*b),
            Value::Override(text) if text == "true" || text == "false" => Some(text == "true"),
            other => self.wrong(&field.place, shown(key, other), Wrong::expected("true or false")),
        }
    }

    pub(super) fn list(&mut self, key: &'static str) -> Option<Vec<Field>> {
        let field = self.take(key)?;
        match field.value {
            Value::List(items) => Some(items),
            other => {
                let within = self.subject.trim_matches(['[', ']']);
                let name = if within.is_empty() { key.to_owned() } else { format!("{within}.{key}") };
                let (found, expected, hint) = match other {
                    Value::Table(_) if LISTS.contains(&&*name) => {
                        (format!("[{name}]"), "a list of sections", format!("write [[{name}]]"))
                    }
                    _ => (shown(key, &other), "a list in brackets", format!("write {key} = [{}]", bare_quoted(&other))),
                };
                self.wrong(&field.place, found, Wrong::expected(expected).hint(hint))
            }
        }
    }

    /// The texts of a list; those that are none are reported and left out.
    pub(super) fn texts(&mut self, key: &'static str) -> Option<Vec<Text>> {
        let items = self.list(key)?;
        Some(items.into_iter().filter_map(|item| self.text_of(key, item)).collect())
    }

    /// An inline table as a section of its own.
    pub(super) fn table(&mut self, key: &'static str) -> Option<Section<'_, 'c>> {
        let field = self.take(key)?;
        match field.value {
            Value::Table(fields) => {
                let subject = format!("{} {key}", self.subject);
                Some(Section::new(self.cx, subject, field.place, fields))
            }
            other => self.wrong(&field.place, shown(key, &other), Wrong::expected("a table in braces: { … }")),
        }
    }

    /// As [`Section::parsed`], for a URL that may carry a secret: problems show it without.
    pub(super) fn url<T>(&mut self, key: &'static str, parse: impl FnOnce(&str) -> Result<T, Wrong>) -> Option<T> {
        self.address(key, address_shown, parse)
    }

    /// The same for the address of an origin, which may be a file.
    pub(super) fn origin<T>(&mut self, key: &'static str, parse: impl FnOnce(&str) -> Result<T, Wrong>) -> Option<T> {
        self.address(key, origin_shown, parse)
    }

    fn address<T>(
        &mut self,
        key: &'static str,
        shows: fn(&str) -> String,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let field = self.take(key)?;
        let shown = match &field.value {
            Value::Text(text) | Value::Override(text) => format!("{key} = {}", quoted(&shows(text))),
            other => shown(key, other),
        };
        self.set.insert(key, (field.place.clone(), shown.clone()));
        let text = match field.value {
            Value::Text(written) => self.filled(&field.place, &written, &shown)?,
            Value::Override(value) => value,
            _ => return self.wrong(&field.place, shown, Wrong::expected("a URL in quotes")),
        };
        match parse(&text) {
            Ok(value) => Some(value),
            Err(wrong) => self.wrong(&field.place, shown, wrong),
        }
    }

    /// A text that is never shown; `file:PATH` names a file that holds it.
    pub(super) fn secret(&mut self, key: &'static str) -> Option<Secret> {
        let field = self.take(key)?;
        let masked = format!("{key} = \"***\"");
        self.set.insert(key, (field.place.clone(), masked.clone()));
        let value = match field.value {
            Value::Text(written) => self.filled(&field.place, &written, &masked)?,
            Value::Override(value) => value,
            _ => return self.wrong(&field.place, masked, Wrong::expected("text in quotes")),
        };
        let secret = match value.strip_prefix("file:") {
            Some(path) => match secret_in(&self.cx.base.join(path)) {
                Ok(text) => text.trim_end_matches(['\r', '\n']).to_owned(),
                Err(error) => {
                    let found = format!("{key} = \"file:{path}\", which can't be read: {error}");
                    return self.wrong(&field.place, found, Wrong::expected("a readable file with the secret in it"));
                }
            },
            None => value,
        };
        if secret.is_empty() {
            let hint = "an empty one would let everybody in; remove the key to do without";
            return self.wrong(&field.place, format!("{key} that is empty"), Wrong::expected("a secret").hint(hint));
        }
        Some(Secret::new(secret))
    }

    /// Puts the environment's values for `${NAME}`; `$${` stands for `${`.
    fn filled(&mut self, place: &Place, written: &str, shown: &str) -> Option<String> {
        let (mut out, mut rest) = (String::with_capacity(written.len()), written);
        while let Some((before, tail)) = rest.split_once("${") {
            if let Some(before) = before.strip_suffix('$') {
                out.extend([before, "${"]);
                rest = tail;
                continue;
            }
            let Some((name, tail)) = tail.split_once('}') else {
                let wrong = Wrong::expected("${NAME}").hint("write $${ for the two characters themselves");
                return self.wrong(place, format!("{shown}, where `${{` is never closed"), wrong);
            };
            let Some(value) = self.cx.env.get(name) else {
                let wrong = Wrong::expected(format!("the environment variable {name} to be set"));
                return self.wrong(place, shown.to_owned(), wrong.hint(format!("export {name}=… before the start")));
            };
            out.extend([before, value.as_str()]);
            rest = tail;
        }
        out.push_str(rest);
        Some(out)
    }

    pub(super) fn say(&mut self, place: &Place, found: impl Into<String>, wrong: Wrong) {
        self.cx.report.say(place, &self.subject, found, wrong);
    }

    fn wrong<T>(&mut self, place: &Place, found: impl Into<String>, wrong: Wrong) -> Option<T> {
        self.say(place, found, wrong);
        None
    }

    /// What core says about knobs that could be read, each at the place where it was set.
    pub(super) fn mistakes(&mut self, mistakes: &[(&'static str, String)]) {
        for (knob, sentence) in mistakes {
            // `grace` sets both windows behind the ttl.
            let setting = self.setting(knob).or_else(|| self.setting("grace"));
            let (place, shown) = setting.unwrap_or_else(|| (self.place.clone(), (*knob).to_owned()));
            let bare = sentence.strip_prefix("must be ").or_else(|| sentence.strip_prefix("must lie "));
            let expected = bare.map_or_else(|| format!("less: {}", sentence.trim_start_matches("is ")), str::to_owned);
            self.say(&place, shown, Wrong::expected(expected));
        }
    }

    /// One of `keys` should have been set.
    pub(super) fn missing(
        &mut self,
        keys: &'static [&'static str],
        place: Place,
        found: impl Into<String>,
        wrong: Wrong,
    ) {
        self.missing.push((keys, place, found.into(), wrong));
    }

    /// Reports what was never asked for, then what is missing still.
    pub(super) fn finish(self) {
        let mut meant = BTreeSet::new();
        let free = |key: &&&str| !self.set.contains_key(**key);
        for (key, field) in &self.fields {
            let guess = did_you_mean(key, self.asked.iter().filter(free).copied());
            let guess = guess.or_else(|| did_you_mean(key, self.asked.iter().copied()));
            let wrong = match guess {
                Some(guess) => Wrong::expected("a known key").hint(format!("did you mean `{guess}`?")),
                None => Wrong::expected(one_of(self.asked.iter().copied())),
            };
            meant.extend(guess);
            self.cx.report.say(&field.key_place, &self.subject, format!("the unknown key `{key}`"), wrong);
        }
        for (keys, place, found, wrong) in self.missing {
            if !keys.iter().any(|key| meant.contains(key)) {
                self.cx.report.missing(&place, &self.subject, found, wrong);
            }
        }
    }
}

/// The longest secret that a file may hold. What never ends, such as `/dev/zero`, ends here.
const LONGEST_SECRET: u64 = 64 << 10;

fn secret_in(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(LONGEST_SECRET + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST_SECRET {
        return Err(std::io::Error::other(format!("it holds more than {} KiB", LONGEST_SECRET >> 10)));
    }
    Ok(text)
}

/// The most characters of a value that a problem quotes.
const QUOTED: usize = 80;

fn shown(key: &str, value: &Value) -> String {
    format!("{key} = {}", bare_quoted(value))
}

fn bare_quoted(value: &Value) -> String {
    match value {
        Value::Text(text) | Value::Override(text) => quoted(text),
        other => bare(other),
    }
}

/// Schemes whose URLs are known even if the slashes were forgotten.
const SCHEMES: [&str; 6] = ["postgres:", "postgresql:", "mysql:", "mariadb:", "redis:", "rediss:"];

/// A URL's scheme, and what follows it.
fn url(text: &str) -> Option<(&str, &str)> {
    let slashes = text.find("://").map(|at| at + 3);
    let end = slashes.or_else(|| SCHEMES.iter().find(|scheme| text.starts_with(*scheme)).map(|scheme| scheme.len()))?;
    Some(text.split_at(end))
}

/// `text` in quotes, shortened, without what stands before the `@` of a URL, and up to what may be a secret.
pub(super) fn quoted(text: &str) -> String {
    let mut text = text.to_owned();
    if let Some((scheme, rest)) = url(&text)
        && let Some((_, host)) = rest.rsplit_once('@')
    {
        text = format!("{scheme}***@{host}");
    }
    text = up_to_secret(&text);
    if let Some((end, _)) = text.char_indices().nth(QUOTED) {
        text.truncate(end);
        text.push('…');
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('\n', "\\n").replace(|c: char| c.is_control(), "?"))
}

/// The address of a tier for problems. A variable is shown as it is written, `off` is none.
fn address_shown(text: &str) -> String {
    let variable = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    let name = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if text == "off" || variable.is_some_and(name) { text.to_owned() } else { without_secrets(text) }
}

/// The address of an origin for problems: as that of a tier, but that a file's path is no secret.
fn origin_shown(text: &str) -> String {
    let path = text.strip_prefix("sqlite://").unwrap_or(text);
    if !path.contains(['@', ':', '=', '?']) {
        return text.to_owned();
    }
    match url(text) {
        Some((scheme, rest)) if !scheme.ends_with("://") => {
            let shown = without_secrets(&format!("{}//{rest}", scheme));
            shown.replacen("//", "", 1)
        }
        _ => address_shown(text),
    }
}

pub(super) fn bare(value: &Value) -> String {
    match value {
        Value::Text(text) | Value::Override(text) | Value::Other(text) => text.clone(),
        Value::Integer(n) => n.to_string(),
        Value::Bool(b) => b.to_string(),
        Value::List(items) if items.is_empty() => "[]".to_owned(),
        Value::List(_) => "[…]".to_owned(),
        Value::Table(_) => "{…}".to_owned(),
    }
}

/// The settings of a section; a single value or a list in its place is a mistake.
pub(super) fn fields_of(cx: &mut Context<'_>, field: Field, header: &str) -> Option<Fields> {
    match field.value {
        Value::Table(fields) => Some(fields),
        other => {
            let (found, wrong) = match other {
                Value::List(_) => ("a list", Wrong::expected("one section").hint(format!("write {header}"))),
                _ => ("a single value", Wrong::expected(format!("a section {header}"))),
            };
            cx.report.say(&field.place, "", found, wrong);
            None
        }
    }
}
