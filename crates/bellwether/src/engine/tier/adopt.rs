//! What becomes of the shared tier's answer? An entry here, a step of the walk, or a fresh start of both.

use std::sync::Arc;

use bellwether_core::entry::{Kind, Meta};
use bellwether_core::fence::Fence;
use bellwether_core::read::rumour::rumour;
use bellwether_core::read::walk::{Event, Heard, LONE_FRESH, Parting, Right, Seen, Step, unproven};
use bellwether_core::time::Span;

use crate::engine::cell::{FlightCell, Outcome};
use crate::engine::lead::Leader;
use crate::engine::tier::{Next, Offer, Said};
use crate::engine::{Engine, draw};
use crate::entry::{Resident, relabelled};
use crate::key::Key;
use crate::observe::shared::add;
use crate::shared::{Stored, TierTrouble};
use crate::state::flights::{Ending, Shard};
use crate::state::space::SpaceState;

impl Leader {
    /// Asks the tier what `step` asks, and lets the walk judge the answer.
    pub(crate) async fn hear(&mut self, step: &Step) -> Next {
        if *step == Step::Look {
            return self.look().await;
        }
        let said = match (&mut self.link, step) {
            (Some(link), Step::Acquire(mode)) => link.acquire(&self.key, *mode).await,
            (Some(link), _) => {
                add(&link.to.engine.tally.gets);
                link.probe(&self.key).await
            }
            (None, _) => Said::Plain(Heard::Unreachable { idle: false }),
        };
        self.judge(said)
    }

    /// The walk's next step after what the tier said. An entry that answers has landed by then.
    pub(crate) fn judge(&mut self, said: Said) -> Next {
        match said {
            Said::Offer(offer) => self.adopt(*offer),
            Said::Plain(Heard::Unreachable { .. }) => {
                let idle = self.is_idle();
                let next = self.next(Heard::Unreachable { idle });
                if next == Step::Leave {
                    self.engine.calm(&self.key);
                }
                Next::Step(next)
            }
            Said::Plain(heard) => {
                if matches!(heard, Heard::Nothing { .. }) {
                    self.engine.disown(&self.space, &self.key);
                }
                self.pass_on(&heard);
                Next::Step(self.next(heard))
            }
            Said::Beside(heard, rest) => {
                if let Some(offer) = rest {
                    let engine = self.engine.clone();
                    engine.flights.locked(&self.key, |shard| self.keep_in_reserve(shard, &offer));
                }
                Next::Step(self.next(heard))
            }
        }
    }

    /// Tells the guard what the tier says of another process's load.
    fn pass_on(&self, heard: &Heard) {
        let failing = matches!(heard, Heard::Failed(..)) && self.last_failure().is_some();
        if let Some(rumour) = rumour(heard, failing, self.engine.clock.now()) {
            self.space.gate.heard(rumour);
        }
    }

    fn next(&mut self, heard: Heard) -> Step {
        self.walk.on(Event::Heard(heard), self.engine.clock.now(), &self.space.policy, draw())
    }

    /// Nobody waits for this flight, and what is resident is still fresh.
    fn is_idle(&self) -> bool {
        let Some(id) = self.id else { return false };
        self.engine.flights.locked(&self.key, |shard| {
            let waits = shard.flights(&self.key).and_then(|flights| flights.get(id)?.deadline).is_some();
            let now = self.engine.clock.now();
            let fresh = |entry: Resident| {
                now < entry.fresh_until() && !self.engine.floor_of(&self.space, &entry).covers(entry.fence())
            };
            !waits && self.engine.memory.peek(self.key.by_ref()).is_some_and(fresh)
        })
    }

    /// Decided, kept and landed in one step as seen by invalidations and by those who join: whoever came while the
    /// tier was asked may know of a removal, or want a younger value.
    fn adopt(&mut self, offer: Offer) -> Next {
        let Some(id) = self.id else { return Next::Step(Step::Admit) };
        let (engine, key) = (self.engine.clone(), self.key.clone());
        let (seen, step, landed) = engine.flights.locked(&key, |shard| {
            let demand = shard.flights(&key).and_then(|flights| flights.get(id)).map(|flight| flight.demand);
            let here = engine.floor_here(&self.space, shard, &key, &offer);
            let fence = offer.entry.fence();
            let (floor, crossed) = (here.merge(offer.floor), here.covers(fence) && !offer.floor.covers(fence));
            let (meta, newer, lease) = (offer.entry.meta(), offer.newer, offer.lease);
            let seen = Seen { meta, floor, crossed, demand: demand.unwrap_or_default(), newer, lease };
            let step = self.next(Heard::Entry(seen));
            if let Step::Adopt { .. } = step {
                engine.keep(&self.space, shard, &key, &offer.entry);
                let landed = engine.flights.land(shard, &key, id, Ending::Succeeded, engine.clock.now());
                return (seen, step, landed);
            }
            self.keep_in_reserve(shard, &offer);
            (seen, step, None)
        });
        self.pass_on(&Heard::Entry(seen));
        let Step::Adopt { why, refresh, .. } = step else { return Next::Step(step) };
        add(&engine.tally.adopted);
        let entry = offer.entry;
        self.tell(landed, Outcome::Landed(entry.clone(), Some(why)));
        self.landed = true;
        Next::Landed { entry, refresh }
    }

