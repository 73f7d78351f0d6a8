//! Who may fill a plain space's key? Clients that load by themselves get a token, one at a time:
//! a flight whose leader is outside.

use std::sync::Arc;

use bellwether_core::failure::FailClass;
use bellwether_core::fence::{Fence, Invalidation};
use bellwether_core::guard::cooldown::Cooling;
use bellwether_core::read::decide::Demand;
use bellwether_core::read::flight::{Asker, Flight, FlightId};
use bellwether_core::read::walk::{LONE_FRESH, unproven};
use bellwether_core::time::{Span, Tick};
use bellwether_core::why::Why;
use tokio::task::JoinHandle;

use crate::engine::Engine;
use crate::engine::ask::{Answer, Ask};
use crate::engine::body::AnyBody;
use crate::engine::cell::{FlightCell, Outcome, Outside};
use crate::engine::hit::Look;
use crate::engine::space::SpaceState;
use crate::engine::tier::Link;
use crate::entry::{Resident, relabelled};
use crate::error::Error;
use crate::key::Key;
use crate::load::Loaded;
use crate::state::flights::{Ending, Joined, Led, Shard};
use crate::token::{Of, Token};

/// After so long a client asks again that found all tokens of the process given out.
pub(crate) const FULL_RETRY: Span = Span::ms(500);

/// What a client gets that wants to fill a key by itself.
pub(crate) enum Leased {
    /// A value. Where it is stale and nobody fills it yet, with the token to do so.
    Value { entry: Resident, why: Why, at: Tick, token: Option<Token> },
    /// Nothing resident: fill it under this token.
    Token(Token),
    /// Another client holds the token, at most so much longer.
    Held(Span),
    /// The space was dropped, or begun anew: what would be written here is nobody's.
    Gone,
}

/// Who is at work on a key that a client wants to fill.
pub(crate) enum Seat {
    /// This client: it leads the key's flight now.
    Free(Arc<FlightCell>, FlightId),
    /// Another client fills the key, or a load of this process does. `fits`: it began late enough for
    /// what this client asks, so that its value will do.
    Held {
        cell: Arc<FlightCell>,
        fits: bool,
    },
    Cooling(Cooling),
    Full,
    Gone,
}

impl Engine {
    /// A value, or the right to fill the key; waits up to `wait` for another holder's value.
    pub(crate) async fn lease(
        self: &Arc<Engine>,
        space: &Arc<SpaceState>,
        key: &Key,
        ask: &Ask,
        lease: Span,
        wait: Span,
    ) -> Result<Leased, Error> {
        match Link::of(self, space, key) {
            Some(link) => self.lease_in_fleet(space, key, ask, lease, wait, link).await,
            None => {
                // A value that memory had to let go of is a value all the same: nobody needs to fill the key.
                if let Some((entry, why, at)) = self.brought_back(space, key, ask.demand).await
                    && why == Why::Suspect
                {
                    // Of an earlier life: it stays where it is, and memory has nothing to say of it.
                    return Ok(Leased::Value { entry, why, at, token: None });
                }
                self.lease_here(space, key, ask, lease, wait).await
            }
        }
    }

