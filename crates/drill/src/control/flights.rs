//! How do callers share a load so that it goes wrong? It is run by the first of them, and dies with it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::control::upstream::Loaded;

type Watched = watch::Receiver<Option<Loaded>>;

/// Loads under way.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<String, Watched>>);

impl Flights {
    /// The outcome of the load that runs under `id`, or of `load` if none does.
    pub(super) async fn join(&self, id: &str, load: impl Future<Output = Loaded>) -> Loaded {
        let (sender, receiver) = watch::channel(None);
        let running = {
            let mut flights = self.lock();
            let running = flights.get(id).cloned();
            if running.is_none() {
                flights.insert(id.to_owned(), receiver);
            }
            running
        };
        if let Some(mut running) = running {
            return match running.wait_for(Option::is_some).await {
                Ok(outcome) => outcome.clone().unwrap_or(Ok(None)),
                Err(_) => Err("the leader went away".into()),
            };
        }
        let _leading = Leading { flights: self, id };
        let outcome = load.await;
        sender.send_replace(Some(outcome.clone()));
        outcome
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Watched>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Leading<'a> {
    flights: &'a Flights,
    id: &'a str,
}

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        self.flights.lock().remove(self.id);
    }
}
