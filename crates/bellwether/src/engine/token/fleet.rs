//! Who may fill a plain space's key in a whole fleet? Whoever has the tier's lease: its token is theirs.

use std::sync::Arc;

use bellwether_core::failure::FailClass;
use bellwether_core::fence::{Fence, Floor};
use bellwether_core::guard::cooldown::Cooling;
use bellwether_core::lease::Mode;
use bellwether_core::position::Position;
use bellwether_core::read::flight::FlightId;
use bellwether_core::read::token::{Asking, Heard, Step};
use bellwether_core::read::walk::{self, LONE_FRESH, Right, Seen, unproven};
use bellwether_core::time::{Span, Tick};
use bellwether_core::why::Why;

use crate::body::AnyBody;
use crate::engine::ask::{Answer, Ask};
use crate::engine::cell::{FlightCell, Outcome, Outside};
use crate::engine::hit::Look;
use crate::engine::settle::Kept;
use crate::engine::tier::lease::Place;
use crate::engine::tier::{Asked, Link, Offer, Said, at_fence};
use crate::engine::token::given::{FULL_RETRY, Leased, given, holder};
use crate::engine::{Engine, draw};
use crate::entry::{Resident, Tag, TierMark, relabelled};
use crate::error::Error;
use crate::key::Key;
use crate::load::Loaded;
use crate::observe::shared::add;
use crate::shared::{Acquired, Found, Stored, TierTrouble};
use crate::state::flights::Ending;
use crate::state::space::SpaceState;
use crate::token::{Of, Proof, Token};

/// So often a caller asks in a row whom an invalidation comes before each time.
const MOST_BIDS: u32 = 8;
/// A lease that was given out here is looked at so often, in case that nobody tells of its end, and never more often.
const WATCH_EVERY: Span = Span::secs(2);
const WATCH_PAUSE: Span = Span::ms(5);
/// Nothing that is told of an age goes further back: no token lasts longer.
const OLDEST: Span = Span::secs(600);

/// A caller that leads the key's flight while it asks the tier. Dropped, wherever that is: somebody else may.
pub(crate) struct Seated<'a> {
    engine: &'a Arc<Engine>,
    key: &'a Key,
    cell: Arc<FlightCell>,
    id: FlightId,
    open: bool,
}

impl<'a> Seated<'a> {
    pub(crate) fn new(engine: &'a Arc<Engine>, key: &'a Key, cell: Arc<FlightCell>, id: FlightId) -> Seated<'a> {
        Seated { engine, key, cell, id, open: true }
    }
}

impl Drop for Seated<'_> {
    fn drop(&mut self) {
        if self.open {
            self.engine.leave(self.key, self.id, &self.cell, Ending::Neither, Outcome::Released);
        }
    }
}

/// What the tier said, and when it was asked.
struct Answered {
    said: Said,
    granted: Option<Fence>,
    asked: Option<Asked>,
    seen: Position,
}

