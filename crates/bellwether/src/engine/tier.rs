//! How is the shared tier asked, within a request's budget? One flight's dealings with it.

mod adopt;
pub(crate) mod lease;

use std::sync::Arc;

use bellwether_core::entry::{Kind, Meta};
use bellwether_core::fence::{Fence, Floor, Invalidation};
use bellwether_core::lease::{Mode, length};
use bellwether_core::position::Position;
use bellwether_core::read::walk::{Heard, Sharing, Step};
use bellwether_core::time::{Span, Tick};
use bellwether_core::write::stamp::adopted;
use bytes::Bytes;

use crate::body::AnyBody;
use crate::engine::cell::FlightCell;
use crate::engine::tier::lease::{Lease, Place};
use crate::engine::unpack::{travelled, unpacked};
use crate::engine::{Engine, draw};
use crate::entry::{Aside, Entry, Extra, Resident, Tag, TierMark};
use crate::key::Key;
use crate::observe::shared::add;
use crate::shared::{Acquired, Ask, Encoded, Envelope, Found, Limit, TierError, TierTrouble};
use crate::state::flights::Shard;
use crate::state::space::SpaceState;

/// A flight's way to the shared tier.
pub(crate) struct Link {
    pub(crate) to: Arc<Place>,
    /// The tier's fence of what this process holds, or has found there and could not use.
    pub(crate) holds: Fence,
    /// What is left of the time that may be spent there until somebody must be waited for.
    left: Span,
    pub(crate) lease: Option<Lease>,
}

/// What the tier said.
pub(crate) enum Said {
    /// Nothing that becomes an entry.
    Plain(Heard),
    /// An entry, for the walk to judge.
    Offer(Box<Offer>),
    /// The lease, or that somebody has it; with what the key still has, at most a rescue.
    Beside(Heard, Option<Box<Offer>>),
}

/// An entry as it came from the tier.
pub(crate) struct Offer {
    pub(crate) entry: Resident,
    /// What covers it by the fleet's order of invalidations, or because an expiry ended it.
    pub(crate) floor: Floor,
    pub(crate) newer: bool,
    pub(crate) lease: Option<Span>,
    /// Its fence there; zero: it has none, or does not come from there.
    pub(crate) there: Fence,
}

/// What a leader does after the tier was heard.
pub(crate) enum Next {
    Step(Step),
    /// The tier's entry ended the flight; if it is stale, it is to be refreshed now.
    Landed {
        entry: Resident,
        refresh: bool,
    },
}

/// When a call was made, as far as this process is concerned.
#[derive(Clone, Copy)]
pub(crate) struct Asked {
    /// Drawn before it: what came from it is covered by every invalidation since.
    pub(crate) fence: Fence,
    /// The times in its answer count from here at the latest. This process may have stood still since.
    pub(crate) at: Tick,
    /// The newest fence of the tier that the key was known to have by then: a tier that says anything older has lost it. What
    /// is heard of later says that the answer was overtaken, and no more.
    pub(crate) raised: Fence,
}

impl Link {
    /// `None` where this space or cache has no shared tier.
    pub(crate) fn of(engine: &Arc<Engine>, space: &Arc<SpaceState>, key: &Key) -> Option<Link> {
        let travel = space.travel.as_ref().filter(|travel| travel.on_shared)?;
        let tier = engine.tier.as_ref()?;
        let to =
            Place { engine: engine.clone(), space: space.clone(), tier: tier.clone(), name: travel.name(&key.bytes) };
        let holds = engine.memory.peek(key.by_ref()).and_then(|entry| Some(entry.mark()?.fence())).unwrap_or_default();
        Some(Link { to: Arc::new(to), holds, left: engine.tier_budget, lease: None })
    }

    /// What the walk must know.
    pub(crate) fn sharing(&self, refresh: bool) -> Sharing {
        let (p99, mean) = self.to.space.load_times();
        let timeout = self.to.space.gate.timeout();
        Sharing { lease: length(p99, timeout), timeout, expected: mean, unwatched: self.to.engine.resync, refresh }
    }

    /// Draws the local fence of what will be read, once no invalidation of the key is on its way to the tier: until
    /// then what lies there is not believed.
    pub(crate) async fn ready(&mut self, key: &Key) -> Result<Asked, TierTrouble> {
        let engine = self.to.engine.clone();
        loop {
            let asked = engine.asked_now(key);
            if engine.pending.owed(key).is_none() {
                return Ok(asked);
            }
            let told = self.call(async { Ok(engine.try_to_tell(key).await) }).await?;
            if !told.told {
                return Err(TierTrouble::Unreachable);
            }
        }
    }

