//! Where do the copies of one split key lie, and how busy is each place?

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use bellwether_core::draw::Draw;
use bellwether_core::ring::split::{self, MOST_COPIES};
use parking_lot::RwLock;

/// The key itself, and its copies.
const MOST_PLACES: usize = MOST_COPIES + 1;

/// One split key.
pub(super) struct Places {
    /// How many copies are wanted beside the key itself.
    pub(super) wanted: usize,
    /// Where they lie by the key's own entry, which other processes may have written.
    salts: RwLock<Vec<u32>>,
    /// Questions under way: at the key itself, at the copies in the order of their salts.
    busy: [AtomicU32; MOST_PLACES],
    /// A bit for each copy that is being filled; the first: the key's own entry is being made to name them.
    filling: AtomicU32,
    /// Reads that copies answered, and copies made, since somebody asked.
    used: (AtomicU64, AtomicU64),
}

/// One place is being asked.
pub(super) struct Busy<'a>(&'a AtomicU32);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Places {
    pub(super) fn new(wanted: usize) -> Places {
        Places {
            wanted: wanted.min(MOST_COPIES),
            salts: RwLock::default(),
            busy: Default::default(),
            filling: AtomicU32::new(0),
            used: Default::default(),
        }
    }

    /// Who is asked next; `None`: the key itself.
    pub(super) fn pick(&self, draw: Draw) -> Option<(usize, u32)> {
        let salts = self.salts.read();
        let mut busy = [0; MOST_PLACES];
        for (seen, place) in busy.iter_mut().zip(&self.busy) {
            *seen = place.load(Ordering::Relaxed);
        }
        let at = split::pick(&busy[..=salts.len()], draw);
        Some((at, *salts.get(at.checked_sub(1)?)?))
    }

    /// While it is held, place `at` counts one question more.
    pub(super) fn busy(&self, at: usize) -> Busy<'_> {
        let place = &self.busy[at.min(MOST_COPIES)];
        place.fetch_add(1, Ordering::Relaxed);
        Busy(place)
    }

    /// What the key's entry says of its copies.
    pub(super) fn learn(&self, said: &[u32]) {
        if !split::filled(said).take(MOST_COPIES).eq(self.salts.read().iter().copied()) {
            *self.salts.write() = split::filled(said).take(MOST_COPIES).collect();
        }
    }

    pub(super) fn salts(&self) -> Vec<u32> {
        self.salts.read().clone()
    }

    /// True: the caller fills the copy at `at`, and says [`filled`](Self::filled) when it is done.
    pub(super) fn begins_to_fill(&self, at: usize) -> bool {
        let bit = 1 << at.min(MOST_COPIES);
        self.filling.fetch_or(bit, Ordering::AcqRel) & bit == 0
    }

    /// Whoever filled it is done; whether it was made.
    pub(super) fn filled(&self, at: usize, made: bool) {
        self.used.1.fetch_add(u64::from(made), Ordering::Relaxed);
        self.filling.fetch_and(!(1 << at.min(MOST_COPIES)), Ordering::AcqRel);
    }

    /// True: the caller has the key's own entry name its copies, and says [`named`](Self::named) when it is done.
    pub(super) fn begins_to_name(&self) -> bool {
        self.filling.fetch_or(1, Ordering::AcqRel) & 1 == 0
    }

    pub(super) fn named(&self) {
        self.filling.fetch_and(!1, Ordering::AcqRel);
    }

    /// A copy answered.
    pub(super) fn used(&self) {
        self.used.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Reads that copies answered, and copies made, since this was asked last.
    pub(super) fn take_used(&self) -> (u64, u64) {
        (self.used.0.swap(0, Ordering::Relaxed), self.used.1.swap(0, Ordering::Relaxed))
    }
}