    /// What does not answer may still rescue, if the load fails and memory has nothing as new.
    pub(crate) fn keep_in_reserve(&self, shard: &mut Shard<Arc<FlightCell>>, offer: &Offer) {
        self.engine.reserve(&self.space, shard, &self.key, offer);
    }

    /// Tells the tier how the load ended.
    pub(crate) async fn part(&mut self, parting: Parting, kept: Option<Resident>) {
        let Some(lease) = self.link.as_mut().and_then(|link| link.lease.take()) else {
            if let Some(entry) = kept.filter(|_| self.walk.right() == Right::Alone) {
                self.engine.shelve(&self.space, &self.key, &entry, self.engine.position());
            }
            return;
        };
        let seen = lease.seen;
        match (parting, kept) {
            (Parting::Publish, Some(entry)) => match self.engine.outgoing(&self.space, &self.key, &entry, lease.seen) {
                Some(envelope) => match lease.publish(envelope).await {
                    Ok(Stored::Yes(_)) => self.engine.shelve(&self.space, &self.key, &entry, seen),
                    // An invalidation elsewhere, or another writer, came first: what is here is no better.
                    Ok(Stored::Refused) => self.engine.forget(&self.key, entry.fence()),
                    Err(trouble @ (TierTrouble::Unfit | TierTrouble::WrongType)) => {
                        self.unproven(&entry, self.engine.resync);
                        let replaces = self.link.as_ref().is_some_and(|link| link.holds != Fence::ZERO);
                        if trouble == TierTrouble::Unfit && replaces {
                            self.engine.outgrown(&self.space, &self.key).await;
                        }
                    }
                    Err(_) => self.unproven(&entry, LONE_FRESH.at_most(self.engine.resync)),
                },
                None => {
                    lease.release(None).await;
                    self.unproven(&entry, self.engine.resync);
                }
            },
            (Parting::Release(failed), _) => lease.release(failed).await,
            (Parting::Publish | Parting::Silent, _) => lease.release(None).await,
        }
    }

    /// Whether the tier has it is not known: it is not fresh for long here.
    fn unproven(&self, entry: &Resident, most: Span) {
        self.engine.flights.locked(&self.key, |_| {
            let resident = self.engine.memory.peek(self.key.by_ref());
            if let Some(resident) = resident.filter(|resident| resident.fence() == entry.fence()) {
                let meta = unproven(resident.meta(), most);
                self.engine.memory.put(&self.key, relabelled(&resident, meta, None, resident.expired()));
            }
        });
    }
}

impl Engine {
    /// Keeps what does not answer and may be of use: see [`Leader::keep_in_reserve`]. Call it under the key's lock.
    pub(crate) fn reserve(&self, space: &SpaceState, shard: &Shard<Arc<FlightCell>>, key: &Key, offer: &Offer) {
        let meta = offer.entry.meta();
        let floor = self.floor_here(space, shard, key, offer);
        let usable = meta.kind == Kind::Value && self.clock.now() < meta.hard_until() && meta.fence > floor.removed;
        let ended = offer.floor.merge(floor);
        if !usable || meta.fence <= ended.removed || (self.memory.peek(key.by_ref()).is_some() && !offer.newer) {
            return;
        }
        if !ended.covers(meta.fence) {
            self.keep(space, shard, key, &offer.entry);
        } else if space.policy.rescue_invalidated {
            self.memory.put(key, relabelled(&offer.entry, meta, None, true));
        }
    }

    /// The tier that could grant its refresh is gone: a fresh value is left in peace until it is stale.
    fn calm(&self, key: &Key) {
        self.flights.locked(key, |_| {
            if let Some(entry) = self.memory.peek(key.by_ref()) {
                let meta = Meta { early_ms: 0, ..entry.meta() };
                self.memory.put(key, relabelled(&entry, meta, None, entry.expired()));
            }
        });
    }
}
