//! What does a caller want, and what does it get?

use std::sync::Arc;

use bellwether_core::policy::Priority;
use bellwether_core::read::decide::Demand;
use bellwether_core::time::Tick;
use bellwether_core::why::Why;

use crate::entry::Resident;

/// What a caller wants, beyond the key.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) demand: Demand,
    pub(crate) priority: Priority,
    /// When it asked.
    pub(crate) asked: Tick,
    /// The caller's own deadline.
    pub(crate) deadline: Tick,
    /// Answered when nothing else can be.
    /// Behind a thin pointer: everybody who waits holds one.
    pub(crate) default: Option<Arc<Resident>>,
}

/// A value or a negative, why, and as of when.
pub(crate) type Answer = (Resident, Why, Tick);
