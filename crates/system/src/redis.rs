//! How is a real redis-server asked beside ours, as the measure of what clients and words should be like?

use std::net::SocketAddr;

use bellwether_servers::Redis;

use crate::resp::Resp;

/// A redis-server that keeps nothing on disk.
pub struct RedisServer(Redis);

impl RedisServer {
    /// Starts one on a free port with further `arguments` (`--requirepass`, `x`).
    #[track_caller]
    pub fn start(arguments: &[&str]) -> Self {
        Self(Redis::start(arguments).unwrap_or_else(|error| panic!("{error}")))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// A new connection.
    #[track_caller]
    pub fn connect(&self) -> Resp {
        Resp::connect(self.address())
    }
}
