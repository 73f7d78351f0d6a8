//! What was Bellwether told to do? One TOML file, the environment over it, every mistake at once.
//!
//! The walk: `raw` reads TOML into values with places and puts the environment's overrides on top;
//! one reader per section (`listen`, `origin`, `space`) asks a `section` for its knobs, which
//! remembers what was asked and so knows what is unknown; `check` compares spaces with each other.
//! Nobody stops at a mistake: each is put into one `problem` report, and there is a configuration
//! only if the report is empty.

mod change;
mod check;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod guarantee;
mod heat;
mod host;
mod hot;
mod listen;
mod origin;
mod path;
mod preset;
mod problem;
mod raw;
mod resolved;
mod secret;
mod section;
mod source;
mod space;
mod sql;
mod strangers;
mod template;
mod tier_url;
mod tiers;
mod units;

#[cfg(test)]
mod tests;

pub use change::{Changes, OriginChange, SpaceChange, changes, until_next_start};
pub(crate) use guarantee::leaves_the_machine;
pub use problem::{Place, Problem};
pub use resolved::{
    Announcement, Backplane, BackplaneMode, Config, Disk, FilterConfig, Hot, HttpBase, HttpSource, Listen, Memory,
    OnRestart, OnStart, OriginConfig, OriginKind, Placement, Query, Shared, SharedAt, SharedTls, Source, SpaceConfig,
    SqlSource, Strangers, Tiers,
};
pub use secret::Secret;

use origin::Declared;
use problem::{Report, Wrong};
pub(crate) use problem::{did_you_mean, one_of};
use raw::Fields;
use section::{Context, Section, fields_of};
use std::io::Read as _;
use std::path::Path;

/// The sample shop's configuration: what runs without a file.
pub const SAMPLE: &str = include_str!("sample.toml");
/// Creates and fills the sample shop's database; once, on an empty file.
pub const SAMPLE_SQL: &str = include_str!("sample.sql");
/// The database that [`SAMPLE`] names.
const SAMPLE_DATABASE: &str = "sample-shop.db";

/// The longest file that is read.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// The most origins, each with threads or connections of its own.
const MAX_ORIGINS: usize = 64;
/// The most spaces: a key is compared with one after another.
const MAX_SPACES: usize = 1024;

/// Reads and checks the file at `path`; `env` are the environment's variables, `insecure` allows
/// addresses that others can reach without a password.
///
/// # Errors
/// Every problem at once, in the order of the file.
pub fn load(
    path: &Path,
    env: impl IntoIterator<Item = (String, String)>,
    insecure: bool,
) -> Result<Config, Vec<Problem>> {
    let (config, problems) = load_all(path, env, insecure)?;
    if problems.is_empty() { Ok(config) } else { Err(problems) }
}

/// The same for who wants to look at the rest as well: as much as could be understood, and every problem.
///
/// # Errors
/// The file can't be read at all.
pub fn load_all(
    path: &Path,
    env: impl IntoIterator<Item = (String, String)>,
    insecure: bool,
) -> Result<(Config, Vec<Problem>), Vec<Problem>> {
    let file = path.display().to_string();
    let unreadable = |found: String, wrong: Wrong| {
        let mut report = Report::new(&file);
        report.say(&Place::File, "", found, wrong);
        report.finish()
    };
    let text = match text_of(path) {
        Ok(text) => text,
        Err((found, wrong)) => return Err(unreadable(found, wrong)),
    };
    Ok(understood(&text, &file, path.parent().unwrap_or(Path::new("")), env, insecure))
}

fn text_of(path: &Path) -> Result<String, (String, Wrong)> {
    let wrong = || Wrong::expected("a readable TOML file");
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => (
            "no such file".to_owned(),
            wrong().hint("check the path; `bellwether serve` without --config runs a sample"),
        ),
        std::io::ErrorKind::PermissionDenied => {
            ("a file that may not be read".to_owned(), wrong().hint("check its owner and mode"))
        }
        std::io::ErrorKind::IsADirectory => ("a directory".to_owned(), wrong().hint("name the file in it")),
        _ => (format!("a file that can't be read: {error}"), wrong()),
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err((format!("more than {} KiB", MAX_FILE_BYTES >> 10), wrong()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line =
            error.as_bytes().iter().take(error.utf8_error().valid_up_to()).filter(|byte| **byte == b'\n').count() + 1;
        (format!("bytes on line {line} that are no UTF-8"), wrong().hint("save it as UTF-8"))
    })
}

/// As [`load`], from `text`. `file_name` is for problems; relative paths start at `base_dir`.
///
/// # Errors
/// Every problem at once, in the order of the file.
pub fn parse(
    text: &str,
    file_name: &str,
    base_dir: &Path,
    env: impl IntoIterator<Item = (String, String)>,
    insecure: bool,
) -> Result<Config, Vec<Problem>> {
    let (config, problems) = understood(text, file_name, base_dir, env, insecure);
    if problems.is_empty() { Ok(config) } else { Err(problems) }
}

