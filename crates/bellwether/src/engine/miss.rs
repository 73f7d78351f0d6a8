//! Memory could not answer: whom does the caller wait for, and what does it get in the end?

use std::sync::Arc;

use bellwether_core::entry::Kind;
use bellwether_core::fence::Fence;
use bellwether_core::guard::cooldown::Cooling;
use bellwether_core::read::flight::Asker;
use bellwether_core::read::rescue::{Held, Rescue, rescue};
use bellwether_core::why::Why;

use crate::body::LoadFn;
use crate::engine::Engine;
use crate::engine::ask::{Answer, Ask};
use crate::engine::cell::{FlightCell, Outcome};
use crate::engine::hit::Look;
use crate::engine::lead::{Leader, Start};
use crate::entry::Resident;
use crate::error::Error;
use crate::key::Key;
use crate::state::flights::{Joined, Led};
use crate::state::space::SpaceState;

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

/// What a caller does next.
enum Begun {
    /// Waits here; true if it leads.
    Wait(Arc<FlightCell>, bool),
    Alone,
    Answered(Result<Answer, Error>),
}

impl Engine {
    /// Answers a caller whom memory could not answer, by its deadline.
    pub(crate) fn miss(
        self: &Arc<Engine>,
        space: &Arc<SpaceState>,
        key: &Key,
        ask: &Ask,
        load: &mut Option<LoadFn>,
    ) -> impl Future<Output = Result<Answer, Error>> {
        async move {
            let began = self.flights.current_fence();
            // One place to wait for leaders and followers alike, with nothing held across it but the
            // cell: every one of 20,000 callers holds this future.
            loop {
                let (cell, leads) = match self.begin(space, key, ask, load) {
                    Begun::Wait(cell, leads) => (cell, leads),
                    Begun::Alone => break,
                    Begun::Answered(answer) => return answer,
                };
                match self.wait(space, key, ask, &cell).await {
                    // The older load's tag was invalidated before this caller came: once more.
                    Ok(Outcome::Landed(entry, _) | Outcome::Lone(entry))
                        if !leads && self.outdated(space, &entry, began) => {}
                    Ok(Outcome::Released) if !leads => {}
                    Ok(Outcome::Private(_)) if !leads => break,
                    outcome => {
                        let why = if leads { Why::Loaded } else { Why::Coalesced };
                        return self.delivered(space, key, ask, outcome, why);
                    }
                }
            }
            let load = load.take().expect("only who leads gives the load away, and has returned");
            // Boxed: few callers need it, and all would be larger for it.
            Box::pin(self.alone(space, key, ask, load, Why::Uncacheable)).await
        }
    }

    /// Joins or starts a flight, and leads it if it is to be led.
    fn begin(self: &Arc<Engine>, space: &Arc<SpaceState>, key: &Key, ask: &Ask, load: &mut Option<LoadFn>) -> Begun {
        match self.enter(space, key, ask) {
            Entered::Wait(cell, start) => {
                let leads = start.zip(load.take_if(|_| start.is_some()));
                let leading = leads.is_some();
                if let Some((start, load)) = leads {
                    Leader::launch(self, space, key, start, cell.clone(), load);
                }
                Begun::Wait(cell, leading)
            }
            Entered::Alone => Begun::Alone,
            answered => Begun::Answered(self.without_flight(space, key, ask, answered)),
        }
    }

    /// What a flight's outcome is to a caller who may have it.
    pub(crate) fn delivered(
        &self,
        space: &SpaceState,
        key: &Key,
        ask: &Ask,
        outcome: Result<Outcome, Result<Answer, Error>>,
        why: Why,
    ) -> Result<Answer, Error> {
        match outcome {
            Ok(Outcome::Landed(entry, kept)) => self.answer(entry, kept.unwrap_or(why)),
            Ok(Outcome::Lone(entry)) => self.answer(entry, if why == Why::Loaded { Why::Lone } else { why }),
            Ok(Outcome::Private(entry)) => self.answer(entry, Why::Uncacheable),
            Ok(Outcome::Failed(error)) => self.rescued(space, key, ask, error),
            Ok(Outcome::Released) => self.rescued(space, key, ask, Error::new(Why::ShedQueue)),
            Err(saved) => saved,
        }
    }

