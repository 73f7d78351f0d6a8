//! Can memory answer? The path of a hit: a plain function, no await, no allocation, no lock held.

use bellwether_core::draw::Draw;
use bellwether_core::entry::Kind;
use bellwether_core::heat::sample::Drawn;
use bellwether_core::read::decide::{self, Decision, Demand, decide};
use bellwether_core::read::doubt::Belief;
use bellwether_core::time::Tick;
use bellwether_core::why::Why;

use crate::engine::{Engine, draw};
use crate::entry::Resident;
use crate::key::{Key, KeyRef};
use crate::state::space::SpaceState;

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
    /// Looks `key` up and decides. Counts nothing, and nobody looks at it.
    pub(crate) fn look(&self, space: &SpaceState, key: KeyRef<'_>, demand: Demand) -> Look {
        match self.glance::<false>(space, &key, demand) {
            Ok((entry, at)) => Look::Serve { entry, why: Why::Hit, at, refresh: false },
            Err((found, at)) => self.judge(space, || key.to_key(), found, demand, at),
        }
    }

    /// The path of a plain hit. Counts nothing; if it `LOOKS`, the detector of hot keys looks at it where it is due.
    ///
    /// Inlined, and with nothing but whole words in its result: a reason and a flag, as in
    /// [`Look`], are written byte by byte and copied word by word, and the processor waits for
    /// each such copy about as long as the lookup itself takes.
    #[inline(always)]
    pub(crate) fn glance<const LOOKS: bool>(
        &self,
        space: &SpaceState,
        key: &KeyRef<'_>,
        demand: Demand,
    ) -> Result<(Resident, Tick), Unfit> {
        if self.memory.copies.has(key.hash)
            && demand == Demand::Any
            && let at = self.clock.coarse()
            && let Some(entry) = self.own(space, key, at)
        {
            return Ok((entry, at));
        }
        let (entry, served, at) = self.glance_at_store(space, key, demand)?;
        let due = LOOKS && entry.is_due(self.heat.sampling(), served);
        Ok((if due { self.look_at_hit(space, key, entry) } else { entry }, at))
    }

    /// Glances at up to [`MANY`](crate::state::memory::MANY) keys at once, which waits for memory about as long as for a
    /// few of them. `found` has a place for each; in the second number a bit for each that may be served as it is. What
    /// has none is to be judged.
    pub(crate) fn glance_many(
        &self,
        space: &SpaceState,
        keys: &[KeyRef<'_>],
        found: &mut [Option<Resident>],
    ) -> (Tick, u32) {
        let (at, mut plain) = (self.clock.coarse(), 0);
        if keys.iter().any(|key| self.memory.copies.has(key.hash)) {
            for (nth, (found, key)) in found.iter_mut().zip(keys).enumerate() {
                *found = match self.glance::<true>(space, key, Demand::Any) {
                    Ok((entry, _)) => {
                        plain |= 1 << nth;
                        Some(entry)
                    }
                    Err((entry, _)) => entry,
                };
            }
            return (at, plain);
        }
        self.memory.get_many(keys, found);
        let floor = space.newest_floor();
        for (nth, (place, key)) in found.iter_mut().zip(keys).enumerate() {
            let Some(entry) = place else { continue };
            let served = entry.touch();
            let serves = at < entry.calm_until() && entry.is_plain() && entry.fence() > floor;
            plain |= u32::from(serves) << nth;
            if serves && entry.is_due(self.heat.sampling(), served) {
                *place = place.take().map(|entry| self.look_at_hit(space, key, entry));
            }
        }
        (at, plain)
    }

    /// What the store has, and how often it was served, if that may be served as it is.
    #[inline(always)]
    fn glance_at_store(
        &self,
        space: &SpaceState,
        key: &KeyRef<'_>,
        demand: Demand,
    ) -> Result<(Resident, u32, Tick), Unfit> {
        let found = self.memory.get(key);
        // Read where it is needed, as all that follows: kept over the lookup it would have to be put aside.
        let at = self.clock.coarse();
        let Some(entry) = found else { return Err((None, at)) };
        let served = entry.touch();
        let plain = demand == Demand::Any && at < entry.calm_until() && entry.is_plain();
        if plain && entry.fence() > space.newest_floor() {
            return Ok((entry, served, at));
        }
        Err((Some(entry), at))
    }

    /// This thread's own reference to a key of which each may hold one, if it may be served as it is. In two registers: a
    /// [`Look`] or an [`Unfit`] would be written to memory and read back in larger pieces.
    #[inline(never)]
    fn own(&self, space: &SpaceState, key: &KeyRef<'_>, at: Tick) -> Option<Resident> {
        let copies = &self.memory.copies;
        let own = copies.get(key, at, space.newest_floor(), || self.tags.generation());
        if own.is_some() { own } else { self.new_own(space, key, at) }
    }

    /// A new one, or the one that it has for another while.
    #[cold]
    fn new_own(&self, space: &SpaceState, key: &KeyRef<'_>, at: Tick) -> Option<Resident> {
        let copies = &self.memory.copies;
        // Both before the store and the floors are read: what changes after that makes the reference void.
        let before = copies.before(key.hash, self.tags.generation())?;
        let entry = self.memory.get(key)?;
        let fits = entry.kind() == Kind::Value && !entry.expired() && at < entry.calm_until();
        let newest = space.newest_floor().max(self.tags.floor_of(&entry).newest());
        if !fits || entry.fence() <= newest {
            return None;
        }
        let (own, uses) = copies.put(key, &entry, before, at)?;
        entry.touch();
        // Who has a reference counts what it is used for: nobody needs to look at each use.
        let drawn = Drawn { nth: uses.into(), weight: uses.saturating_add(1) };
        self.look_at_read(space, key, Some(&entry), drawn);
        Some(own)
    }

    /// The decision where a glance was not enough.
    pub(crate) fn judge(
        &self,
        space: &SpaceState,
        key: impl Fn() -> Key,
        found: Option<Resident>,
        demand: Demand,
        at: Tick,
    ) -> Look {
        let Some(entry) = found else {
            return if demand == Demand::CachedOnly { Look::NotCached } else { Look::Load };
        };
        let floor = self.floor_of(space, &entry);
        let draw = if at < entry.calm_until() { Draw(0) } else { draw() };
        let meta = entry.meta();
        let seen = decide::Resident { meta: &meta, hits: entry.hits() };
        let decision = decide(Some(seen), floor, demand, at, &space.policy, draw);
        let mut marks = space.marks();
        marks.braked = marks.braked && !self.is_held(&key(), &entry, at);
        let belief = marks.standing(entry.fence()).belief(self.silence.is_on());
        if belief == Belief::None && entry.kind() != Kind::HitForMiss {
            // The shared tier answers in its place: a load asks it first.
            return if demand == Demand::CachedOnly { Look::NotCached } else { Look::Load };
        }
        match decision {
            Decision::Serve(Why::Hit) if belief == Belief::Labelled => {
                self.silence.served(&space.name, key);
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
