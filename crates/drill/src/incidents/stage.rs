//! What do all incidents act with: an origin, an engine, a fleet, keys that nobody has used, and time that ends?

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bellwether_servers::ServerError;
use futures_util::future::join_all;
use tokio::time::sleep;

use crate::answer::Answer;
use crate::blocking::blocking;
use crate::client::{Client, PATIENCE};
use crate::error::{ClientError, DrillError};
use crate::incidents::clean::{clean, mark};
use crate::incidents::engine::{Engine, Nodes};
use crate::incidents::fleet::{Cast, Member, start};
use crate::incidents::kind::Kind;
use crate::incidents::scale::Scale;
use crate::incidents::space::{Space, list};
use crate::key::Key;
use crate::origin::{Origin, Seen};

/// Between two looks at something that is awaited.
const PAUSE: Duration = Duration::from_millis(1);

/// An origin, an engine, and servers that read through to the one and share the other.
pub(crate) struct Stage {
    pub(crate) origin: Origin,
    pub(crate) kind: Kind,
    pub(crate) engine: Arc<Engine>,
    pub(crate) fleet: Vec<Member>,
    pub(crate) scale: Scale,
    cast: Cast,
    next: AtomicU64,
    since: Instant,
}

/// A caller's answer, and how long it took.
pub(crate) struct Answered {
    pub(crate) answer: Answer,
    pub(crate) took: Duration,
}

impl Stage {
    pub(crate) async fn set(
        kind: Kind,
        engine: Engine,
        origin: Origin,
        cast: Cast,
        servers: usize,
        scale: Scale,
    ) -> Result<Stage, DrillError> {
        let since = Instant::now();
        let fleet = start(&cast, &engine, servers).await?;
        Ok(Stage { origin, kind, engine: Arc::new(engine), fleet, scale, cast, next: AtomicU64::new(0), since })
    }

    /// New servers in place of all, with these nodes of Memcached.
    pub(crate) async fn replace_fleet(&mut self, nodes: Nodes) -> Result<(), DrillError> {
        let servers = self.fleet.len();
        self.cast.nodes = nodes;
        self.fleet.clear();
        self.fleet = start(&self.cast, &self.engine, servers).await?;
        Ok(())
    }

    /// New servers in place of all, which are told this besides.
    pub(crate) async fn fleet_told(&mut self, besides: &'static str) -> Result<(), DrillError> {
        self.cast.besides = besides;
        self.replace_fleet(self.cast.nodes).await
    }

    /// Nothing of the run is left in the one Redis that the fleet shares; nothing is done to other engines.
    pub(crate) async fn empty(&self) -> Result<(), DrillError> {
        let Some(target) = self.engine.one() else { return Ok(()) };
        let cleaned = clean(&target, &mark(&self.cast.run)).await;
        cleaned.map_err(|error| DrillError::Unreachable { target: target.to_string(), error })
    }

    /// A new server in place of one, with these nodes of Memcached.
    pub(crate) async fn replace(&self, server: usize, nodes: Nodes) -> Result<(), DrillError> {
        self.fleet[server].replace(&Cast { nodes, ..self.cast.clone() }, &self.engine).await
    }

    /// A key that nobody has asked for yet; its row has version 1.
    pub(crate) fn key(&self, space: Space) -> Key {
        let key = Key::new(space.name(), &self.cast.run, self.next.fetch_add(1, Ordering::Relaxed));
        self.write(&key, 1);
        key
    }

    pub(crate) fn keys(&self, space: Space, count: u64) -> Vec<Key> {
        (0..count).map(|_| self.key(space)).collect()
    }

    /// Keys whose rows do not exist.
    pub(crate) fn absent(&self, space: Space, count: u64) -> Vec<Key> {
        let keys = self.keys(space, count);
        keys.iter().for_each(|key| self.origin.remove(&key.path));
        keys
    }

    /// The keys that the origin names; their rows have version 1.
    pub(crate) fn known(&self) -> Vec<Key> {
        let keys = known(&self.cast.run);
        keys.iter().for_each(|key| self.write(key, 1));
        keys
    }

    /// A key beside those that nobody has asked for yet, and whose row does not exist.
    pub(crate) fn absent_known(&self) -> Key {
        let id = KNOWN + self.next.fetch_add(1, Ordering::Relaxed);
        let key = Key::new(Space::Known.name(), &self.cast.run, id);
        self.origin.remove(&key.path);
        key
    }

    /// How often the origin was asked for its keys.
    pub(crate) fn lists(&self) -> u64 {
        self.origin.requests_for(&list(&self.cast.run))
    }

    /// Since the fleet's start began.
    pub(crate) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Reads that each node of a cluster has answered so far; none where the engine is another.
    pub(crate) async fn reads_by_node(&self) -> Result<Vec<u64>, DrillError> {
        self.with_engine(|engine| {
            let Engine::Cluster(cluster) = engine else { return Ok(Vec::new()) };
            // One that was killed answers no more.
            let of = |text: String| text.lines().filter_map(read_calls).sum();
            let asked = cluster.nodes().iter().map(|node| node.call(&["INFO", "commandstats"]));
            Ok(asked.map(|answer| answer.map_or(0, |value| of(value.to_string()))).collect())
        })
        .await
    }

    /// Whether the fleet is a control.
    pub(crate) fn is_naive(&self) -> bool {
        self.cast.flaw.is_some()
    }

