//! Which engine does the fleet share, and what is done to it?

use bellwether_servers::{Memcached, Redis, RedisCluster, Running, Sentinel, ServerError};

use crate::control::FleetFlaw;
use crate::incidents::kind::Kind;
use crate::target::Target;

/// Nodes of a Memcached fleet that are used at first; one more is started.
const FIRST_NODES: usize = 3;
const PRIMARIES: usize = 3;

/// Which nodes of Memcached a server is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nodes {
    /// The first three.
    First,
    All,
    /// The first three but this one, which goes on running.
    Without(usize),
}

impl Nodes {
    fn has(self, node: usize) -> bool {
        match self {
            Nodes::First => node < FIRST_NODES,
            Nodes::All => true,
            Nodes::Without(gone) => Nodes::First.has(node) && node != gone,
        }
    }
}

/// A running engine, or somebody's own.
pub(crate) enum Engine {
    Redis(Redis),
    Cluster(RedisCluster),
    Sentinel(Sentinel),
    Memcached(Vec<Memcached>),
    Elsewhere(Target),
}

impl Engine {
    /// Blocks.
    pub(crate) fn start(kind: Kind) -> Result<Engine, ServerError> {
        Ok(match kind {
            Kind::Redis => Engine::Redis(Redis::start(&[])?),
            Kind::Cluster => Engine::Cluster(RedisCluster::start(PRIMARIES, 1)?),
            Kind::Sentinel => Engine::Sentinel(Sentinel::start()?),
            Kind::Memcached => {
                let nodes = (0..=FIRST_NODES).map(|_| Memcached::start(&[])).collect::<Result<Vec<_>, _>>()?;
                Engine::Memcached(nodes)
            }
        })
    }

    /// The one Redis that everything goes through, if it is one: a proxy can stand before it.
    pub(crate) fn one(&self) -> Option<Target> {
        match self {
            Engine::Redis(redis) => Some(Target::started(redis.address())),
            Engine::Elsewhere(target) => Some(target.clone()),
            Engine::Cluster(_) | Engine::Sentinel(_) | Engine::Memcached(_) => None,
        }
    }

    /// What `[shared]` says of it where no proxy stands before it; of Memcached these nodes.
    pub(crate) fn url(&self, used: Nodes) -> String {
        match self {
            Engine::Redis(redis) => redis.url(),
            Engine::Elsewhere(target) => target.url(),
            Engine::Cluster(cluster) => format!("redis+cluster://{}", list(cluster.addresses())),
            Engine::Sentinel(sentinel) => {
                format!("redis+sentinel://{}/{}", list(sentinel.addresses()), Sentinel::NAME)
            }
            Engine::Memcached(nodes) => {
                let used = nodes.iter().enumerate().filter(|(node, _)| used.has(*node));
                format!("memcached://{}", list(used.map(|(_, node)| node.address())))
            }
        }
    }

    /// What a naive server is told of it: the one Redis, a node of the cluster, the primary of this moment, or nodes of
    /// Memcached by number.
    pub(crate) fn naive(&self, flaw: FleetFlaw, used: Nodes) -> String {
        match self {
            Engine::Cluster(cluster) => format!("redis://{}", cluster.addresses()[0]),
            Engine::Sentinel(sentinel) => sentinel.servers()[0].url(),
            Engine::Memcached(_) | Engine::Redis(_) | Engine::Elsewhere(_) => {
                debug_assert_eq!(flaw == FleetFlaw::Modulo, matches!(self, Engine::Memcached(_)));
                self.url(used)
            }
        }
    }

    /// What runs, where it is one process.
    pub(crate) fn process(&self) -> Option<&Running> {
        if let Engine::Redis(redis) = self { Some(redis) } else { None }
    }

    /// The nodes of Memcached.
    pub(crate) fn nodes(&self) -> &[Memcached] {
        if let Engine::Memcached(nodes) = self { nodes } else { &[] }
    }
}

fn list(addresses: impl IntoIterator<Item = std::net::SocketAddr>) -> String {
    addresses.into_iter().map(|address| address.to_string()).collect::<Vec<_>>().join(",")
}
