//! What can an address lead to? Servers, a Redis or Valkey in one of its forms, a fleet of Memcached.

use std::fmt;
use std::path::PathBuf;

/// The most servers that one address names.
pub const MOST_SERVERS: usize = 64;
/// The highest database number: Redis takes what its `databases` says, 16 unless set.
pub const MAX_DATABASE: u16 = u16::MAX;

/// Host and port of a server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerAddress {
    /// A name, or an address of IPv4 or IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// What an address leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TierAddress {
    /// A Redis or Valkey.
    Redis(RedisTarget),
    /// A fleet of Memcached servers, all of them.
    Memcached(Vec<ServerAddress>),
}

/// Where a Redis or Valkey is, and who we are there. Debug output and `Display` never show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisTarget {
    /// One server or several.
    pub shape: RedisShape,
    /// Whether over TLS.
    pub tls: bool,
    /// The ACL user; the default one if `None`.
    pub user: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// The number of the database; zero in a cluster.
    pub db: i64,
}

/// What is behind the address of a Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisShape {
    /// One server.
    One(ServerAddress),
    /// One server, at a socket of this machine.
    Unix(PathBuf),
    /// A cluster, some of its nodes.
    Cluster(Vec<ServerAddress>),
    /// Whatever server the sentinels say is the primary.
    Sentinel {
        /// Some of them.
        sentinels: Vec<ServerAddress>,
        /// What they call it.
        name: String,
    },
}

impl RedisTarget {
    /// Whether there are replicas that it knows of.
    pub fn has_replicas(&self) -> bool {
        matches!(self.shape, RedisShape::Cluster(_) | RedisShape::Sentinel { .. })
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Servers with a comma between any two.
pub struct Servers<'s>(pub &'s [ServerAddress]);

impl fmt::Display for Servers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, server) in self.0.iter().enumerate() {
            write!(f, "{}{server}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl fmt::Display for RedisTarget {
    /// As an address, without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tls { "rediss" } else { "redis" })?;
        match &self.shape {
            RedisShape::One(server) => write!(f, "://{server}")?,
            RedisShape::Unix(path) => write!(f, "+unix://{}", path.display())?,
            RedisShape::Cluster(servers) => write!(f, "+cluster://{}", Servers(servers))?,
            RedisShape::Sentinel { sentinels, name } => write!(f, "+sentinel://{}/{name}", Servers(sentinels))?,
        }
        match (&self.shape, self.db) {
            (_, 0) => Ok(()),
            (RedisShape::One(_), db) => write!(f, "/{db}"),
            (_, db) => write!(f, "?db={db}"),
        }
    }
}

impl fmt::Debug for RedisTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = self.password.as_ref().map(|_| "***");
        write!(f, "RedisTarget {{ {:?}, tls: {}, user: {:?}, ", self.shape, self.tls, self.user)?;
        write!(f, "password: {password:?}, db: {} }}", self.db)
    }
}
