//! Where is a tier? One address: its scheme says what it is, the rest where, and who asks.
//!
//! The library, the configuration of the server and the command line read it here, so that an address which works in
//! one of them works in all.

mod mistake;
mod read;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;

pub use mistake::AddressMistake;
#[cfg(feature = "memcached")]
pub(super) use read::MEMCACHED_PORT;

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

impl TierAddress {
    /// Reads `redis://USER:PASSWORD@HOST:6379/0`, `rediss://…` (TLS), `redis+unix:///PATH?db=1`,
    /// `redis+cluster://A:6379,B:6379`, `redis+sentinel://A:26379,B:26379/NAME/0` or `memcached://A:11211,B:11211`;
    /// `valkey` is another word for `redis`, and `?db=0` for `/0`.
    ///
    /// ```
    /// use bellwether_adapters::tiers::address::{AddressMistake, TierAddress};
    /// assert_eq!(TierAddress::parse("valkey://cache/3"), TierAddress::parse("redis://cache:6379?db=3"));
    /// assert_eq!(TierAddress::parse("redis://a,b"), Err(AddressMistake::SeveralHosts));
    /// ```
    ///
    /// # Errors
    /// What is wrong, which quotes nothing but a scheme.
    pub fn parse(text: &str) -> Result<TierAddress, AddressMistake> {
        read::address(text)
    }
}

impl RedisTarget {
    /// [`TierAddress::parse`], of a Redis or Valkey.
    ///
    /// # Errors
    /// What is wrong and what to write instead, never with the password in it.
    ///
    /// ```
    /// use bellwether_adapters::tiers::address::RedisTarget;
    /// assert_eq!(RedisTarget::parse("rediss://cache.example/3")?.db, 3);
    /// assert!(RedisTarget::parse("reddis://cache").unwrap_err().to_string().contains("did you mean redis://"));
    /// # Ok::<(), bellwether_adapters::SetupError>(())
    /// ```
    pub fn parse(text: &str) -> Result<RedisTarget, crate::SetupError> {
        match TierAddress::parse(text)? {
            TierAddress::Redis(target) => Ok(target),
            TierAddress::Memcached(_) => Err(AddressMistake::NoRedis.into()),
        }
    }

    /// Whether there are replicas that it knows of.
    pub fn has_replicas(&self) -> bool {
        matches!(self.shape, RedisShape::Cluster(_) | RedisShape::Sentinel { .. })
    }
}

impl ServerAddress {
    /// Reads one as it prints; `port` is that of those who name none.
    ///
    /// # Errors
    /// It is no host, or no port.
    pub fn parse(text: &str, port: u16) -> Result<ServerAddress, AddressMistake> {
        read::server(text, port)
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