    /// The same, if no invalidation is on its way.
    pub(crate) fn ready_now(&self, key: &Key) -> Option<Asked> {
        let engine = &self.to.engine;
        let asked = engine.asked_now(key);
        engine.pending.owed(key).is_none().then_some(asked)
    }

    /// Reads the key.
    pub(crate) async fn probe(&mut self, key: &Key) -> Said {
        let asked = match self.ready(key).await {
            Ok(asked) => asked,
            Err(trouble) => return self.trouble(trouble),
        };
        let to = self.to.clone();
        match self.call(to.tier.get(&to.name)).await {
            Ok(found) => self.found(key, found, asked),
            Err(trouble) => self.trouble(trouble),
        }
    }

    /// Asks for the right to load.
    pub(crate) async fn acquire(&mut self, key: &Key, mode: Mode) -> Said {
        let lease = self.sharing(false).lease;
        let (acquired, asked, seen) = match self.bid(key, mode, lease).await {
            Ok(bid) => bid,
            Err(trouble) => return self.trouble(trouble),
        };
        if let Acquired::Granted { token, .. } = acquired {
            self.lease = Some(Lease::new(&self.to, token, seen, lease));
        }
        self.answered(key, acquired, asked)
    }

    /// Asks for a lease of this length: what was said, when it was asked, and what of the fleet's invalidations was
    /// applied here before.
    pub(crate) async fn bid(
        &mut self,
        key: &Key,
        mode: Mode,
        lease: Span,
    ) -> Result<(Acquired, Asked, Position), TierTrouble> {
        let asked = self.ready(key).await?;
        let to = self.to.clone();
        let engine = &to.engine;
        let seen = engine.position();
        let known = engine.pending.raised(key).max(self.holds);
        let ask = Ask { lease, mode, holds: self.holds, at_least: known.above(), draw: draw() };
        let acquired = self.call(to.tier.acquire(&to.name, ask)).await?;
        match acquired {
            Acquired::Granted { .. } => {
                add(&engine.tally.granted);
                if mode == Mode::Backup {
                    add(&engine.tally.backups);
                }
            }
            Acquired::Denied { .. } => add(&engine.tally.denied),
            _ => {}
        }
        Ok((acquired, asked, seen))
    }

    /// What a bid was answered, as the walk hears it.
    pub(crate) fn answered(&mut self, key: &Key, acquired: Acquired, asked: Asked) -> Said {
        match acquired {
            Acquired::Granted { stale, .. } => {
                Said::Beside(Heard::Granted, stale.and_then(|stale| self.offer(key, stale, None, asked)))
            }
            Acquired::Denied { left, stale } => {
                Said::Beside(Heard::Denied(left), stale.and_then(|stale| self.offer(key, stale, None, asked)))
            }
            Acquired::Fresh(envelope) => self.found(key, Found::Entry { envelope, lease: None }, asked),
            Acquired::Failed { left, class } => Said::Plain(Heard::Failed(left, class)),
            Acquired::HitForMiss { .. } => Said::Plain(Heard::HitForMiss),
            Acquired::Foreign { body, left } => self.found(key, Found::Foreign { body, left }, asked),
        }
    }

    /// A pause is over: what comes now has its own time.
    pub(crate) fn rested(&mut self) {
        self.left = self.to.engine.tier_budget;
    }

    /// Waits until the key may have changed, at most for `pause`; what comes then has its own time.
    pub(crate) async fn wait(&mut self, pause: Span) {
        let engine = &self.to.engine;
        add(&engine.tally.waits);
        tokio::select! {
            () = engine.clock.sleep_until(engine.clock.now() + pause) => {}
            () = self.to.tier.changed(&self.to.name) => {}
        }
        self.rested();
    }

    /// What a read of the key found.
    pub(crate) fn found(&mut self, key: &Key, found: Found, asked: Asked) -> Said {
        let tally = &self.to.engine.tally;
        match found {
            Found::Nothing { lease } => Said::Plain(Heard::Nothing { lease }),
            Found::Entry { envelope, lease } => {
                add(&tally.hits);
                self.to.engine.came_in(key);
                match self.offer(key, envelope, lease, asked) {
                    Some(offer) => Said::Offer(offer),
                    // G8: what can't be read is a miss.
                    None => Said::Plain(Heard::Nothing { lease }),
                }
            }
            Found::Foreign { body, left } => {
                add(&tally.hits);
                self.foreign(key, body, left, asked)
            }
            Found::Failed { left, class } => Said::Plain(Heard::Failed(left, class)),
            Found::HitForMiss { .. } => Said::Plain(Heard::HitForMiss),
        }
    }

