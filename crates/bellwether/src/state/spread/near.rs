//! Which keys may replicas answer for, and which of their answers are taken? None that is older than what was seen of the
//! key: a replica lags, and what this process was told since, or has read, must not come back.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bellwether_core::fence::Fence;
use bellwether_core::time::Span;
use parking_lot::{Mutex, RwLock};

use crate::shared::{Envelope, Found, Split};

/// Keys that replicas answer for at once; for more they don't.
const MOST_NEAR: usize = 256;

/// All of them.
#[derive(Default)]
pub(super) struct Nearby {
    /// Whether there is any.
    any: AtomicBool,
    /// By names in the tier; at most [`MOST_NEAR`].
    table: RwLock<HashMap<Box<[u8]>, Arc<Near>>>,
}

/// One of them.
pub(super) struct Near {
    /// No replica is asked that lags by more.
    pub(super) lag: Span,
    /// The newest fence of the tier that is known of the key.
    newest: AtomicU64,
    /// When something was heard of the key by no fence, unless its fence was heard of since.
    unsure: Mutex<Option<Instant>>,
    /// Answers of replicas that were taken, since somebody asked.
    taken: AtomicU64,
}

impl Nearby {
    /// Replicas answer for `key` that lag by no more than `lag`; `None`: not any more.
    pub(super) fn set(&self, key: &[u8], lag: Option<Span>) {
        let mut table = self.table.write();
        match (table.get(key), lag) {
            (_, None) => drop(table.remove(key)),
            (Some(near), Some(lag)) if near.lag == lag => return,
            (None, Some(_)) if table.len() >= MOST_NEAR => return,
            (before, Some(lag)) => {
                let newest = before.map_or(0, |near| near.newest.load(Ordering::SeqCst));
                let unsure = before.and_then(|near| *near.unsure.lock());
                let near =
                    Near { lag, newest: AtomicU64::new(newest), unsure: Mutex::new(unsure), taken: AtomicU64::new(0) };
                table.insert(key.into(), Arc::new(near));
            }
        }
        self.any.store(!table.is_empty(), Ordering::Release);
    }

    /// Whether replicas answer for any key.
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    pub(super) fn of(&self, key: &[u8]) -> Option<Arc<Near>> {
        if !self.any() {
            return None;
        }
        self.table.read().get(key).cloned()
    }

    /// The tier has raised the key to this fence, or holds something of it.
    pub(super) fn raise(&self, key: &[u8], fence: Fence) {
        if let Some(near) = self.of(key) {
            near.newest.fetch_max(fence.0, Ordering::SeqCst);
        }
    }

    /// Another process invalidated the key or wrote it, and says by what fence, or not yet: it tells so first, then the
    /// tier, then the fence.
    pub(super) fn hear(&self, key: &[u8], fence: Option<Fence>) {
        let Some(near) = self.of(key) else { return };
        match fence {
            Some(fence) => {
                near.newest.fetch_max(fence.0, Ordering::SeqCst);
                *near.unsure.lock() = None;
            }
            None => *near.unsure.lock() = Some(Instant::now()),
        }
    }
}

impl Near {
    /// Whether a replica is asked at all. Where the fence of what was heard is never told, because who was about to tell
    /// it is gone, one that lags by no more than it may holds by then what there was to be told.
    pub(super) fn is_sure(&self) -> bool {
        self.unsure.lock().is_none_or(|heard| heard.elapsed() > Duration::from(self.lag))
    }

