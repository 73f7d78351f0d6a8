//! What was asked for? The configuration once it is understood: every default filled in, every check passed.

use super::problem::{Place, Problem};
use bellwether::{Eviction, HotPolicy};
#[cfg(feature = "postgres")]
use bellwether_adapters::PostgresUrl;
use bellwether_adapters::{Accept, OnConnect, Rows};
use bellwether_core::guard::ramp::Mode;
use bellwether_core::policy::{Budget, Policy};
use bellwether_core::template::{Expansion, Template};
use bellwether_core::time::Span;
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
    /// `[disk]`, if there is one.
    pub disk: Option<Disk>,
    /// `[shared]`, if there is one.
    pub shared: Option<Shared>,
    /// `[hot]`.
    pub hot: Hot,
    /// `[origin.NAME]`, by name.
    pub origins: Vec<OriginConfig>,
    /// `[[space]]`, in the order in which they are tried.
    pub spaces: Vec<SpaceConfig>,
    /// What works, but less well than it looks: to be told to whoever starts or checks it.
    pub warnings: Vec<Problem>,
}

/// What is said of hot keys.
#[derive(Clone, Debug, Default)]
pub struct Hot {
    /// From when on a key is hot.
    pub policy: HotPolicy,
    /// `[[hot.announce]]`.
    pub announced: Vec<Announcement>,
}

/// A key that will be hot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// As clients name it.
    pub key: String,
    /// From here on, in milliseconds since 1970.
    pub from_ms: u64,
    /// For so long.
    pub length: Span,
}

impl Config {
    /// Where it is kept over a restart what was read most; `None`: nowhere.
    pub fn hot_list(&self) -> Option<PathBuf> {
        self.disk.as_ref().map(|disk| disk.path.join(HOT_LIST))
    }
}

/// The hot list, in the directory of the disk tier.
const HOT_LIST: &str = "hot.list";

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
    /// How a process that has just begun takes on traffic.
    pub ramp: Mode,
    /// Connections that one address may have to the data faces, both together; `None`: as many as there is room for.
    pub clients_per_address: Option<u32>,
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

/// The tier on this machine's disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// A directory; absolute, or relative to the working directory if the configuration's own path was.
    pub path: PathBuf,
    /// Bytes of its files.
    pub limit: u64,
    /// What becomes of what is found there at a start.
    pub on_restart: OnRestart,
    /// Its header in the file.
    pub place: Place,
}

/// What becomes of entries that an earlier life of the process left on disk. None of them is ever fresh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnRestart {
    /// They are served as stale while one paced refresh runs.
    #[default]
    ServeStale,
    /// They are served only where a load failed.
    Revalidate,
    /// They are gone.
    Drop,
}

/// The tier that several processes share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// What and where.
    pub at: SharedAt,
    /// In front of every stored key.
    pub prefix: String,
    /// All that a request may spend on it.
    pub timeout: Span,
    /// A memory entry is compared with it at most this late.
    pub resync: Span,
    /// What is done where it can't be reached at the start.
    pub on_start: OnStart,
    /// Whether reads may go to replicas, which lag.
    pub replica_reads: bool,
    /// How invalidations reach other processes.
    pub backplane: Backplane,
    /// Whom it and its backplane are to trust over TLS, and who this process is there.
    pub tls: SharedTls,
    /// Where `url` is written.
    pub place: Place,
    /// Where `backplane` is written; where it is not, the same.
    pub backplane_place: Place,
}

/// Files in PEM for TLS with a Redis.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SharedTls {
    /// Trusted in place of what the system trusts.
    pub ca: Option<PathBuf>,
    /// Shown to the server: a chain of certificates, and its private key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// What the shared tier is, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SharedAt {
    /// Redis or Valkey.
    Redis(RedisUrl),
    /// A fleet of Memcached servers.
    Memcached {
        /// All of them.
        nodes: Vec<Node>,
        /// Which of them has a key.
        placement: Placement,
    },
}

