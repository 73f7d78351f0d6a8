//! How long do the loads of a space take?

use std::sync::atomic::{AtomicU64, Ordering};

use bellwether_core::loadtimes::LoadTimes;
use bellwether_core::time::Span;
use parking_lot::Mutex;

/// How long loads take.
#[derive(Default)]
pub(super) struct Times {
    seen: Mutex<LoadTimes>,
    /// p99, mean and hedge of `seen` in ms, 0 while unknown.
    known: [AtomicU64; 3],
}

impl Times {
    pub(super) fn record(&self, took: Span) {
        let mut times = self.seen.lock();
        times.record(took);
        let ms = |span: Option<Span>| span.map_or(0, |span| span.0.max(1));
        for (slot, span) in self.known.iter().zip([times.p99(), times.ewma(), times.hedge_after()]) {
            slot.store(ms(span), Ordering::Relaxed);
        }
    }

    fn known(&self, which: usize) -> Option<Span> {
        match self.known[which].load(Ordering::Relaxed) {
            0 => None,
            ms => Some(Span(ms)),
        }
    }

    /// p99 and mean of the load times.
    pub(super) fn p99_and_mean(&self) -> (Option<Span>, Option<Span>) {
        (self.known(0), self.known(1))
    }

    /// From this wait on, a stale copy or the default is preferred to further waiting.
    pub(super) fn hedge_after(&self) -> Option<Span> {
        self.known(2)
    }
}
