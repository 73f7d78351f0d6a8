//! What does the task that leads a flight hold, and how can its flight end?

use bellwether_core::fence::Fence;
use bellwether_core::guard::cooldown::Cooling;
use bellwether_core::guard::gate::Pass;
use bellwether_core::policy::Priority;
use bellwether_core::read::walk::{Step, Walk};
use bellwether_core::time::Tick;

use super::entry::Entry;
use crate::origin::{Plan, Row, Says};

/// A leader's task.
pub(crate) struct Leader {
    pub(super) id: u64,
    pub(super) key: u8,
    /// Whose request started it; nobody's if it refreshes.
    pub(super) caller: Option<u64>,
    /// `Some`: beside the table, with its class and deadline.
    pub(super) alone: Option<(Priority, Tick)>,
    pub(super) refresh: bool,
    pub(super) parked: Parked,
    pub(super) walk: Walk,
    pub(super) awaits_turn: bool,
    /// Its turn came before its task ran.
    pub(super) turned: bool,
    pub(super) queued: bool,
    /// Its permit, while it holds one.
    pub(super) pass: Option<Pass>,
    pub(super) begun: Option<Begun>,
    /// The loader runs.
    pub(super) loads: bool,
    pub(super) end: Option<Step>,
}

/// Whether a flight waits for an older one, and until when at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parked {
    No,
    Until(Option<Tick>),
}

/// A load that has begun to read.
#[derive(Clone, Copy)]
pub(super) struct Begun {
    pub(super) order: u64,
    pub(super) fence: Fence,
    pub(super) started: Tick,
    pub(super) have: Option<Entry>,
    pub(super) plan: Plan,
    pub(super) row: Option<Row>,
    /// What came of it, once it is over.
    pub(super) said: Option<Says>,
    pub(super) ended: Tick,
}

impl Leader {
    pub(super) fn of_flight(id: u64, key: u8, caller: Option<u64>, parked: Parked) -> Leader {
        let (walk, _) = Walk::start(parked != Parked::No, None);
        Leader {
            id,
            key,
            caller,
            alone: None,
            refresh: false,
            parked,
            walk,
            awaits_turn: false,
            turned: false,
            queued: false,
            pass: None,
            begun: None,
            loads: false,
            end: None,
        }
    }

    pub(super) fn alone(id: u64, key: u8, caller: u64, place: (Priority, Tick)) -> Leader {
        Leader { alone: Some(place), ..Leader::of_flight(id, key, Some(caller), Parked::No) }
    }

    pub(super) fn refreshing(self) -> Leader {
        Leader { refresh: true, ..self }
    }
}

/// What a flight's end says of its key's failures.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ending {
    Succeeded,
    Failed(Cooling),
    /// It was shed or aborted: nothing.
    Neither,
}