    /// What the engine calls a key.
    pub(crate) fn stored(&self, key: &Key) -> String {
        match self.cast.flaw {
            None => format!("{}{}", self.cast.prefix, key.name),
            Some(_) => key.name.clone(),
        }
    }

    /// Writes a version of a row, as a transaction at the database does.
    pub(crate) fn write(&self, key: &Key, version: u64) {
        self.origin.set(&key.path, &Answer::row(key, version));
    }

    /// What the origin has seen of a key.
    pub(crate) fn seen(&self, key: &Key) -> Seen {
        self.origin.seen_of(&key.path)
    }

    /// Loads of these keys so far.
    pub(crate) fn loads(&self, keys: &[Key]) -> u64 {
        keys.iter().map(|key| self.seen(key).requests).sum()
    }

    /// A connection to one server.
    pub(crate) async fn connect(&self, server: usize) -> Result<Client, DrillError> {
        let target = self.fleet[server].target()?;
        let unreachable = |error| DrillError::Unreachable { target: target.to_string(), error };
        Client::open(&target).await.map_err(unreachable)
    }

    /// So many connections to each of these servers.
    pub(crate) async fn connect_many(&self, servers: &[usize], each: usize) -> Result<Vec<Client>, DrillError> {
        let mut clients = Vec::with_capacity(servers.len() * each);
        for _ in 0..each {
            for &server in servers {
                clients.push(self.connect(server).await?);
            }
        }
        Ok(clients)
    }

    /// Waits until the origin has begun so many loads of a key.
    pub(crate) async fn until_loads(&self, key: &Key, count: u64) -> Result<(), DrillError> {
        let begun = Instant::now();
        while self.seen(key).requests < count {
            if begun.elapsed() > PATIENCE {
                let error = ClientError::Silent(PATIENCE);
                return Err(DrillError::Unreachable { target: "the load of a key".into(), error });
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Every client asks for `key` at once.
    pub(crate) async fn herd(&self, clients: Vec<Client>, key: &Key) -> Vec<Answered> {
        let asking = clients.into_iter().map(|mut client| async move {
            let begun = Instant::now();
            let answer = get(&mut client, key).await;
            Answered { answer, took: begun.elapsed() }
        });
        join_all(asking).await
    }

    /// What one server answers for each of these keys, one after the other in one pipeline.
    pub(crate) async fn read(&self, server: usize, keys: &[Key]) -> Result<Vec<Answer>, DrillError> {
        let mut client = self.connect(server).await?;
        let commands: Vec<[&str; 2]> = keys.iter().map(|key| ["GET", key.name.as_str()]).collect();
        let mut answers = Vec::with_capacity(keys.len());
        // A server reads no further than a thousand commands ahead.
        for (some, commands) in keys.chunks(PIPELINE).zip(commands.chunks(PIPELINE)) {
            let words: Vec<&[&str]> = commands.iter().map(|words| words.as_slice()).collect();
            let target = |error| DrillError::Unreachable { target: format!("server {server}"), error };
            client.send(&words).await.map_err(target)?;
            for key in some {
                answers.push(Answer::of(client.read().await, key));
            }
        }
        Ok(answers)
    }

    /// Keys of which a server gives something else than this version.
    pub(crate) async fn not_at(&self, server: usize, keys: &[Key], version: u64) -> Result<u64, DrillError> {
        let answers = self.read(server, keys).await?;
        Ok(answers.iter().filter(|answer| answer.version() != Some(version)).count() as u64)
    }

    /// Writes a version of each row, and removes the keys through a server; returns when all is acknowledged.
    pub(crate) async fn overwrite(&self, server: usize, keys: &[Key], version: u64) -> Result<(), DrillError> {
        keys.iter().for_each(|key| self.write(key, version));
        let mut client = self.connect(server).await?;
        for some in keys.chunks(PIPELINE) {
            let words: Vec<&str> = ["DEL"].into_iter().chain(some.iter().map(|key| key.name.as_str())).collect();
            let target = |error| DrillError::Unreachable { target: format!("server {server}"), error };
            let reply = client.call(&words).await.map_err(target)?;
            if let Some(text) = reply.as_error() {
                let answer = String::from_utf8_lossy(text).into_owned();
                return Err(target(ClientError::Refused { command: "DEL", answer }));
            }
        }
        Ok(())
    }

    /// Does something to the engine that takes its time.
    pub(crate) async fn with_engine<T: Send + 'static>(
        &self,
        action: impl FnOnce(&Engine) -> Result<T, ServerError> + Send + 'static,
    ) -> Result<T, DrillError> {
        let engine = Arc::clone(&self.engine);
        blocking(move || action(&engine)).await
    }
}

/// Keys that the origin names.
const KNOWN: u64 = 100;

/// The keys that the origin names of a run's `Known`.
pub(crate) fn known(run: &str) -> Vec<Key> {
    (0..KNOWN).map(|id| Key::new(Space::Known.name(), run, id)).collect()
}

/// Commands sent before their replies are read.
const PIPELINE: usize = 100;

/// How often a command that reads was called, by a line of Redis's own counts.
fn read_calls(line: &str) -> Option<u64> {
    let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
    let reads = ["get", "mget", "getrange"].contains(&name);
    rest.split(',').next()?.parse().ok().filter(|_| reads)
}

/// One `GET`.
pub(crate) async fn get(client: &mut Client, key: &Key) -> Answer {
    Answer::of(client.call(&["GET", &key.name]).await, key)
}
