//! Who may fill a plain space's key? Clients that load by themselves get a token, one at a time:
//! a flight whose leader is outside.

use std::sync::Arc;

use bellwether_core::failure::FailClass;
use bellwether_core::fence::{Fence, Invalidation};
use bellwether_core::guard::cooldown::Cooling;
use bellwether_core::read::decide::Demand;
use bellwether_core::read::flight::{Asker, Flight, FlightId};
use bellwether_core::time::{Span, Tick};
use bellwether_core::why::Why;
use tokio::task::JoinHandle;

use crate::engine::Engine;
use crate::engine::ask::Ask;
use crate::engine::body::AnyBody;
use crate::engine::cell::{FlightCell, Outcome};
use crate::engine::hit::Look;
use crate::engine::space::SpaceState;
use crate::entry::Resident;
use crate::error::Error;
use crate::key::Key;
use crate::load::Loaded;
use crate::state::flights::{Ending, Joined, Led, Shard};

/// After so long a client asks again that found all tokens of the process given out.
const FULL_RETRY: Span = Span::ms(500);

/// What a client gets that wants to fill a key by itself.
pub(crate) enum Leased {
    /// A value. Where it is stale and nobody fills it yet, with the token to do so.
    Value { entry: Resident, why: Why, at: Tick, token: Option<Fence> },
    /// Nothing resident: fill it under this token.
    Token(Fence),
    /// Another client holds the token, at most so much longer.
    Held(Span),
    /// The space was dropped, or begun anew: what would be written here is nobody's.
    Gone,
}

enum Grant {
    Token(Fence, Arc<FlightCell>, FlightId),
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
            let grant = self.grant(space, key, ask, lease);
            match (grant, stale) {
                (Grant::Gone, _) => return Ok(Leased::Gone),
                (Grant::Token(token, cell, id), stale) => {
                    self.runtime().spawn(self.clone().end_lease(key.clone(), id, cell));
                    return Ok(match stale {
                        Some((entry, why, at)) => Leased::Value { entry, why, at, token: Some(token) },
                        None => Leased::Token(token),
                    });
                }
                (_, Some((entry, why, at))) => return Ok(Leased::Value { entry, why, at, token: None }),
                (Grant::Held { cell, fits }, None) => {
                    let now = self.clock.now();
                    let until = cell.lease_until();
                    if now >= patience {
                        // A load of this process holds it no longer than its origin's timeout.
                        let left = if until == Tick::NEVER { space.gate.timeout() } else { until.since(now) };
                        return Ok(Leased::Held(left));
                    }
                    // What was waited for is the answer, as for a follower of a load: to look again with
                    // the same demand would make every waiter a holder in turn.
                    if let Some(Outcome::Landed(entry, _) | Outcome::Lone(entry)) = cell.wait(patience.min(until)).await
                        && fits
                        && !self.outdated(space, &entry, began)
                    {
                        return Ok(Leased::Value { entry, why: Why::Coalesced, at: self.clock.now(), token: None });
                    }
                }
                (Grant::Cooling(cooling), None) => {
                    let error = Error::later(Why::Cooling, cooling.remaining(self.clock.now()));
                    return self.rescued(space, key, ask, error).map(|(entry, why, at)| Leased::Value {
                        entry,
                        why,
                        at,
                        token: None,
                    });
                }
                (Grant::Full, None) => return Err(Error::later(Why::ShedQueue, Some(FULL_RETRY))),
            }
        }
    }

    fn grant(&self, space: &SpaceState, key: &Key, ask: &Ask, lease: Span) -> Grant {
        let asker = Asker {
            demand: Demand::Any,
            priority: ask.priority,
            deadline: Some(ask.deadline()),
            floor: space.floor().newest(),
        };
        self.flights.locked(key, |shard| {
            let now = self.clock.now();
            if space.is_retired() {
                return Grant::Gone;
            }
            if let Some(cooling) = shard.cooling(key, now) {
                return Grant::Cooling(cooling);
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
                    Grant::Held { cell, fits }
                }
                Joined::Lead { id, cell } => {
                    let token = self.next_fence();
                    shard.begin_read(key, id, token, now);
                    cell.set_lease(now + lease);
                    Grant::Token(token, cell, id)
                }
                // Void leases were released above; what is left may be followed.
                Joined::LeadLater { id, .. } => {
                    self.land_lease(shard, key, id, Ending::Neither, now);
                    Grant::Full
                }
                Joined::Full => Grant::Full,
            }
        })
    }

    /// Stores a value under a token. False if the token is no longer the key's.
    pub(crate) fn publish(&self, space: &SpaceState, key: &Key, token: Fence, loaded: Loaded<AnyBody>) -> bool {
        let Some((cell, entry, stored)) = self.flights.locked(key, |shard| {
            let now = self.clock.now();
            let (id, cell) = holder(shard, key, token, now)?;
            let since = shard.flights(key)?.get(id)?.reading?.since;
            let floor = shard.floor(key);
            let covered = |entry: &Resident| floor.merge(self.floor_of(space, entry)).covers(token);
            let entry = self.written(space, key, loaded, token, since).filter(|entry| !covered(entry));
            let stored = entry.as_ref().is_some_and(|entry| self.memory.put(key, entry.clone()));
            self.land_lease(shard, key, id, Ending::Succeeded, now);
            Some((cell, entry, stored))
        }) else {
            return false;
        };
        // Too large to be kept is still what everybody waits for.
        let kept = (!stored).then_some(Why::TooLarge);
        cell.complete(entry.map_or(Outcome::Released, |entry| Outcome::Landed(entry, kept)));
        stored
    }

    /// Gives a token back unused; with a cool-down, nobody else gets one for so long.
    pub(crate) fn release(&self, key: &Key, token: Fence, cool_down: Span) -> bool {
        let cell = self.flights.locked(key, |shard| {
            let now = self.clock.now();
            let (id, cell) = holder(shard, key, token, now)?;
            self.land_lease(shard, key, id, Ending::Neither, now);
            if cool_down > Span::ZERO {
                shard.cool(key, Cooling { until: now + cool_down, attempts: 1, class: FailClass::Failed });
            }
            Some(cell)
        });
        let Some(cell) = cell else { return false };
        cell.complete(Outcome::Released);
        true
    }

    /// Ends a lease that nobody used: the next client that waits gets the token.
    async fn end_lease(self: Arc<Engine>, key: Key, id: FlightId, cell: Arc<FlightCell>) {
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
                cell.complete(Outcome::Released);
            }
        }
    }

    /// Ends a token's flight; a load that waited for its end starts.
    fn land_lease(&self, shard: &mut Shard<Arc<FlightCell>>, key: &Key, id: FlightId, ending: Ending, now: Tick) {
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

/// The flight that `token` leads, if it may still publish.
fn holder(shard: &Shard<Arc<FlightCell>>, key: &Key, token: Fence, now: Tick) -> Option<(FlightId, Arc<FlightCell>)> {
    let flight = shard
        .flights(key)?
        .iter()
        .find(|flight| !flight.overtaken && flight.reading.is_some_and(|reading| reading.fence == token))?;
    let id = flight.id;
    let runs = |cell: &Arc<FlightCell>| cell.lease_until() != Tick::NEVER && now < cell.lease_until();
    shard.cell(key, id).filter(runs).map(|cell| (id, cell))
}
