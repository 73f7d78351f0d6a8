//! How may a Memcached tier be told to behave?

use std::time::Duration;

use bellwether_envelope::{MAX_RAW, Packing};
use tokio::runtime::Handle;

/// How a [`MemcachedTier`](super::MemcachedTier) behaves.
#[derive(Clone, Debug)]
pub struct MemcachedOptions {
    /// Stands before every key: at most 100 bytes without spaces and control characters, not beginning with `~`.
    pub prefix: Vec<u8>,
    /// Which node has a key.
    pub placement: Placement,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long one answer may take: who has waited so long counts it against the node.
    pub answer_timeout: Duration,
    /// Who gives up earlier than that counts it against the node if it waited so long.
    pub patience: Duration,
    /// The longest value that is handed out, inflated; of others as it is.
    pub max_value: u32,
    /// How payloads are compressed.
    pub packing: Packing,
    /// So often it is looked up which nodes the rest of the fleet uses.
    pub roll_call: Duration,
    /// Where connections live. `None`: the runtime that opens the tier.
    pub runtime: Option<Handle>,
}

/// Which node has a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// Rendezvous hashing on XXH3: a node that comes or goes moves its own keys alone.
    #[default]
    Rendezvous,
    /// As libmemcached's weighted ketama places, for fleets that are shared with other clients.
    Ketama,
}

impl Default for MemcachedOptions {
    fn default() -> MemcachedOptions {
        MemcachedOptions {
            prefix: b"bw:".to_vec(),
            placement: Placement::Rendezvous,
            connect_timeout: Duration::from_secs(1),
            answer_timeout: Duration::from_millis(250),
            patience: Duration::from_millis(20),
            max_value: MAX_RAW,
            packing: Packing::DEFAULT,
            roll_call: Duration::from_secs(2),
            runtime: None,
        }
    }
}
