//! Is a copy still what the shared tier holds? It is compared now and then, while it is read; and what memory lacks is
//! looked for there.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bellwether_core::entry::Kind;
use bellwether_core::fence::Floor;
use bellwether_core::read::decide::{self, Decision, Demand, decide};
use bellwether_core::time::Tick;
use bellwether_core::why::Why;

use crate::engine::ask::Answer;
use crate::engine::hit::Look;
use crate::engine::tier::{Link, Offer, Said};
use crate::engine::{Engine, draw};
use crate::entry::Resident;
use crate::error::Error;
use crate::key::Key;
use crate::observe::shared::add;
use crate::shared::Verified;
use crate::state::space::SpaceState;

/// Copies that may be compared at once; a read beyond that leaves it to the next.
const MOST_VERIFYING: usize = 256;

/// So often what is there is looked at, where it is covered by what came meanwhile.
const LOOKS: usize = 3;

impl Engine {
    /// Compares a copy with the tier in the background, if it is time: one comparison per copy and period, whoever
    /// reads. `key` is asked only then.
    #[inline]
    pub(crate) fn resync(
        self: &Arc<Engine>,
        space: &Arc<SpaceState>,
        key: impl FnOnce() -> Key,
        entry: &Resident,
        at: Tick,
    ) {
        if let Some(mark) = entry.mark()
            && at >= mark.due()
            && self.verifying.load(Ordering::Relaxed) < MOST_VERIFYING
            && mark.take_turn(at, at + self.resync)
        {
            let verifying = Verifying::new(self);
            let (space, key, entry) = (space.clone(), key(), entry.clone());
            self.runtime().spawn(async move { verifying.0.verify(&space, &key, &entry).await });
        }
    }

    async fn verify(&self, space: &SpaceState, key: &Key, entry: &Resident) {
        let (Some(tier), Some(travel), Some(mark)) = (&self.tier, &space.travel, entry.mark()) else { return };
        let held = mark.fence();
        // Drawn before the tier is asked: what is invalidated meanwhile is newer.
        let asked = self.next_fence();
        let verified = self.within_budget(space, tier.verify(&travel.name(&key.bytes))).await;
        // A tier that does not answer proves nothing: it is asked again after a period.
        entry.watch();
        let Ok(verified) = verified else { return };
        add(&self.tally.verified);
        if verified == Verified::Holds(held) {
            self.believe(space, key, entry, asked);
        } else {
            add(&self.tally.dropped);
            self.forget(key, entry.fence());
        }
    }

    /// What memory or the shared tier holds and may be served. Loads nothing.
    pub(crate) async fn find(self: &Arc<Engine>, space: &Arc<SpaceState>, key: &Key) -> Result<Answer, Error> {
        if let Look::Serve { entry, why, at, .. } = self.look(space, key.by_ref(), Demand::CachedOnly) {
            self.resync(space, || key.clone(), &entry, at);
            return Ok((entry, why, at));
        }
        if let Some(offer) = self.owed_value(key)
            && let Some(answer) = self.take(space, key, &offer)
        {
            return Ok(answer);
        }
        if let Some(offer) = self.find_on_disk(space, key).await
            && let Some(answer) = self.take(space, key, &offer)
        {
            return Ok(answer);
        }
        let mut overtaken = None;
        for _ in 0..LOOKS {
            let Some(mut link) = Link::of(self, space, key) else { break };
            add(&self.tally.gets);
            overtaken = None;
            let Said::Offer(offer) = link.probe(key).await else { break };
            if let Some(answer) = self.take(space, key, &offer) {
                add(&self.tally.adopted);
                return Ok(answer);
            }
            // Something was there, and is covered by what was heard while it was fetched: by the very write that put it
            // there, perhaps. What is there now was not fetched before that.
            overtaken = self.of_its_moment(space, &offer);
        }
        // Written again and again: what was there when the tier was asked, which was after this caller came, answers it and
        // nobody else.
        if let Some(answer) = overtaken {
            return Ok(answer);
        }
        // It was the tier's to answer in the place of a copy, and did not: that copy may answer, as for all who come next.
        if self.silence.is_on()
            && let Look::Serve { entry, why, at, .. } = self.look(space, key.by_ref(), Demand::CachedOnly)
        {
            return Ok((entry, why, at));
        }
        Err(Error::new(Why::NotCached))
    }

    /// Whether the tier is still to be told of `key`. What was written here is in memory again then, if that gave it up.
    pub(crate) fn recall(&self, space: &SpaceState, key: &Key) -> bool {
        if self.memory.peek(key.by_ref()).is_none()
            && let Some(offer) = self.owed_value(key)
        {
            // In memory or not: what is owed is known.
            drop(self.take(space, key, &offer));
        }
        self.pending.owed(key).is_some()
    }

    /// Keeps what another tier offers, if it may be served.
    pub(crate) fn take(&self, space: &SpaceState, key: &Key, offer: &Offer) -> Option<Answer> {
        self.flights.locked(key, |shard| {
            let floor = self.floor_here(space, shard, key, offer).merge(offer.floor);
            let answer = self.servable(space, offer, floor)?;
            self.keep(space, shard, key, &offer.entry);
            Some(answer)
        })
    }

    /// What another tier offers as an answer to who asked for it, whatever was heard since.
    fn of_its_moment(&self, space: &SpaceState, offer: &Offer) -> Option<Answer> {
        self.servable(space, offer, offer.floor)
    }

    fn servable(&self, space: &SpaceState, offer: &Offer, floor: Floor) -> Option<Answer> {
        let (now, meta) = (self.clock.now(), offer.entry.meta());
        let found = Some(decide::Resident { meta: &meta, hits: 0 });
        match decide(found, floor, Demand::CachedOnly, now, &space.policy, draw()) {
            Decision::Serve(why) | Decision::ServeAndRefresh(why) if meta.kind != Kind::HitForMiss => {
                Some((offer.entry.clone(), why, now))
            }
            _ => None,
        }
    }
}

/// A comparison under way. Dropped: it is over.
struct Verifying(Arc<Engine>);

impl Verifying {
    fn new(engine: &Arc<Engine>) -> Verifying {
        engine.verifying.fetch_add(1, Ordering::Relaxed);
        Verifying(engine.clone())
    }
}

impl Drop for Verifying {
    fn drop(&mut self) {
        self.0.verifying.fetch_sub(1, Ordering::Relaxed);
    }
}
