//! Who is the primary, by what the sentinels say? Asked anew whenever the one in use fails or turns out a replica.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::RwLock;
use redis::{AsyncConnectionConfig, RedisConnectionInfo, Value};
use tokio::sync::{Notify, watch};

use super::common::Common;
use super::fault::Fault;
use super::lane::Purpose;
use super::node::Node;
use crate::tiers::address::ServerAddress;

/// Between two questions while all is well.
const CALM: Duration = Duration::from_secs(10);
/// The same while the primary can't be reached or is none.
const TROUBLED: Duration = Duration::from_millis(150);

/// More replicas than this are not looked at.
const MOST_REPLICAS: usize = 16;

/// Sentinels, and whom they named last.
pub(super) struct Sentinels {
    common: Arc<Common>,
    addresses: Vec<ServerAddress>,
    name: String,
    primary: RwLock<Option<Arc<Node>>>,
    /// Who copies it, by its own words when it was asked last.
    replicas: RwLock<Vec<Arc<Node>>>,
    /// Questions that have ended, and why the last brought no primary.
    rounds: watch::Sender<(u64, Option<String>)>,
    kick: Arc<Notify>,
    /// It answered that it is no primary.
    doubted: AtomicBool,
    kept: AtomicBool,
}

impl Sentinels {
    pub(super) fn new(common: Arc<Common>, addresses: Vec<ServerAddress>, name: String) -> Arc<Sentinels> {
        Arc::new(Sentinels {
            common,
            addresses,
            name,
            primary: RwLock::default(),
            replicas: RwLock::default(),
            rounds: watch::Sender::new((0, None)),
            kick: Arc::new(Notify::new()),
            doubted: AtomicBool::new(false),
            kept: AtomicBool::new(false),
        })
    }

    /// The primary, as far as is known.
    pub(super) async fn primary(self: &Arc<Sentinels>) -> Result<Arc<Node>, Fault> {
        if let Some(node) = &*self.primary.read() {
            return Ok(node.clone());
        }
        let mut rounds = self.rounds.subscribe();
        self.keep();
        // The sender lives in `self`.
        let _ = rounds.wait_for(|(ended, _)| *ended > 0).await;
        if let Some(node) = &*self.primary.read() {
            return Ok(node.clone());
        }
        self.common.counters.turned_away.add();
        let why = rounds.borrow().1.clone();
        Err(Fault::Open(why.unwrap_or_else(|| "no sentinel names a primary".into())))
    }

    pub(super) fn nodes(&self) -> Vec<Arc<Node>> {
        self.primary.read().iter().cloned().collect()
    }

    /// Who copies the primary, as far as is known.
    pub(super) fn replicas(&self) -> Vec<Arc<Node>> {
        self.replicas.read().clone()
    }

    /// The one in use is no primary any more, or it broke off.
    pub(super) fn ask_again(self: &Arc<Sentinels>, is_replica: bool) {
        if is_replica {
            self.doubted.store(true, Ordering::Relaxed);
        }
        self.keep();
        self.kick.notify_one();
    }

    fn keep(self: &Arc<Sentinels>) {
        if !self.kept.swap(true, Ordering::AcqRel) {
            self.common.runtime.spawn(keep(Arc::downgrade(self), self.kick.clone()));
        }
    }

    /// One round of questions. True: there is a primary, and it can be reached.
    async fn round(self: &Arc<Sentinels>) -> bool {
        let outcome = self.find().await;
        let well = outcome.is_ok();
        self.rounds.send_modify(|rounds| *rounds = (rounds.0 + 1, outcome.err()));
        well
    }

    async fn find(self: &Arc<Sentinels>) -> Result<(), String> {
        let mut why = "no sentinel answers".to_owned();
        let first = fastrand::usize(..self.addresses.len());
        for at in 0..self.addresses.len() {
            let sentinel = &self.addresses[(first + at) % self.addresses.len()];
            let named = match self.ask(sentinel).await {
                Ok(named) => named,
                Err(error) => {
                    why = format!("sentinel {sentinel}: {error}");
                    continue;
                }
            };
            match self.take(&named).await {
                Ok(()) => return Ok(()),
                Err(error) => why = format!("sentinel {sentinel} names {named}, but {error}"),
            }
        }
        Err(why)
    }

