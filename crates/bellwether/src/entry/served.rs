//! How often was an entry served, who served it last, and what does a thread count for itself alone?

use std::sync::atomic::Ordering;

use super::{Common, Content, Entry, Plain, Resident, relabelled};
use crate::observe::counters;
use crate::place::Place;

/// The part of `served` that counts: as much as the books of who goes first look at.
pub(super) const COUNT: u32 = (1 << 29) - 1;

/// What [`Entry::touch`] found.
#[derive(Clone, Copy)]
pub(crate) struct Touched {
    /// How often it was served by now, for [`Entry::is_due`].
    pub(crate) served: u32,
    /// Another thread served it last.
    pub(crate) met: bool,
}

/// This thread as entries note who served them last: seven are told apart, and it is nobody before a thread has counted.
#[inline]
fn toucher() -> u32 {
    counters::class() << COUNT.count_ones()
}

/// Whether what was noted is neither this thread nor nobody.
#[inline]
fn is_another(served: u32, toucher: u32) -> bool {
    (served ^ toucher) > COUNT && served > COUNT
}

impl Entry {
    /// It is served once more: so often by now, counted from its phase, and whether another thread served it last.
    #[inline]
    pub(crate) fn touch(&self) -> Touched {
        let (before, toucher) = (self.served.load(Ordering::Relaxed), toucher());
        let served = before.wrapping_add(1) & COUNT | toucher;
        self.served.store(served, Ordering::Relaxed);
        Touched { served, met: is_another(before, toucher) }
    }

    /// What [`Entry::touch`] counted last, for whomever.
    #[inline]
    pub(crate) fn count(&self) -> u32 {
        self.served.load(Ordering::Relaxed) & COUNT
    }

    /// Whether another thread served it last.
    pub(crate) fn is_met(&self) -> bool {
        is_another(self.served.load(Ordering::Relaxed), toucher())
    }

    /// It was served `times` more, by way of references to it: none of this thread's.
    pub(crate) fn served(&self, times: u32) {
        let before = self.served.load(Ordering::Relaxed);
        self.served.store(before.wrapping_add(times) & COUNT | before & !COUNT, Ordering::Relaxed);
    }

    /// A thread's own reference to it: the same value, counted for itself. What is shared anyway is in it as it is in the
    /// entry, so that there is nothing else to look at.
    pub(crate) fn twin(self: &Resident) -> Resident {
        let twin = match self.body.common() {
            Common::Bytes(value) if self.is_bare() => self.with_body(Plain(value.clone())),
            Common::SharedText(value) if self.is_bare() => self.with_body(Plain(value.clone())),
            _ => relabelled(self, self.meta(), None, false),
        };
        twin.set_place(Place::OWN);
        twin
    }

    /// Nothing but a value.
    fn is_bare(&self) -> bool {
        self.is_plain() && self.mark().is_none()
    }

    fn with_body(&self, body: impl Content) -> Resident {
        Entry::of(self.meta(), (0, self.past()), self.weight as usize, body)
    }

    /// Whether it is a thread's own reference. Nobody needs to look at each use: whoever has it counts them.
    #[inline]
    pub(crate) fn is_twin(&self) -> bool {
        self.place() == Place::OWN
    }
}
