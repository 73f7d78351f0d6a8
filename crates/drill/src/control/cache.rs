//! How does a cache get it wrong?

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::control::flaw::Flaw;
use crate::control::flights::Flights;
use crate::control::serve::ReadThrough;
use crate::control::upstream::{Loaded, Upstream};
use crate::key::Key;
use crate::races::space::Space;

/// Entries that are kept; a drill has far fewer keys.
const MAX_ENTRIES: usize = 10_000;

/// Values with the ends of their lives, and a way to load.
pub(super) struct Cache {
    flaw: Flaw,
    entries: Mutex<HashMap<String, (Instant, Vec<u8>)>>,
    flights: Flights,
    upstream: Upstream,
}

impl ReadThrough for Cache {
    async fn get(&self, name: &str) -> Loaded {
        self.load(name).await
    }

    async fn remove(&self, name: &str) -> bool {
        self.entries().remove(name).is_some()
    }
}

impl Cache {
    pub(super) fn new(flaw: Flaw, origin: SocketAddr) -> Cache {
        let upstream = Upstream::new(origin, flaw == Flaw::Pool);
        Cache { flaw, entries: Mutex::default(), flights: Flights::default(), upstream }
    }

    async fn load(&self, name: &str) -> Loaded {
        let parsed = Key::parse(name).and_then(|(space, key)| Some((Space::named(space)?, key)));
        let Some((space, key)) = parsed else {
            return Ok(None);
        };
        if let Some(value) = self.peek(name) {
            return Ok(Some(value));
        }
        let load = async {
            let loaded = self.upstream.get(&key.path).await;
            if let Ok(Some(value)) = &loaded {
                let mut entries = self.entries();
                if entries.len() < MAX_ENTRIES {
                    entries.insert(name.to_owned(), (Instant::now() + space.ttl(), value.clone()));
                }
            }
            loaded
        };
        match self.flaw {
            Flaw::Naive | Flaw::Pool => load.await,
            Flaw::Singleflight => self.flights.join(name.rsplit(':').next().unwrap_or(name), load).await,
        }
    }

    fn peek(&self, name: &str) -> Option<Vec<u8>> {
        let entries = self.entries();
        entries.get(name).filter(|(until, _)| Instant::now() < *until).map(|(_, value)| value.clone())
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, (Instant, Vec<u8>)>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