    /// Whom one sentinel names. A connection of its own: that is asked seldom, and sentinels come and go.
    async fn ask(&self, sentinel: &ServerAddress) -> Result<ServerAddress, String> {
        let mut login = RedisConnectionInfo::default().set_skip_set_lib_name();
        if let Some(auth) = &self.common.options.sentinel_auth {
            login = login.set_password(&auth.password);
            if let Some(user) = &auth.user {
                login = login.set_username(user);
            }
        }
        let client = self.common.client(self.common.at(sentinel), login).map_err(|error| error.to_string())?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.common.options.connect_timeout))
            .set_response_timeout(Some(self.common.options.answer_timeout));
        let mut conn =
            client.get_multiplexed_async_connection_with_config(&config).await.map_err(|error| error.to_string())?;
        let mut cmd = redis::cmd("SENTINEL");
        cmd.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.name);
        match conn.send_packed_command(&cmd).await.map_err(|error| error.to_string())? {
            Value::Array(parts) => match &parts[..] {
                [Value::BulkString(host), Value::BulkString(port)] => {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    let port = text(port).parse().map_err(|_| "it named no port".to_owned())?;
                    Ok(ServerAddress { host: text(host), port })
                }
                _ => Err("it answered no address".into()),
            },
            Value::Nil => Err(format!("it watches nothing by the name \"{}\"", self.name)),
            Value::ServerError(error) => Err(format!("{} {}", error.code(), error.details().unwrap_or_default())),
            _ => Err("it answered no address".into()),
        }
    }

    /// Uses whom a sentinel named, if it says so itself.
    async fn take(self: &Arc<Sentinels>, named: &ServerAddress) -> Result<(), String> {
        let held = self.primary.read().clone().filter(|node| node.label == named.to_string());
        let doubted = self.doubted.load(Ordering::Relaxed);
        let node = match held {
            Some(node) if !doubted && !node.breaker.is_open() => return Ok(()),
            Some(node) => node,
            None => Node::at(&self.common, named).map_err(|error| error.to_string())?,
        };
        let role = node.call(Purpose::Main, &redis::cmd("ROLE")).await;
        let role = role.map_err(|fault| fault.into_error(&node.label).text)?;
        let Some(replicas) = copied_by(&role) else {
            return Err("it says itself that it is a replica".into());
        };
        self.take_replicas(replicas);
        let before = self.primary.write().replace(node.clone());
        if before.is_none_or(|before| !Arc::ptr_eq(&before, &node)) {
            tracing::info!(name = %self.name, node = %node.label, "the primary, by the sentinels");
        }
        self.doubted.store(false, Ordering::Relaxed);
        Ok(())
    }
}

impl Sentinels {
    /// Those that are known already stay what they are, connections and all.
    fn take_replicas(&self, addresses: Vec<ServerAddress>) {
        let before = self.replicas();
        let node = |address: &ServerAddress| {
            let label = address.to_string();
            let known = before.iter().find(|node| node.label == label).cloned();
            // The options were good for the primary: they are for this one.
            known.or_else(|| Node::at(&self.common, address).ok())
        };
        *self.replicas.write() = addresses.iter().take(MOST_REPLICAS).filter_map(node).collect();
    }
}

/// By a primary's own words: who copies it. `None`: it is none.
fn copied_by(role: &Value) -> Option<Vec<ServerAddress>> {
    let Value::Array(words) = role else { return None };
    let text = |value: &Value| match value {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    };
    if text(words.first()?)? != "master" {
        return None;
    }
    let Some(Value::Array(replicas)) = words.get(2) else { return Some(Vec::new()) };
    let address = |replica: &Value| match replica {
        Value::Array(parts) => {
            Some(ServerAddress { host: text(parts.first()?)?, port: text(parts.get(1)?)?.parse().ok()? })
        }
        _ => None,
    };
    Some(replicas.iter().filter_map(address).collect())
}

impl Drop for Sentinels {
    fn drop(&mut self) {
        self.kick.notify_one();
    }
}

/// Asks the sentinels for as long as somebody wants to know.
async fn keep(sentinels: Weak<Sentinels>, kick: Arc<Notify>) {
    loop {
        let Some(held) = sentinels.upgrade() else { return };
        let well = held.round().await;
        let common = held.common.clone();
        drop(held);
        if !well {
            tokio::time::sleep(TROUBLED.mul_f64(0.5 + fastrand::f64())).await;
            continue;
        }
        // Whichever comes first: its time, a reply that it is a replica, or a node that can't be reached.
        let _ = tokio::time::timeout(CALM, async {
            tokio::select! { () = kick.notified() => {}, () = common.trouble.notified() => {} }
        })
        .await;
    }
}
