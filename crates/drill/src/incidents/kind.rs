//! Which engines can a fleet share?

/// Which engine a fleet shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One Redis.
    Redis,
    /// Three primaries with a replica each.
    Cluster,
    /// One primary, two replicas, three sentinels.
    Sentinel,
    /// Four nodes, of which three are used at first.
    Memcached,
}
