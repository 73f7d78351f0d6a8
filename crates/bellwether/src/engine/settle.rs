//! How does a flight end? What was loaded is kept if it may be, and everybody is told, once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bellwether_core::entry::{Kind, Meta};
use bellwether_core::fence::{Fence, Floor};
use bellwether_core::read::walk::{Event, Step, Walk, supersedes};
use bellwether_core::time::{Span, Tick};
use bellwether_core::why::Why;
use bytes::Bytes;

use crate::engine::cell::{FlightCell, Outcome};
use crate::engine::lead::{Body, Cargo, Leader};
use crate::engine::space::SpaceState;
use crate::engine::{Engine, draw};
use crate::entry::{Entry, Extra, Resident, relabelled};
use crate::error::Error;
use crate::key::Key;
use crate::port::tier::{Envelope, Stored, Tier, TierError};
use crate::state::flights::{Ending, Landed, Shard};

/// From so many followers on, a flight would have been a stampede.
const STAMPEDE: u32 = 10;

/// What became of an entry that was to be kept.
enum Kept {
    Yes,
    TooLarge,
    /// An invalidation or a newer load came first.
    Outdated,
}

impl Leader {
    /// Performs the walk's last step. Returns what was kept and may go on to the shared tier.
    pub(crate) fn settle(&mut self, end: Step, cargo: Cargo) -> Option<Resident> {
        let mut stored = None;
        match end {
            Step::Keep(meta) => {
                let entry = self.entry(cargo, meta)?;
                self.land(Ending::Succeeded, |shard| {
                    let kept = shard.map(|shard| self.engine.keep(&self.space, shard, &self.key, &entry));
                    stored = matches!(kept, Some(Kept::Yes)).then(|| entry.clone());
                    let why = matches!(kept, Some(Kept::TooLarge)).then_some(Why::TooLarge);
                    Outcome::Landed(entry, why)
                });
            }
            Step::Mark { marker, body, private } => {
                let entry = self.entry(cargo, body)?;
                let marker = Entry::new(&self.key, marker, None, 0, ());
                self.land(Ending::Succeeded, |shard| {
                    if let Some(shard) = shard {
                        self.engine.keep(&self.space, shard, &self.key, &marker);
                    }
                    if private { Outcome::Private(entry) } else { Outcome::Landed(entry, Some(Why::Uncacheable)) }
                });
            }
            Step::Fail { why, retry_after, cooling } => {
                let error = match (cargo.body, cooling) {
                    (Body::Error(error), _) => Error::origin(error.class, retry_after, error.source),
                    _ => Error::later(why, retry_after),
                };
                let ending = cooling.map_or(Ending::Neither, Ending::Failed);
                self.land(ending, |_| Outcome::Failed(error));
            }
            Step::AwaitTurn | Step::Probe | Step::Adopt(_) | Step::Admit | Step::Load => {}
        }
        self.landed = true;
        stored
    }

    /// Ends the flight with what the shared tier held, if the walk says so. Decided, kept and landed
    /// in one step as seen by invalidations and by those who join: whoever came while the tier was
    /// asked may know of a removal, or want a younger value.
    pub(crate) fn adopt(&mut self, walk: &mut Walk, meta: Meta, cargo: Cargo) -> bool {
        let (Some(id), Some(entry)) = (self.id, self.entry(cargo, meta)) else { return false };
        let engine = &*self.engine;
        let landed = engine.flights.locked(&self.key, |shard| {
            let now = engine.clock.now();
            let demand = shard.flights(&self.key)?.get(id)?.demand;
            let floor = shard.floor(&self.key).merge(engine.floor_of(&self.space, &entry));
            let probed = Event::Probed(Some((meta, floor, demand)));
            let Step::Adopt(_) = walk.on(probed, now, &self.space.policy, draw()) else { return None };
            engine.keep(&self.space, shard, &self.key, &entry);
            engine.flights.land(shard, &self.key, id, Ending::Succeeded, now)
        });
        let Some(landed) = landed else { return false };
        self.tell(Some(landed), Outcome::Landed(entry, Some(Why::Hit)));
        self.landed = true;
        true
    }

    fn entry(&self, cargo: Cargo, meta: Meta) -> Option<Resident> {
        match cargo.body {
            Body::Value(value) => Some(value.into_entry(&self.key, meta, cargo.extra)),
            Body::Missing => Some(Entry::new(&self.key, meta, cargo.extra, 0, ())),
            Body::Same(entry) => Some(relabelled(&entry, meta, cargo.extra, false)),
            Body::Error(_) => None,
        }
    }

    /// Ends the flight under its key's lock, then tells everybody. A load beside the table has no shard to touch.
    pub(crate) fn land(&self, ending: Ending, outcome: impl FnOnce(Option<&mut Shard<Arc<FlightCell>>>) -> Outcome) {
        let engine = &*self.engine;
        let Some(id) = self.id else { return self.cell.complete(outcome(None)) };
        let (outcome, landed) = engine.flights.locked(&self.key, |shard| {
            let outcome = outcome(Some(shard));
            (outcome, engine.flights.land(shard, &self.key, id, ending, engine.clock.now()))
        });
        self.tell(landed, outcome);
    }

