//! What does a caller want, and what does it get?

use std::sync::Arc;

use bellwether_core::policy::Priority;
use bellwether_core::read::decide::Demand;
use bellwether_core::time::{Span, Tick};
use bellwether_core::why::Why;

use crate::entry::Resident;

/// What a caller wants, beyond the key.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) demand: Demand,
    pub(crate) priority: Priority,
    /// When it asked, in microseconds: for its deadlines and for the time that it took. Once, because
    /// everybody who waits holds it.
    pub(crate) asked_us: u64,
    /// How long it waits, in milliseconds: 49 days at most. A deadline of its own would be larger.
    pub(crate) patience_ms: u32,
    /// Answered when nothing else can be.
    /// Behind a thin pointer: everybody who waits holds one.
    pub(crate) default: Option<Arc<Resident>>,
}

impl Ask {
    /// When it asked.
    pub(crate) fn asked(&self) -> Tick {
        Tick(self.asked_us / 1000)
    }

    /// The caller's own deadline.
    pub(crate) fn deadline(&self) -> Tick {
        self.asked() + Span(u64::from(self.patience_ms))
    }
}

/// A value or a negative, why, and as of when.
pub(crate) type Answer = (Resident, Why, Tick);
