//! Where is the tier that several processes share, and how do they hear of each other?

use crate::config::problem::Place;
use bellwether_adapters::tiers::address::{RedisTarget, ServerAddress, Servers};
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
    Redis(RedisTarget),
    /// A fleet of Memcached servers.
    Memcached {
        /// All of them.
        nodes: Vec<ServerAddress>,
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
        url: RedisTarget,
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

impl fmt::Display for SharedAt {
    /// As a URL, without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SharedAt::Redis(url) => url.fmt(f),
            SharedAt::Memcached { nodes, .. } => write!(f, "memcached://{}", Servers(nodes)),
        }
    }
}
