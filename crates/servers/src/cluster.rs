//! How is a Redis Cluster formed, and who of it owns a key?

use std::net::SocketAddr;
use std::time::Duration;

use crate::error::ServerError;
use crate::redis::{Redis, owned};
use crate::reply::text;
use crate::running::Place;
use crate::wait::until;

/// Slots of every cluster.
const SLOTS: usize = 16_384;
/// A node that is silent for longer is taken for dead.
const NODE_TIMEOUT_MS: &str = "1000";
/// Nobody waits longer until a cluster is whole: it takes some 2.5 s, on a busy machine more.
const HEALTH_LIMIT: Duration = Duration::from_secs(40);

/// Nodes on this machine that form a cluster.
pub struct RedisCluster {
    nodes: Vec<Redis>,
}

/// What a node says of another, or of itself.
struct Known {
    address: String,
    primary: bool,
    /// Ranges of slots, both ends included.
    slots: Vec<(u16, u16)>,
}

impl RedisCluster {
    /// Starts `primaries` with `replicas_each`, and waits until all are one cluster and every replica is in step.
    pub fn start(primaries: usize, replicas_each: usize) -> Result<RedisCluster, ServerError> {
        let count = primaries * (1 + replicas_each);
        let nodes = (0..count).map(|_| Redis::of(arguments, false)).collect::<Result<Vec<_>, _>>()?;
        let cluster = RedisCluster { nodes };
        cluster.form(primaries)?;
        cluster.until_healthy()?;
        Ok(cluster)
    }

    /// All nodes, those that were primaries at the start first.
    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    /// Where all nodes listen.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.address()).collect()
    }

    /// `redis://…` of all nodes.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Redis::url).collect()
    }

    /// Which node, by its number in [`nodes`](Self::nodes), is the primary of `slot`, as a node that runs sees it.
    pub fn primary_of(&self, slot: u16) -> Result<usize, ServerError> {
        let owns = |known: &Known| known.primary && known.slots.iter().any(|&(from, to)| (from..=to).contains(&slot));
        let find = || {
            let known = self.alive().find_map(|node| known(node).ok())?;
            let address = known.into_iter().find(owns)?.address;
            self.nodes.iter().position(|node| node.address().to_string() == address)
        };
        until(HEALTH_LIMIT, &format!("a primary of slot {slot}"), find)
    }

    /// Which node is the primary of `key`'s slot.
    pub fn primary_of_key(&self, key: &[u8]) -> Result<usize, ServerError> {
        self.primary_of(slot(key))
    }

    /// `kill -9` to the primary of `key`'s slot; says which node that was.
    pub fn kill_primary_of_key(&self, key: &[u8]) -> Result<usize, ServerError> {
        let node = self.primary_of_key(key)?;
        self.nodes[node].kill()?;
        Ok(node)
    }

    /// Waits until another node than `old` is the primary of `key`'s slot, and the cluster is whole; says which.
    pub fn until_primary_is_not(&self, key: &[u8], old: usize) -> Result<usize, ServerError> {
        let heir = || self.primary_of_key(key).ok().filter(|&node| node != old);
        let heir = until(HEALTH_LIMIT, "another primary", heir)?;
        self.until_healthy().map(|()| heir)
    }

    /// Waits until every node that runs takes the cluster for whole, agrees with the others on who is a primary, and is
    /// in step with its primary if it is none.
    pub fn until_healthy(&self) -> Result<(), ServerError> {
        until(HEALTH_LIMIT, "the cluster to be whole", || self.healthy().then_some(()))
    }

    /// Whether it is whole at this moment.
    pub fn healthy(&self) -> bool {
        let views: Vec<_> = self.alive().map(|node| (node, known(node).unwrap_or_default())).collect();
        let roles: Vec<(String, bool)> = views
            .iter()
            .filter_map(|(node, view)| {
                let own = view.iter().find(|known| known.address == node.address().to_string())?;
                Some((own.address.clone(), own.primary))
            })
            .collect();
        let agrees = |view: &[Known]| {
            roles.iter().all(|(address, primary)| {
                view.iter().any(|known| known.address == *address && known.primary == *primary)
            })
        };
        let owned = |view: &[Known]| {
            let ranges = view.iter().filter(|known| known.primary && roles.iter().any(|(a, _)| *a == known.address));
            ranges.flat_map(|known| &known.slots).map(|&(from, to)| usize::from(to - from) + 1).sum::<usize>()
        };
        !views.is_empty()
            && roles.len() == views.len()
            && views.iter().all(|(node, view)| agrees(view) && owned(view) == SLOTS && in_step(node))
    }

    fn alive(&self) -> impl Iterator<Item = &Redis> {
        self.nodes.iter().filter(|node| node.alive())
    }

    fn form(&self, primaries: usize) -> Result<(), ServerError> {
        for (at, node) in self.nodes.iter().enumerate() {
            if at < primaries {
                let (from, to) = (at * SLOTS / primaries, (at + 1) * SLOTS / primaries - 1);
                node.call(&["CLUSTER", "ADDSLOTSRANGE", &from.to_string(), &to.to_string()])?;
            }
            node.call(&["CLUSTER", "SET-CONFIG-EPOCH", &(at + 1).to_string()])?;
        }
        for node in &self.nodes[1..] {
            let (port, bus) = (node.place().port.to_string(), node.place().second.to_string());
            self.nodes[0].call(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus])?;
        }
        for (at, node) in self.nodes.iter().enumerate().skip(primaries) {
            let id = text(&self.nodes[at % primaries].call(&["CLUSTER", "MYID"])?);
            // Refused until the node has heard of its primary.
            until(HEALTH_LIMIT, "a replica to know its primary", || {
                node.call(&["CLUSTER", "REPLICATE", &id]).is_ok().then_some(())
            })?;
        }
        Ok(())
    }
}

