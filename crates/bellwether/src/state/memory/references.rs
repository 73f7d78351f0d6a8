//! How do threads read the same key without fighting over one count? Each holds a reference of its own to it.
//!
//! A thread takes one where it meets others again and again, by which an entry shows that another touched it last
//! ([`core::heat::meet`](bellwether_core::heat::meet)); to a hot key that is reacted to at the first meeting.
//!
//! A reference is served only while nothing has changed about its key since it was taken: whoever changes what the
//! store has of a key marks that before and after ([`References::changing`]), and a reader compares the mark. So a removal
//! that was acknowledged wins on every thread, and nobody sees the older value once anybody has seen the newer.
//!
//! A thread finds its reference without a lock ([`own`]); what it leads to is held here, so that it can be let go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bellwether_core::heat::meet::keeps;
use bellwether_core::time::{Span, Tick};
use parking_lot::Mutex;

use super::own::{self, Terms};
pub(crate) use super::own::{Seen, Spot};
use crate::entry::{Entry, Resident};
use crate::key::KeyRef;
use crate::observe::counters::{self, STRIPES};

/// Hot keys that may be reacted to; a key has one of these places, by its hash.
pub(crate) const PLANNED: usize = 64;
/// Marks of change: keys whose hashes have these bits in common share one.
const MARKS: usize = 1024;
/// How many change at once is counted in the low bits of a mark; the rest counts changes.
const CHANGING: u64 = 0xFFFF;
/// After so many uses, or so long, the store is asked again: it must know that the key is in use, and what was
/// replaced must not be held for ever.
const MOST_USES: u32 = 256;
const LONGEST: Span = Span::ms(100);
/// What a thread's references lead to may weigh this part of the limit, hot keys that are reacted to left out.
const SHARE: u64 = 32;
/// And each of them this part of that.
const LARGEST: u64 = 64;
/// A thread has keys of its own beside its references: none longer than that, hot keys that are reacted to left out.
const LONGEST_KEY: usize = 256;

/// The references of all threads, and what tells whether they are still good.
pub(crate) struct References {
    /// The hash of the hot key that has this place; zero: none.
    planned: [AtomicU64; PLANNED],
    marks: Box<[AtomicU64; MARKS]>,
    /// By thread, as its counters are: it takes the lock when it takes a reference, not when it uses one.
    tables: Box<[Table]>,
    /// By its address threads know whose reference they have.
    this: Arc<()>,
    /// Bytes that a thread's references may lead to.
    most: u64,
    /// Reads of planned keys that references answered, by place, since somebody asked.
    served: [AtomicU64; PLANNED],
    /// Of these, what the thread that had them did not tell itself.
    unseen: [AtomicU64; PLANNED],
}

/// What one thread's references lead to.
#[repr(align(128))]
#[derive(Default)]
struct Table(Mutex<Held>);

/// Empty until it has one.
#[derive(Default)]
struct Held {
    places: Vec<Option<Reference>>,
    taken: usize,
    bytes: u64,
}

/// One thread's reference to an entry.
struct Reference {
    hash: u64,
    /// The store's own: the same one needs no new reference.
    of: Resident,
    /// Counted by this thread alone, as are its hits.
    twin: Resident,
    /// Until the mark is another, or this time.
    mark: u64,
    until: Tick,
    /// When another thread was heard of last.
    met: Tick,
    /// So many of its hits are counted where all are.
    counted: u32,
}

/// What is as of before the store was read: taken first, it makes the reference that is put down good or void.
#[derive(Clone, Copy)]
pub(crate) struct Before(u64);

/// Something changes what the store has of a key. Dropped: it has changed.
pub(crate) struct Changing<'a>(&'a AtomicU64);

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        // One less changes, one more has changed.
        self.0.fetch_add(CHANGING, Ordering::SeqCst);
    }
}