    fn offer(&mut self, key: &Key, envelope: Envelope, lease: Option<Span>, asked: Asked) -> Option<Box<Offer>> {
        let Place { engine, space, .. } = &*self.to;
        let now = engine.clock.now();
        let (p99, mean) = space.load_times();
        let travelled = travelled(&envelope, asked.fence).later(now.since(asked.at));
        let meta = adopted(travelled, p99, mean, &space.policy, now, draw());
        // What was made stale here is the same value there, with the life that it had.
        let held = engine.memory.peek(key.by_ref());
        let stale = held.and_then(|held| Some(held.mark()?.is_stale(envelope.fence))).unwrap_or_default();
        let meta = if stale { meta.stale_from(now) } else { meta };
        let fleet = engine.fleet.as_ref();
        let covering = fleet.and_then(|fleet| {
            fleet.covering(&space.name, space.is_by_key(), &envelope.tags, envelope.seen, travelled.age)
        });
        let tags: Box<[Tag]> = envelope.tags.into_iter().map(Tag::of_wire).collect();
        let unordered = match fleet {
            Some(_) => Floor::NONE,
            None => at_fence(space.floor().merge(engine.tags.floor(&tags)), asked.fence),
        };
        let mark = Some(TierMark::of(envelope.fence, now + engine.resync).made(stale));
        let aside = Aside { extra: Extra::of(envelope.version, tags), mark, past: engine.past(key) };
        let stored = Encoded { body: envelope.body, format: envelope.format, about: envelope.about };
        let entry = unpacked(space, key, envelope.kind, stored, meta, aside)?;
        let mut floor = covering.map_or(unordered, |verb| Floor::of(verb, asked.fence));
        // A tier that failed over may have lost an invalidation that it had acknowledged. What was written under the
        // fence of that very invalidation is not older than it.
        if envelope.fence < asked.raised {
            floor = floor.merge(Floor::of(Invalidation::Remove, asked.fence));
        }
        let expired = if envelope.invalidated { Floor::of(Invalidation::Expire, asked.fence) } else { Floor::NONE };
        let newer = envelope.fence > self.holds;
        self.holds = self.holds.max(envelope.fence);
        Some(Box::new(Offer { entry, floor: floor.merge(expired), newer, lease, there: envelope.fence }))
    }

    /// What somebody else stored under the key is a value with the life it has there, or none of ours to touch.
    fn foreign(&self, key: &Key, body: Bytes, left: Option<Span>, asked: Asked) -> Said {
        let Place { engine, space, .. } = &*self.to;
        let Some(value) = space.travel.as_ref().and_then(|travel| travel.codec.foreign(body)) else {
            return Said::Plain(Heard::Passing);
        };
        let value: AnyBody = value;
        let now = engine.clock.now();
        // Whoever changes it tells nobody, and it has no fence to compare: it is fetched anew once nobody has confirmed
        // it for too long, however fresh it is there.
        let fresh = left.unwrap_or(space.policy.ttl).at_most(Span::LONGEST);
        let meta = Meta {
            fence: asked.fence,
            born: now,
            fresh_until: now + fresh,
            swr_ms: 0,
            hard_ms: 0,
            cost_ms: 0,
            early_ms: 0,
            kind: Kind::Value,
        };
        let aside = Aside { mark: Some(TierMark::default()), past: engine.past(key), extra: None };
        let entry = value.into_entry(key, meta, aside);
        Said::Offer(Box::new(Offer { entry, floor: Floor::NONE, newer: true, lease: None, there: Fence::ZERO }))
    }

    /// No answer that is of use.
    pub(crate) fn trouble(&self, trouble: TierTrouble) -> Said {
        if trouble.is_of_the_key() {
            return Said::Plain(Heard::Passing);
        }
        Said::Plain(Heard::Unreachable { idle: false })
    }

    /// One call, within what is left of the flight's budget.
    async fn call<T>(&mut self, call: impl Future<Output = Result<T, TierError>>) -> Result<T, TierTrouble> {
        let Place { engine, space, .. } = &*self.to;
        let (answer, used) = engine.within(space, self.left, call).await;
        self.spent(used);
        answer
    }