fn arguments(place: &Place) -> Vec<String> {
    let bus = place.second.to_string();
    let words = ["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-port", &bus];
    let mut words = owned(&words);
    words.extend(owned(&["--cluster-node-timeout", NODE_TIMEOUT_MS, "--cluster-replica-validity-factor", "0"]));
    words
}

/// The nodes that `node` knows of, whom it does not take for failed; itself among them.
fn known(node: &Redis) -> Result<Vec<Known>, ServerError> {
    let listed = text(&node.call(&["CLUSTER", "NODES"])?);
    Ok(listed.lines().filter_map(read_line).collect())
}

/// `ID HOST:PORT@BUS[,NAME] FLAGS PRIMARY PING PONG EPOCH LINK RANGE…`
fn read_line(line: &str) -> Option<Known> {
    let mut words = line.split(' ');
    let (address, flags) = (words.nth(1)?, words.next()?);
    let flags: Vec<&str> = flags.split(',').collect();
    if ["fail", "fail?", "handshake", "noaddr"].iter().any(|flag| flags.contains(flag)) {
        return None;
    }
    let range = |word: &str| {
        let (from, to) = word.split_once('-').unwrap_or((word, word));
        Some((from.parse().ok()?, to.parse().ok()?))
    };
    Some(Known {
        address: address.split('@').next()?.to_owned(),
        primary: flags.contains(&"master"),
        slots: words.skip(5).filter_map(range).collect(),
    })
}

/// The cluster is whole for it, and it has what its primary has if it is a replica.
fn in_step(node: &Redis) -> bool {
    let says = |words: &[&str], line: &str| node.call(words).is_ok_and(|info| text(&info).lines().any(|l| l == line));
    says(&["CLUSTER", "INFO"], "cluster_state:ok")
        && (says(&["INFO", "replication"], "role:master") || says(&["INFO", "replication"], "master_link_status:up"))
}

/// The slot of a key: CRC16 (XMODEM) of its hash tag, or of the whole.
pub fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|&byte| byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        rest.iter().position(|&byte| byte == b'}').filter(|&length| length > 0).map(|length| &rest[..length])
    });
    let crc = tag.unwrap_or(key).iter().fold(0u16, |crc, &byte| {
        (0..8)
            .fold(crc ^ (u16::from(byte) << 8), |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 })
    });
    crc % 16_384
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_cluster_specification() {
        assert_eq!(slot(b"123456789"), 0x31c3);
        assert_eq!(slot(b"foo"), 12_182);
        assert_eq!(slot(b"{user1000}.following"), slot(b"user1000"));
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
        assert_ne!(slot(b"foo{}{bar}"), slot(b"bar"));
    }

    #[test]
    fn a_node_is_read_with_its_slots_and_a_failed_one_is_not() {
        let line = "07c3 127.0.0.1:7004@17004,host myself,master - 0 1426238317239 4 connected 0-5460 7000 [93-<-29]";
        let known = read_line(line).unwrap();
        assert_eq!((known.address.as_str(), known.primary), ("127.0.0.1:7004", true));
        assert_eq!(known.slots, [(0, 5460), (7000, 7000)]);
        assert!(read_line(&line.replace("myself,master", "master,fail")).is_none());
    }
}
