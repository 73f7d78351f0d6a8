//! Memory could not answer: whom does the caller wait for, and what does it get in the end?

use std::sync::Arc;

use bellwether_core::entry::Kind;
use bellwether_core::fence::Fence;
use bellwether_core::guard::cooldown::Cooling;
use bellwether_core::read::flight::Asker;
use bellwether_core::read::rescue::{Rescue, rescue};
use bellwether_core::why::Why;

use crate::engine::Engine;
use crate::engine::ask::{Answer, Ask};
use crate::engine::body::LoadFn;
use crate::engine::cell::{FlightCell, Outcome};
use crate::engine::hit::Look;
use crate::engine::lead::{Leader, Start};
use crate::engine::space::SpaceState;
use crate::entry::Resident;
use crate::error::Error;
use crate::key::Key;
use crate::state::flights::Joined;

/// What became of a caller at the flight table.
pub(crate) enum Entered {
    Serve(Answer),
    Alone,
    NotCached,
    Cooling(Cooling),
    Full,
    /// Wait here; `Some` if this caller leads and starts the flight.
    Wait(Arc<FlightCell>, Option<Start>),
}

impl Engine {
    /// Answers a caller whom memory could not answer, by its deadline.
    pub(crate) async fn miss(
        self: &Arc<Engine>,
        space: &Arc<SpaceState>,
        key: &Key,
        ask: &Ask,
        load: LoadFn,
    ) -> Result<Answer, Error> {
        let began = self.flights.current_fence();
        let mut load = Some(load);
        loop {
            let entered = self.enter(space, key, ask);
            let (cell, why) = match entered {
                Entered::Wait(cell, None) => (cell, Why::Coalesced),
                Entered::Wait(cell, Some(start)) => match load.take() {
                    Some(load) => {
                        Leader::launch(self, space, key, start, cell.clone(), load);
                        (cell, Why::Loaded)
                    }
                    None => return Err(Error::new(Why::Timeout)),
                },
                Entered::Alone => match load.take() {
                    Some(load) => return self.alone(space, key, ask, load, Why::Uncacheable).await,
                    None => return Err(Error::new(Why::Timeout)),
                },
                answered => return self.without_flight(space, key, ask, answered),
            };
            match self.wait(space, key, ask, &cell).await {
                Ok(Outcome::Landed(entry, kept)) if why == Why::Loaded || !self.outdated(space, &entry, began) => {
                    return self.answer(entry, kept.unwrap_or(why));
                }
                Ok(Outcome::Private(entry)) if why == Why::Loaded => return self.answer(entry, Why::Uncacheable),
                Ok(Outcome::Private(_)) => match load.take() {
                    Some(load) => return self.alone(space, key, ask, load, Why::Uncacheable).await,
                    None => return Err(Error::new(Why::Timeout)),
                },
                // The tag of what the older load found was invalidated before this caller came.
                Ok(Outcome::Landed(..) | Outcome::Released) => {}
                Ok(Outcome::Failed(error)) => return self.rescued(space, key, ask, error),
                Err(saved) => return saved,
            }
        }
    }

    /// Looks once more and joins or starts a flight, in one step as seen by removals and landings.
    pub(crate) fn enter(self: &Arc<Engine>, space: &SpaceState, key: &Key, ask: &Ask) -> Entered {
        let asker = Asker {
            demand: ask.demand,
            priority: ask.priority,
            deadline: Some(ask.deadline),
            floor: space.floor().newest(),
        };
        let mut raised = None;
        let entered = self.flights.locked(key, |shard| {
            let now = self.clock.now();
            match self.judge(space, self.memory.get(key.by_ref()), ask.demand, now) {
                Look::Serve { entry, why, at, .. } => return Entered::Serve((entry, why, at)),
                Look::LoadAlone => return Entered::Alone,
                Look::NotCached => return Entered::NotCached,
                Look::Load => {}
            }
            if let Some(cooling) = shard.cooling(key, now) {
                return Entered::Cooling(cooling);
            }
            match self.flights.join(shard, key, &asker, space.successor_after(), now, |_| Arc::new(FlightCell::new())) {
                Joined::Follow { cell, raised: flight } => {
                    raised = flight;
                    Entered::Wait(cell, None)
                }
                Joined::Lead { id, cell } => Entered::Wait(cell, Some(Start { id, parked: None })),
                Joined::LeadLater { id, cell, at } => Entered::Wait(cell, Some(Start { id, parked: Some(at) })),
                Joined::Full => Entered::Full,
            }
        });
        if let Some(flight) = raised {
            space.gate.raise(&flight);
        }
        entered
    }

