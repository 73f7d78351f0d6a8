//! Which copies may still be believed? A mark per space, below which nobody has confirmed a copy for too long.
//!
//! A copy's local fence says when it was last in step with the shared tier. The mark rises with time, and at once
//! where invalidations may have been missed: a copy up to it is *suspect*, and a reader asks the tier in its place.

use bellwether_core::entry::Meta;
use bellwether_core::fence::{Fence, Invalidation};

use crate::engine::Engine;
use crate::engine::space::SpaceState;
use crate::entry::{Resident, relabelled};
use crate::key::Key;

impl Engine {
    /// From now on no copy of a shared space is served before it was compared with the tier.
    pub(crate) fn suspect_copies(&self) {
        let now = self.next_fence();
        self.each_shared(|space| space.doubt(now));
    }

    /// Runs `f` for each space whose entries live in the shared tier.
    pub(crate) fn each_shared(&self, f: impl Fn(&SpaceState)) {
        if self.tier.is_some() {
            self.spaces.read().values().filter(|space| space.travel.is_some()).for_each(|space| f(space));
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
}
