//! How is the engine reached that carries the backplane? One connection at a time to the primary of its keys.

use std::time::Duration;

use bellwether::events::TransportError;
use redis::aio::{ConnectionLike, MultiplexedConnection, PubSub};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, Pipeline,
    RedisConnectionInfo, RedisError, RedisFuture, RedisResult, TlsCertificates, TlsMode, Value,
};
use tokio::sync::Mutex;

use crate::SetupError;
use crate::tiers::address::{RedisShape, RedisTarget, ServerAddress};
use crate::tiers::redis::RedisTls;

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
    /// To what `target` names. Sentinels are asked without a login.
    pub(super) fn to(target: &RedisTarget, tls: &RedisTls) -> Result<Link, SetupError> {
        if target.tls && rustls::crypto::CryptoProvider::get_default().is_none() {
            // Somebody else may have been quicker: then there is one, which is all that is wanted.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let infos = |addresses: &[ServerAddress]| {
            addresses.iter().map(|address| info(tcp(target, address), login(target))).collect::<Result<Vec<_>, _>>()
        };
        Ok(match &target.shape {
            RedisShape::One(address) => Link::One(client(target, tls, tcp(target, address))?),
            RedisShape::Unix(path) => Link::One(client(target, tls, ConnectionAddr::Unix(path.clone()))?),
            RedisShape::Cluster(addresses) => {
                let nodes = infos(addresses)?;
                let Some(first) = addresses.first() else { return Err(unusable("it names no node")) };
                let mut builder = ClusterClient::builder(nodes).connection_timeout(CONNECT).retries(2);
                if let Some(certificates) = certificates(target, tls) {
                    builder = builder.certs(certificates);
                }
                let all = builder.build().map_err(|error| unusable(&error))?;
                Link::Cluster(Box::new(all), client(target, tls, tcp(target, first))?)
            }
            RedisShape::Sentinel { sentinels, name } => {
                let addresses = sentinels.iter().map(|address| tcp(target, address));
                let mut builder = SentinelClientBuilder::new(addresses, name, SentinelServerType::Master)
                    .map_err(|error| unusable(&error))?
                    .set_client_to_redis_db(target.db);
                if let Some(user) = &target.user {
                    builder = builder.set_client_to_redis_username(user);
                }
                if let Some(password) = &target.password {
                    builder = builder.set_client_to_redis_password(password);
                }
                if target.tls {
                    builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
                }
                if let Some(certificates) = certificates(target, tls) {
                    builder = builder.set_client_to_redis_certificates(certificates);
                }
                Link::Sentinel(Box::new(Mutex::new(builder.build().map_err(|error| unusable(&error))?)))
            }
        })
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

fn tcp(target: &RedisTarget, address: &ServerAddress) -> ConnectionAddr {
    let (host, port) = (address.host.clone(), address.port);
    match target.tls {
        true => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
        false => ConnectionAddr::Tcp(host, port),
    }
}

fn login(target: &RedisTarget) -> RedisConnectionInfo {
    let mut login = RedisConnectionInfo::default().set_db(target.db);
    if let Some(user) = &target.user {
        login = login.set_username(user);
    }
    if let Some(password) = &target.password {
        login = login.set_password(password);
    }
    login
}

fn info(at: ConnectionAddr, login: RedisConnectionInfo) -> Result<ConnectionInfo, SetupError> {
    Ok(at.into_connection_info().map_err(|error| unusable(&error))?.set_redis_settings(login))
}

/// What TLS trusts and shows, where that is not the system's.
fn certificates(target: &RedisTarget, tls: &RedisTls) -> Option<TlsCertificates> {
    if !target.tls || (tls.authority.is_none() && tls.identity.is_none()) {
        return None;
    }
    let client_tls = tls.identity.clone().map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key });
    Some(TlsCertificates { client_tls, root_cert: tls.authority.clone() })
}

fn client(target: &RedisTarget, tls: &RedisTls, at: ConnectionAddr) -> Result<Client, SetupError> {
    let info = info(at, login(target))?;
    let client = match certificates(target, tls) {
        Some(certificates) => Client::build_with_tls(info, certificates),
        None => Client::open(info),
    };
    client.map_err(|error| unusable(&error))
}

fn unusable(why: impl std::fmt::Display) -> SetupError {
    SetupError::new(format!("the backplane can't be set up: {why}"), "check its address and certificates")
}

/// What an error says, which is no secret: the client library names no passwords.
pub(super) fn trouble(error: &RedisError) -> TransportError {
    TransportError(error.to_string())
}