    /// Ends that need no waiting.
    pub(crate) fn without_flight(
        &self,
        space: &SpaceState,
        key: &Key,
        ask: &Ask,
        entered: Entered,
    ) -> Result<Answer, Error> {
        match entered {
            Entered::Serve((entry, why, _)) => self.answer(entry, why),
            Entered::NotCached => Err(Error::new(Why::NotCached)),
            Entered::Cooling(cooling) => {
                let retry_after = cooling.remaining(self.clock.now());
                self.rescued(space, key, ask, Error::later(Why::Cooling, retry_after))
            }
            Entered::Full | Entered::Alone | Entered::Wait(..) => {
                self.rescued(space, key, ask, Error::later(Why::ShedQueue, Some(space.successor_after())))
            }
        }
    }

    /// Waits for a flight: its outcome, or what the caller gets without it.
    pub(crate) async fn wait(
        &self,
        space: &SpaceState,
        key: &Key,
        ask: &Ask,
        cell: &FlightCell,
    ) -> Result<Outcome, Result<Answer, Error>> {
        let timeout = || Error::later(Why::Timeout, Some(space.load_times().0.unwrap_or(space.gate.budget.timeout)));
        // Where something can rescue the caller, it waits no longer than loads usually take.
        if let Some(hedge) = space.hedge_after() {
            let hedged = self.clock.now() + hedge;
            if hedged < ask.deadline {
                if let Some(outcome) = cell.wait(&self.clock, hedged).await {
                    return Ok(outcome);
                }
                if let Ok(saved) = self.rescued(space, key, ask, timeout()) {
                    return Err(Ok(saved));
                }
            }
        }
        match cell.wait(&self.clock, ask.deadline).await {
            Some(outcome) => Ok(outcome),
            None => Err(self.rescued(space, key, ask, timeout())),
        }
    }

    /// Loads under the guard for this caller alone, without a flight; stores nothing.
    pub(crate) async fn alone(
        self: &Arc<Engine>,
        space: &Arc<SpaceState>,
        key: &Key,
        ask: &Ask,
        load: LoadFn,
        why: Why,
    ) -> Result<Answer, Error> {
        let cell = Arc::new(FlightCell::new());
        Leader::launch_alone(self, space, key, ask, cell.clone(), load);
        match self.wait(space, key, ask, &cell).await {
            Ok(Outcome::Landed(entry, _) | Outcome::Private(entry)) => self.answer(entry, why),
            Ok(Outcome::Failed(error)) => self.rescued(space, key, ask, error),
            Ok(Outcome::Released) => Err(Error::new(Why::OriginFailed)),
            Err(saved) => saved,
        }
    }

    /// The error, or what the policy prefers to it.
    pub(crate) fn rescued(&self, space: &SpaceState, key: &Key, ask: &Ask, error: Error) -> Result<Answer, Error> {
        let now = self.clock.now();
        let found = self.memory.peek(key.by_ref());
        let floor = found.as_ref().map(|entry| self.floor_of(space, entry)).unwrap_or_default();
        let meta = found.as_ref().map(|entry| &entry.meta);
        match (
            rescue(meta, floor, ask.demand, error.why(), ask.default.is_some(), now, &space.policy),
            found,
            &ask.default,
        ) {
            (Rescue::Body(why), Some(entry), _) => Ok((entry, why, now)),
            (Rescue::Default, _, Some(default)) => Ok((default.clone(), Why::Default, default.meta.born)),
            _ => Err(error),
        }
    }

    fn answer(&self, entry: Resident, why: Why) -> Result<Answer, Error> {
        Ok((entry, why, self.clock.now()))
    }

    /// Whether an invalidation that this caller had seen acknowledged covers what an older load found.
    fn outdated(&self, space: &SpaceState, entry: &Resident, began: Fence) -> bool {
        let newest = self.floor_of(space, entry).newest();
        newest >= entry.meta.fence && newest <= began
    }
}

/// Turns "the row does not exist" from an answer into the word that callers know it by.
pub(crate) fn or_missing(answer: Answer) -> Result<Answer, Error> {
    match answer.0.meta.kind {
        Kind::Negative => Err(Error::new(Why::Negative)),
        Kind::Value | Kind::HitForMiss => Ok(answer),
    }
}
