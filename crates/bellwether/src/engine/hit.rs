//! Can memory answer? The path of a hit: a plain function, no await, no allocation, no lock held.

use bellwether_core::draw::Draw;
use bellwether_core::entry::Kind;
use bellwether_core::read::decide::{Decision, Demand, decide};
use bellwether_core::time::Tick;
use bellwether_core::why::Why;

use crate::engine::space::SpaceState;
use crate::engine::{Engine, draw};
use crate::entry::Resident;
use crate::key::KeyRef;

/// What memory says to a reader.
pub(crate) enum Look {
    /// Answer with it; if `refresh`, start one in the background.
    Serve { entry: Resident, why: Why, at: Tick, refresh: bool },
    /// Join or start a flight.
    Load,
    /// Answers of this key are not shared.
    LoadAlone,
    /// Nothing fits, and the caller forbade a load.
    NotCached,
}

impl Engine {
    /// Looks `key` up and decides. Counts nothing.
    #[inline]
    pub(crate) fn look(&self, space: &SpaceState, key: KeyRef<'_>, demand: Demand) -> Look {
        let at = self.clock.coarse();
        let found = self.memory.get(key);
        if let Some(entry) = &found {
            entry.touch();
            let plain = demand == Demand::Any && at < entry.meta.calm_until() && entry.meta.kind == Kind::Value;
            if plain && !entry.expired && entry.extra.is_none() && entry.meta.fence > space.floor().newest() {
                let Some(entry) = found else { return Look::Load };
                return Look::Serve { entry, why: Why::Hit, at, refresh: false };
            }
        }
        self.judge(space, found, demand, at)
    }

    /// The decision where a glance was not enough.
    pub(crate) fn judge(&self, space: &SpaceState, found: Option<Resident>, demand: Demand, at: Tick) -> Look {
        let Some(entry) = found else {
            return if demand == Demand::CachedOnly { Look::NotCached } else { Look::Load };
        };
        let floor = self.floor_of(space, &entry);
        let draw = if at < entry.meta.calm_until() { Draw(0) } else { draw() };
        match decide(Some(entry.seen()), floor, demand, at, &space.policy, draw) {
            Decision::Serve(why) => Look::Serve { entry, why, at, refresh: false },
            Decision::ServeAndRefresh(why) => Look::Serve { entry, why, at, refresh: demand != Demand::CachedOnly },
            Decision::Load => Look::Load,
            Decision::LoadAlone => Look::LoadAlone,
            Decision::NotCached => Look::NotCached,
        }
    }
}