    /// So much of the budget is gone.
    pub(crate) fn spent(&mut self, used: Span) {
        self.left = Span(self.left.0.saturating_sub(used.0));
    }
}

/// Without a backplane nothing says whether an entry of the tier is newer than what was invalidated here: whatever
/// was covers it, however late it was asked for.
pub(crate) fn at_fence(floor: Floor, fence: Fence) -> Floor {
    let at = |raised: Fence| if raised == Fence::ZERO { raised } else { raised.max(fence) };
    Floor { removed: at(floor.removed), expired: at(floor.expired) }
}

impl Engine {
    /// What is asked of the tier from now on is asked at this moment.
    fn asked_now(&self, key: &Key) -> Asked {
        // The fence first: what is heard of after it raises a floor above it, or is found to be newer than the answer.
        let (fence, at) = (self.next_fence(), self.clock.now());
        Asked { fence, at, raised: self.pending.raised(key) }
    }

    /// What covers an offer by what this process knows now and need not have known when it asked. Call it under the key's
    /// lock: what is heard of but raises no floor, because something newer is held here, covers whatever is older still.
    pub(crate) fn floor_here(
        &self,
        space: &SpaceState,
        shard: &Shard<Arc<FlightCell>>,
        key: &Key,
        offer: &Offer,
    ) -> Floor {
        let floor = shard.floor(key).merge(self.floor_of(space, &offer.entry));
        if offer.there == Fence::ZERO || offer.there >= self.pending.raised(key) {
            return floor;
        }
        floor.merge(Floor::of(Invalidation::Remove, offer.entry.fence()))
    }

    /// The tier's answer, or what kept it from answering within what a request may spend there.
    pub(crate) async fn within_budget<T>(
        &self,
        space: &SpaceState,
        call: impl Future<Output = Result<T, TierError>>,
    ) -> Result<T, TierTrouble> {
        self.within(space, self.tier_budget, call).await.0
    }

    /// The same within a limit; and how much of that was used. A limit counts while this process runs: what it stood still
    /// says nothing of the tier.
    pub(crate) async fn within<T>(
        &self,
        space: &SpaceState,
        limit: Span,
        call: impl Future<Output = Result<T, TierError>>,
    ) -> (Result<T, TierTrouble>, Span) {
        let (answer, used) = self.limited(limit, call).await;
        let trouble = match answer {
            Some(Ok(answer)) => {
                self.silence.set(false);
                return (Ok(answer), used);
            }
            Some(Err(error)) => {
                tracing::debug!(space = &*space.name, %error, "the shared tier did not do it");
                error.kind
            }
            None => {
                tracing::debug!(space = &*space.name, "the shared tier took too long");
                TierTrouble::Unreachable
            }
        };
        self.silence.set(trouble.is_out_of_reach());
        self.tally.trouble(trouble);
        (Err(trouble), used)
    }

    async fn limited<T>(&self, limit: Span, call: impl Future<Output = T>) -> (Option<T>, Span) {
        if self.clock.is_manual() {
            let began = self.clock.now();
            let answer = tokio::select! {
                biased;
                answer = call => Some(answer),
                () = self.clock.sleep_until(began + limit) => None,
            };
            return (answer, self.clock.now().since(began));
        }
        let mut limit = Limit::new(limit.into()).read_by(self.runtime());
        let answer = limit.wait(call).await;
        if limit.was_late() {
            add(&self.tally.stood_still);
        }
        (answer, limit.used().into())
    }

    /// An entry as it goes to the tier; `None` if its value can't travel.
    pub(crate) fn envelope(&self, space: &SpaceState, entry: &Entry, seen: Position) -> Option<Envelope> {
        let meta = entry.meta();
        let encoded = match meta.kind {
            Kind::Value => space.travel.as_ref()?.codec.encode(entry)?,
            Kind::Negative | Kind::HitForMiss => Encoded::default(),
        };
        let now = self.clock.now();
        Some(Envelope {
            age_ms: meta.age(now).0,
            fresh_ms: meta.fresh_until.since(now).0,
            swr_ms: meta.swr_ms,
            hard_ms: meta.hard_ms,
            cost_ms: meta.cost_ms,
            version: entry.version(),
            seen,
            tags: entry.tags().iter().map(|tag| tag.hash).collect(),
            format: encoded.format,
            about: encoded.about,
            ..Envelope::of(meta.kind, encoded.body)
        })
    }
}
