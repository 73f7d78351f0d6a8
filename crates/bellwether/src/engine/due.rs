//! How pressing is a refresh? What its entry tells.

use bellwether_core::fence::Fence;
use bellwether_core::time::{Span, Tick};

use crate::engine::Engine;
use crate::entry::Entry;

/// A younger entry's hits say little of how often it is read: they are counted over this time at least.
const JUDGED_OVER: Span = Span::secs(1);

/// An entry that is due for a refresh.
pub(crate) struct Due {
    /// Its fence: a newer one needs no refresh yet.
    pub(crate) seen: Fence,
    /// How often it is read, per thousand seconds.
    pub(crate) heat: u32,
    /// Until then it can be served meanwhile.
    pub(crate) until: Tick,
}

impl Due {
    /// Found by a reader.
    pub(crate) fn of(entry: &Entry, engine: &Engine) -> Due {
        let meta = entry.meta();
        let stored = meta.born + Span(u64::from(meta.cost_ms));
        let age = engine.clock.coarse().since(stored).max(JUDGED_OVER);
        let heat = u64::from(entry.hits()).saturating_mul(1_000_000) / age.0;
        Due { seen: meta.fence, heat: u32::try_from(heat).unwrap_or(u32::MAX), until: meta.swr_until() }
    }

    /// Somebody asked for the refresh itself.
    pub(crate) fn at_once(seen: Fence) -> Due {
        Due { seen, heat: 0, until: Tick(0) }
    }
}
