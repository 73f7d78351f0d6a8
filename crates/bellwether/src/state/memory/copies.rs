//! How do threads read the same hot key without fighting over one count? Each holds a reference of its own to it.
//!
//! A reference is served only while nothing has changed about its key since it was taken: whoever changes what the
//! store has of a key marks that before and after ([`Copies::changing`]), and a reader compares the mark. So a removal
//! that was acknowledged wins on every thread, and nobody sees the older value once anybody has seen the newer.
//!
//! A thread finds its reference without a lock ([`own`]); what it leads to is held here, so that it can be let go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bellwether_core::fence::Fence;
use bellwether_core::time::{Span, Tick};
use parking_lot::Mutex;

use super::own::{self, Terms};
use crate::entry::{Resident, relabelled};
use crate::key::KeyRef;
use crate::observe::counters::{self, STRIPES};

/// Keys of which threads hold references; a key has one place, by its hash.
pub(crate) const PLACES: usize = 64;
/// Marks of change: keys whose hashes begin alike share one.
const MARKS: usize = 256;
/// How many change at once is counted in the low bits of a mark; the rest counts changes.
const CHANGING: u64 = 0xFFFF;
/// After so many uses, or so long, the store is asked again: it must know that the key is in use, and what was
/// replaced must not be held for ever.
const MOST_USES: u32 = 256;
const LONGEST: Span = Span::ms(100);
/// Of an entry without tags: the generation of tags does not matter.
const UNTAGGED: u64 = u64::MAX;

/// The references of all threads, and what tells whether they are still good.
pub(crate) struct Copies {
    /// The hash of the key that has this place; zero: none.
    planned: [AtomicU64; PLACES],
    /// Keys that have a place.
    keys: AtomicUsize,
    marks: Box<[AtomicU64; MARKS]>,
    /// By thread, as its counters are: it takes the lock when it takes a reference, not when it uses one.
    tables: Box<[Table]>,
    /// By its address threads know whose reference they have.
    this: Arc<()>,
    /// Reads that references answered, by place, since somebody asked.
    served: [AtomicU64; PLACES],
    /// Of these, what the thread that had them did not tell itself.
    unseen: [AtomicU64; PLACES],
}

/// What one thread's references lead to. Empty until it has one.
#[repr(align(128))]
#[derive(Default)]
struct Table(Mutex<Vec<Option<Held>>>);

/// What a reference leads to.
struct Held {
    /// The store's own: the same one needs no new reference.
    of: Resident,
    /// Counted by this thread alone, as are its hits.
    copy: Resident,
    /// Until the mark is another, or this time.
    mark: u64,
    until: Tick,
    /// So many of its hits are counted where all are.
    counted: u32,
}

/// What is as of before the store was read: taken first, it makes the reference that is put down good or void.
#[derive(Clone, Copy)]
pub(crate) struct Before {
    mark: u64,
    /// The generation of tags.
    pub(crate) tags: u64,
}

/// Something changes what the store has of a key. Dropped: it has changed.
pub(crate) struct Changing<'a>(&'a AtomicU64);

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        // One less changes, one more has changed.
        self.0.fetch_add(CHANGING, Ordering::SeqCst);
    }
}

impl Copies {
    pub(crate) fn new() -> Copies {
        Copies {
            planned: std::array::from_fn(|_| AtomicU64::new(0)),
            keys: AtomicUsize::new(0),
            marks: Box::new(std::array::from_fn(|_| AtomicU64::new(0))),
            tables: (0..STRIPES).map(|_| Table::default()).collect(),
            this: Arc::default(),
            served: std::array::from_fn(|_| AtomicU64::new(0)),
            unseen: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// The place of the key with this hash.
    #[inline]
    pub(crate) fn place(hash: u64) -> usize {
        (hash >> 58) as usize % PLACES
    }

    /// Whether threads may hold references to any key: one load, for every hit.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.keys.load(Ordering::Relaxed) != 0
    }

    /// Whether threads may hold references to the key with this hash.
    #[inline]
    pub(crate) fn has(&self, hash: u64) -> bool {
        self.planned[Copies::place(hash)].load(Ordering::Relaxed) == hash
    }

    /// From now on the place of `hash` is this key's, or nobody's.
    pub(crate) fn plan(&self, place: usize, hash: Option<u64>) {
        let (Some(planned), hash) = (self.planned.get(place), hash.unwrap_or_default()) else { return };
        let before = planned.swap(hash, Ordering::Relaxed);
        match (before != 0, hash != 0) {
            (false, true) => drop(self.keys.fetch_add(1, Ordering::Relaxed)),
            (true, false) => drop(self.keys.fetch_sub(1, Ordering::Relaxed)),
            _ => {}
        }
        if before != hash {
            self.unseen[place % PLACES].store(0, Ordering::Relaxed);
        }
    }

    #[inline]
    fn mark(&self, hash: u64) -> &AtomicU64 {
        &self.marks[(hash >> 56) as usize % MARKS]
    }

    /// What the store has of the key with this hash changes until this is dropped: no reference to it is served
    /// meanwhile, and none from before it ever again.
    pub(super) fn changing(&self, hash: u64) -> Changing<'_> {
        let mark = self.mark(hash);
        mark.fetch_add(1, Ordering::SeqCst);
        Changing(mark)
    }

