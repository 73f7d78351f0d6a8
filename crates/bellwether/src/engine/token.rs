//! Who may fill a plain space's key? Clients that load by themselves get a token, one at a time:
//! a flight whose leader is outside.

mod fleet;
pub(crate) mod given;

use std::sync::Arc;

use bellwether_core::failure::FailClass;
use bellwether_core::fence::Fence;
use bellwether_core::guard::cooldown::Cooling;
use bellwether_core::read::decide::Demand;
use bellwether_core::read::flight::{Asker, Flight, FlightId};
use bellwether_core::read::token::Asking;
use bellwether_core::read::walk::{LONE_FRESH, unproven};
use bellwether_core::time::{Span, Tick};
use bellwether_core::why::Why;

use crate::body::AnyBody;
use crate::engine::Engine;
use crate::engine::ask::Ask;
use crate::engine::cell::{FlightCell, Outcome, Outside};
use crate::engine::hit::Look;
use crate::engine::tier::Link;
use crate::engine::token::fleet::Seated;
use crate::engine::token::given::{FULL_RETRY, Leased, given, holder};
use crate::entry::{Resident, relabelled};
use crate::error::Error;
use crate::key::Key;
use crate::load::Loaded;
use crate::state::flights::{Ending, Joined, Led, Shard};
use crate::state::space::SpaceState;
use crate::token::{Of, Token};

/// Who is at work on a key that a client wants to fill.
enum Seat {
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
    /// A value, or the right to fill the key: a token of this process, or in a fleet the tier's lease. Waits up to `wait`
    /// for what another holder brings.
    pub(crate) async fn lease(
        self: &Arc<Engine>,
        space: &Arc<SpaceState>,
        key: &Key,
        ask: &Ask,
        lease: Span,
        wait: Span,
    ) -> Result<Leased, Error> {
        let mut link = Link::of(self, space, key);
        let alone = link.is_none();
        // A value that memory had to let go of is a value all the same: nobody needs to fill the key.
        if alone
            && let Some((entry, why, at)) = self.brought_back(space, key, ask.demand).await
            && why == Why::Suspect
        {
            // Of an earlier life: it stays where it is, and memory has nothing to say of it.
            return Ok(Leased::Value { entry, why, at, token: None });
        }
        let patience = ask.deadline().min(self.clock.now() + wait);
        let began = self.flights.current_fence();
        let mut asking = Asking::default();
        loop {
            let stale = match self.look(space, key.by_ref(), ask.demand) {
                Look::Serve { entry, why, at, refresh: false } => {
                    self.resync(space, || key.clone(), &entry, at);
                    return Ok(Leased::Value { entry, why, at, token: None });
                }
                Look::Serve { entry, why, at, refresh: true } => Some((entry, why, at)),
                Look::NotCached => return Err(Error::new(Why::NotCached)),
                Look::Load | Look::LoadAlone => None,
            };
            let seat = self.seat(space, key, ask, |shard, cell, id| {
                // In a fleet it reads only once the tier has said that it may.
                if alone {
                    let (token, now) = (self.next_fence(), self.clock.now());
                    shard.begin_read(key, id, token, now);
                    cell.set_lease(now + lease);
                }
            });
            match (seat, stale) {
                (Seat::Gone, _) => return Ok(Leased::Gone),
                (Seat::Free(cell, id), stale) => match &mut link {
                    None => {
                        let Some(token) = self.reads_under(key, id) else { continue };
                        self.runtime().spawn(self.clone().end_lease(key.clone(), id, cell));
                        return Ok(given(stale, Token(Of::Here(token))));
                    }
                    Some(link) => {
                        let seated = Seated::new(self, key, cell.clone(), id);
                        let done = self.bid_for(link, &mut asking, seated, ask, lease, stale, patience).await;
                        if let Some(done) = done {
                            return done;
                        }
                        // Parked: whoever comes to this key waits for the same moment.
                        cell.wait(patience).await;
                        link.rested();
                    }
                },
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
    fn out_of_patience(&self, space: &SpaceState, cell: &FlightCell, patience: Tick) -> Option<Span> {
        let (now, until) = (self.clock.now(), cell.lease_until());
        // A load of this process holds it no longer than its origin's timeout.
        let left = if until == Tick::NEVER { space.gate.timeout() } else { until.since(now) };
        (now >= patience).then_some(left)
    }

    /// Waits for another holder's value. What was waited for is the answer, as for a follower of a load: to look again
    /// with the same demand would make every waiter a holder in turn.
    async fn wait_for_holder(
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
    fn seat(
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
}
