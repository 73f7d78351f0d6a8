//! Where is the truth, and what may it be asked to bear? `[origin.NAME]`.

use super::host::host_and_port;
use super::path::is_plain;
use super::problem::{Place, Wrong, did_you_mean};
use super::raw::Fields;
use super::resolved::{HttpBase, OriginConfig, OriginKind};
use super::section::{Context, Section};
use super::units;
#[cfg(feature = "postgres")]
use bellwether_adapters::PostgresUrl;
use bellwether_adapters::{Dialect, OnConnect};
use bellwether_core::policy::Budget;
use std::path::{Path, PathBuf};

/// An origin as far as it could be read: spaces are checked against it even if it has mistakes.
pub(super) struct Declared {
    pub(super) name: String,
    pub(super) speaks: Option<Speaks>,
    /// As far as it is known where it is.
    pub(super) config: Option<OriginConfig>,
}

/// What a space must say to an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    /// In whose words; `None`: its address does not say.
    Sql(Option<Dialect>),
    Http,
}

/// A database.
enum Database {
    Sqlite(PathBuf),
    #[cfg(feature = "postgres")]
    Postgres(Box<PostgresUrl>),
}

/// Whose SQL it is: known even where the rest of the address is wrong.
fn dialect(address: &str) -> Option<Dialect> {
    match address.split_once(':') {
        Some(("postgres" | "postgresql", _)) => Some(Dialect::Postgres),
        Some(("sqlite", _)) => Some(Dialect::Sqlite),
        _ => None,
    }
}

pub(super) fn origin(cx: &mut Context<'_>, name: &str, place: Place, fields: Fields) -> Declared {
    let mut section = Section::new(cx, format!("[origin.{name}]"), place, fields);
    let readable = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if !readable || name.is_empty() {
        let found = format!("the name {}", super::section::quoted(name));
        let place = section.place.clone();
        section.say(&place, found, Wrong::expected("a name of letters, digits, `-` and `_`"));
    }
    let base = section.cx.base;
    // Of an address that can't be read, because a variable in it is not set, nothing is known.
    let mut of = None;
    let database = section.origin("sql", |text| {
        of = dialect(text);
        database(text, of, base)
    });
    let http = section.origin("http", http_base);
    let speaks = speaks(&mut section, of);
    let budget = budget(&mut section);
    let written = section.setting("sql").or_else(|| section.setting("http"));
    let place = written.map_or_else(|| section.place.clone(), |(place, _)| place);
    section.finish();
    let kind = match speaks {
        Some(Speaks::Sql(_)) => database.map(|database| match database {
            Database::Sqlite(path) => OriginKind::Sqlite { path },
            #[cfg(feature = "postgres")]
            Database::Postgres(url) => OriginKind::Postgres(*url),
        }),
        Some(Speaks::Http) => http.map(OriginKind::Http),
        None => None,
    };
    let on_connect = OnConnect::default();
    let config = kind.map(|kind| OriginConfig { name: name.to_owned(), kind, budget, place, on_connect });
    Declared { name: name.to_owned(), speaks, config }
}

fn speaks(section: &mut Section<'_, '_>, dialect: Option<Dialect>) -> Option<Speaks> {
    match (section.setting("sql"), section.setting("http")) {
        (Some(_), None) => Some(Speaks::Sql(dialect)),
        (None, Some(_)) => Some(Speaks::Http),
        (Some(_), Some((place, shown))) => {
            section.say(
                &place,
                format!("{shown} beside `sql`"),
                Wrong::expected("one of `sql` and `http`").hint("make it two origins"),
            );
            None
        }
        (None, None) => {
            let wrong = Wrong::expected("sql = \"sqlite://FILE\" (or postgres://…) or http = \"https://HOST\"");
            section.missing(&["sql", "http"], section.place.clone(), "neither `sql` nor `http`", wrong);
            None
        }
    }
}

fn budget(section: &mut Section<'_, '_>) -> Budget {
    let usual = Budget::default();
    let concurrency = section.integer("max_concurrency", 1..=MAX_CONCURRENCY).and_then(|n| u32::try_from(n).ok());
    let budget = Budget {
        max_concurrency: concurrency.unwrap_or(usual.max_concurrency),
        adaptive: section.boolean("adaptive").unwrap_or(usual.adaptive),
        breaker: section.boolean("breaker").unwrap_or(usual.breaker),
        rate: section.parsed("rate", units::rate),
        refresh_rate: section.parsed("refresh_rate", units::rate),
        timeout: section.parsed("timeout", units::duration).unwrap_or(usual.timeout),
        ..usual
    };
    section.mistakes(&budget.mistakes());
    budget
}