/// Which server of a Memcached fleet has a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Placement {
    /// Rendezvous hashing on xxh3.
    #[default]
    Rendezvous,
    /// As libmemcached's ketama: for a fleet that other clients use as well.
    Ketama,
}

/// What is done where the shared tier can't be reached at the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnStart {
    /// The server starts, and uses it as soon as it is there.
    #[default]
    Degraded,
    /// The server does not start.
    Refuse,
}

/// How invalidations reach other processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backplane {
    /// They don't: other processes find out when they compare.
    Off,
    /// Over Redis or Valkey.
    On {
        /// Which one.
        url: RedisUrl,
        /// By which means.
        mode: BackplaneMode,
    },
}

/// By which means a backplane carries messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BackplaneMode {
    /// Streams: a lost message is noticed.
    #[default]
    Streams,
    /// Pub/Sub: best effort.
    PubSub,
}

/// A Redis or Valkey, however many servers it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisUrl {
    /// Where.
    pub at: RedisAt,
    /// Over TLS.
    pub tls: bool,
    /// Whom to be there; `None`: the default user.
    pub user: Option<String>,
    /// Their password.
    pub password: Option<Secret>,
    /// Which database; 0 in a cluster.
    pub database: u32,
}

/// Where a Redis or Valkey is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisAt {
    /// One server.
    One(Node),
    /// One server behind a socket of this machine.
    Socket(PathBuf),
    /// A cluster, by some of its nodes.
    Cluster(Vec<Node>),
    /// Whoever the sentinels say is the primary.
    Sentinel {
        /// The sentinels.
        nodes: Vec<Node>,
        /// The name they know the primary by.
        name: String,
    },
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// A name or an address; an IPv6 address in brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl RedisUrl {
    /// Whether there are replicas that it knows of.
    pub fn has_replicas(&self) -> bool {
        matches!(self.at, RedisAt::Cluster(_) | RedisAt::Sentinel { .. })
    }
}

impl fmt::Display for RedisUrl {
    /// As a URL, without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tls { "rediss" } else { "redis" })?;
        match &self.at {
            RedisAt::One(node) => write!(f, "://{node}")?,
            RedisAt::Socket(path) => write!(f, "+unix://{}", path.display())?,
            RedisAt::Cluster(nodes) => write!(f, "+cluster://{}", Nodes(nodes))?,
            RedisAt::Sentinel { nodes, name } => write!(f, "+sentinel://{}/{name}", Nodes(nodes))?,
        }
        match (&self.at, self.database) {
            (_, 0) => Ok(()),
            (RedisAt::One(_), database) => write!(f, "/{database}"),
            (_, database) => write!(f, "?db={database}"),
        }
    }
}

impl fmt::Display for SharedAt {
    /// As a URL, without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SharedAt::Redis(url) => url.fmt(f),
            SharedAt::Memcached { nodes, .. } => write!(f, "memcached://{}", Nodes(nodes)),
        }
    }
}

/// With a comma between any two.
struct Nodes<'n>(&'n [Node]);

impl fmt::Display for Nodes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, node) in self.0.iter().enumerate() {
            write!(f, "{}{node}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// Where a space's entries live beside memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tiers {
    /// On this machine's disk.
    pub disk: bool,
    /// In what several processes share.
    pub shared: bool,
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
    /// Where `sql` or `http` is written.
    pub place: Place,
    /// Done to each connection of an SQLite origin: for programs that embed the server, no file can say it.
    pub on_connect: OnConnect,
}

/// What an origin is and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginKind {
    /// `sqlite://…`: a database file.
    Sqlite {
        /// Absolute, or relative to the working directory if the configuration's own path was.
        path: PathBuf,
    },
    /// `postgres://…`.
    #[cfg(feature = "postgres")]
    Postgres(PostgresUrl),
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
