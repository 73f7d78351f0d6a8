//! Who asks, for what, and as what does he wait?

use bellwether_core::fence::Fence;
use bellwether_core::policy::Priority;
use bellwether_core::read::decide::Demand;
use bellwether_core::time::Tick;
use bellwether_core::why::Why;

use crate::check::Due;

/// A request under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) id: u64,
    pub(crate) key: u8,
    pub(crate) demand: Demand,
    pub(crate) priority: Priority,
    pub(crate) deadline: Tick,
    pub(crate) has_default: bool,
    /// The newest fence when it began.
    pub(crate) began: Fence,
    pub(crate) due: Due,
    /// The cell it waits on, and as what.
    pub(crate) waits: Option<(u64, Role)>,
    /// Answered, or gone.
    pub(crate) done: bool,
}

/// As what a caller waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Leads,
    Follows,
    /// For a load of its own beside the table, answered for this reason.
    Alone(Why),
}