    /// Whether what a replica answered is taken: a fresh entry, not older than what is known of the key.
    pub(super) fn takes(&self, found: &Found) -> bool {
        let Found::Entry { envelope, .. } = found else { return false };
        let fence = fence_of(envelope).0;
        let known = self.is_sure() && fence >= self.newest.load(Ordering::SeqCst);
        let taken = envelope.fresh_ms > 0 && !envelope.invalidated && known;
        if taken {
            self.newest.fetch_max(fence, Ordering::SeqCst);
            self.taken.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// What the key's own node answered.
    pub(super) fn learn(&self, found: &Found) {
        if let Found::Entry { envelope, .. } = found {
            self.newest.fetch_max(fence_of(envelope).0, Ordering::SeqCst);
        }
    }

    /// Answers of replicas that were taken since this was asked last.
    pub(super) fn take_taken(&self) -> u64 {
        self.taken.swap(0, Ordering::Relaxed)
    }
}

/// The fence of the value, of which this may be a copy.
fn fence_of(envelope: &Envelope) -> Fence {
    if let Split::Copy(copied) = envelope.split { copied.fence } else { envelope.fence }
}

#[cfg(test)]
mod tests {
    use bellwether_core::entry::Kind;

    use super::*;
    use crate::shared::Copied;

    fn found(fence: u64, fresh_ms: u64) -> Found {
        let envelope = Envelope {
            fence: Fence(fence),
            fresh_ms,
            swr_ms: 1_000,
            hard_ms: 1_000,
            cost_ms: 1,
            ..Envelope::of(Kind::Value, "v")
        };
        Found::Entry { envelope, lease: None }
    }

    #[test]
    fn what_a_replica_answers_is_taken_unless_something_newer_is_known_of_the_key() {
        let nearby = Nearby::default();
        assert!(nearby.of(b"k").is_none() && !nearby.any());
        nearby.set(b"k", Some(Span::ms(500)));
        let near = nearby.of(b"k").expect("set");
        assert!(near.takes(&found(5, 10)) && near.takes(&found(6, 10)));
        assert!(!near.takes(&found(5, 10)), "another replica, which lags behind the first");
        assert!(!near.takes(&found(7, 0)), "stale: the key's node knows better");
        assert!(!near.takes(&Found::Nothing { lease: None }));
        nearby.raise(b"k", Fence(9));
        assert!(!near.takes(&found(8, 10)), "removed under 9");
        near.learn(&found(12, 10));
        assert!(!near.takes(&found(11, 10)) && near.takes(&found(12, 10)));
        assert_eq!((near.take_taken(), near.take_taken()), (3, 0));
        nearby.set(b"k", Some(Span::ms(200)));
        assert!(!nearby.of(b"k").expect("set").takes(&found(11, 10)), "what is known stays known");
        nearby.set(b"k", None);
        assert!(nearby.of(b"k").is_none() && !nearby.any());
    }

    #[test]
    fn what_is_heard_by_no_fence_silences_replicas_until_its_fence_is_heard_or_they_must_have_it() {
        let nearby = Nearby::default();
        nearby.set(b"k", Some(Span::secs(3600)));
        let near = || nearby.of(b"k").expect("set");
        nearby.hear(b"k", None);
        assert!(!near().is_sure() && !near().takes(&found(5, 10)), "the tier may hold something newer");
        nearby.set(b"k", Some(Span::secs(1800)));
        assert!(!near().takes(&found(5, 10)), "also under another bound");
        nearby.hear(b"k", Some(Fence(7)));
        assert!(near().is_sure() && !near().takes(&found(6, 10)) && near().takes(&found(7, 10)));
        nearby.hear(b"k", None);
        nearby.set(b"k", Some(Span::ms(5)));
        std::thread::sleep(Duration::from_millis(6));
        assert!(near().takes(&found(7, 10)), "who lags by less than that holds it");
    }

    #[test]
    fn a_copy_is_as_old_as_the_value_it_was_made_of() {
        let nearby = Nearby::default();
        nearby.set(b"k", Some(Span::ms(500)));
        nearby.raise(b"k", Fence(9));
        let copy = |of: u64| {
            let Found::Entry { envelope, lease } = found(1_000, 10) else { unreachable!() };
            let copied = Copied { fence: Fence(of), fresh_ms: 10, swr_ms: 0, hard_ms: 0, life_ms: 10 };
            Found::Entry { envelope: Envelope { split: Split::Copy(copied), ..envelope }, lease }
        };
        let near = nearby.of(b"k").expect("set");
        assert!(!near.takes(&copy(8)) && near.takes(&copy(9)));
    }

    #[test]
    fn so_many_keys_and_no_more() {
        let nearby = Nearby::default();
        (0..1_000u32).for_each(|n| nearby.set(&n.to_be_bytes(), Some(Span::ms(500))));
        assert_eq!((0..1_000u32).filter(|n| nearby.of(&n.to_be_bytes()).is_some()).count(), MOST_NEAR);
    }
}
