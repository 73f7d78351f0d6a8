//! How is the engine reached that carries the backplane? One connection at a time to the primary of its keys.

use std::time::Duration;

use bellwether::events::TransportError;
use redis::aio::{ConnectionLike, MultiplexedConnection, PubSub};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelServerType};
use redis::{AsyncConnectionConfig, Client, Cmd, Pipeline, RedisError, RedisFuture, RedisResult, Value};
use tokio::sync::Mutex;

use crate::SetupError;

/// A connection that does not stand by then is given up.
const CONNECT: Duration = Duration::from_secs(1);

/// Where it is.
pub(super) enum Link {
    One(Client),
    /// And one of its nodes, for what any of them hands on.
    Cluster(Box<ClusterClient>, Client),
    /// Asked anew for each connection: after a failover it is another one.
    Sentinel(Box<Mutex<SentinelClient>>),
}

/// A connection to it.
#[derive(Clone)]
pub(super) enum Wire {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Link {
    /// Reads `redis://`, `rediss://`, `redis+unix://`, `redis+cluster://A,B` or `redis+sentinel://A,B/NAME`.
    pub(super) fn at(url: &str) -> Result<Link, SetupError> {
        let bad = |_| {
            SetupError::new(
                "the address of the backplane can't be read",
                "write redis://HOST:PORT, redis+cluster://A:1,B:2 or redis+sentinel://A:1,B:2/NAME",
            )
        };
        let several = |rest: &str| -> Vec<String> { rest.split(',').map(|node| format!("redis://{node}")).collect() };
        if let Some(rest) = url.strip_prefix("redis+cluster://") {
            let nodes = several(rest);
            let first = Client::open(nodes[0].as_str()).map_err(bad)?;
            let client = ClusterClient::builder(nodes).connection_timeout(CONNECT).retries(2);
            return Ok(Link::Cluster(Box::new(client.build().map_err(bad)?), first));
        }
        if let Some(rest) = url.strip_prefix("redis+sentinel://") {
            let (nodes, name) = rest.split_once('/').unwrap_or((rest, "main"));
            let client = SentinelClient::build(several(nodes), name, None, SentinelServerType::Master).map_err(bad)?;
            return Ok(Link::Sentinel(Box::new(Mutex::new(client))));
        }
        Client::open(url).map(Link::One).map_err(bad)
    }

    /// Connects. A command that takes longer than `answer` has failed.
    pub(super) async fn connect(&self, answer: Duration) -> RedisResult<Wire> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(Some(answer));
        Ok(match self {
            Link::One(client) => Wire::One(client.get_multiplexed_async_connection_with_config(&config).await?),
            Link::Sentinel(client) => Wire::One(client.lock().await.get_async_connection_with_config(&config).await?),
            Link::Cluster(client, _) => {
                let config =
                    redis::cluster::ClusterConfig::new().set_connection_timeout(CONNECT).set_response_timeout(answer);
                Wire::Cluster(client.get_async_connection_with_config(config).await?)
            }
        })
    }

    /// Connects to hear what is published.
    pub(super) async fn subscribe(&self, channel: &str) -> RedisResult<PubSub> {
        let mut line = match self {
            Link::One(client) | Link::Cluster(_, client) => client.get_async_pubsub().await?,
            Link::Sentinel(client) => {
                let primary = client.lock().await.async_get_client().await?;
                primary.get_async_pubsub().await?
            }
        };
        line.subscribe(channel).await?;
        Ok(line)
    }
}

impl ConnectionLike for Wire {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Wire::One(wire) => wire.req_packed_command(cmd),
            Wire::Cluster(wire) => wire.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Wire::One(wire) => wire.req_packed_commands(cmd, offset, count),
            Wire::Cluster(wire) => wire.req_packed_commands(cmd, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Wire::One(wire) => wire.get_db(),
            Wire::Cluster(wire) => wire.get_db(),
        }
    }
}

/// What an error says, which is no secret: the client library names no passwords.
pub(super) fn trouble(error: &RedisError) -> TransportError {
    TransportError(error.to_string())
}
