//! What is promised of a family of keys, and how is it loaded?

use crate::config::problem::Place;
use bellwether_adapters::{Accept, Rows};
use bellwether_core::policy::Policy;
use bellwether_core::template::{Expansion, Template};
use bellwether_core::time::Span;

/// Where a space's entries live beside memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tiers {
    /// On this machine's disk.
    pub disk: bool,
    /// In what several processes share.
    pub shared: bool,
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
    /// What is done about keys that do not exist.
    pub strangers: Strangers,
    /// The answer when there is no value and the load failed.
    pub default: Option<String>,
    /// Tags of each entry.
    pub tags: Vec<Expansion>,
    /// Part of the stored key.
    pub generation: Option<String>,
    /// Where its entries live beside memory.
    pub tiers: Tiers,
    /// Whether the server must not start where its tiers can't guarantee what they are there for.
    pub strict: bool,
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

impl SpaceConfig {
    /// What names all keys of its origin, as it is written: a statement, or a path.
    pub fn keys(&self) -> Option<&str> {
        let keys = match &self.source {
            Source::Sql(sql) => sql.keys.as_ref(),
            Source::Http(http) => http.keys.as_ref(),
            Source::Plain => None,
        };
        keys.map(|keys| keys.text.as_str())
    }
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

/// What is done about keys that do not exist, and about clients that ask for ever other ones.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Strangers {
    /// There is a filter of the keys that exist.
    pub filter: Option<FilterConfig>,
    /// Loads that find no row, a second, that one client may cause.
    pub absent_per_client: Option<f64>,
    /// Loads of any kind, a second, that one client may cause.
    pub loads_per_client: Option<f64>,
}

/// How a filter is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterConfig {
    /// It is built anew so often.
    pub rebuild: Span,
    /// It answers while its list of keys is younger than this: for so long a row may be hidden that was inserted past
    /// us. `None`: it never answers, and only lowers the class of loads.
    pub hides: Option<Span>,
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
    /// Names all keys, the most popular first: for warming.
    pub keys: Option<Query>,
    /// What rows become.
    pub rows: Rows,
    /// The one column whose raw value is the answer.
    pub column: Option<Query>,
}

/// A statement, or a part of one, and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// As it is written.
    pub text: String,
    /// Where, for errors that only the database finds.
    pub place: Place,
}

/// How a space asks an HTTP origin.
#[derive(Clone, Debug)]
pub struct HttpSource {
    /// The origin's name.
    pub origin: String,
    /// The path (and query), behind the origin's base.
    pub get: Expansion,
    /// The path (and query) of the list of all keys, if there is one.
    pub keys: Option<Query>,
    /// Which answers are values.
    pub accept: Accept,
    /// Where `get` is written.
    pub place: Place,
}
