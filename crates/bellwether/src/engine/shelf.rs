//! What does the disk tier have to do with a key? Entries go there behind, come back on a miss, and are gone from there
//! before their invalidation is acknowledged.

use bellwether_core::entry::{Kind, Meta};
use bellwether_core::fence::{Fence, Floor};
use bellwether_core::position::Position;
use bellwether_core::read::decide::{self, Decision, Demand, decide};
use bellwether_core::read::doubt::from_disk;
use bellwether_core::read::shelf::{Shelved, after_restart};
use bellwether_core::read::walk::{Event, Step};
use bellwether_core::time::{Span, Tick};
use bellwether_core::why::Why;
use bellwether_core::write::stamp::adopted;
use tokio::task::JoinHandle;

use crate::disk::{Held, Lying, Scope};
use crate::engine::ask::Answer;
use crate::engine::cell::Outcome;
use crate::engine::lead::Leader;
use crate::engine::tier::{Next, Offer};
use crate::engine::unpack::{travelled, unpacked};
use crate::engine::{Engine, draw};
use crate::entry::{Aside, Entry, Extra, Resident, Tag, TierMark, relabelled};
use crate::key::Key;
use crate::shared::Encoded;
use crate::state::flights::Ending;
use crate::state::shelf::{Shelf, Telling};
use crate::state::space::{SpaceState, Travel};

/// The disk did not tell in time what it has.
pub(crate) struct Unsure;

/// An entry as it came from the disk.
pub(crate) struct Fetched {
    entry: Resident,
    /// What covers it by the fleet's order of invalidations.
    floor: Floor,
    earlier: bool,
    /// When it ends by its own ttl, whatever that is worth.
    until: Tick,
}

/// Between two looks at a disk that is being told something.
const BREATH: Span = Span::ms(1);

/// What the disk says to the removal of a key.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gone {
    /// It survives this process.
    pub(crate) done: bool,
    /// A value was there that could still have been served.
    pub(crate) was_there: bool,
}

