//! How are keys loaded that nobody asks for yet? In the guard's background class, and again where it turned them away.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bellwether::{Priority, Span, Tick, Why};
use bytes::Bytes;

use super::Service;
use super::outcome::{Outcome, Terms};
use super::serving::Belongs;

/// Keys that are asked for at once.
const AT_ONCE: usize = 256;
/// Between two tries of what the guard turned away: at least, and at most.
const PAUSE: (Span, Span) = (Span::ms(20), Span::ms(500));

/// What became of keys that were to be loaded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Warmed {
    /// They were loaded.
    pub(crate) loaded: u64,
    /// They were there already.
    pub(crate) present: u64,
    /// Their rows do not exist.
    pub(crate) missing: u64,
    /// Their loads failed.
    pub(crate) failed: u64,
    /// They belong to no space that loads.
    pub(crate) refused: u64,
    /// The first of them.
    pub(crate) first_refused: Option<Bytes>,
    /// The guard turned them away until the time was over: to be tried again.
    pub(crate) again: Vec<Bytes>,
    /// What the first that failed was told.
    pub(crate) first_error: Option<String>,
}

impl Service {
    /// Loads `keys` in their order, as far as the guard lets it by `until`.
    pub(crate) async fn warm(&self, keys: Vec<Bytes>, until: Tick) -> Warmed {
        let mut warmed = Warmed::default();
        let (loads, others): (Vec<Bytes>, Vec<Bytes>) = keys.into_iter().partition(|key| self.is_loaded(key));
        (warmed.refused, warmed.first_refused) = (others.len() as u64, others.into_iter().next());
        let mut chunks = loads.chunks(AT_ONCE);
        for chunk in chunks.by_ref() {
            let left = self.warm_chunk(chunk.to_vec(), until, &mut warmed).await;
            warmed.again.extend(left);
            if self.now() >= until {
                break;
            }
        }
        warmed.again.extend(chunks.flatten().cloned());
        warmed
    }

    /// Whether a fresh value is there: found without asking for it, which would make the key popular.
    fn is_fresh(&self, key: &[u8]) -> bool {
        let serving = self.serving();
        let Belongs::To(served, _) = serving.belongs(key) else { return false };
        served.space.peek(&*served.stored(key)).is_some_and(|found| !found.is_stale())
    }

    /// Whether a load could bring a value of this key.
    fn is_loaded(&self, key: &[u8]) -> bool {
        matches!(self.serving().belongs(key), Belongs::To(served, _) if served.origin.is_some())
    }

    /// Those that the guard turned away to the end.
    async fn warm_chunk(&self, keys: Vec<Bytes>, until: Tick, warmed: &mut Warmed) -> Vec<Bytes> {
        let (fresh, mut keys): (Vec<Bytes>, Vec<Bytes>) = keys.into_iter().partition(|key| self.is_fresh(key));
        warmed.present += fresh.len() as u64;
        loop {
            let terms = Terms { priority: Some(Priority::Background), ..Terms::asked(self.now()) };
            let outcomes = self.read_many(keys.clone(), terms).await;
            self.0.beginning.of_warming.fetch_add(outcomes.len() as u64, Ordering::Relaxed);
            let mut pause = PAUSE.0;
            let mut again = Vec::new();
            for (key, outcome) in keys.into_iter().zip(outcomes) {
                match outcome {
                    Outcome::Value(cached) => match cached.why() {
                        Why::Loaded | Why::Coalesced | Why::Lone => warmed.loaded += 1,
                        _ => warmed.present += 1,
                    },
                    Outcome::Missing(_) => warmed.missing += 1,
                    Outcome::Failed(failure) if is_for_now(failure.why) => {
                        pause = pause.max(failure.retry_after.unwrap_or_default());
                        again.push(key);
                    }
                    Outcome::Failed(failure) => {
                        warmed.failed += 1;
                        warmed.first_error.get_or_insert_with(|| failure.to_string());
                    }
                    Outcome::NoSpace | Outcome::KeyTooLong => warmed.refused += 1,
                }
            }
            let pause = pause.at_most(PAUSE.1);
            if again.is_empty() || self.now() + pause >= until {
                return again;
            }
            tokio::time::sleep(Duration::from_millis(pause.0)).await;
            keys = again;
        }
    }
}

/// Whether the same load may go through a moment later: it was turned away, or its caller was in a hurry.
fn is_for_now(why: Why) -> bool {
    matches!(why, Why::ShedQueue | Why::ShedRate | Why::ShedPriority | Why::BreakerOpen | Why::Timeout)
}
