//! What do all rows act with: an origin, an endpoint, keys that nobody has used, and time that ends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::sleep;

use crate::answer::Answer;
use crate::client::{Client, PATIENCE};
use crate::error::ClientError;
use crate::key::{Key, run_name};
use crate::origin::{Mode, Origin, Seen};
use crate::races::scale::Scale;
use crate::races::space::Space;
use crate::target::Target;

/// Between two looks at something that is awaited.
const PAUSE: Duration = Duration::from_millis(1);
/// Keys removed by one command when a run is over.
const CLEANING: usize = 500;

/// An origin and an endpoint that reads through to it.
pub(crate) struct Stage {
    pub(crate) origin: Origin,
    pub(crate) target: Target,
    pub(crate) scale: Scale,
    /// The run's random name: part of every key.
    run: String,
    next: AtomicU64,
}

/// A caller's answer, and when it came.
pub(crate) struct Answered {
    pub(crate) answer: Answer,
    /// What the origin had seen of the key by then.
    pub(crate) seen: Seen,
}

impl Stage {
    pub(crate) fn new(origin: Origin, target: Target, scale: Scale) -> Stage {
        Stage { origin, target, scale, run: run_name(), next: AtomicU64::new(0) }
    }

    /// A key that nobody has asked for yet; its row has version 1.
    pub(crate) fn key(&self, space: Space) -> Key {
        let key = space.key(&self.run, self.next.fetch_add(1, Ordering::Relaxed));
        self.write(&key, 1);
        key
    }

    /// The key of the same id in another space.
    pub(crate) fn twin(&self, key: &Key, space: Space) -> Key {
        let id = key.name.rsplit(':').next().and_then(|id| id.parse().ok()).unwrap_or_default();
        let twin = space.key(&self.run, id);
        self.write(&twin, 1);
        twin
    }

    /// Writes a version of a row, as a transaction at the database does.
    pub(crate) fn write(&self, key: &Key, version: u64) {
        self.origin.set(&key.path, &Answer::row(key, version));
    }

    /// The origin is well and fast again.
    pub(crate) fn calm(&self) {
        self.origin.mode(Mode::Answer);
        self.origin.delay(Duration::ZERO);
    }

    /// What the origin has seen of a key.
    pub(crate) fn seen(&self, key: &Key) -> Seen {
        self.origin.seen_of(&key.path)
    }

    /// Loads of a key so far.
    pub(crate) fn loads(&self, key: &Key) -> u64 {
        self.seen(key).requests
    }

    pub(crate) async fn connect(&self) -> Result<Client, ClientError> {
        Client::open(&self.target).await
    }

    pub(crate) async fn connect_many(&self, count: usize) -> Result<Vec<Client>, ClientError> {
        let mut clients = Vec::with_capacity(count);
        for _ in 0..count {
            clients.push(self.connect().await?);
        }
        Ok(clients)
    }

    /// Waits until the origin has seen what is asked for; an endpoint that never asks it hangs.
    pub(crate) async fn until(&self, key: &Key, seen: impl Fn(Seen) -> bool) -> Result<(), ClientError> {
        let begun = Instant::now();
        while !seen(self.seen(key)) {
            if begun.elapsed() > PATIENCE {
                return Err(ClientError::Silent(PATIENCE));
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// A client that has asked for `key`, whose load the origin has begun.
    pub(crate) async fn leader(&self, key: &Key) -> Result<Client, ClientError> {
        let loads = self.loads(key);
        let mut leader = self.connect().await?;
        leader.send(&[&["GET", &key.name]]).await?;
        self.until(key, |seen| seen.requests > loads).await?;
        Ok(leader)
    }

    /// One `GET`.
    pub(crate) async fn get(&self, client: &mut Client, key: &Key) -> Answer {
        Answer::of(client.call(&["GET", &key.name]).await, key)
    }

    /// Every client asks for `key` at once; the clients come back to be used again.
    pub(crate) async fn herd(&self, clients: Vec<Client>, key: &Key) -> (Vec<Client>, Vec<Answered>) {
        let asking = clients.into_iter().map(|mut client| async move {
            let answer = self.get(&mut client, key).await;
            (client, Answered { answer, seen: self.seen(key) })
        });
        join_all(asking).await.into_iter().unzip()
    }

    /// Removes every key of the run.
    pub(crate) async fn clean(&self) -> Result<(), ClientError> {
        let mut client = self.connect().await?;
        let used = self.next.load(Ordering::Relaxed);
        let names: Vec<String> =
            (0..used).flat_map(|id| Space::ALL.map(|space| space.key(&self.run, id).name)).collect();
        for some in names.chunks(CLEANING) {
            let words: Vec<&str> = ["DEL"].into_iter().chain(some.iter().map(String::as_str)).collect();
            client.call(&words).await?;
        }
        Ok(())
    }
}