fn understood(
    text: &str,
    file_name: &str,
    base_dir: &Path,
    env: impl IntoIterator<Item = (String, String)>,
    insecure: bool,
) -> (Config, Vec<Problem>) {
    let mut cx = Context { report: Report::new(file_name), env: env.into_iter().collect(), base: base_dir, insecure };
    let mut document = raw::read(text, &mut cx.report);
    raw::override_from(&cx.env, &mut document, &mut cx.report);
    let config = Config { file: file_name.to_owned(), ..resolve(&mut cx, document) };
    (config, cx.report.finish())
}

/// The sample shop, with its database at `database`. The environment's overrides count here too.
///
/// # Errors
/// Every problem at once: with the sample as it is, the environment's alone.
pub fn sample(
    database: &Path,
    env: impl IntoIterator<Item = (String, String)>,
    insecure: bool,
) -> Result<Config, Vec<Problem>> {
    let mut config = parse(SAMPLE, "sample.toml", Path::new(""), env, insecure)?;
    for origin in &mut config.origins {
        if let OriginKind::Sqlite { path } = &mut origin.kind
            && path == Path::new(SAMPLE_DATABASE)
        {
            *path = database.to_path_buf();
        }
    }
    Ok(config)
}

/// As much as could be understood; whole if the report stays empty.
fn resolve(cx: &mut Context<'_>, document: Fields) -> Config {
    let mut root = Section::new(cx, "", Place::File, document);
    let listen = table(&mut root, "listen");
    let memory = table(&mut root, "memory");
    let disk = table(&mut root, "disk");
    let shared = table(&mut root, "shared");
    let hot = table(&mut root, "hot");
    // One that can't be read is there all the same.
    let there = Tiers { disk: root.setting("disk").is_some(), shared: root.setting("shared").is_some() };
    let origins = table(&mut root, "origin").map(|(_, fields)| fields).unwrap_or_default();
    let spaces = root.list("space").unwrap_or_default();
    if spaces.is_empty() && root.setting("space").is_none() {
        let wrong = Wrong::expected("at least one [[space]]")
            .hint("the smallest is three lines: `[[space]]`, `match = \"session:{id}\"`, `ttl = \"30m\"`");
        root.missing(&["space"], Place::File, "no [[space]]", wrong);
    }
    let strict = root.boolean("strict").unwrap_or(false);
    limit(&mut root, "origin", origins.len(), MAX_ORIGINS);
    limit(&mut root, "space", spaces.len(), MAX_SPACES);
    root.finish();

    let (place, fields) = listen.unwrap_or((Place::File, Fields::new()));
    let listen = listen::listen(cx, place, fields);
    let (place, fields) = memory.unwrap_or((Place::File, Fields::new()));
    let memory = listen::memory(cx, place, fields);
    let disk = disk.map(|(place, fields)| tiers::disk(cx, place, fields));
    let shared = shared.map(|(place, fields)| tiers::shared(cx, place, fields));
    let declared = declared(cx, origins);
    let around = space::Around { origins: &declared, tiers: there, strict };
    let spaces: Vec<space::Read> = spaces
        .into_iter()
        .take(MAX_SPACES)
        .enumerate()
        .filter_map(|(i, field)| {
            let place = field.place.clone();
            let fields = fields_of(cx, field, "[[space]]")?;
            Some(space::space(cx, i + 1, place, fields, &around))
        })
        .collect();
    let hot = hot.map(|(place, fields)| hot::hot(cx, place, fields, &spaces)).unwrap_or_default();
    check::same_names(&spaces, &mut cx.report);
    check::hidden(&spaces, &mut cx.report);
    guarantee::shortcomings(shared.as_ref(), disk.as_ref().map(|disk| &disk.place), &spaces, &mut cx.report);
    let strict = spaces.iter().any(|space| space.strict && space.tiers.shared);
    let shared = shared.and_then(|read| read.config).map(|shared| match strict {
        true => Shared { on_start: OnStart::Refuse, ..shared },
        false => shared,
    });
    Config {
        file: String::new(),
        listen,
        memory,
        disk,
        shared,
        hot,
        warnings: cx.report.take_warnings(),
        origins: declared.into_iter().filter_map(|declared| declared.config).collect(),
        spaces: spaces.into_iter().filter_map(|space| space.config).collect(),
    }
}

fn declared(cx: &mut Context<'_>, origins: Fields) -> Vec<Declared> {
    let mut found = Vec::new();
    for (name, field) in origins.into_iter().take(MAX_ORIGINS) {
        let place = field.key_place.clone();
        if let Some(fields) = fields_of(cx, field, &format!("[origin.{name}]")) {
            found.push(origin::origin(cx, &name, place, fields));
        }
    }
    found
}

fn table(root: &mut Section<'_, '_>, key: &'static str) -> Option<(Place, Fields)> {
    let field = root.take(key)?;
    let place = field.key_place.clone();
    fields_of(root.cx, field, &format!("[{key}]")).map(|fields| (place, fields))
}

fn limit(root: &mut Section<'_, '_>, key: &str, count: usize, most: usize) {
    if count > most
        && let Some((place, _)) = root.setting(key)
    {
        root.say(&place, format!("{count} of `{key}`"), Wrong::expected(format!("at most {most}")));
    }
}