impl Engine {
    /// Asks the tier until it is known what becomes of this caller. `None`: another process's client fills the key, and
    /// the seat is kept until it may be asked again.
    #[expect(clippy::too_many_arguments, reason = "one caller's whole state, for one step of it")]
    pub(crate) async fn bid_for(
        self: &Arc<Engine>,
        link: &mut Link,
        asking: &mut Asking,
        mut seated: Seated<'_>,
        ask: &Ask,
        lease: Span,
        mut stale: Option<Answer>,
        patience: Tick,
    ) -> Option<Result<Leased, Error>> {
        let to = link.to.clone();
        let (space, key) = (&to.space, seated.key);
        if stale.is_none() {
            // What memory has will not do, whatever it is: the tier's entry is wanted even if it is the same.
            link.holds = Fence::ZERO;
        }
        for _ in 0..MOST_BIDS {
            let held = link.holds;
            let answered = self.bid_once(link, key, stale.is_some(), lease).await;
            let (step, found) = self.heard(&answered, asking, space, key, ask);
            if let (None, Some(offer)) = (&stale, found.as_ref().filter(|_| !matches!(step, Step::Serve(_)))) {
                self.flights.locked(key, |shard| self.reserve(space, shard, key, offer));
                match self.look(space, key.by_ref(), ask.demand) {
                    // Somebody has filled it meanwhile: there is nothing left to give a token for.
                    Look::Serve { entry, why: Why::Hit, at, refresh: false } => {
                        answered.granted.inspect(|token| give_back(&to, *token));
                        return Some(Ok(Leased::Value { entry, why: Why::Hit, at, token: None }));
                    }
                    Look::Serve { entry, why, at, .. } => stale = Some((entry, why, at)),
                    _ => {}
                }
            }
            match step {
                // Had it said that it holds what it found, the tier would grant a lease beside a value that is as good as any.
                Step::Ask if found.is_some_and(|offer| self.is_crossed(space, key, offer)) => link.holds = held,
                Step::Ask => {}
                Step::Serve(why) => {
                    let Some(offer) = found else { continue };
                    if let Some(entry) = self.take_over(space, key, &mut seated, offer, why) {
                        add(&self.tally.adopted);
                        return Some(Ok(Leased::Value { entry, why, at: self.clock.now(), token: None }));
                    }
                }
                Step::Give(right) => {
                    if let (None, Some(answer)) = (&stale, self.answer_in_silence(space, key, ask)) {
                        return Some(Ok(answer));
                    }
                    if let Some(token) = self.give(&to, key, &mut seated, right, &answered, lease) {
                        return Some(Ok(given(stale, token)));
                    }
                }
                Step::Cool(left, class) => {
                    let cooling = Cooling { until: self.clock.now() + left, attempts: 1, class };
                    self.flights.locked(key, |shard| shard.cool(key, cooling));
                    return Some(match stale {
                        Some((entry, why, at)) => Ok(Leased::Value { entry, why, at, token: None }),
                        None => self.cooled(space, key, ask, cooling),
                    });
                }
                Step::Wait(pause) => {
                    let left = match answered.said {
                        Said::Beside(walk::Heard::Denied(left), _) => left,
                        _ => pause,
                    };
                    if stale.is_none() && self.clock.now() >= patience {
                        return Some(Ok(Leased::Held(left)));
                    }
                    self.park(&to, key, &mut seated, pause);
                    return stale.map(|(entry, why, at)| Ok(Leased::Value { entry, why, at, token: None }));
                }
            }
        }
        Some(Err(Error::later(Why::ShedQueue, Some(FULL_RETRY))))
    }

    /// Whether it is what was heard of since the tier was asked that turns this down, and nothing that it is itself.
    fn is_crossed(&self, space: &SpaceState, key: &Key, offer: &Offer) -> bool {
        let fence = offer.entry.fence();
        let here = self.flights.locked(key, |shard| self.floor_here(space, shard, key, offer));
        here.covers(fence) && !offer.floor.covers(fence)
    }

    /// It was the tier's to answer in the place of a copy, and it did not: that copy answers, as for all who come next.
    fn answer_in_silence(&self, space: &SpaceState, key: &Key, ask: &Ask) -> Option<Leased> {
        if !self.silence.is_on() {
            return None;
        }
        match self.look(space, key.by_ref(), ask.demand) {
            Look::Serve { entry, why, at, refresh: false } => Some(Leased::Value { entry, why, at, token: None }),
            _ => None,
        }
    }

    async fn bid_once(&self, link: &mut Link, key: &Key, has_stale: bool, lease: Span) -> Answered {
        let mode = if has_stale { Mode::Early } else { Mode::Miss };
        match link.bid(key, mode, lease.max(Span(1))).await {
            Ok((acquired, asked, seen)) => {
                let granted = match acquired {
                    Acquired::Granted { token, .. } => Some(token),
                    _ => None,
                };
                Answered { said: link.answered(key, acquired, asked), granted, asked: Some(asked), seen }
            }
            Err(trouble) => Answered { said: link.trouble(trouble), granted: None, asked: None, seen: Position::NONE },
        }
    }