    /// The same where this process alone decides.
    async fn lease_here(
        self: &Arc<Engine>,
        space: &Arc<SpaceState>,
        key: &Key,
        ask: &Ask,
        lease: Span,
        wait: Span,
    ) -> Result<Leased, Error> {
        let patience = ask.deadline().min(self.clock.now() + wait);
        let began = self.flights.current_fence();
        loop {
            let look = self.look(space, key.by_ref(), ask.demand);
            let stale = match look {
                Look::Serve { entry, why, at, refresh: false } => {
                    self.resync(space, || key.clone(), &entry, at);
                    return Ok(Leased::Value { entry, why, at, token: None });
                }
                Look::Serve { entry, why, at, refresh: true } => Some((entry, why, at)),
                Look::NotCached => return Err(Error::new(Why::NotCached)),
                Look::Load | Look::LoadAlone => None,
            };
            let seat = self.seat(space, key, ask, |shard, cell, id| {
                let (token, now) = (self.next_fence(), self.clock.now());
                shard.begin_read(key, id, token, now);
                cell.set_lease(now + lease);
            });
            match (seat, stale) {
                (Seat::Gone, _) => return Ok(Leased::Gone),
                (Seat::Free(cell, id), stale) => {
                    let Some(token) = self.reads_under(key, id) else { continue };
                    self.runtime().spawn(self.clone().end_lease(key.clone(), id, cell));
                    return Ok(given(stale, Token(Of::Here(token))));
                }
                (_, Some((entry, why, at))) => return Ok(Leased::Value { entry, why, at, token: None }),
                (Seat::Held { cell, fits }, None) => {
                    if let Some(left) = self.out_of_patience(space, &cell, patience) {
                        return Ok(Leased::Held(left));
                    }
                    if let Some(leased) = self.wait_for_holder(space, &cell, fits, began, patience).await {
                        return Ok(leased);
                    }
                }
                (Seat::Cooling(cooling), None) => return self.cooled(space, key, ask, cooling),
                (Seat::Full, None) => return Err(Error::later(Why::ShedQueue, Some(FULL_RETRY))),
            }
        }
    }

    /// How much longer a holder has got, for a caller that waits no longer.
    pub(crate) fn out_of_patience(&self, space: &SpaceState, cell: &FlightCell, patience: Tick) -> Option<Span> {
        let (now, until) = (self.clock.now(), cell.lease_until());
        // A load of this process holds it no longer than its origin's timeout.
        let left = if until == Tick::NEVER { space.gate.timeout() } else { until.since(now) };
        (now >= patience).then_some(left)
    }

    /// Waits for another holder's value. What was waited for is the answer, as for a follower of a load: to look again
    /// with the same demand would make every waiter a holder in turn.
    pub(crate) async fn wait_for_holder(
        &self,
        space: &SpaceState,
        cell: &FlightCell,
        fits: bool,
        began: Fence,
        patience: Tick,
    ) -> Option<Leased> {
        match cell.wait(patience.min(cell.lease_until())).await? {
            Outcome::Landed(entry, _) | Outcome::Lone(entry) if fits && !self.outdated(space, &entry, began) => {
                Some(Leased::Value { entry, why: Why::Coalesced, at: self.clock.now(), token: None })
            }
            _ => None,
        }
    }

    /// The key is left alone: what the policy prefers to an error, if it has it.
    pub(crate) fn cooled(&self, space: &SpaceState, key: &Key, ask: &Ask, cooling: Cooling) -> Result<Leased, Error> {
        let error = Error::later(Why::Cooling, cooling.remaining(self.clock.now()));
        let (entry, why, at) = self.rescued(space, key, ask, error)?;
        Ok(Leased::Value { entry, why, at, token: None })
    }

    /// Takes the seat of who fills the key, if it is free; `begin` is called under the key's lock then.
    pub(crate) fn seat(
        &self,
        space: &SpaceState,
        key: &Key,
        ask: &Ask,
        begin: impl FnOnce(&mut Shard<Arc<FlightCell>>, &FlightCell, FlightId),
    ) -> Seat {
        let asker = Asker {
            demand: Demand::Any,
            priority: ask.priority,
            deadline: Some(ask.deadline()),
            floor: space.floor().newest(),
        };
        self.flights.locked(key, |shard| {
            let now = self.clock.now();
            if space.is_retired() {
                return Seat::Gone;
            }
            if let Some(cooling) = shard.cooling(key, now) {
                return Seat::Cooling(cooling);
            }
            self.release_void_leases(shard, key, space.floor().newest());
            let cell = |id| Arc::new(FlightCell::new(id, &self.clock));
            match self.flights.join(shard, key, Led::Outside, &asker, now, cell) {
                Joined::Follow { id, cell, .. } => {
                    let since = shard.flights(key).and_then(|flights| flights.get(id)?.reading).map(|r| r.since);
                    let fits = match ask.demand {
                        Demand::MaxAge(most) => since.is_none_or(|since| now.since(since) <= most),
                        Demand::Any | Demand::Fresh | Demand::CachedOnly => true,
                    };
                    Seat::Held { cell, fits }
                }
                Joined::Lead { id, cell } => {
                    begin(shard, &cell, id);
                    Seat::Free(cell, id)
                }
                // Void leases were released above; what is left may be followed.
                Joined::LeadLater { id, .. } => {
                    self.land_lease(shard, key, id, Ending::Neither, now);
                    Seat::Full
                }
                Joined::Full => Seat::Full,
            }
        })
    }