impl References {
    /// Those of a store of `limit` bytes.
    pub(crate) fn new(limit: u64) -> References {
        References {
            planned: std::array::from_fn(|_| AtomicU64::new(0)),
            marks: Box::new(std::array::from_fn(|_| AtomicU64::new(0))),
            tables: (0..STRIPES).map(|_| Table::default()).collect(),
            this: Arc::default(),
            most: limit / SHARE,
            served: std::array::from_fn(|_| AtomicU64::new(0)),
            unseen: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// The place of the hot key with this hash.
    pub(crate) fn place(hash: u64) -> usize {
        (hash >> 58) as usize % PLANNED
    }

    /// Whether the key with this hash is hot and reacted to.
    fn has(&self, hash: u64) -> bool {
        hash != 0 && self.planned[References::place(hash)].load(Ordering::Relaxed) == hash
    }

    /// From now on the place of `hash` is this key's, or nobody's.
    pub(crate) fn plan(&self, place: usize, hash: Option<u64>) {
        let (Some(planned), hash) = (self.planned.get(place), hash.unwrap_or_default()) else { return };
        if planned.swap(hash, Ordering::Relaxed) != hash {
            self.unseen[place % PLANNED].store(0, Ordering::Relaxed);
        }
    }

    #[inline]
    fn mark(&self, hash: u64) -> &AtomicU64 {
        &self.marks[(hash >> 40) as usize % MARKS]
    }

    /// What the store has of the key with this hash changes until this is dropped: no reference to it is served
    /// meanwhile, and none from before it ever again.
    pub(super) fn changing(&self, hash: u64) -> Changing<'_> {
        let mark = self.mark(hash);
        mark.fetch_add(1, Ordering::SeqCst);
        Changing(mark)
    }

    /// This thread's reference, if nothing has changed about the key. Whether what it leads to may be served is to be
    /// looked at as with what the store has.
    #[inline]
    pub(crate) fn get(&self, key: &KeyRef<'_>, at: Tick) -> Seen {
        own::look(&self.this, key, self.mark(key.hash), at)
    }

    /// This thread met another at `key`: the place for a reference of its own, if it is to have one.
    pub(crate) fn met(&self, key: &KeyRef<'_>, entry: &Entry, at: Tick) -> Option<Spot> {
        counters::stripe()?;
        if self.has(key.hash) {
            return Some(own::spot(key.hash));
        }
        let fits = key.bytes.len() <= LONGEST_KEY && u64::from(entry.weight) <= self.most / LARGEST;
        if fits { own::met(key, at) } else { None }
    }

    /// To be taken before the store is read; `None`: what it has of the key is being changed.
    pub(crate) fn before(&self, hash: u64) -> Option<Before> {
        let mark = self.mark(hash).load(Ordering::SeqCst);
        (mark & CHANGING == 0).then_some(Before(mark))
    }

    /// This thread's own reference at a spot to what the store was found to have, and how often the last one was used
    /// since the store was asked. Without one none is left: it is not worth it any more, or there is no room for it.
    pub(crate) fn put(
        &self,
        Spot { place, renews }: Spot,
        key: &KeyRef<'_>,
        entry: &Resident,
        before: Before,
        at: Tick,
    ) -> Option<(Option<Resident>, u32)> {
        let mut held = self.tables.get(counters::stripe()?)?.0.try_lock()?;
        if held.places.is_empty() {
            held.places.resize_with(own::PLACES, || None);
        }
        let mut last = held.places.get_mut(place)?.take();
        let uses = last.as_mut().map_or(0, |last| self.settle(last));
        if let Some(last) = &last {
            held.taken -= 1;
            held.bytes -= u64::from(last.of.weight);
        }
        let last = last.filter(|last| last.hash == key.hash);
        let met = last.as_ref().filter(|_| !entry.is_met()).map_or(at, |last| last.met);
        let fits = held.bytes + u64::from(entry.weight) <= self.most;
        let keeps = fits && (!renews || keeps(uses, at.since(met)));
        if !keeps && !self.has(key.hash) {
            own::let_go(place);
            return Some((None, uses));
        }
        let (mark, until) = (before.0, entry.calm_until().min(at + LONGEST));
        let (twin, counted) = match last {
            Some(Reference { of, twin, counted, .. }) if Arc::ptr_eq(&of, entry) => (twin, counted),
            _ => (entry.twin(), 0),
        };
        held.taken += 1;
        held.bytes += u64::from(entry.weight);
        let reference = Reference { hash: key.hash, of: entry.clone(), twin: twin.clone(), mark, until, met, counted };
        *held.places.get_mut(place)? = Some(reference);
        own::put(place, &self.this, key, &twin, Terms { mark, until, left: MOST_USES });
        Some((Some(twin), uses))
    }

    /// Counts what a reference has answered, also where hits of its entry are counted.
    fn settle(&self, held: &mut Reference) -> u32 {
        let uses = held.twin.hits_since(held.counted);
        held.counted = held.twin.hits();
        held.of.served(uses);
        if self.has(held.hash) {
            self.served[References::place(held.hash)].fetch_add(u64::from(uses), Ordering::Relaxed);
        }
        uses
    }

    /// Lets go of references that are good for nothing any more. A thread that takes one right now is left in peace.
    pub(crate) fn tidy(&self, at: Tick) {
        for table in &self.tables {
            let Some(mut table) = table.0.try_lock() else { continue };
            let Held { places, taken, bytes } = &mut *table;
            for held in places.iter_mut() {
                let Some(reference) = held else { continue };
                let ended = at >= reference.until || self.mark(reference.hash).load(Ordering::SeqCst) != reference.mark;
                // Of all others the thread itself tells when it asks the store again.
                if ended || self.has(reference.hash) {
                    let uses = self.settle(reference);
                    if self.has(reference.hash) {
                        self.unseen[References::place(reference.hash)].fetch_add(u64::from(uses), Ordering::Relaxed);
                    }
                }
                if ended {
                    *taken -= 1;
                    *bytes -= u64::from(reference.of.weight);
                    *held = None;
                }
            }
            if *taken == 0 {
                *places = Vec::new();
            }
        }
    }

    #[cfg(test)]
    pub(super) fn share_a_mark(&self, one: u64, other: u64) -> bool {
        std::ptr::eq(self.mark(one), self.mark(other))
    }

    /// How many references all threads hold, and the bytes that those of one thread lead to, at most.
    #[cfg(test)]
    pub(super) fn held(&self) -> (usize, u64) {
        let held = self.tables.iter().map(|table| table.0.lock());
        held.fold((0, 0), |(taken, most), held| (taken + held.taken, most.max(held.bytes)))
    }

    /// Reads answered by references to the key of this place since the last call.
    pub(crate) fn take_served(&self, place: usize) -> u64 {
        self.served.get(place).map_or(0, |served| served.swap(0, Ordering::Relaxed))
    }

    /// Those of them to the key with this hash that no thread told when it took its reference anew.
    pub(crate) fn take_unseen(&self, hash: u64) -> u64 {
        if self.has(hash) { self.unseen[References::place(hash)].swap(0, Ordering::Relaxed) } else { 0 }
    }
}
