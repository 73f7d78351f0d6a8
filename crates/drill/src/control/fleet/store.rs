//! How does naive code talk to the engine that a fleet shares? Over a connection from a pool, with a client's usual
//! patience, and none for trouble.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bellwether_resp::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::Client;
use crate::error::ClientError;
use crate::target::Target;

/// What many clients of Redis wait for an answer unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(2);
/// Connections that are kept.
const MAX_IDLE: usize = 256;
/// Keys of a cluster whose owners are remembered; a drill has far fewer.
const MAX_OWNERS: usize = 10_000;
/// The longest value.
const MAX_VALUE: usize = 1 << 20;

/// Where the engine is.
#[derive(Clone, Debug)]
pub enum Nodes {
    /// A Redis.
    Redis(Target),
    /// Memcached nodes, in their order.
    Memcached(Vec<SocketAddr>),
}

/// The engine.
pub(super) enum Store {
    Redis {
        target: Target,
        idle: Mutex<Vec<Client>>,
        /// Of a cluster: who has a key, as it was told once and for all.
        owners: Mutex<HashMap<String, Target>>,
    },
    Memcached(Vec<SocketAddr>),
}

impl Store {
    pub(super) fn new(nodes: Nodes) -> Store {
        match nodes {
            Nodes::Redis(target) => Store::Redis { target, idle: Mutex::default(), owners: Mutex::default() },
            Nodes::Memcached(nodes) => Store::Memcached(nodes),
        }
    }

    pub(super) async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, ClientError> {
        match self {
            Store::Redis { .. } => match self.redis(&["GET", name]).await? {
                Value::Bulk(value) => Ok(Some(value)),
                _ => Ok(None),
            },
            Store::Memcached(nodes) => self.memcached(nodes, name, &format!("get {name}\r\n")).await,
        }
    }

    pub(super) async fn set(&self, name: &str, value: &[u8], ttl: Duration) -> Result<(), ClientError> {
        let text = String::from_utf8_lossy(value);
        match self {
            Store::Redis { .. } => {
                let ttl = ttl.as_millis().to_string();
                self.redis(&["SET", name, &text, "PX", &ttl]).await.map(drop)
            }
            Store::Memcached(nodes) => {
                let request = format!("set {name} 0 {} {}\r\n{text}\r\n", ttl.as_secs().max(1), text.len());
                self.memcached(nodes, name, &request).await.map(drop)
            }
        }
    }

    pub(super) async fn remove(&self, name: &str) -> Result<(), ClientError> {
        match self {
            Store::Redis { .. } => self.redis(&["DEL", name]).await.map(drop),
            Store::Memcached(nodes) => self.memcached(nodes, name, &format!("delete {name}\r\n")).await.map(drop),
        }
    }

    /// True for whoever comes first until `ttl` has passed.
    pub(super) async fn lock(&self, name: &str, ttl: Duration) -> Result<bool, ClientError> {
        let ttl = ttl.as_millis().to_string();
        Ok(self.redis(&["SET", name, "1", "NX", "PX", &ttl]).await? != Value::Nil)
    }

    async fn redis(&self, words: &[&str]) -> Result<Value, ClientError> {
        let Store::Redis { target, idle, owners } = self else {
            return Err(ClientError::Broken(io::ErrorKind::Unsupported.into()));
        };
        let name = words.get(1).copied().unwrap_or_default();
        let owner = lock(owners).get(name).cloned();
        if let Some(owner) = owner {
            let asking = async { Client::open(&owner).await?.call(words).await };
            return timeout(PATIENCE, asking).await.map_err(|_| ClientError::Silent(PATIENCE))?;
        }
        let kept = lock(idle).pop();
        let asking = async {
            let mut client = match kept {
                Some(client) => client,
                None => Client::open(target).await?,
            };
            let value = client.call(words).await?;
            let Some(owner) = moved(&value) else {
                return Ok::<_, ClientError>((client, value));
            };
            let value = Client::open(&owner).await?.call(words).await?;
            let mut owners = lock(owners);
            if owners.len() < MAX_OWNERS {
                owners.insert(name.to_owned(), owner);
            }
            Ok((client, value))
        };
        let (client, value) = timeout(PATIENCE, asking).await.map_err(|_| ClientError::Silent(PATIENCE))??;
        let mut idle = lock(idle);
        if idle.len() < MAX_IDLE {
            idle.push(client);
        }
        match value.as_error() {
            Some(text) => {
                let answer = String::from_utf8_lossy(text).into_owned();
                Err(ClientError::Refused { command: "a command", answer })
            }
            None => Ok(value),
        }
    }

    /// A connection each: what comes before `END`, if it is a value.
    async fn memcached(&self, nodes: &[SocketAddr], name: &str, request: &str) -> Result<Option<Vec<u8>>, ClientError> {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let at = usize::try_from(hasher.finish() % (nodes.len().max(1) as u64)).unwrap_or_default();
        let node = *nodes.get(at).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let asking = async {
            let mut stream = BufReader::new(TcpStream::connect(node).await?);
            stream.get_mut().write_all(request.as_bytes()).await?;
            let mut line = String::new();
            stream.read_line(&mut line).await?;
            let Some(length) =
                line.strip_prefix("VALUE ").and_then(|rest| rest.trim().rsplit(' ').next()?.parse().ok())
            else {
                return Ok(None);
            };
            let mut value = vec![0; std::cmp::min(length, MAX_VALUE)];
            stream.read_exact(&mut value).await?;
            Ok::<_, io::Error>(Some(value))
        };
        Ok(timeout(PATIENCE, asking).await.map_err(|_| ClientError::Silent(PATIENCE))??)
    }
}

/// Which node of a cluster has the key, if the one that was asked says so: `MOVED SLOT HOST:PORT`.
fn moved(value: &Value) -> Option<Target> {
    let text = std::str::from_utf8(value.as_error()?).ok()?;
    text.strip_prefix("MOVED ")?.rsplit(' ').next()?.parse().ok().map(Target::started)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
