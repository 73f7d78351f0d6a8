//! What can be set about the tier beside its address? Limits and times, with defaults that suit a data centre.

use std::time::Duration;

use bellwether_envelope::{MAX_RAW, Packing};
use tokio::runtime::Handle;

/// Knobs of a [`RedisTier`](super::RedisTier).
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// Stands before every key.
    pub prefix: Vec<u8>,
    /// A connection that is not there after this long is given up, handshake included.
    pub connect_timeout: Duration,
    /// A command that is not answered after this long is given up. Callers have shorter budgets of their own.
    pub answer_timeout: Duration,
    /// The same for values over 64 KiB.
    pub bulk_timeout: Duration,
    /// A call that its caller gives up counts against the node if it was unanswered for so long.
    pub patience: Duration,
    /// Longer values are neither stored nor fetched, in bytes: of ours inflated, of others as they are.
    pub max_value: u32,
    /// How payloads are compressed.
    pub packing: Packing,
    /// How long a removal is remembered: no late writer may take longer.
    pub tombstone: Duration,
    /// Who answers plain reads in a cluster.
    pub reads: Reads,
    /// Whether waiters are woken by the nodes (RESP3). Without it they poll.
    pub tracking: bool,
    /// What TLS trusts and shows, where the address says TLS.
    pub tls: RedisTls,
    /// User and password for the sentinels, which are not those of the servers they watch.
    pub sentinel_auth: Option<RedisAuth>,
    /// Where connections live. `None`: the runtime that opens the tier.
    pub runtime: Option<Handle>,
}

/// Who answers plain reads in a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reads {
    /// The primary: what was removed is gone.
    #[default]
    Primary,
    /// A replica, if there is one and it can be reached: reads lag behind by what replication lags, removals included.
    Replica,
}

/// A login.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisAuth {
    /// The ACL user; the default one if `None`.
    pub user: Option<String>,
    /// Its password.
    pub password: String,
}

impl std::fmt::Debug for RedisAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RedisAuth {{ user: {:?}, password: *** }}", self.user)
    }
}

/// Certificates for TLS, in PEM.
#[derive(Clone, Default)]
pub struct RedisTls {
    /// Trusted in place of the system's.
    pub authority: Option<Vec<u8>>,
    /// Shown to the server: certificate chain and key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl std::fmt::Debug for RedisTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RedisTls {{ authority: {}, identity: {} }}", self.authority.is_some(), self.identity.is_some())
    }
}

impl Default for RedisOptions {
    fn default() -> RedisOptions {
        RedisOptions {
            prefix: b"bw:".to_vec(),
            connect_timeout: Duration::from_secs(1),
            answer_timeout: Duration::from_millis(250),
            bulk_timeout: Duration::from_secs(2),
            patience: Duration::from_millis(20),
            max_value: MAX_RAW,
            packing: Packing::DEFAULT,
            tombstone: Duration::from_secs(10),
            reads: Reads::Primary,
            tracking: true,
            tls: RedisTls::default(),
            sentinel_auth: None,
            runtime: None,
        }
    }
}
