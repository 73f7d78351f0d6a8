//! What does the simulated process keep of a value? Its meta, the row it holds, and where it came from.

use bellwether_core::entry::{Kind, Meta};
use bellwether_core::fence::{Floor, Invalidation};
use bellwether_core::time::{Span, Tick};
use bellwether_core::why::Why;

use crate::origin::Row;

/// A resident entry, or the answer of a load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) meta: Meta,
    pub(crate) row: Row,
    /// The version the origin named, if it names any.
    pub(crate) version: Option<u64>,
    /// Soft-invalidated: at most a rescue.
    pub(crate) expired: bool,
    pub(crate) hits: u32,
    pub(crate) too_large: bool,
    pub(crate) source: Source,
}

/// Where an entry came from, as the checks know it: nothing here is read by the shell's decisions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    /// The place of its load's begin among all events.
    pub(crate) begun: u64,
    pub(crate) started: Tick,
    pub(crate) finished: Tick,
    /// Promised, before any jitter.
    pub(crate) ttl: Span,
    /// `Some`: for this caller alone (`None` inside: for nobody).
    pub(crate) private: Option<Option<u64>>,
}

impl Entry {
    /// This entry's own part of its floor: its fence if it was expired.
    pub(crate) fn own_floor(&self) -> Floor {
        if self.expired { Floor::of(Invalidation::Expire, self.meta.fence) } else { Floor::NONE }
    }

    /// A marker says nothing of its row; whatever else carries the tag of its key.
    pub(crate) fn tagged(&self) -> bool {
        self.meta.kind != Kind::HitForMiss
    }
}

/// How a flight ended, told once to all who wait.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    Landed(Entry, Option<Why>),
    /// For its leader's caller alone.
    Private(Entry),
    Failed(Why),
}
