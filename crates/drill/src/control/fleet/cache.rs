//! How does a fleet get it wrong, each process for itself?

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::control::flaw::FleetFlaw;
use crate::control::fleet::store::{Nodes, Store};
use crate::control::flights::Flights;
use crate::control::serve::ReadThrough;
use crate::control::upstream::{Loaded, Upstream};
use crate::incidents::space::Space;
use crate::key::Key;

/// How long a lock is held at most: longer than any load that anybody thought of.
const LOCK: Duration = Duration::from_secs(1);
/// Between two looks at a value that somebody else loads.
const POLL: Duration = Duration::from_millis(50);
/// Nobody polls longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Copies that are kept; a drill has far fewer keys.
const MAX_COPIES: usize = 10_000;

/// One process.
pub(super) struct Cache(pub(super) Arc<Shared>);

/// What its loads share.
pub(super) struct Shared {
    flaw: FleetFlaw,
    store: Store,
    upstream: Upstream,
    flights: Flights,
    copies: Mutex<HashMap<String, (Instant, Vec<u8>)>>,
}

impl ReadThrough for Cache {
    async fn get(&self, name: &str) -> Loaded {
        if let Some(copy) = self.0.copy(name) {
            return Ok(Some(copy));
        }
        let (shared, name) = (Arc::clone(&self.0), name.to_owned());
        // By itself: a caller that leaves ends no load.
        let loading = tokio::spawn(async move { shared.flights.join(&name, shared.find(&name)).await });
        loading.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    async fn remove(&self, name: &str) -> bool {
        self.0.copies().remove(name);
        self.0.store.remove(name).await.is_ok()
    }
}

impl Shared {
    pub(super) fn new(flaw: FleetFlaw, origin: SocketAddr, nodes: Nodes) -> Shared {
        let (store, upstream) = (Store::new(nodes), Upstream::new(origin, false));
        Shared { flaw, store, upstream, flights: Flights::default(), copies: Mutex::default() }
    }

    async fn find(&self, name: &str) -> Loaded {
        let Some((space, key)) = Key::parse(name).and_then(|(space, key)| Some((Space::named(space)?, key))) else {
            return Ok(None);
        };
        let found = match self.flaw {
            FleetFlaw::Lock => self.locked(&key, space).await,
            FleetFlaw::Alone => self.upstream.get(&key.path).await,
            FleetFlaw::Coalescing | FleetFlaw::Local | FleetFlaw::Modulo => match self.store.get(name).await {
                Ok(Some(value)) => Ok(Some(value)),
                Ok(None) => self.load(&key, space).await,
                // The engine is a cache, not more: without it the origin is asked.
                Err(_) => self.upstream.get(&key.path).await,
            },
        };
        if let (FleetFlaw::Local | FleetFlaw::Alone, Ok(Some(value))) = (self.flaw, &found) {
            self.keep(name, value, space.ttl());
        }
        found
    }

    async fn locked(&self, key: &Key, space: Space) -> Loaded {
        let (lock, begun) = (format!("lock:{}", key.name), Instant::now());
        while begun.elapsed() < PATIENCE {
            match self.store.get(&key.name).await {
                Ok(Some(value)) => return Ok(Some(value)),
                Ok(None) => {}
                Err(_) => return self.upstream.get(&key.path).await,
            }
            match self.store.lock(&lock, LOCK).await {
                Ok(true) => {
                    let loaded = self.load(key, space).await;
                    // If it fails the lock goes with its time.
                    let _ = self.store.remove(&lock).await;
                    return loaded;
                }
                Ok(false) => sleep(POLL).await,
                Err(_) => return self.upstream.get(&key.path).await,
            }
        }
        Err("somebody else loads it".into())
    }

    async fn load(&self, key: &Key, space: Space) -> Loaded {
        let loaded = self.upstream.get(&key.path).await;
        if let Ok(Some(value)) = &loaded {
            // A cache that can't be written is no reason not to answer.
            let _ = self.store.set(&key.name, value, space.ttl()).await;
        }
        loaded
    }

    fn copy(&self, name: &str) -> Option<Vec<u8>> {
        let copies = self.copies();
        copies.get(name).filter(|(until, _)| Instant::now() < *until).map(|(_, value)| value.clone())
    }

    fn keep(&self, name: &str, value: &[u8], ttl: Duration) {
        let mut copies = self.copies();
        if copies.len() < MAX_COPIES {
            copies.insert(name.to_owned(), (Instant::now() + ttl, value.to_vec()));
        }
    }

    fn copies(&self) -> MutexGuard<'_, HashMap<String, (Instant, Vec<u8>)>> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
