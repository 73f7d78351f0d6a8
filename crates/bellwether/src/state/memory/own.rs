//! Which references to entries are this thread's own? Found without a lock: no other thread can see them.
//!
//! They hold nothing: what they lead to is held by the cache's table of the thread ([`References`](super::references::References)),
//! which lets go of it in time, whatever the thread does.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use bellwether_core::heat::meet::{Rival, WAYS};
use bellwether_core::time::Tick;

use super::slot::are_same;
use crate::entry::{Entry, Resident};
use crate::key::KeyRef;

/// References that a thread may have, of all caches of the process.
pub(super) const PLACES: usize = 2_048;
/// A key may have one of the [`WAYS`] places of its set.
const SETS: usize = PLACES / WAYS;
/// Lookups of other keys after which a thread throws away what has ended.
const TIDY: u32 = 1 << 16;

/// A thread's way to its reference: a line of the processor's caches.
#[repr(align(64))]
struct Own {
    /// The cache it belongs to. While this is kept, no other cache can be mistaken for it.
    cache: Weak<()>,
    key: Box<[u8]>,
    twin: Weak<Entry>,
    space: u32,
    /// Uses before the store is asked again.
    left: u32,
    /// The mark of its key.
    mark: u64,
    until: Tick,
}
const _: () = assert!(size_of::<Option<Own>>() == 64);

/// As long as these hold, a reference is good.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    /// The mark of its key.
    pub(super) mark: u64,
    pub(super) until: Tick,
    /// Uses before the store is asked again.
    pub(super) left: u32,
}

/// What a thread has of a key.
pub(crate) enum Seen {
    Nothing,
    /// A reference there that may not be used any more: the store is to be asked.
    Ended(Spot),
    Good(Resident),
}

/// Where a reference is to be put down.
#[derive(Clone, Copy)]
pub(crate) struct Spot {
    pub(super) place: usize,
    /// In place of one to the same key.
    pub(super) renews: bool,
}

impl Spot {
    fn first(place: usize) -> Spot {
        Spot { place, renews: false }
    }
}

/// All that a thread has. Empty until it meets another.
struct Table {
    /// Of each place a part of its key's hash, zero where there is none: what is not here is told by four bytes.
    tags: Vec<[u16; WAYS]>,
    places: Vec<Option<Own>>,
    rivals: Vec<Rival>,
    taken: usize,
    /// Lookups of what is not here, since it was tidied.
    missed: u32,
}

