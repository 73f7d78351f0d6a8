//! How are a primary and its replicas run under sentinels, and whom do these take for the primary?

use std::fs;
use std::net::SocketAddr;
use std::ops::Deref;
use std::time::Duration;

use bellwether_resp::Value;

use crate::error::ServerError;
use crate::program::find;
use crate::redis::{Redis, answers, owned};
use crate::reply::{call, text};
use crate::running::{Place, Recipe, Running};
use crate::wait::until;

const REPLICAS: usize = 2;
const SENTINELS: usize = 3;
const QUORUM: usize = 2;
/// Nobody waits longer until all know each other, or a new primary is there: it takes some 2.5 s.
const HEALTH_LIMIT: Duration = Duration::from_secs(40);

/// One primary, two replicas, three sentinels.
pub struct Sentinel {
    servers: Vec<Redis>,
    sentinels: Vec<Watcher>,
}

/// One sentinel.
struct Watcher(Running);

impl Deref for Watcher {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.0
    }
}

impl Sentinel {
    /// What the sentinels call the primary.
    pub const NAME: &str = "main";

    /// Starts all, and waits until the sentinels know each other and the replicas.
    pub fn start() -> Result<Sentinel, ServerError> {
        let primary = Redis::start(&[])?;
        let port = primary.address().port();
        let mut servers = vec![primary];
        for _ in 0..REPLICAS {
            servers.push(Redis::start(&["--replicaof", "127.0.0.1", &port.to_string()])?);
        }
        let sentinels = (0..SENTINELS).map(|_| watcher(port)).collect::<Result<Vec<_>, _>>()?;
        let all = Sentinel { servers, sentinels };
        until(HEALTH_LIMIT, "the sentinels to know all", || all.healthy().then_some(()))?;
        Ok(all)
    }

    /// The servers; the first was the primary at the start.
    pub fn servers(&self) -> &[Redis] {
        &self.servers
    }

    /// The sentinels.
    pub fn sentinels(&self) -> impl Iterator<Item = &Running> {
        self.sentinels.iter().map(|sentinel| &sentinel.0)
    }

    /// Where the sentinels listen.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sentinels().map(Running::address).collect()
    }

    /// Which server, by its number in [`servers`](Self::servers), most sentinels take for the primary.
    pub fn primary(&self) -> Option<usize> {
        (0..self.servers.len()).find(|&at| {
            let address = self.servers[at].address();
            self.sentinels.iter().filter(|sentinel| told(sentinel) == Some(address)).count() >= QUORUM
        })
    }

    /// `kill -9` to the primary; says which server that was.
    pub fn kill_primary(&self) -> Result<usize, ServerError> {
        let at = until(HEALTH_LIMIT, "the sentinels to know a primary", || self.primary())?;
        self.servers[at].kill()?;
        Ok(at)
    }

    /// Waits until the sentinels have another primary than server `old`, and it takes writes; says which.
    pub fn until_primary_is_not(&self, old: usize) -> Result<usize, ServerError> {
        let takes_writes = |at: &usize| {
            let role = self.servers[*at].call(&["ROLE"]).ok();
            role.and_then(|role| role.as_slice().and_then(|words| words.first().map(text))).as_deref() == Some("master")
        };
        until(HEALTH_LIMIT, "another primary", || self.primary().filter(|&at| at != old).filter(takes_writes))
    }

    /// Whether every sentinel knows all others and both replicas, and these are in step.
    pub fn healthy(&self) -> bool {
        self.sentinels.iter().all(|sentinel| {
            let knows = |name, count: usize| fact(sentinel, name).as_deref() == Some(count.to_string().as_str());
            knows("num-slaves", REPLICAS) && knows("num-other-sentinels", SENTINELS - 1)
        }) && self.servers[1..].iter().all(|server| {
            let info = server.call(&["INFO", "replication"]).map(|info| text(&info)).unwrap_or_default();
            info.contains("role:master") || info.contains("master_link_status:up")
        })
    }
}

fn watcher(primary: u16) -> Result<Watcher, ServerError> {
    let name = Sentinel::NAME;
    let text = format!(
        "sentinel monitor {name} 127.0.0.1 {primary} {QUORUM}\nsentinel down-after-milliseconds {name} 500\n\
         sentinel failover-timeout {name} 2000\nsentinel parallel-syncs {name} 1\n"
    );
    let write = move |home: &std::path::Path| {
        let file = home.join("sentinel.conf");
        fs::write(&file, &text).map_err(ServerError::system(file.display().to_string()))
    };
    let arguments = |place: &Place| {
        let port = place.port.to_string();
        owned(&["sentinel.conf", "--sentinel", "--port", &port, "--bind", "127.0.0.1"])
    };
    let running = Running::start(Recipe {
        program: find("redis-server", "redis-server")?,
        arguments: Box::new(arguments),
        user: None,
        without: None,
        farewell: None,
        prepare: Box::new(write),
        ready: Box::new(answers),
    })?;
    Ok(Watcher(running))
}

/// Whom a sentinel takes for the primary.
fn told(sentinel: &Watcher) -> Option<SocketAddr> {
    let answer = call(sentinel.address(), &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Sentinel::NAME]).ok()?;
    let words: Vec<String> = answer.as_slice()?.iter().map(text).collect();
    words.join(":").parse().ok()
}

/// One thing that a sentinel says of the primary.
fn fact(sentinel: &Watcher, name: &str) -> Option<String> {
    let answer: Value = call(sentinel.address(), &["SENTINEL", "MASTER", Sentinel::NAME]).ok()?;
    answer.pairs()?.into_iter().find(|(key, _)| text(key) == name).map(|(_, value)| text(value))
}
