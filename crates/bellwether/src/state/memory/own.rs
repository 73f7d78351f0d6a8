//! Which references to hot entries are this thread's own? Found without a lock: no other thread can see them.
//!
//! They hold nothing: what they lead to is held by the cache's table of the thread ([`Copies`](super::copies::Copies)),
//! which lets go of it in time, whatever the thread does.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use bellwether_core::fence::Fence;
use bellwether_core::time::Tick;

use super::slot::are_same;
use crate::entry::{Entry, Resident};
use crate::key::KeyRef;

/// A thread's way to its reference to a hot entry.
pub(super) struct Own {
    /// The cache it belongs to. While this is kept, no other cache can be mistaken for it.
    cache: Weak<()>,
    key: Box<[u8]>,
    space: u32,
    copy: Weak<Entry>,
    /// The entry's.
    fence: Fence,
    pub(super) terms: Terms,
}

/// As long as these hold, a reference is good.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    /// The mark of its key.
    pub(super) mark: u64,
    /// The generation of tags.
    pub(super) tags: u64,
    pub(super) until: Tick,
    /// Uses before the store is asked again.
    pub(super) left: u32,
}

thread_local! {
    /// By place, of all caches of the process: the last one that wanted it.
    static OWN: RefCell<Vec<Option<Own>>> = const { RefCell::new(Vec::new()) };
}

/// What the thread has at `place`. `None` also where it is in use right now, or the thread ends.
#[inline]
pub(super) fn at<T>(place: usize, found: impl FnOnce(&mut Own) -> Option<T>) -> Option<T> {
    OWN.try_with(|own| found(own.try_borrow_mut().ok()?.get_mut(place)?.as_mut()?)).ok()?
}

/// From now on the thread has a way to `copy` there, one of `places`.
pub(super) fn put(place: usize, places: usize, cache: &Arc<()>, key: &KeyRef<'_>, copy: &Resident, terms: Terms) {
    let renewed = at(place, |own| {
        let same = own.is_of(cache, key) && std::ptr::addr_eq(own.copy.as_ptr(), Arc::as_ptr(copy));
        same.then(|| own.terms = terms)
    });
    if renewed.is_some() {
        return;
    }
    let own = Own {
        cache: Arc::downgrade(cache),
        key: key.bytes.into(),
        space: key.space,
        copy: Arc::downgrade(copy),
        fence: copy.fence(),
        terms,
    };
    // A thread that ends has no use for it.
    let _ = OWN.try_with(|all| {
        let Ok(mut all) = all.try_borrow_mut() else { return };
        if all.is_empty() {
            all.resize_with(places, || None);
        }
        if let Some(held) = all.get_mut(place) {
            *held = Some(own);
        }
    });
}

impl Own {
    #[inline]
    pub(super) fn is_of(&self, cache: &Arc<()>, key: &KeyRef<'_>) -> bool {
        std::ptr::eq(self.cache.as_ptr(), Arc::as_ptr(cache))
            && self.space == key.space
            && are_same(&self.key, key.bytes)
    }

    /// What it leads to, if that is newer than `floor` and the cache still holds it.
    #[inline]
    pub(super) fn copy(&self, floor: Fence) -> Option<Resident> {
        if self.fence > floor { self.copy.upgrade() } else { None }
    }
}
