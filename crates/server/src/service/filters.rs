//! How are filters made anew? From all keys of its origin, row by row, in the background class, one space after another.

use std::sync::Arc;
use std::time::Duration;

use bellwether_core::filter::rebuild::{Reason, due};
use parking_lot::Mutex;

use super::Service;
use super::filter::{Age, Base, Filter, Filtered, MOST_KEYS, Trouble};
use super::served::Served;

/// Whether one is due is asked so often.
const LOOKS: Duration = Duration::from_millis(200);

/// Hashes of keys, as far as the list came.
#[derive(Default)]
struct List {
    hashes: Vec<u64>,
    too_many: bool,
}

impl Service {
    /// Keeps the filters of all spaces, for as long as the runtime lives that runs it.
    pub(super) async fn keep_filters(&self) {
        loop {
            let serving = self.serving_on();
            for served in &serving.spaces {
                let Some(filtered) = &served.filtered else { continue };
                let standing = filtered.filter.standing(self.0.fleet.is_some(), self.now());
                if let Some(reason) = due(&standing, filtered.config.rebuild) {
                    self.build_filter(served, filtered, reason).await;
                }
            }
            drop(serving);
            tokio::time::sleep(LOOKS).await;
        }
    }

    async fn build_filter(&self, served: &Served, filtered: &Filtered, reason: Reason) {
        let filter = &filtered.filter;
        let began = self.now();
        filter.begin(began);
        // Before a row is read: whatever was invalidated by then is in the list, if it exists.
        let age = Age { began, since: served.space.since() };
        let built = match list(served, filter).await {
            Ok(hashes) => match self.0.loads.spawn_blocking(move || Base::of(hashes)).await {
                Ok(base) => base.map(|base| (base, age)).map_err(|words| Trouble::Failed(words.to_owned())),
                Err(_) => Err(Trouble::Failed("the process ends, or making the filter panicked".to_owned())),
            },
            Err(trouble) => Err(trouble),
        };
        let before = filter.trouble();
        tell(
            &served.name,
            reason,
            before.as_ref(),
            built.as_ref().map(|(base, _)| base.keys()),
            self.now().since(began),
        );
        filter.end(built, self.now());
    }
}

/// Once when it begins to fail, and once when it no longer does.
fn tell(space: &str, reason: Reason, before: Option<&Trouble>, built: Result<u64, &Trouble>, took: bellwether::Span) {
    let reason = reason.as_str();
    match (built, before) {
        (Ok(keys), None) => {
            tracing::debug!(space, reason, keys, took_ms = took.0, "the filter of existing keys is made")
        }
        (Ok(keys), Some(_)) => tracing::info!(space, keys, "the filter of existing keys can be made again"),
        (Err(Trouble::TooMany), before) if before != Some(&Trouble::TooMany) => tracing::warn!(
            space,
            most = MOST_KEYS,
            "too many keys for a filter: this space goes without; put a LIMIT into `keys`, or remove `filter`"
        ),
        (Err(Trouble::Failed(error)), before) if !matches!(before, Some(Trouble::Failed(_))) => {
            tracing::warn!(
                space,
                error,
                "the filter of existing keys can't be made: the last one, if there was one, ages"
            );
        }
        (Err(_), _) => {}
    }
}

/// The hashes of all keys that the origin names.
async fn list(served: &Served, filter: &Arc<Filter>) -> Result<Vec<u64>, Trouble> {
    let keys = served.origin.as_ref().and_then(|source| source.keys.clone());
    let keys = keys.ok_or_else(|| Trouble::Failed("the space has no `keys`".to_owned()))?;
    let list = Arc::new(Mutex::new(List::default()));
    let (filling, template, of) = (list.clone(), served.template.clone(), filter.clone());
    let sink = Box::new(move |captures: Vec<String>| {
        // What is no key of the space is never asked for.
        let Some(key) = template.fill(&captures) else { return true };
        let mut list = filling.lock();
        list.too_many = list.hashes.len() >= MOST_KEYS;
        if !list.too_many {
            list.hashes.push(of.hash(&key));
        }
        !list.too_many
    });
    match served.space.guarded(keys.each(sink)).await {
        Ok(Ok(())) => {
            let list = std::mem::take(&mut *list.lock());
            if list.too_many { Err(Trouble::TooMany) } else { Ok(list.hashes) }
        }
        Ok(Err(error)) => Err(Trouble::Failed(format!("{error} (after {} keys)", list.lock().hashes.len()))),
        Err(error) => Err(Trouble::Failed(format!("the origin's guard: {error}"))),
    }
}
