//! What does a hit need of the configuration at work? Templates and spaces, without a word to other threads.
//!
//! Taking a share of the whole configuration costs two locked instructions; on a path of a few hundred
//! nanoseconds they show. So each thread keeps its own share of the little that a hit needs, for as
//! long as one atomic load says that it is the current one. A thread that idles keeps an old share
//! alive: nothing hangs on it but counters.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bellwether::Space;
use bellwether_adapters::Payload;
use bellwether_core::key::MAX_KEY_BYTES;
use bellwether_core::template::{Template, place};

use super::served::Served;

/// The spaces, as far as a hit looks at them, in the order in which they are tried.
pub(super) struct Front(Vec<Facade>);

pub(super) struct Facade {
    template: Template,
    pub(super) space: Space<[u8], Payload>,
    /// As in [`Served`].
    pub(super) generation: Box<[u8]>,
}

impl Front {
    pub(super) fn of(spaces: &[Served]) -> Front {
        let facade = |served: &Served| Facade {
            template: served.template.clone(),
            space: served.space.clone(),
            generation: served.generation.clone(),
        };
        Front(spaces.iter().map(facade).collect())
    }

    pub(super) fn space(&self, key: &[u8]) -> Option<&Facade> {
        if key.len() > MAX_KEY_BYTES {
            return None;
        }
        self.0.get(place(self.0.iter().map(|facade| &facade.template), key)?)
    }
}

thread_local! {
    static OWN: RefCell<Option<Arc<Front>>> = const { RefCell::new(None) };
}

/// Which front is the current one: its address, which no other has while somebody keeps it.
pub(super) struct Current(AtomicUsize);

/// No front has this address.
const CHANGING: usize = 0;

fn address(front: &Arc<Front>) -> usize {
    Arc::as_ptr(front).addr()
}

impl Current {
    pub(super) fn new(front: &Arc<Front>) -> Current {
        Current(AtomicUsize::new(address(front)))
    }

    /// Changes to `front` by `change`. From before the change until after it no thread trusts its
    /// own share: who has seen anything of the new configuration must not be answered by the old.
    pub(super) fn change(&self, front: &Arc<Front>, change: impl FnOnce()) {
        self.0.store(CHANGING, Ordering::SeqCst);
        change();
        self.0.store(address(front), Ordering::SeqCst);
    }

    /// Runs `look` with the current front: this thread's share of it, or else what `load` gives.
    #[inline]
    pub(super) fn with<R>(&self, load: impl FnOnce() -> Arc<Front>, look: impl FnOnce(&Front) -> R) -> R {
        OWN.with_borrow_mut(|own| {
            let current = self.0.load(Ordering::Acquire);
            let front = match own {
                Some(front) if address(front) == current => front,
                outdated => outdated.insert(load()),
            };
            look(front)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_takes_a_new_share_once_after_a_change_and_always_while_it_lasts() {
        let (one, two) = (Arc::new(Front(Vec::new())), Arc::new(Front(Vec::new())));
        let current = Current::new(&one);
        let mut loads = 0;
        let mut seen = |current: &Current, now: &Arc<Front>| {
            let load = || {
                loads += 1;
                now.clone()
            };
            current.with(load, |front| assert!(std::ptr::eq(front, &**now)));
            loads
        };
        assert_eq!((seen(&current, &one), seen(&current, &one)), (1, 1));
        current
            .change(&two, || assert_eq!((seen(&current, &one), seen(&current, &two)), (2, 3), "no share is trusted"));
        assert_eq!((seen(&current, &two), seen(&current, &two)), (3, 3));
        // Another service on the same thread has another front.
        let other = Current::new(&one);
        assert_eq!((seen(&other, &one), seen(&current, &two)), (4, 5));
    }
}
