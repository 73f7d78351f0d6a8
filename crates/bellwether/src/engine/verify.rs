//! Which copies may still be believed? Two marks per space, by which a copy's local fence stands or falls.
//!
//! A copy's local fence says when it was last in step with the shared tier. Where invalidations may have been missed,
//! copies are suspect at once; with time they are unconfirmed: see `core::read::doubt`.

use std::sync::Arc;

use bellwether_core::entry::Meta;
use bellwether_core::fence::{Fence, Invalidation};
use bellwether_core::read::doubt::Standing;
use bellwether_core::time::{Span, Tick};

use crate::engine::Engine;
use crate::entry::{Resident, relabelled};
use crate::key::Key;
use crate::port::clock::LEAP;
use crate::state::space::SpaceState;

impl Engine {
    /// From now on no copy of a shared space is served before it was compared with the tier, if that answers.
    pub(crate) fn suspect_copies(&self) {
        let now = self.next_fence();
        self.each_shared(|space| space.doubt(now));
    }

    /// It is `now`: what was confirmed too long ago is not believed any more.
    pub(crate) fn age_copies(&self, now: Tick) {
        let unconfirmed = self.ageing.lock().on(now, self.next_fence());
        if let Some(unconfirmed) = unconfirmed {
            self.each_shared(|space| space.outlive(unconfirmed));
        }
    }

    /// The process stood still for so long, until `now`: whatever was told meanwhile it has not heard.
    pub(crate) fn stood_still(&self, pause: Span, now: Tick) {
        self.suspect_copies();
        self.age_copies(now);
        if let Some(fleet) = self.fleet.as_ref().filter(|_| pause >= LEAP) {
            fleet.set_live(false);
        }
    }

    /// Calls [`Engine::stood_still`] before anybody here sees what time it is after a pause.
    pub(crate) fn mind_pauses(self: &Arc<Engine>) {
        let weak = Arc::downgrade(self);
        self.clock.on_pause(Box::new(move |pause, now| {
            let engine = weak.upgrade();
            engine.inspect(|engine| engine.stood_still(pause, now)).is_some()
        }));
    }

    /// Runs `f` for each space whose entries live in the shared tier.
    pub(crate) fn each_shared(&self, f: impl Fn(&SpaceState)) {
        if self.tier.is_some() {
            let shared = |space: &SpaceState| space.travel.as_ref().is_some_and(|travel| travel.on_shared);
            self.spaces.read().values().filter(|space| shared(space)).for_each(|space| f(space));
        }
    }

    /// Another process invalidated a whole space. False: there is none of that name here.
    pub(crate) fn hear_space(&self, space: &str, verb: Invalidation) -> bool {
        let space = self.spaces.read().get(space).cloned();
        space.is_some_and(|space| {
            drop(self.raise_space(&space, verb));
            true
        })
    }

    /// The tier held what this copy is of at a moment after `asked` was drawn. Whatever was invalidated since covers
    /// it as before, and what covers it by now does so for ever.
    pub(crate) fn believe(&self, space: &SpaceState, key: &Key, entry: &Resident, asked: Fence) {
        self.flights.locked(key, |shard| {
            let resident = self.memory.peek(key.by_ref()).is_some_and(|held| held.fence() == entry.fence());
            let floor = shard.floor(key).merge(self.floor_of(space, entry));
            if resident && !floor.covers(entry.fence()) {
                let confirmed = relabelled(entry, Meta { fence: asked, ..entry.meta() }, None, false);
                confirmed.served_as(entry);
                self.memory.put(key, confirmed);
            }
        });
    }

    /// The tier was asked in the place of a copy, and holds nothing: a copy that it once held is gone, lest it save
    /// somebody from a failed load.
    pub(crate) fn disown(&self, space: &SpaceState, key: &Key) {
        self.flights.locked(key, |_| {
            let held = self.memory.peek(key.by_ref());
            let doubted = held.is_some_and(|entry| {
                let known_there = entry.mark().is_some_and(|mark| mark.fence() != Fence::ZERO);
                known_there && space.marks().standing(entry.fence()) != Standing::Sound
            });
            if doubted {
                self.memory.remove(key.by_ref());
            }
        });
    }
}
