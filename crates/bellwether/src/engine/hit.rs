//! Can memory answer? The path of a hit: a plain function, no await, no allocation, no lock held.

use bellwether_core::draw::Draw;
use bellwether_core::entry::Kind;
use bellwether_core::heat::sample::Drawn;
use bellwether_core::read::decide::{self, Decision, Demand, decide};
use bellwether_core::read::doubt::Belief;
use bellwether_core::time::Tick;
use bellwether_core::why::Why;

use crate::engine::{Engine, draw};
use crate::entry::{Entry, Resident, Touched};
use crate::key::{Key, KeyRef, Sought, of_space};
use crate::state::memory::own;
use crate::state::memory::references::{Seen, Spot};
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

/// What a glance found that may be served as it is, and as of when.
pub(crate) struct Glance {
    pub(crate) entry: Resident,
    pub(crate) at: Tick,
    pub(crate) closely: Closely,
}

/// What is to be looked at about a hit, beside serving it.
#[derive(Clone, Copy)]
pub(crate) struct Closely {
    /// The detector of hot keys looks at it.
    pub(crate) due: bool,
    /// This thread met another at the entry.
    pub(crate) met: bool,
}

impl Closely {
    /// Whether anything is.
    #[inline(always)]
    pub(crate) fn any(self) -> bool {
        self.due | self.met
    }
}

/// What a glance found that may not be served as it is, and as of when: to be judged.
pub(crate) type Unfit = Option<(Resident, Tick)>;

impl Engine {
    /// Looks `key` up and decides. Counts nothing, and nobody looks at it.
    pub(crate) fn look(&self, space: &SpaceState, key: KeyRef<'_>, demand: Demand) -> Look {
        let unfit = if demand != Demand::Any {
            self.found(&key)
        } else {
            match self.glance_alone(space, &key) {
                Ok(Glance { entry, at, .. }) => return Look::Serve { entry, why: Why::Hit, at, refresh: false },
                Err(unfit) => unfit,
            }
        };
        let (found, at) = unfit.map_or((None, Tick(0)), |(entry, at)| (Some(entry), at));
        self.judge(space, || key.to_key(), found, demand, at)
    }

    /// The path of a plain hit, which it counts: what may be served as it is, or what was found of values, to be judged.
    ///
    /// In two parts. All that is looked for is in a function of its own, which knows the key alone and gives two words
    /// back in registers; what is to be thought of it is part of whoever asks, and nothing in it may unwind. Before each
    /// locked instruction the processor waits for all that was written: what is put aside, to be at hand where a hit is more
    /// than that, costs more than to find it again there.
    #[inline(always)]
    pub(crate) fn glance(&self, space: &SpaceState, bytes: &[u8]) -> Result<Glance, Unfit> {
        let entry = if own::any() { self.nearest(space, bytes) } else { self.stored(&space.id, bytes) };
        let Some(entry) = entry else { return Err(None) };
        let at = self.clock.coarse();
        let touched = entry.touch();
        if !self.serves(space, &entry, at) {
            return self.glance_again(space, entry, at, touched);
        }
        space.count(Why::Hit);
        let closely = self.closely(&entry, touched);
        Ok(Glance { entry, at, closely })
    }

    /// As [`Engine::glance`], of an entry that is not plain: it may have tags. Apart, and the entry handed over and back, so
    /// that a plain hit has nothing of it.
    #[inline(never)]
    fn glance_again(&self, space: &SpaceState, entry: Resident, at: Tick, touched: Touched) -> Result<Glance, Unfit> {
        if !self.serves_tagged(space, &entry, at) {
            return Err(Some((entry, at)));
        }
        space.count(Why::Hit);
        let closely = self.closely(&entry, touched);
        Ok(Glance { entry, at, closely })
    }

    /// What is to be looked at about a hit that touched `entry`.
    #[inline(always)]
    pub(crate) fn closely(&self, entry: &Entry, Touched { served, met }: Touched) -> Closely {
        let due = entry.is_due(self.heat.sampling(), served) && !entry.is_twin();
        Closely { due, met }
    }

    /// The value that the store has. Made for the path of a hit alone, with a store's search that is part of it.
    #[inline(never)]
    fn stored(&self, space: &u32, bytes: &[u8]) -> Option<Resident> {
        self.memory.hit(&Sought { hash: of_space(self.seed.of_bytes(bytes), *space), bytes, space })
    }

    /// The same for a thread that has references of its own to some values: to one of these its own.
    #[inline(never)]
    fn nearest(&self, space: &SpaceState, bytes: &[u8]) -> Option<Resident> {
        let key = KeyRef::new(space.id, bytes, &self.seed);
        self.own(space, &key, self.clock.coarse()).or_else(|| self.memory.value(&key))
    }