/// The most loads at once that an origin may be given: each holds a connection and a thread or a socket.
pub(super) const MAX_CONCURRENCY: i64 = 10_000;

fn database(text: &str, dialect: Option<Dialect>, base: &Path) -> Result<Database, Wrong> {
    match dialect {
        Some(Dialect::Postgres) => postgres(text, base),
        Some(Dialect::Sqlite) | None => sqlite_path(text, base).map(Database::Sqlite),
    }
}

#[cfg(feature = "postgres")]
fn postgres(text: &str, base: &Path) -> Result<Database, Wrong> {
    let url = PostgresUrl::parse(text, base);
    url.map(|url| Database::Postgres(Box::new(url))).map_err(|error| {
        let usual = "a database such as \"postgres://user:${PASSWORD}@host/database\"";
        Wrong::expected(usual).hint(format!("{}; {}", error.problem(), error.hint()))
    })
}

#[cfg(not(feature = "postgres"))]
fn postgres(_: &str, _: &Path) -> Result<Database, Wrong> {
    let hint = "this binary was built without PostgreSQL: `bellwether --version` names what it has";
    Err(Wrong::expected("a SQLite file such as \"sqlite://shop.db\"").hint(hint))
}

/// What an address of a database begins with.
const SCHEMES: [&str; 3] = ["sqlite", "postgres", "postgresql"];

fn sqlite_path(text: &str, base: &Path) -> Result<PathBuf, Wrong> {
    let wrong = || Wrong::expected("a SQLite file such as \"sqlite://shop.db\"");
    let Some(path) = text.strip_prefix("sqlite://") else {
        return Err(match text.split_once(':') {
            Some(("mysql" | "mariadb", _)) => wrong().hint("MySQL is not in this version; remove it"),
            Some(("http" | "https", _)) => wrong().hint("for an HTTP API write `http` instead of `sql`"),
            Some(("sqlite" | "file", path)) => {
                wrong().hint(format!("write \"sqlite://{}\"", path.trim_start_matches("//")))
            }
            Some((scheme, _)) => match did_you_mean(scheme, SCHEMES) {
                Some(meant) => wrong().hint(format!("did you mean {meant}://?")),
                None => wrong(),
            },
            // Words of a connection: a password may be among them.
            None if text.contains(['=', '@', ' ']) => {
                wrong().hint("write a URL: postgres://user:${PASSWORD}@host/database")
            }
            None => wrong().hint(format!("write \"sqlite://{text}\"")),
        });
    };
    if path.is_empty() {
        return Err(wrong().hint("the file is missing"));
    }
    if path == ":memory:" {
        return Err(wrong().hint("a database in memory would be empty: nobody could fill it"));
    }
    if path.contains(['?', '#', '\0']) {
        return Err(wrong().hint("a path alone: it is always opened read-only"));
    }
    Ok(base.join(path))
}

fn http_base(text: &str) -> Result<HttpBase, Wrong> {
    let wrong = || Wrong::expected("a URL such as \"https://api.example.com\" or \"http://127.0.0.1:8000/base\"");
    let (tls, rest) = match text.split_once("://") {
        Some(("https", rest)) => (true, rest),
        Some(("http", rest)) => (false, rest),
        Some(("sqlite", _)) => return Err(wrong().hint("for a database write `sql` instead of `http`")),
        Some(_) => return Err(wrong().hint("only http:// and https:// are possible")),
        None => return Err(wrong().hint("begin with http:// or https://")),
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err(wrong().hint("a user and password in a URL end up in logs: put nothing before the host"));
    }
    if path.contains(['?', '#']) {
        return Err(wrong().hint("a query belongs to `get` of a space"));
    }
    if !path.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{}|".contains(&b)) {
        return Err(wrong().hint("percent-encode what is no letter or digit; captures belong to `get` of a space"));
    }
    if !is_plain(path) {
        return Err(wrong().hint("without `.` and `..`, and without empty parts"));
    }
    let (host, port) =
        host_and_port(authority).ok_or_else(|| wrong().hint("behind `://` a host and, if need be, a port"))?;
    let port = port.unwrap_or(if tls { 443 } else { 80 });
    Ok(HttpBase { tls, host: host.to_ascii_lowercase(), port, path: path.trim_end_matches('/').to_owned() })
}