    /// Looks once more and joins or starts a flight, in one step as seen by removals and landings.
    pub(crate) fn enter(self: &Arc<Engine>, space: &SpaceState, key: &Key, ask: &Ask) -> Entered {
        let asker = Asker {
            demand: ask.demand,
            priority: ask.priority,
            deadline: Some(ask.deadline()),
            floor: space.floor().newest(),
        };
        let mut raised = None;
        let entered = self.flights.locked(key, |shard| {
            let now = self.clock.now();
            match self.judge(space, || key.clone(), self.memory.get(&key.by_ref()), ask.demand, now) {
                Look::Serve { entry, why, at, .. } => return Entered::Serve((entry, why, at)),
                Look::LoadAlone => return Entered::Alone,
                Look::NotCached => return Entered::NotCached,
                Look::Load => {}
            }
            if let Some(cooling) = shard.cooling(key, now) {
                return Entered::Cooling(cooling);
            }
            let led = Led::Here { hedge: space.successor_after() };
            match self.flights.join(shard, key, led, &asker, now, |id| Arc::new(FlightCell::new(id, &self.clock))) {
                Joined::Follow { cell, raised: flight, .. } => {
                    raised = flight.map(|flight| (cell.ticket(), flight));
                    Entered::Wait(cell, None)
                }
                Joined::Lead { id, cell } => Entered::Wait(cell, Some(Start { id, parked: None })),
                Joined::LeadLater { id, cell, at } => Entered::Wait(cell, Some(Start { id, parked: Some(at) })),
                Joined::Full => Entered::Full,
            }
        });
        if let Some((ticket, flight)) = raised {
            space.raise_at_gates(ticket, &flight);
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
    // Here and below a block, not an `async fn`, which would keep every argument twice: a follower
    // is little more than this future, and there may be many thousands.
    pub(crate) fn wait(
        &self,
        space: &SpaceState,
        key: &Key,
        ask: &Ask,
        cell: &FlightCell,
    ) -> impl Future<Output = Result<Outcome, Result<Answer, Error>>> {
        async move {
            // Where something can rescue the caller, it waits no longer than loads usually take.
            let hedged = space.hedge_after().map_or(ask.deadline(), |hedge| ask.asked() + hedge);
            let mut until = hedged.min(ask.deadline());
            loop {
                if let Some(outcome) = cell.wait(until).await {
                    return Ok(outcome);
                }
                let p99 = space.load_times().0.unwrap_or_else(|| space.gate.timeout());
                let saved = self.rescued(space, key, ask, Error::later(Why::Timeout, Some(p99)));
                if saved.is_ok() || until >= ask.deadline() {
                    return Err(saved);
                }
                until = ask.deadline();
            }
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
        let cell = Arc::new(FlightCell::new(self.flights.fresh_id(), &self.clock));
        Leader::launch_alone(self, space, key, ask, cell.clone(), load);
        let outcome = match self.wait(space, key, ask, &cell).await {
            Ok(Outcome::Landed(entry, _)) => Ok(Outcome::Landed(entry, Some(why))),
            other => other,
        };
        self.delivered(space, key, ask, outcome, why)
    }

    /// The error, or what the policy prefers to it.
    pub(crate) fn rescued(&self, space: &SpaceState, key: &Key, ask: &Ask, error: Error) -> Result<Answer, Error> {
        let now = self.clock.now();
        let found = self.memory.peek(key.by_ref());
        let meta = found.as_ref().map(|entry| entry.meta());
        let held = found.as_ref().zip(meta.as_ref()).map(|(entry, meta)| Held {
            meta,
            floor: self.floor_of(space, entry),
            standing: space.marks().standing(entry.fence()),
        });
        let saved = rescue(held, ask.demand, error.why(), ask.default.is_some(), now, &space.policy);
        match (saved, found, &ask.default) {
            (Rescue::Body(why), Some(entry), _) => Ok((entry, why, now)),
            (Rescue::Default, _, Some(default)) => Ok((Resident::clone(default), Why::Default, default.meta().born)),
            _ => Err(error),
        }
    }

    fn answer(&self, entry: Resident, why: Why) -> Result<Answer, Error> {
        Ok((entry, why, self.clock.now()))
    }

    /// Whether an invalidation covers what a load found that began to read before this caller came.
    /// Only the newest one is known: an older one, which this caller had seen acknowledged, may hide behind it.
    pub(crate) fn outdated(&self, space: &SpaceState, entry: &Resident, began: Fence) -> bool {
        entry.fence() <= began && self.floor_of(space, entry).covers(entry.fence())
    }
}

/// Turns "the row does not exist" from an answer into the word that callers know it by.
pub(crate) fn or_missing(answer: Answer) -> Result<Answer, Error> {
    match answer.0.kind() {
        Kind::Negative => Err(Error::new(Why::Negative)),
        Kind::Value | Kind::HitForMiss => Ok(answer),
    }
}