impl Engine {
    /// The disk, where this space's values can go there.
    pub(crate) fn shelf_of<'a>(&'a self, space: &'a SpaceState) -> Option<(&'a Shelf, &'a Travel)> {
        self.shelf.as_ref().zip(space.travel.as_ref().filter(|travel| travel.on_disk))
    }

    /// To be held around each invalidation.
    pub(crate) fn telling(&self) -> Option<Telling<'_>> {
        self.shelf.as_ref().map(Shelf::telling)
    }

    /// Stores an entry behind. `seen`: the position that was applied before its load began.
    pub(crate) fn shelve(&self, space: &SpaceState, key: &Key, entry: &Entry, seen: Position) {
        let Some((shelf, travel)) = self.shelf_of(space) else { return };
        if entry.expired() || entry.kind() == Kind::HitForMiss || space.is_retired() {
            return;
        }
        let Some(envelope) = self.envelope(space, entry, seen) else { return };
        let fence = entry.mark().map(TierMark::fence).unwrap_or_default();
        // What finds no room is counted there.
        shelf.disk.put(
            &travel.name(&key.bytes),
            travel.recipe,
            entry.fence(),
            crate::shared::Envelope { fence, ..envelope },
        );
    }

    /// Stores what was written under `fence`, if it is still what is resident.
    pub(crate) fn shelve_written(&self, space: &SpaceState, key: &Key, fence: Fence) {
        if self.shelf_of(space).is_some()
            && let Some(entry) = self.memory.peek(key.by_ref()).filter(|entry| entry.fence() == fence)
        {
            self.shelve(space, key, &entry, self.position());
        }
    }

    /// The disk gives up what it holds of a key under `fence` or before; done once that survives this process.
    pub(crate) fn unshelve(&self, space: &SpaceState, key: &Key, fence: Fence) -> Option<JoinHandle<Gone>> {
        let (shelf, travel) = self.shelf_of(space)?;
        let removed = shelf.disk.remove(&travel.name(&key.bytes), fence);
        Some(self.runtime().spawn(async move {
            let removed = removed.await.inspect_err(not_done);
            Gone { done: removed.is_ok(), was_there: removed.unwrap_or(false) }
        }))
    }

    /// The same for all that a tag covers.
    pub(crate) fn unshelve_tag(&self, tag: u64, fence: Fence) -> Option<JoinHandle<bool>> {
        self.unshelve_all(self.shelf.as_ref()?, Scope::Tag(tag), fence)
    }

    /// The same for a whole space.
    pub(crate) fn unshelve_space(&self, space: &SpaceState, fence: Fence) -> Option<JoinHandle<bool>> {
        let (shelf, travel) = self.shelf_of(space)?;
        self.unshelve_all(shelf, Scope::Space(travel.recipe), fence)
    }

    fn unshelve_all(&self, shelf: &Shelf, scope: Scope, fence: Fence) -> Option<JoinHandle<bool>> {
        let raised = shelf.disk.raise(scope, fence);
        Some(self.runtime().spawn(async move { raised.await.inspect_err(not_done).is_ok() }))
    }

    /// Reads the key from disk, within what a request may spend on a tier.
    async fn fetch(&self, space: &SpaceState, key: &Key) -> Option<Fetched> {
        self.try_to_fetch(space, key).await.ok()?
    }

    async fn try_to_fetch(&self, space: &SpaceState, key: &Key) -> Result<Option<Fetched>, Unsure> {
        let Some((shelf, travel)) = self.shelf_of(space) else { return Ok(None) };
        // Drawn before the look: every invalidation that comes later covers what is found.
        let fence = self.next_fence();
        if shelf.is_telling() {
            return Err(Unsure);
        }
        let name = travel.name(&key.bytes);
        tokio::select! {
            biased;
            held = shelf.disk.get(&name, travel.recipe) => Ok(held.and_then(|held| self.unpack(space, key, held, fence))),
            () = self.clock.sleep_until(self.clock.now() + self.tier_budget) => Err(Unsure),
        }
    }

    /// The same, where something is lost if it is there and not found: what the disk is being told of other keys is
    /// waited for.
    pub(crate) async fn surely_on_disk(&self, space: &SpaceState, key: &Key) -> Result<Option<Fetched>, Unsure> {
        let until = self.clock.now() + self.tier_budget;
        loop {
            match self.try_to_fetch(space, key).await {
                Err(Unsure) if self.clock.now() < until => self.clock.sleep_until(self.clock.now() + BREATH).await,
                found => return found,
            }
        }
    }

    /// What was found on disk, as a plain read would be answered with it now, if it would. One of this life of the process
    /// is memory's from here on.
    pub(crate) fn take_up(&self, space: &SpaceState, key: &Key, found: &Fetched) -> Option<Answer> {
        if found.earlier {
            let (entry, why, at) = self.judged_left_over(space, key, found)?;
            let own = relabelled(&entry, Meta { fresh_until: found.until, ..entry.meta() }, None, false);
            return Some((own, why, at));
        }
        let Fetched { entry, floor, .. } = found;
        self.take(
            space,
            key,
            &Offer { entry: entry.clone(), floor: *floor, newer: true, lease: None, there: Fence::ZERO },
        )
    }

    /// What the disk has of a key that memory lacks, for a client that would fill it: as a plain read would be answered.
    /// One of this life of the process is memory's from here on. `None` as well where the disk does not tell in time.
    pub(crate) async fn brought_back(&self, space: &SpaceState, key: &Key, demand: Demand) -> Option<Answer> {
        let allows = !matches!(demand, Demand::Fresh) && self.shelf_of(space).is_some();
        if !allows || self.memory.peek(key.by_ref()).is_some() {
            return None;
        }
        let found = self.fetch(space, key).await?;
        let (entry, why, at) = self.take_up(space, key, &found)?;
        let young = match demand {
            Demand::MaxAge(most) => entry.meta().age(at) <= most,
            _ => true,
        };
        young.then_some((entry, why, at))
    }

    /// What lies on disk under the key, within what a request may spend on a tier. Nothing of it is taken up.
    pub(crate) async fn lying(&self, space: &SpaceState, key: &Key) -> Option<Lying> {
        let (shelf, travel) = self.shelf_of(space)?;
        let name = travel.name(&key.bytes);
        tokio::select! {
            biased;
            lying = shelf.disk.look(&name, travel.recipe) => lying,
            () = self.clock.sleep_until(self.clock.now() + self.tier_budget) => None,
        }
    }

    /// What a reader who never loads finds on disk.
    pub(crate) async fn find_on_disk(&self, space: &SpaceState, key: &Key) -> Option<Offer> {
        if self.memory.peek(key.by_ref()).is_some() {
            return None;
        }
        let Fetched { entry, floor, earlier, .. } = self.fetch(space, key).await?;
        let shared = self.tier.is_some() && space.travel.as_ref().is_some_and(|travel| travel.on_shared);
        (!earlier || !shared).then_some(Offer { entry, floor, newer: true, lease: None, there: Fence::ZERO })
    }

    /// What an earlier life of this process left of a key that is its clients' alone, as long as its own ttl lasts. It
    /// is not fresh, because nobody can say that it is, and it stays where it is: whoever writes the key ends it.
    pub(crate) async fn left_over(&self, space: &SpaceState, key: &Key) -> Option<Answer> {
        if self.tier.is_some() && space.travel.as_ref().is_some_and(|travel| travel.on_shared) {
            // Others may have written it meanwhile.
            return None;
        }
        let found = self.fetch(space, key).await?;
        self.judged_left_over(space, key, &found)
    }

    fn judged_left_over(&self, space: &SpaceState, key: &Key, found: &Fetched) -> Option<Answer> {
        let Fetched { entry, floor, earlier, until } = found;
        let (meta, now) = (entry.meta(), self.clock.now());
        if !earlier || now >= *until || meta.kind != Kind::Value {
            return None;
        }
        let floor = self.flights.locked(key, |shard| shard.floor(key)).merge(self.floor_of(space, entry)).merge(*floor);
        let found = Some(decide::Resident { meta: &meta, hits: 0 });
        match decide(found, floor, Demand::CachedOnly, now, &space.policy, draw()) {
            Decision::Serve(_) | Decision::ServeAndRefresh(_) => Some((entry.clone(), Why::Suspect, now)),
            _ => None,
        }
    }

    fn unpack(&self, space: &SpaceState, key: &Key, held: Held, fence: Fence) -> Option<Fetched> {
        let (shelf, travel) = self.shelf_of(space)?;
        let Held { envelope, earlier } = held;
        let travelled = travelled(&envelope, fence);
        let (now, (p99, mean)) = (self.clock.now(), space.load_times());
        let until = now + Span(envelope.fresh_ms);
        let mut meta = adopted(travelled, p99, mean, &space.policy, now, draw());
        if earlier {
            meta = after_restart(meta, shelf.disk.on_restart(), now)?;
        }
        let shared = self.tier.is_some() && travel.on_shared;
        let live = self.fleet.as_ref().is_some_and(|fleet| fleet.is_live());
        if shared {
            meta = from_disk(meta, live, Span(envelope.age_ms), self.resync, &space.policy, now)?;
        }
        // Its local fence is newer than any gap in what others told: its place in their order counts.
        let fleet = self.fleet.as_ref().filter(|_| travel.on_shared);
        // Unlike the shared tier, the disk hears of other processes' removals by the backplane alone.
        let covering = fleet
            .and_then(|fleet| fleet.covering(&space.name, false, &envelope.tags, envelope.seen, Span(envelope.age_ms)));
        let floor = covering.map_or(Floor::NONE, |verb| Floor::of(verb, fence));
        let tags = envelope.tags.into_iter().map(Tag::of_wire).collect();
        // To be compared with the shared tier by its first reader.
        let mark = shared.then(|| TierMark::of(envelope.fence, now));
        let aside = Aside { extra: Extra::of(envelope.version, tags), mark, ..Aside::default() };
        let stored = Encoded { body: envelope.body, format: envelope.format, about: envelope.about };
        let entry = unpacked(space, key, envelope.kind, stored, meta, aside)?;
        Some(Fetched { entry, floor, earlier, until })
    }
}

