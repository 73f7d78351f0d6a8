//! What does Bellwether do with a key, whichever face asks? Routing, reading through, writing, leases.
//!
//! A face parses and writes; everything between is here, once: which space a key belongs to, what is
//! stored under it, how a miss becomes a load, and which outcomes never reach the cache but count.

mod describe;
mod keylist;
mod lease;
mod open;
mod outcome;
mod reach;
mod read;
mod scan;
mod served;
mod tally;
mod write;

use std::sync::Arc;

use bellwether::{Cache, Eviction, Explain, Snapshot, Tick, Why};
use bellwether_core::key::MAX_KEY_BYTES;
use bellwether_core::template::{Captures, Route, route};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::config::{Config, Memory, Problem, Secret};
use served::Served;
use tally::Tally;

pub(crate) use outcome::shown;
pub use outcome::{Failure, Grant, KEY_TOO_LONG, Outcome, Refusal, Terms, no_space};
pub use scan::Page;
pub use write::{Ends, When, WriteTerms, Written};

/// Writers of one key of a plain space come one at a time, so that `SET … NX` is atomic; keys share so many locks.
const WRITE_LOCKS: usize = 64;
/// Refreshes that clients asked for at once. What is beyond is stale all the same: its next reader starts the load.
const MOST_REFRESHES: usize = 1024;
/// The space under which requests are counted that no space matches.
const NO_SPACE: &str = "";

/// A configuration at work. Cheap to clone.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

struct Inner {
    cache: Cache,
    /// In the order in which they are tried.
    spaces: Vec<Served>,
    /// Requests that no space matches.
    tally: Tally,
    password: Option<Secret>,
    memory: Memory,
    loads: Handle,
    refreshes: Arc<Semaphore>,
    write_locks: [Mutex<()>; WRITE_LOCKS],
    hasher: std::hash::RandomState,
    /// Held by whoever walks: one at a time, or a few clients could fill every thread and all memory with lists.
    scan: Arc<tokio::sync::Mutex<keylist::Latest>>,
}

/// Where a key belongs.
enum Belongs<'a> {
    /// Here, and this is what it says.
    To(&'a Served, Captures<'a>),
    /// It would belong here, but a capture isn't of its type: no such row can exist.
    WrongType(&'a Served),
    /// No space matches.
    Nowhere,
    /// It is longer than any key.
    TooLong,
}

impl Service {
    /// Opens every origin and declares every space. Loads run on `loads`.
    ///
    /// # Errors
    /// Every origin, statement and space that can't be used, at once.
    pub async fn start(config: Config, loads: Handle) -> Result<Service, Vec<Problem>> {
        let (cache, spaces) = open::open(&config, loads.clone())?;
        Ok(Service(Arc::new(Inner {
            cache,
            spaces,
            tally: Tally::default(),
            password: config.listen.password,
            memory: config.memory,
            loads,
            refreshes: Arc::new(Semaphore::new(MOST_REFRESHES)),
            write_locks: std::array::from_fn(|_| Mutex::new(())),
            hasher: std::hash::RandomState::new(),
            scan: Arc::default(),
        })))
    }

    /// What clients must know, if anything.
    pub fn password(&self) -> Option<&Secret> {
        self.0.password.as_ref()
    }

    /// Now, by the cache's clock: for [`Terms::asked`]. A system call: once per batch of commands is enough.
    pub fn now(&self) -> Tick {
        self.0.cache.clock().now()
    }

    /// The names of all spaces, in the order in which they are tried.
    pub fn space_names(&self) -> impl Iterator<Item = &str> {
        self.0.spaces.iter().map(|served| served.name.as_str())
    }

    /// The name of the space that `key` belongs to, whether its captures have the right types or not.
    pub fn space_of(&self, key: &[u8]) -> Option<&str> {
        match route(self.0.spaces.iter().map(|served| &served.template), key) {
            Route::Space { index, .. } | Route::WrongType { index } => Some(&self.0.spaces[index].name),
            Route::Nowhere => None,
        }
    }

    /// The limit of resident bytes.
    pub fn memory_limit(&self) -> u64 {
        self.0.memory.limit
    }

    /// Who goes first when memory is full.
    pub fn eviction(&self) -> Eviction {
        self.0.memory.eviction
    }

    /// Resident entries, those included that say "no such row".
    pub fn entries(&self) -> u64 {
        self.0.cache.entries()
    }

    /// All counts at this moment. Requests that no space matches are counted under a space without a name.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.0.cache.snapshot();
        for served in &self.0.spaces {
            served.tally.add_to(&mut snapshot, &served.name);
        }
        self.0.tally.add_to(&mut snapshot, NO_SPACE);
        snapshot
    }

    /// What the cache knows of a key; `None` if it belongs to no space, or has a capture of the wrong type.
    pub fn explain(&self, key: &[u8]) -> Option<Explain> {
        match self.0.belongs(key) {
            Belongs::To(served, _) => Some(self.0.cache.explain_key(&served.space, &*served.stored(key))),
            Belongs::WrongType(_) | Belongs::Nowhere | Belongs::TooLong => None,
        }
    }

    /// Soft: whatever carries one of these tags must be loaded anew.
    pub fn tag_expire(&self, tag: &[u8]) {
        self.0.cache.expire_tag(&String::from_utf8_lossy(tag));
    }

    /// Hard: from the moment this returns, no read that begins gets a value that carries the tag.
    pub fn tag_remove(&self, tag: &[u8]) {
        self.0.cache.remove_tag(&String::from_utf8_lossy(tag));
    }
}

impl Inner {
    fn belongs<'a>(&'a self, key: &'a [u8]) -> Belongs<'a> {
        if key.len() > MAX_KEY_BYTES {
            return Belongs::TooLong;
        }
        match route(self.spaces.iter().map(|served| &served.template), key) {
            Route::Space { index, captures } => Belongs::To(&self.spaces[index], captures),
            Route::WrongType { index } => Belongs::WrongType(&self.spaces[index]),
            Route::Nowhere => Belongs::Nowhere,
        }
    }

    /// The space that `key` is written to or removed from.
    fn target<'a>(&'a self, key: &'a [u8]) -> Result<(&'a Served, Captures<'a>), Refusal> {
        match self.belongs(key) {
            Belongs::To(served, captures) => Ok((served, captures)),
            Belongs::WrongType(served) => Err(Refusal::WrongType { space: served.name.clone() }),
            Belongs::TooLong => Err(Refusal::KeyTooLong),
            Belongs::Nowhere => {
                self.tally.count(Why::NoSpace);
                Err(Refusal::NoSpace)
            }
        }
    }
}
