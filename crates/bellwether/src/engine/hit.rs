//! Can memory answer? The path of a hit: a plain function, no await, no allocation, no lock held.

use std::sync::atomic::Ordering;

use bellwether_core::draw::Draw;
use bellwether_core::entry::Kind;
use bellwether_core::read::decide::{self, Decision, Demand, decide};
use bellwether_core::read::doubt::Belief;
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

/// What a glance found, if anything, and as of when: to be judged.
pub(crate) type Unfit = (Option<Resident>, Tick);

impl Engine {
    /// Looks `key` up and decides. Counts nothing.
    pub(crate) fn look(&self, space: &SpaceState, key: KeyRef<'_>, demand: Demand) -> Look {
        match self.glance(space, &key, demand) {
            Ok((entry, at)) => Look::Serve { entry, why: Why::Hit, at, refresh: false },
            Err((found, at)) => self.judge(space, found, demand, at),
        }
    }

    /// The path of a plain hit. Counts nothing.
    ///
    /// Inlined, and with nothing but whole words in its result: a reason and a flag, as in
    /// [`Look`], are written byte by byte and copied word by word, and the processor waits for
    /// each such copy about as long as the lookup itself takes.
    #[inline(always)]
    pub(crate) fn glance(
        &self,
        space: &SpaceState,
        key: &KeyRef<'_>,
        demand: Demand,
    ) -> Result<(Resident, Tick), Unfit> {
        let at = self.clock.coarse();
        let Some(entry) = self.memory.get(key) else { return Err((None, at)) };
        entry.touch();
        let plain = demand == Demand::Any && at < entry.calm_until() && entry.is_plain();
        if plain && entry.fence() > space.newest_floor() {
            return Ok((entry, at));
        }
        Err((Some(entry), at))
    }

    /// The decision where a glance was not enough.
    pub(crate) fn judge(&self, space: &SpaceState, found: Option<Resident>, demand: Demand, at: Tick) -> Look {
        let Some(entry) = found else {
            return if demand == Demand::CachedOnly { Look::NotCached } else { Look::Load };
        };
        let floor = self.floor_of(space, &entry);
        let draw = if at < entry.calm_until() { Draw(0) } else { draw() };
        let meta = entry.meta();
        let seen = decide::Resident { meta: &meta, hits: entry.hits() };
        let decision = decide(Some(seen), floor, demand, at, &space.policy, draw);
        let belief = space.marks().standing(entry.fence()).belief(self.tier_silent.load(Ordering::Relaxed));
        if belief == Belief::None && entry.kind() != Kind::HitForMiss {
            // The shared tier answers in its place: a load asks it first.
            return if demand == Demand::CachedOnly { Look::NotCached } else { Look::Load };
        }
        match decision {
            Decision::Serve(Why::Hit) if belief == Belief::Labelled => {
                Look::Serve { entry, why: Why::Suspect, at, refresh: false }
            }
            Decision::Serve(why) => Look::Serve { entry, why, at, refresh: false },
            Decision::ServeAndRefresh(why) => Look::Serve { entry, why, at, refresh: demand != Demand::CachedOnly },
            Decision::Load => Look::Load,
            Decision::LoadAlone => Look::LoadAlone,
            Decision::NotCached => Look::NotCached,
        }
    }
}
