//! Where is the tier that several processes share, and how do they hear of each other?

use crate::config::problem::Place;
use crate::config::secret::Secret;
use bellwether_core::time::Span;
use std::fmt;
use std::path::PathBuf;

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
