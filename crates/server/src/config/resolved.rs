//! What was asked for? The configuration once it is understood: every default filled in, every check passed.

use super::problem::Place;
use bellwether::Eviction;
use bellwether_adapters::{Accept, Rows};
use bellwether_core::policy::{Budget, Policy};
use bellwether_core::template::{Expansion, Template};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file, as the user named it: for problems that are found later.
    pub file: String,
    /// `[listen]`.
    pub listen: Listen,
    /// `[memory]`.
    pub memory: Memory,
    /// `[origin.NAME]`, by name.
    pub origins: Vec<OriginConfig>,
    /// `[[space]]`, in the order in which they are tried.
    pub spaces: Vec<SpaceConfig>,
}

/// Where to listen.
#[derive(Clone, Debug)]
pub struct Listen {
    /// RESP2 and RESP3.
    pub redis: SocketAddr,
    /// `/v1/{key}`.
    pub http: SocketAddr,
    /// `/metrics`, `/livez`, `/readyz`.
    pub admin: SocketAddr,
    /// Needed of every client, if set.
    pub password: Option<Secret>,
}

/// The memory tier.
#[derive(Clone, Debug)]
pub struct Memory {
    /// Bytes over all spaces.
    pub limit: u64,
    /// Who goes first when they are used up.
    pub eviction: Eviction,
}

/// A text that no log, error or debug output shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub(super) fn new(text: String) -> Secret {
        Secret(text)
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `given` is this secret, in a time that depends on the lengths alone.
    pub fn matches(&self, given: &[u8]) -> bool {
        let own = self.0.as_bytes();
        let differences = own.iter().zip(given).fold(0u8, |all, (a, b)| all | (a ^ b));
        std::hint::black_box(differences) == 0 && own.len() == given.len()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A source of truth.
#[derive(Clone, Debug)]
pub struct OriginConfig {
    /// As in `[origin.NAME]`.
    pub name: String,
    /// What it is and where.
    pub kind: OriginKind,
    /// What it may be asked to bear.
    pub budget: Budget,
    /// Its header in the file.
    pub place: Place,
}

/// What an origin is and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginKind {
    /// `sqlite://…`: a database file.
    Sqlite {
        /// Absolute, or relative to the working directory if the configuration's own path was.
        path: PathBuf,
    },
    /// `http://…` or `https://…`.
    Http(HttpBase),
}

/// The base of an HTTP origin's URLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpBase {
    /// `https`.
    pub tls: bool,
    /// A name or an address; an IPv6 address in brackets.
    pub host: String,
    /// 80 or 443 unless written.
    pub port: u16,
    /// In front of every path: empty, or `/base` without a slash at its end.
    pub path: String,
}

impl HttpBase {
    /// Host, and the port unless it is the scheme's own: the `Host` header.
    pub fn authority(&self) -> String {
        let usual = if self.tls { 443 } else { 80 };
        if self.port == usual { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }
}

impl fmt::Display for HttpBase {
    /// As a URL without a slash at its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

/// A family of keys.
#[derive(Clone, Debug)]
pub struct SpaceConfig {
    /// Its label in metrics, logs and errors.
    pub name: String,
    /// Which keys.
    pub template: Template,
    /// Where its values come from.
    pub source: Source,
    /// How long they live and callers wait.
    pub policy: Policy,
    /// The answer when there is no value and the load failed.
    pub default: Option<String>,
    /// Tags of each entry.
    pub tags: Vec<Expansion>,
    /// Part of the stored key.
    pub generation: Option<String>,
    /// Its header in the file.
    pub place: Place,
}

/// Where a space's values come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// From clients: no origin.
    Plain,
    /// From an SQL origin.
    Sql(SqlSource),
    /// From an HTTP origin.
    Http(HttpSource),
}

impl Source {
    /// The origin's name.
    pub fn origin(&self) -> Option<&str> {
        match self {
            Source::Plain => None,
            Source::Sql(sql) => Some(&sql.origin),
            Source::Http(http) => Some(&http.origin),
        }
    }
}

/// How a space asks an SQL origin.
#[derive(Clone, Debug)]
pub struct SqlSource {
    /// The origin's name.
    pub origin: String,
    /// For one key. Captures are its `:parameters`.
    pub query: Query,
    /// For many keys at once: exactly one `IN (:ids)`; the template has exactly one capture.
    pub many: Option<Query>,
    /// What rows become.
    pub rows: Rows,
    /// The one column whose raw value is the answer.
    pub column: Option<String>,
}

/// A statement and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The statement.
    pub text: String,
    /// Of the statement, for errors that only the database finds.
    pub place: Place,
}

/// How a space asks an HTTP origin.
#[derive(Clone, Debug)]
pub struct HttpSource {
    /// The origin's name.
    pub origin: String,
    /// The path (and query), behind the origin's base.
    pub get: Expansion,
    /// Which answers are values.
    pub accept: Accept,
}