    fn reads_under(&self, key: &Key, id: FlightId) -> Option<Fence> {
        self.flights.locked(key, |shard| Some(shard.flights(key)?.get(id)?.reading?.fence))
    }

    /// Stores a value under a token of this process alone. False if it is no longer the key's.
    pub(crate) fn publish_here(&self, space: &SpaceState, key: &Key, token: Fence, loaded: Loaded<AnyBody>) -> bool {
        let Some((cell, entry, stored)) = self.flights.locked(key, |shard| {
            let now = self.clock.now();
            let held = holder(shard, key, now, |_, reading| reading == token)?;
            let floor = shard.floor(key);
            let covered = |entry: &Resident| floor.merge(self.floor_of(space, entry)).covers(token);
            let entry = self.written(space, key, loaded, token, held.since).filter(|entry| !covered(entry));
            let entry = entry.map(|entry| self.as_proven(entry, held.cell.outside()));
            let stored = entry.as_ref().is_some_and(|entry| self.memory.put(key, entry.clone()));
            self.land_lease(shard, key, held.id, Ending::Succeeded, now);
            Some((held.cell, entry, stored))
        }) else {
            return false;
        };
        // Too large to be kept is still what everybody waits for.
        let kept = (!stored).then_some(Why::TooLarge);
        cell.complete(entry.map_or(Outcome::Released, |entry| Outcome::Landed(entry, kept)));
        stored
    }

    /// What the tier does not know of is not fresh for long.
    pub(crate) fn as_proven(&self, entry: Resident, outside: Option<&Outside>) -> Resident {
        let most = match outside {
            None | Some(Outside::Lease { .. }) => return entry,
            Some(Outside::Lone) => LONE_FRESH,
            Some(Outside::Beside) => self.resync,
        };
        relabelled(&entry, unproven(entry.meta(), most), None, false)
    }

    /// Gives a token of this process alone back unused; with a cool-down, nobody else gets one for so long.
    pub(crate) fn release_here(&self, key: &Key, token: Fence, cool_down: Span) -> bool {
        self.give_up(key, cool_down, |_, reading| reading == token)
    }

    /// Lands the flight of a token that its holder gives back.
    pub(crate) fn give_up(&self, key: &Key, cool_down: Span, is: impl Fn(Option<&Outside>, Fence) -> bool) -> bool {
        let cell = self.flights.locked(key, |shard| {
            let now = self.clock.now();
            let held = holder(shard, key, now, is)?;
            self.land_lease(shard, key, held.id, Ending::Neither, now);
            if cool_down > Span::ZERO {
                shard.cool(key, Cooling { until: now + cool_down, attempts: 1, class: FailClass::Failed });
            }
            Some(held.cell)
        });
        let Some(cell) = cell else { return false };
        cell.complete(Outcome::Released);
        true
    }

