//! Is a copy still what the shared tier holds? Asked of what is read, before it is too late to believe it.
//!
//! A copy's local fence says when it was last in step with the tier. The space's marks rise with time: a copy up to
//! the lower one is *suspect*, and a reader asks the tier in its place; up to the higher one it is *due*, and is
//! compared in the background while it is served.

use std::sync::Arc;

use bellwether_core::entry::Meta;
use bellwether_core::fence::{Fence, Invalidation};
use futures_util::stream::{self, StreamExt};

use crate::engine::Engine;
use crate::engine::space::SpaceState;
use crate::entry::{Resident, relabelled};
use crate::key::Key;
use crate::observe::shared::add;
use crate::shared::Verified;

/// Keys that are compared at once.
const AT_ONCE: usize = 32;

impl Engine {
    /// A copy was served: notes that it is to be compared soon, if it is.
    #[inline]
    pub(crate) fn watch(&self, space: &Arc<SpaceState>, entry: &Resident, key: impl FnOnce() -> Key) {
        if entry.fence() <= space.due() && entry.mark().is_some_and(|mark| mark.fence() != Fence::ZERO) {
            self.due.add(space, key);
        }
    }

    /// From now on no copy of a shared space is served before it was compared with the tier.
    pub(crate) fn suspect_copies(&self) {
        let now = self.next_fence();
        self.each_shared(|space| space.doubt(now, now));
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
            space.raise(verb, self.next_fence());
            true
        })
    }

    /// Compares what is due with the tier.
    pub(crate) async fn verify_due(&self) {
        let due = self.due.take();
        let compare = |(key, space): (Key, Arc<SpaceState>)| async move { self.verify(&space, &key).await };
        stream::iter(due).for_each_concurrent(AT_ONCE, compare).await;
    }

    async fn verify(&self, space: &SpaceState, key: &Key) {
        let (Some(tier), Some(travel)) = (&self.tier, &space.travel) else { return };
        let Some(entry) = self.memory.peek(key.by_ref()) else { return };
        let Some(held) = entry.mark().map(|mark| mark.fence()).filter(|fence| *fence != Fence::ZERO) else { return };
        // Drawn before the tier is asked: an invalidation that comes meanwhile covers the copy as before.
        let asked = self.next_fence();
        let name = travel.name(&key.bytes);
        let Ok(verified) = self.within_budget(space, tier.verify(&name)).await else { return };
        add(&self.tally.verified);
        if verified == Verified::Holds(held) {
            self.believe(space, key, &entry, asked);
        } else {
            add(&self.tally.dropped);
            self.forget(key, entry.fence());
        }
    }

    /// The copy was in step with the tier at `asked`, if no invalidation covers it by now.
    fn believe(&self, space: &SpaceState, key: &Key, entry: &Resident, asked: Fence) {
        self.flights.locked(key, |shard| {
            let resident = self.memory.peek(key.by_ref()).is_some_and(|held| held.fence() == entry.fence());
            let floor = shard.floor(key).merge(self.floor_of(space, entry));
            if resident && !floor.covers(entry.fence()) && !entry.expired() {
                self.memory.put(key, relabelled(entry, Meta { fence: asked, ..entry.meta() }, None, false));
            }
        });
    }
}