    /// What the rules make of the tier's answer; with what it has, if that may be of use.
    fn heard<'o>(
        &self,
        answered: &'o Answered,
        asking: &mut Asking,
        space: &SpaceState,
        key: &Key,
        ask: &Ask,
    ) -> (Step, Option<&'o Offer>) {
        let (heard, offer) = match &answered.said {
            Said::Offer(offer) => {
                let here = self.flights.locked(key, |shard| self.floor_here(space, shard, key, offer));
                let seen = Seen {
                    meta: offer.entry.meta(),
                    floor: here.merge(offer.floor),
                    crossed: false,
                    demand: ask.demand,
                    newer: offer.newer,
                    lease: offer.lease,
                };
                (Heard::Entry(seen), Some(&**offer))
            }
            Said::Beside(walk::Heard::Granted, rest) => (Heard::Granted, rest.as_deref()),
            Said::Beside(walk::Heard::Denied(left), rest) => (Heard::Denied(*left), rest.as_deref()),
            Said::Plain(walk::Heard::Failed(left, class)) => (Heard::Failed(*left, *class), None),
            Said::Plain(walk::Heard::Unreachable { .. }) => (Heard::Unreachable, None),
            // Bytes of somebody else, or of an entry, that nobody here understands.
            Said::Plain(_) | Said::Beside(..) => (Heard::Passing, None),
        };
        (asking.on(heard, self.clock.now(), &space.policy, draw()), offer)
    }

    /// Keeps what the tier has, and tells everybody who waits here. `None`: an invalidation came first.
    fn take_over(
        &self,
        space: &SpaceState,
        key: &Key,
        seated: &mut Seated<'_>,
        offer: &Offer,
        why: Why,
    ) -> Option<Resident> {
        let entry = offer.entry.clone();
        let took = self.flights.locked(key, |shard| {
            if self.floor_here(space, shard, key, offer).covers(entry.fence()) {
                return false;
            }
            self.keep(space, shard, key, &entry);
            self.land_lease(shard, key, seated.id, Ending::Succeeded, self.clock.now());
            true
        });
        if !took {
            return None;
        }
        seated.open = false;
        seated.cell.complete(Outcome::Landed(entry.clone(), Some(why)));
        Some(entry)
    }

    /// Hands the key to the caller. `None`: an invalidation was heard of since the tier was asked, and the lease may be
    /// older than it.
    fn give(
        self: &Arc<Engine>,
        to: &Arc<Place>,
        key: &Key,
        seated: &mut Seated<'_>,
        right: Right,
        answered: &Answered,
        lease: Span,
    ) -> Option<Token> {
        let asked = answered.asked.filter(|_| right == Right::Lease);
        let since = self.clock.now();
        // Whatever it reads it reads after this.
        let begun = self.flights.locked(key, |shard| {
            let floor = shard.floor(key).merge(to.space.floor());
            let fence = self.next_fence();
            let void = asked.is_some_and(|asked| floor.covers(asked.fence));
            (!void && shard.begin_read(key, seated.id, fence, since)).then_some(fence)
        });
        let granted = answered.granted.filter(|_| right == Right::Lease);
        let Some(fence) = begun else {
            granted.inspect(|token| give_back(to, *token));
            return None;
        };
        let (outside, token) = match (granted, right) {
            (Some(token), _) => {
                let to = to.clone();
                let give_back = Box::new(move || give_back(&to, token));
                (Outside::Lease { token, give_back }, Of::Fleet(Proof { token, seen: answered.seen }))
            }
            (None, Right::Beside) => (Outside::Beside, Of::Lone(fence)),
            (None, _) => (Outside::Lone, Of::Lone(fence)),
        };
        seated.open = false;
        seated.cell.set_outside(outside);
        // The tier counts from when it was asked.
        seated.cell.set_lease(asked.map_or(since, |asked| asked.at) + lease);
        self.runtime().spawn(self.clone().end_lease(key.clone(), seated.id, seated.cell.clone()));
        if granted.is_some() {
            self.runtime().spawn(self.clone().watch_lease(to.clone(), key.clone(), seated.id, seated.cell.clone()));
        }
        Some(Token(token))
    }

    /// A token that was given out here may be spent or given back at any process, and voided by any: whoever waits here
    /// for its value looks again then.
    async fn watch_lease(self: Arc<Engine>, to: Arc<Place>, key: Key, id: FlightId, cell: Arc<FlightCell>) {
        loop {
            tokio::select! {
                _ = cell.wait(Tick::NEVER) => return,
                () = self.clock.sleep_until(self.clock.now() + WATCH_EVERY) => {}
                () = to.tier.changed(&to.name) => {}
            }
            // A tier that can't tell of changes any more says so at once, each time.
            self.clock.sleep_until(self.clock.now() + WATCH_PAUSE).await;
            let Ok(found) = self.within_budget(&to.space, to.tier.get(&to.name)).await else { continue };
            if !matches!(found, Found::Nothing { lease: Some(_) } | Found::Entry { lease: Some(_), .. }) {
                self.leave(&key, id, &cell, Ending::Neither, Outcome::Released);
                return;
            }
        }
    }

    /// Another process's client fills the key: nobody here asks again before `pause` is over or the key changes.
    fn park(self: &Arc<Engine>, to: &Arc<Place>, key: &Key, seated: &mut Seated<'_>, pause: Span) {
        add(&self.tally.waits);
        seated.open = false;
        let until = self.clock.now() + pause;
        let (engine, to, key, id, cell) = (self.clone(), to.clone(), key.clone(), seated.id, seated.cell.clone());
        self.runtime().spawn(async move {
            tokio::select! {
                () = engine.clock.sleep_until(until) => {}
                () = to.tier.changed(&to.name) => {}
            }
            engine.leave(&key, id, &cell, Ending::Neither, Outcome::Released);
        });
    }

    fn leave(&self, key: &Key, id: FlightId, cell: &FlightCell, ending: Ending, outcome: Outcome) {
        self.flights.locked(key, |shard| self.land_lease(shard, key, id, ending, self.clock.now()));
        cell.complete(outcome);
    }

    /// Stores a value in the fleet, if `proof` is still the key's: the tier decides.
    pub(crate) async fn publish_in_fleet(
        self: Arc<Engine>,
        space: Arc<SpaceState>,
        key: Key,
        proof: Proof,
        loaded: Loaded<AnyBody>,
    ) -> bool {
        let Some(to) = Link::of(&self, &space, &key).map(|link| link.to) else { return false };
        let now = self.clock.now();
        let (held, here) =
            self.flights.locked(&key, |shard| (holder(shard, &key, now, is(proof.token)), shard.floor(&key)));
        // Granted by another process: when the value was read is known by the tier's fence alone, as far as clocks agree.
        let age = Span(self.clock.wall_us().saturating_sub(bellwether_core::cell::Now::of(proof.token).0) / 1000);
        let (fence, since) = match &held {
            Some(held) => (held.fence, held.since),
            None => (self.next_fence(), now - age.at_most(OLDEST)),
        };
        let tier_knows = self.pending.owed(&key).is_none();
        let entry = self.written(&space, &key, loaded, fence, since).filter(|entry| {
            let floor = match &held {
                Some(_) => here.merge(self.floor_of(&space, entry)),
                None => self.foreign_floor(&space, entry, proof.seen, now.since(since)),
            };
            tier_knows && !floor.covers(fence)
        });
        let Some(entry) = entry else {
            give_back(&to, proof.token);
            self.settle_outside(&space, &key, proof.token, None);
            return false;
        };
        let envelope = self.outgoing(&space, &key, &entry, proof.seen);
        let stored = match envelope {
            Some(envelope) => self.within_budget(&space, to.tier.publish(&to.name, proof.token, envelope)).await,
            None => Err(TierTrouble::Unfit),
        };
        match stored {
            Ok(Stored::Yes(fence)) => {
                add(&self.tally.published);
                if let Some(mark) = entry.mark() {
                    mark.set(fence, self.clock.now() + self.resync);
                    entry.watch();
                }
                if self.settle_outside(&space, &key, proof.token, Some(&entry)) {
                    self.shelve(&space, &key, &entry, proof.seen);
                }
                true
            }
            Ok(Stored::Refused) => {
                add(&self.tally.refused);
                self.settle_outside(&space, &key, proof.token, None);
                false
            }
            Err(trouble) => {
                // Whether it is there is not known, or it can't be: never tried again, and fresh here for a moment at most.
                let passes = matches!(trouble, TierTrouble::Unfit | TierTrouble::WrongType);
                if passes {
                    give_back(&to, proof.token);
                }
                if trouble == TierTrouble::Unfit {
                    // Nobody else must go on with an older one.
                    self.outgrown(&space, &key).await;
                }
                let most = if passes { self.resync } else { LONE_FRESH };
                let entry = relabelled(&entry, unproven(entry.meta(), most), None, false);
                held.is_some() && self.settle_outside(&space, &key, proof.token, Some(&entry))
            }
        }
    }

    /// Ends the flight of a token, if one is held here, and keeps its value unless an invalidation came first.
    fn settle_outside(&self, space: &SpaceState, key: &Key, token: Fence, entry: Option<&Resident>) -> bool {
        let (held, kept) = self.flights.locked(key, |shard| {
            let now = self.clock.now();
            let held = holder(shard, key, now, is(token));
            let kept = entry.is_some_and(|entry| {
                let newest = entry.mark().map(TierMark::fence).unwrap_or_default();
                let lost = newest != Fence::ZERO && newest < self.pending.raised(key);
                let open = !lost && !space.is_retired();
                open && matches!(self.keep(space, shard, key, entry), Kept::Yes)
            });
            if let Some(held) = &held {
                let ending = if entry.is_some() { Ending::Succeeded } else { Ending::Neither };
                self.land_lease(shard, key, held.id, ending, now);
            }
            (held, kept)
        });
        if let Some(held) = held {
            held.cell.complete(match entry.filter(|_| kept) {
                Some(entry) => Outcome::Landed(entry.clone(), None),
                None => Outcome::Released,
            });
        }
        kept
    }

    /// What covers a value that another process's token is for: as for an entry that is taken over.
    fn foreign_floor(&self, space: &SpaceState, entry: &Resident, seen: Position, age: Span) -> Floor {
        let tags: Vec<u64> = entry.tags().iter().map(|tag: &Tag| tag.hash).collect();
        match &self.fleet {
            Some(fleet) => {
                let covering = fleet.covering(&space.name, space.is_by_key(), &tags, seen, age);
                covering.map_or(Floor::NONE, |verb| Floor::of(verb, entry.fence()))
            }
            None => at_fence(space.floor().merge(self.tags.floor(entry.tags())), entry.fence()),
        }
    }

    /// Gives a lease of the tier back; with a cool-down, no client of the fleet gets one for so long.
    pub(crate) async fn release_in_fleet(
        self: Arc<Engine>,
        space: Arc<SpaceState>,
        key: Key,
        proof: Proof,
        cool_down: Span,
    ) -> bool {
        let Some(to) = Link::of(&self, &space, &key).map(|link| link.to) else { return false };
        let failed = (cool_down > Span::ZERO).then_some((cool_down, FailClass::Failed));
        let released = self.within_budget(&space, to.tier.release(&to.name, proof.token, failed)).await;
        let held = self.give_up(&key, cool_down, is(proof.token));
        if released.is_ok() {
            add(&self.tally.released);
        }
        // A tier that does not answer lets the lease end by itself.
        released.unwrap_or(held)
    }
}

/// Whether a flight is led by the holder of this token of the tier.
fn is(token: Fence) -> impl Fn(Option<&Outside>, Fence) -> bool {
    move |outside, _| matches!(outside, Some(Outside::Lease { token: held, .. }) if *held == token)
}

/// Tells the tier that nobody will publish under `token`.
fn give_back(to: &Arc<Place>, token: Fence) {
    let place = to.clone();
    to.engine.runtime().spawn(async move {
        let Place { engine, space, tier, name } = &*place;
        if engine.within_budget(space, tier.release(name, token, None)).await.is_ok() {
            add(&engine.tally.released);
        }
    });
}