    /// Counts the flight, starts its successor and tells everybody.
    fn tell(&self, landed: Option<Landed<Arc<FlightCell>>>, outcome: Outcome) {
        if let Some(landed) = landed {
            self.engine.followers.record(f64::from(landed.flight.followers));
            if landed.flight.followers >= STAMPEDE {
                self.engine.stampedes.fetch_add(1, Ordering::Relaxed);
            }
            if let Some(next) = landed.next {
                next.take_turn();
            }
        }
        self.cell.complete(outcome);
    }

    /// The shared tier, where this space's values can travel.
    pub(crate) fn tier(&self) -> Option<&Arc<dyn Tier>> {
        self.space.codec.as_ref().and(self.engine.tier.as_ref())
    }

    /// Asks the shared tier, within its budget; whatever goes wrong there, the load goes on.
    pub(crate) async fn probe(&self) -> Option<(Meta, Cargo)> {
        let (tier, codec) = (self.tier()?, self.space.codec.as_ref()?);
        let key = tier_key(&self.space, &self.key);
        let envelope = self.engine.within_budget(&self.space, tier.get(&key)).await.flatten()?;
        let now = self.engine.clock.now();
        let fresh_until = now + Span(envelope.fresh_ms);
        let meta = Meta {
            fence: envelope.fence,
            born: now - Span(envelope.age_ms),
            fresh_until,
            swr_ms: envelope.swr_ms,
            hard_ms: envelope.hard_ms.max(envelope.swr_ms),
            cost_ms: envelope.cost_ms,
            early_ms: 0,
            kind: envelope.kind,
        };
        let body = match envelope.kind {
            // G8: what can't be read is a miss.
            Kind::Value => Body::Value(codec.decode(&envelope.body)?),
            Kind::Negative => Body::Missing,
            Kind::HitForMiss => return None,
        };
        let tags: Box<[_]> = envelope.tags.iter().map(|tag| self.engine.tag(tag)).collect();
        Some((meta, Cargo { body, extra: Extra::of(envelope.version, tags) }))
    }

    /// Hands a kept entry to the shared tier. If something newer was there, it does not stay here either.
    pub(crate) async fn publish(&self, entry: Resident) {
        let (Some(tier), Some(codec)) = (self.tier(), &self.space.codec) else { return };
        let Some(body) = (if entry.meta.kind == Kind::Value { codec.encode(&entry) } else { Some(Bytes::new()) })
        else {
            return;
        };
        let now = self.engine.clock.now();
        let envelope = Envelope {
            kind: entry.meta.kind,
            fence: entry.meta.fence,
            age_ms: entry.meta.age(now).0,
            fresh_ms: entry.meta.fresh_until.since(now).0,
            swr_ms: entry.meta.swr_ms,
            hard_ms: entry.meta.hard_ms,
            cost_ms: entry.meta.cost_ms,
            version: entry.version(),
            tags: entry.tags().iter().map(|tag| tag.text.to_string()).collect(),
            body,
        };
        let key = tier_key(&self.space, &self.key);
        let stored = self.engine.within_budget(&self.space, tier.put(&key, envelope)).await;
        if stored == Some(Stored::Outdated) {
            self.engine.forget(&self.key, entry.meta.fence);
        }
    }
}

impl Engine {
    /// Stores `entry` unless an invalidation or a newer load came first. Call it under the key's lock.
    fn keep(&self, space: &SpaceState, shard: &Shard<Arc<FlightCell>>, key: &Key, entry: &Resident) -> Kept {
        let floor: Floor = shard.floor(key).merge(self.floor_of(space, entry));
        let resident = self.memory.peek(key.by_ref());
        // What an invalidation covers is no rival any more.
        let rival =
            resident.filter(|r| !self.floor_of(space, r).covers(r.meta.fence)).map(|r| (r.meta.fence, r.version()));
        if floor.covers(entry.meta.fence) || !supersedes(rival, (entry.meta.fence, entry.version())) {
            return Kept::Outdated;
        }
        if self.memory.put(key, entry.clone()) { Kept::Yes } else { Kept::TooLarge }
    }

    /// Drops the entry made under exactly this fence.
    fn forget(&self, key: &Key, fence: Fence) {
        self.flights.locked(key, |_| {
            if self.memory.peek(key.by_ref()).is_some_and(|entry| entry.meta.fence == fence) {
                self.memory.remove(key.by_ref());
            }
        });
    }

    /// The tier's answer, or `None` if it fails or takes longer than a request may spend there.
    pub(crate) async fn within_budget<T>(
        &self,
        space: &SpaceState,
        call: impl Future<Output = Result<T, TierError>>,
    ) -> Option<T> {
        let until: Tick = self.clock.now() + self.tier_budget;
        tokio::select! {
            answer = call => match answer {
                Ok(answer) => Some(answer),
                Err(error) => {
                    tracing::warn!(space = &*space.name, %error, "shared tier failed: going on without it");
                    None
                }
            },
            () = self.clock.sleep_until(until) => {
                tracing::warn!(space = &*space.name, budget = %self.tier_budget, "shared tier too slow: going on without it");
                None
            }
        }
    }
}

/// The name of an entry in a shared tier.
pub(crate) fn tier_key(space: &SpaceState, key: &Key) -> Vec<u8> {
    [space.name.as_bytes(), b":", &key.bytes].concat()
}
