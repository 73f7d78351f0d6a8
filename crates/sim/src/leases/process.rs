//! What does one process of the fleet keep? Entries, flights, invalidations that the tier must be told of.

use std::collections::BTreeMap;

use bellwether_core::entry::Meta;
use bellwether_core::fence::{Fence, Floor, Invalidation};
use bellwether_core::loadtimes::LoadTimes;
use bellwether_core::read::decide::Demand;
use bellwether_core::read::doubt::{Ageing, Marks, Standing};
use bellwether_core::read::flight::Flights;
use bellwether_core::read::walk::{Step, Walk};
use bellwether_core::time::{Span, Tick};
use bellwether_core::why::Why;

use super::event::{Body, Life};

/// A resident entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) meta: Meta,
    pub(super) body: Body,
    /// Under which fence the tier has it, as far as is known.
    pub(super) tier: Fence,
    /// From here on it is to be compared.
    pub(super) due: Tick,
    pub(super) hits: u32,
}

/// A request under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) key: u8,
    pub(super) demand: Demand,
    pub(super) began: Tick,
    pub(super) deadline: Tick,
    /// What the process had drawn when it came.
    pub(super) fence: Fence,
    /// No older row than this, because an invalidation was applied here before it came.
    pub(super) due: u64,
    /// The flight it waits for, and whether it leads it.
    pub(super) waits: Option<(u64, bool)>,
}

/// How a flight ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    Landed(Entry, Why),
    Failed(Why),
}

#[derive(Default)]
pub(super) struct Slot {
    pub(super) flights: Flights,
    pub(super) floor: Floor,
}

/// Who leads a flight.
pub(super) struct Leader {
    pub(super) key: u8,
    pub(super) refresh: bool,
    pub(super) walk: Walk,
    /// Its next step, until it is performed.
    pub(super) step: Step,
    pub(super) until: Option<Tick>,
    pub(super) awaits_turn: bool,
    pub(super) turned: bool,
    /// What it waits for.
    pub(super) call: Option<Asked>,
    /// The tier's fence of what it holds or has found.
    pub(super) holds: Fence,
    pub(super) claim: Option<Claim>,
    pub(super) read: Option<Reading>,
    /// What was found last came while this process heard of an invalidation: whether it is older is not known.
    pub(super) crossed: bool,
}

/// A call whose answer is waited for, or a pause.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) call: u64,
    /// Drawn before it: what comes of it is covered by every invalidation since.
    pub(super) fence: Fence,
    /// When, by the process's clock: what the tier says of durations may be as old as this.
    pub(super) at: Tick,
    /// It waits until the tier was told of an invalidation.
    pub(super) held_back: bool,
}

/// A lease that was granted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    pub(super) token: Fence,
    pub(super) lease: Span,
    pub(super) until: Tick,
}

/// A load that reads the origin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) begun: u64,
    pub(super) fence: Fence,
    /// By the process's clock and by the world's.
    pub(super) started: Tick,
    pub(super) world: Tick,
    pub(super) version: Option<u64>,
    pub(super) fails: bool,
}

/// An invalidation that the tier must be told of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owed {
    pub(super) verb: Invalidation,
    pub(super) at_least: Fence,
    pub(super) version: u64,
    /// When a try failed first, by the process's clock.
    pub(super) since: Option<Tick>,
    /// The call that tells it, if one is under way.
    pub(super) call: Option<u64>,
}

/// A body on its way to the tier.
#[derive(Clone, Copy, Debug)]
pub(super) struct Publishing {
    pub(super) key: u8,
    pub(super) fence: Fence,
    pub(super) body: Body,
    pub(super) windows: [Span; 3],
}

/// A comparison under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verifying {
    pub(super) call: u64,
    /// Drawn before the tier was asked.
    pub(super) asked: Fence,
    /// Of the copy: its fence here, and in the tier.
    pub(super) held: (Fence, Fence),
}

/// A process.
pub(super) struct Process {
    pub(super) life: Life,
    /// Its clock stands ahead of the world's by this.
    pub(super) ahead: Span,
    pub(super) stopped_until: Tick,
    pub(super) cut_until: Tick,
    pub(super) ageing: Option<Ageing>,
    /// When the mark was looked at last, by its own clock.
    pub(super) aged: Tick,
    pub(super) unconfirmed: Fence,
    /// The tier's last answer did not come.
    pub(super) silent: bool,
    pub(super) verifying: BTreeMap<u8, Verifying>,
    pub(super) fence: Fence,
    pub(super) memory: BTreeMap<u8, Entry>,
    pub(super) slots: BTreeMap<u8, Slot>,
    pub(super) leaders: BTreeMap<u64, Leader>,
    pub(super) waiting: BTreeMap<u64, Vec<u64>>,
    pub(super) requests: BTreeMap<u64, Request>,
    pub(super) owed: BTreeMap<u8, Owed>,
    /// The newest fence of the tier that an invalidation is known to have raised a key to.
    pub(super) raised: BTreeMap<u8, Fence>,
    pub(super) publishing: BTreeMap<u64, Publishing>,
    pub(super) times: LoadTimes,
    ids: u64,
}

impl Process {
    pub(super) fn new(life: Life, ahead: Span, ageing: Option<Ageing>) -> Process {
        Process {
            life,
            ahead,
            stopped_until: Tick(0),
            cut_until: Tick(0),
            ageing,
            aged: Tick(0),
            unconfirmed: Fence::ZERO,
            silent: false,
            verifying: BTreeMap::new(),
            fence: Fence::ZERO,
            memory: BTreeMap::new(),
            slots: BTreeMap::new(),
            leaders: BTreeMap::new(),
            waiting: BTreeMap::new(),
            requests: BTreeMap::new(),
            owed: BTreeMap::new(),
            raised: BTreeMap::new(),
            publishing: BTreeMap::new(),
            times: LoadTimes::default(),
            ids: 0,
        }
    }

    /// What its clock says.
    pub(super) fn now(&self, world: Tick) -> Tick {
        world + self.ahead
    }

    pub(super) fn next_fence(&mut self, world: Tick) -> Fence {
        self.fence = self.fence.next(self.now(world).0 * 1000);
        self.fence
    }

    /// What a copy made under `fence` is worth.
    pub(super) fn standing(&self, fence: Fence) -> Standing {
        Marks { unconfirmed: self.unconfirmed, ..Marks::default() }.standing(fence)
    }

    /// A number for a flight or a call.
    pub(super) fn fresh(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    pub(super) fn slot(&mut self, key: u8) -> &mut Slot {
        self.slots.entry(key).or_default()
    }

    pub(super) fn floor(&self, key: u8) -> Floor {
        self.slots.get(&key).map_or(Floor::NONE, |slot| slot.floor)
    }
}