thread_local! {
    static OWN: RefCell<Table> = const {
        RefCell::new(Table { tags: Vec::new(), places: Vec::new(), rivals: Vec::new(), taken: 0, missed: 0 })
    };
    /// Whether there is anything in `OWN`, for the price of one load: it needs neither a start nor an end.
    static ANY: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread has any references: asked for every hit.
#[inline(always)]
pub(crate) fn any() -> bool {
    ANY.get()
}

/// Whether this thread may have one to the key with this hash.
pub(crate) fn may_have(hash: u64, at: Tick) -> bool {
    any() && with(|all| all.way(hash).map_or_else(|| all.miss(at), |_| Some(()))).is_some()
}

/// What this thread has of `key`, whose mark is this.
#[inline]
pub(super) fn look(cache: &Arc<()>, key: &KeyRef<'_>, mark: &AtomicU64, at: Tick) -> Seen {
    with(|all| all.look(cache, key, mark, at)).unwrap_or(Seen::Nothing)
}

/// This thread met another at `key`, which it has no reference to: the place for one, if it is to have one.
pub(super) fn met(key: &KeyRef<'_>, now: Tick) -> Option<Spot> {
    with(|all| {
        if all.rivals.is_empty() {
            all.rivals.resize(SETS, Rival::default());
        }
        let set = set(key.hash);
        let held = |way: usize| all.places.get(set * WAYS + way)?.as_ref();
        let used = |way: usize| held(way).map(|own| own.twin.upgrade().map_or(0, |twin| twin.hits()));
        let way = all.rivals.get_mut(set)?.met((key.hash >> 32) as u32, || std::array::from_fn(used), now)?;
        Some(Spot::first(set * WAYS + way))
    })
}

/// A place for the key with this hash whoever has it: the one that it has, a free one, or the first.
pub(super) fn spot(hash: u64) -> Spot {
    let free = |all: &mut Table| all.way(hash).or_else(|| all.tags.get(set(hash))?.iter().position(|tag| *tag == 0));
    Spot::first(set(hash) * WAYS + with(free).unwrap_or_default())
}

/// From now on the thread has a way to `twin` at `place`.
pub(super) fn put(place: usize, cache: &Arc<()>, key: &KeyRef<'_>, twin: &Resident, terms: Terms) {
    let Terms { mark, until, left } = terms;
    with(|all| {
        if all.places.is_empty() {
            all.places.resize_with(PLACES, || None);
            all.tags.resize(SETS, [0; WAYS]);
        }
        let held = all.places.get_mut(place)?;
        match held {
            Some(own) if own.is_of(cache, key) && std::ptr::addr_eq(own.twin.as_ptr(), Arc::as_ptr(twin)) => {
                (own.mark, own.until, own.left) = (mark, until, left);
            }
            _ => {
                all.taken += usize::from(held.is_none());
                let (cache, twin) = (Arc::downgrade(cache), Arc::downgrade(twin));
                *held = Some(Own { cache, key: key.bytes.into(), twin, space: key.space, left, mark, until });
                ANY.set(true);
                // One that has the same tag would be found in its place.
                if let Some(other) = all.way(key.hash).map(|way| set(key.hash) * WAYS + way).filter(|at| *at != place) {
                    all.let_go(other);
                }
                *all.tags.get_mut(place / WAYS)?.get_mut(place % WAYS)? = tag(key.hash);
            }
        }
        Some(())
    });
}

/// The thread has no reference there any more.
pub(super) fn let_go(place: usize) {
    with(|all| all.let_go(place));
}

/// `None` also where the table is in use right now, or the thread ends.
#[inline]
fn with<T>(what: impl FnOnce(&mut Table) -> Option<T>) -> Option<T> {
    OWN.try_with(|own| what(&mut *own.try_borrow_mut().ok()?)).ok()?
}

#[inline]
fn set(hash: u64) -> usize {
    (hash >> 48) as usize % SETS
}

/// Other bits than those by which keys have their sets; never zero.
#[inline]
fn tag(hash: u64) -> u16 {
    (hash >> 16) as u16 | 1
}

impl Table {
    /// Which of the places of its set is the key's, as far as its tag tells.
    #[inline]
    fn way(&self, hash: u64) -> Option<usize> {
        let ([one, other], tag) = (*self.tags.get(set(hash))?, tag(hash));
        // Not one after the other: which of them it is nobody can guess.
        ((one == tag) | (other == tag)).then(|| usize::from(one != tag))
    }

    #[inline]
    fn look(&mut self, cache: &Arc<()>, key: &KeyRef<'_>, mark: &AtomicU64, at: Tick) -> Option<Seen> {
        let Some(way) = self.way(key.hash) else { return self.miss(at) };
        let place = set(key.hash) * WAYS + way;
        let own = self.places.get_mut(place)?.as_mut()?;
        if !own.is_of(cache, key) {
            return None;
        }
        let good = own.mark == mark.load(Ordering::SeqCst) && at < own.until && own.left > 0;
        match if good { own.twin.upgrade() } else { None } {
            Some(twin) => {
                own.left -= 1;
                Some(Seen::Good(twin))
            }
            None => Some(Seen::Ended(Spot { place, renews: true })),
        }
    }

    /// What was looked for is not here.
    #[inline]
    fn miss<T>(&mut self, at: Tick) -> Option<T> {
        self.missed += 1;
        if self.missed >= TIDY {
            self.tidy(at);
        }
        None
    }

    /// Throws away what has ended: of keys that are not asked for any more.
    #[cold]
    fn tidy(&mut self, at: Tick) {
        self.missed = 0;
        for place in 0..self.places.len() {
            let ended = self.places.get(place).and_then(Option::as_ref).is_some_and(|own| own.until <= at);
            if ended {
                self.let_go(place);
            }
        }
    }

    fn let_go(&mut self, place: usize) -> Option<()> {
        drop(self.places.get_mut(place)?.take()?);
        *self.tags.get_mut(place / WAYS)?.get_mut(place % WAYS)? = 0;
        self.taken -= 1;
        ANY.set(self.taken > 0);
        Some(())
    }
}

impl Own {
    #[inline]
    fn is_of(&self, cache: &Arc<()>, key: &KeyRef<'_>) -> bool {
        std::ptr::eq(self.cache.as_ptr(), Arc::as_ptr(cache))
            && self.space == key.space
            && are_same(&self.key, key.bytes)
    }
}