    /// This thread's reference, if it is good: what it leads to is newer than `floor`.
    #[inline]
    pub(crate) fn get(&self, key: &KeyRef<'_>, at: Tick, floor: Fence, tags: impl Fn() -> u64) -> Option<Resident> {
        let mark = self.mark(key.hash);
        own::at(Copies::place(key.hash), |own| {
            let Terms { mark: seen, tags: under, until, left } = own.terms;
            let good = seen == mark.load(Ordering::SeqCst)
                && at < until
                && left > 0
                && own.is_of(&self.this, key)
                && (under == UNTAGGED || under == tags());
            let copy = if good { own.copy(floor)? } else { return None };
            own.terms.left = left - 1;
            copy.touch();
            Some(copy)
        })
    }

    /// To be taken before the store is read; `None`: what it has of the key is being changed.
    pub(crate) fn before(&self, hash: u64, tags: u64) -> Option<Before> {
        let mark = self.mark(hash).load(Ordering::SeqCst);
        (mark & CHANGING == 0).then_some(Before { mark, tags })
    }

    /// This thread's own reference to what the store was found to have, and how often the last one was used since
    /// somebody asked.
    pub(crate) fn put(&self, key: &KeyRef<'_>, entry: &Resident, before: Before, at: Tick) -> Option<(Resident, u32)> {
        let mut table = self.tables.get(counters::stripe()?)?.0.try_lock()?;
        if table.is_empty() {
            table.resize_with(PLACES, || None);
        }
        let place = Copies::place(key.hash);
        let held = table.get_mut(place)?;
        let uses = self.settle(place, held);
        let (mark, until) = (before.mark, entry.calm_until().min(at + LONGEST));
        let copy = match held {
            Some(held) if std::ptr::eq(&*held.of, &**entry) => {
                (held.mark, held.until) = (mark, until);
                held.copy.clone()
            }
            _ => {
                let copy = relabelled(entry, entry.meta(), None, false);
                *held = Some(Held { of: entry.clone(), copy: copy.clone(), mark, until, counted: 0 });
                copy
            }
        };
        let tags = if entry.tags().is_empty() { UNTAGGED } else { before.tags };
        own::put(place, PLACES, &self.this, key, &copy, Terms { mark, tags, until, left: MOST_USES });
        Some((copy, uses))
    }

    /// Counts what a reference has answered, also where hits of its entry are counted.
    fn settle(&self, place: usize, held: &mut Option<Held>) -> u32 {
        let Some(held) = held else { return 0 };
        let hits = held.copy.hits();
        let uses = hits.wrapping_sub(std::mem::replace(&mut held.counted, hits));
        held.of.served(uses);
        self.served[place % PLACES].fetch_add(u64::from(uses), Ordering::Relaxed);
        uses
    }

    /// Lets go of references that are good for nothing any more. A thread that takes one right now is left in peace.
    pub(crate) fn tidy(&self, at: Tick) {
        for table in &self.tables {
            let Some(mut table) = table.0.try_lock() else { continue };
            for (place, held) in table.iter_mut().enumerate() {
                let uses = self.settle(place, held);
                self.unseen[place % PLACES].fetch_add(u64::from(uses), Ordering::Relaxed);
                let good = |held: &Held, hash: u64| {
                    at < held.until && hash != 0 && self.mark(hash).load(Ordering::SeqCst) == held.mark
                };
                let hash = self.planned[place % PLACES].load(Ordering::Relaxed);
                held.take_if(|held| !good(held, hash));
            }
        }
    }

    /// Reads answered by references to the key of this place since the last call.
    pub(crate) fn take_served(&self, place: usize) -> u64 {
        self.served.get(place).map_or(0, |served| served.swap(0, Ordering::Relaxed))
    }

    /// Those of them to the key with this hash that no thread told when it took its reference anew.
    pub(crate) fn take_unseen(&self, hash: u64) -> u64 {
        if self.has(hash) { self.unseen[Copies::place(hash)].swap(0, Ordering::Relaxed) } else { 0 }
    }
}