    /// What is known of a key that has no value, to be judged.
    pub(crate) fn nothing(&self, key: &KeyRef<'_>) -> Unfit {
        let entry = self.memory.nothing(key)?;
        entry.touch();
        Some((entry, self.clock.coarse()))
    }

    /// What the store has, to be judged. It counts as served.
    pub(crate) fn found(&self, key: &KeyRef<'_>) -> Unfit {
        let entry = self.memory.get(key)?;
        entry.touch();
        Some((entry, self.clock.coarse()))
    }

    /// The same, for who counts and looks by himself.
    fn glance_alone(&self, space: &SpaceState, key: &KeyRef<'_>) -> Result<Glance, Unfit> {
        let at = self.clock.coarse();
        let own = if own::any() { self.own(space, key, at) } else { None };
        let Some(entry) = own.or_else(|| self.memory.get(key)) else { return Err(None) };
        let touched = entry.touch();
        if !self.serves(space, &entry, at) && !self.serves_tagged(space, &entry, at) {
            return Err(Some((entry, at)));
        }
        Ok(Glance { closely: self.closely(&entry, touched), entry, at })
    }

    /// Whether what was found may be served as it is.
    #[inline(always)]
    fn serves(&self, space: &SpaceState, entry: &Entry, at: Tick) -> bool {
        at < entry.calm_until() && entry.is_plain() && entry.fence() > space.newest_floor()
    }

    /// The same of one with a version or tags, none of which was invalidated since it was loaded.
    #[inline(never)]
    fn serves_tagged(&self, space: &SpaceState, entry: &Entry, at: Tick) -> bool {
        let is_value = entry.kind() == Kind::Value && !entry.expired();
        let is_fresh = at < entry.calm_until() && entry.fence() > space.newest_floor();
        is_value && is_fresh && !self.tags.floor_of(entry).covers(entry.fence())
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
        if keys.iter().any(|key| own::may_have(key.hash, at)) {
            for (nth, (found, key)) in found.iter_mut().zip(keys).enumerate() {
                *found = match self.glance_alone(space, key) {
                    Ok(Glance { entry, closely, .. }) => {
                        plain |= 1 << nth;
                        Some(if closely.any() { self.look_at_hit(space, key, entry, closely) } else { entry })
                    }
                    Err(unfit) => unfit.map(|(entry, _)| entry),
                };
            }
            return (at, plain);
        }
        self.memory.get_many(keys, found);
        let floor = space.newest_floor();
        for (nth, (place, key)) in found.iter_mut().zip(keys).enumerate() {
            let Some(entry) = place else { continue };
            let touched = entry.touch();
            let is_plain = at < entry.calm_until() && entry.is_plain() && entry.fence() > floor;
            let serves = is_plain || self.serves_tagged(space, entry, at);
            plain |= u32::from(serves) << nth;
            let closely = self.closely(entry, touched);
            if serves && closely.any() {
                *place = place.take().map(|entry| self.look_at_hit(space, key, entry, closely));
            }
        }
        (at, plain)
    }

    /// This thread's own reference to a key, if it has one that may be served as it is: all else is judged by what the
    /// store has.
    #[inline]
    fn own(&self, space: &SpaceState, key: &KeyRef<'_>, at: Tick) -> Option<Resident> {
        match self.memory.references.get(key, at) {
            Seen::Good(own) => {
                let is_plain = own.is_plain() && own.fence() > space.newest_floor();
                (is_plain || self.serves_tagged(space, &own, at)).then_some(own)
            }
            Seen::Nothing => None,
            Seen::Ended(spot) => self.new_own(space, key, spot, at),
        }
    }

    /// A new one at a spot, or the one that it has for another while.
    #[cold]
    #[inline(never)]
    pub(crate) fn new_own(&self, space: &SpaceState, key: &KeyRef<'_>, spot: Spot, at: Tick) -> Option<Resident> {
        let references = &self.memory.references;
        // Before the store is read: what changes after that makes the reference void.
        let before = references.before(key.hash)?;
        let entry = self.memory.value(key)?;
        if !self.serves(space, &entry, at) && !self.serves_tagged(space, &entry, at) {
            return None;
        }
        let (own, uses) = references.put(spot, key, &entry, before, at)?;
        entry.touch();
        // Who has a reference counts what it is used for: nobody needs to look at each use. This hit itself is counted with it,
        // although it was counted already where it is the first: one of 256.
        let drawn = Drawn { nth: uses.into(), weight: uses.saturating_add(1) };
        self.look_at_read(space, key, Some(&entry), drawn);
        own
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