fn not_done(error: &crate::shared::TierError) {
    tracing::warn!(%error, "an invalidation does not hold on disk: it may not survive this process");
}

impl Leader {
    /// Whether its walk begins on the disk: what memory holds, the disk has no newer.
    pub(crate) fn looks(engine: &Engine, space: &SpaceState, key: &Key, refresh: bool) -> bool {
        !refresh && engine.shelf_of(space).is_some() && engine.memory.peek(key.by_ref()).is_none()
    }

    /// Looks on the disk, and lets the walk judge what is there. Decided, kept and landed in one step as seen by
    /// invalidations and by those who join, as an answer of the shared tier is.
    pub(crate) async fn look(&mut self) -> Next {
        let (engine, key) = (self.engine.clone(), self.key.clone());
        let fetched = engine.fetch(&self.space, &key).await;
        let (Some(Fetched { entry, floor, earlier, .. }), Some(id)) = (fetched, self.id) else {
            return Next::Step(self.looked(None));
        };
        let (step, landed) = engine.flights.locked(&key, |shard| {
            let demand = shard.flights(&key).and_then(|flights| flights.get(id)).map(|flight| flight.demand);
            let here = shard.floor(&key).merge(engine.floor_of(&self.space, &entry));
            let (meta, demand) = (entry.meta(), demand.unwrap_or_default());
            let step = self.looked(Some(Shelved { meta, floor: here.merge(floor), demand, earlier }));
            if let Step::Adopt { .. } = step {
                engine.keep(&self.space, shard, &key, &entry);
                let landed = engine.flights.land(shard, &key, id, Ending::Succeeded, engine.clock.now());
                return (step, landed);
            }
            // Where others invalidate as well, what an earlier life left rescues only if they can't be heard.
            if !earlier || self.link.is_none() {
                self.keep_in_reserve(
                    shard,
                    &Offer { entry: entry.clone(), floor, newer: true, lease: None, there: Fence::ZERO },
                );
            }
            (step, None)
        });
        let Step::Adopt { why, refresh, .. } = step else { return Next::Step(step) };
        self.tell(landed, Outcome::Landed(entry.clone(), Some(why)));
        self.landed = true;
        Next::Landed { entry, refresh }
    }

    fn looked(&mut self, found: Option<Shelved>) -> Step {
        self.walk.on(Event::Looked(found), self.engine.clock.now(), &self.space.policy, draw())
    }
}