    /// Ends a lease that nobody used: the next client that waits gets the token.
    pub(crate) async fn end_lease(self: Arc<Engine>, key: Key, id: FlightId, cell: Arc<FlightCell>) {
        if cell.wait(cell.lease_until()).await.is_none() {
            self.flights.locked(&key, |shard| self.land_lease(shard, &key, id, Ending::Neither, self.clock.now()));
            cell.complete(Outcome::Released);
        }
    }

    /// Lands the leases whose token is void: overtaken by an invalidation or past their end.
    /// A holder is outside; nobody can wait for it to notice.
    pub(crate) fn release_void_leases(&self, shard: &mut Shard<Arc<FlightCell>>, key: &Key, floor: Fence) {
        let now = self.clock.now();
        let Some(flights) = shard.flights(key) else { return };
        let covered =
            |flight: &Flight| flight.overtaken || flight.reading.is_some_and(|reading| reading.fence <= floor);
        let flights: Vec<_> = flights.iter().map(|flight| (flight.id, covered(flight))).collect();
        for (id, covered) in flights {
            let Some(cell) = shard.cell(key, id) else { continue };
            let until = cell.lease_until();
            if until != Tick::NEVER && (covered || now >= until) {
                self.land_lease(shard, key, id, Ending::Neither, now);
                // The tier may not know: a tag that was invalidated voids no lease there.
                if let Some(Outside::Lease { give_back, .. }) = cell.outside().filter(|_| covered) {
                    give_back();
                }
                cell.complete(Outcome::Released);
            }
        }
    }

    /// Ends a token's flight; a load that waited for its end starts.
    pub(crate) fn land_lease(
        &self,
        shard: &mut Shard<Arc<FlightCell>>,
        key: &Key,
        id: FlightId,
        ending: Ending,
        now: Tick,
    ) {
        if let Some(next) = self.flights.land(shard, key, id, ending, now).and_then(|landed| landed.next) {
            next.take_turn();
        }
    }

    /// Invalidates a whole space, and tells the backplane.
    pub(crate) fn invalidate_space(&self, space: &SpaceState, verb: Invalidation) -> Option<JoinHandle<bool>> {
        // First what judges entries of the shared tier: what is asked for after the floor is in place, and comes
        // before it is told, must not be taken over.
        if let Some(fleet) = self.fleet.as_ref().filter(|_| space.travel.is_some()) {
            fleet.space_invalidated(&space.name, verb);
        }
        self.raise_space(space, verb)
    }

    /// Invalidates a whole space, here.
    pub(crate) fn raise_space(&self, space: &SpaceState, verb: Invalidation) -> Option<JoinHandle<bool>> {
        let _telling = self.telling();
        let fence = self.next_fence();
        space.raise(verb, fence);
        self.unshelve_space(space, fence)
    }
}

/// Gives a token with the stale value, if there is one.
pub(crate) fn given(stale: Option<Answer>, token: Token) -> Leased {
    match stale {
        Some((entry, why, at)) => Leased::Value { entry, why, at, token: Some(token) },
        None => Leased::Token(token),
    }
}

/// Who holds a token that is still the key's.
pub(crate) struct Holder {
    pub(crate) id: FlightId,
    pub(crate) cell: Arc<FlightCell>,
    /// The local fence under which it reads.
    pub(crate) fence: Fence,
    pub(crate) since: Tick,
}

/// The flight of the token that `is` tells by its right and its local fence, if it may still publish.
pub(crate) fn holder(
    shard: &Shard<Arc<FlightCell>>,
    key: &Key,
    now: Tick,
    is: impl Fn(Option<&Outside>, Fence) -> bool,
) -> Option<Holder> {
    shard.flights(key)?.iter().filter(|flight| !flight.overtaken).find_map(|flight| {
        let (reading, cell) = (flight.reading?, shard.cell(key, flight.id)?);
        let runs = cell.lease_until() != Tick::NEVER && now < cell.lease_until();
        let held = runs && is(cell.outside(), reading.fence);
        held.then_some(Holder { id: flight.id, cell, fence: reading.fence, since: reading.since })
    })
}
