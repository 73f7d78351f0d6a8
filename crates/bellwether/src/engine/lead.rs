//! How is a flight led? The walk's steps are performed and the flight lands, whatever happens to its caller.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bellwether_core::entry::Kind;
use bellwether_core::failure::FailClass;
use bellwether_core::fence::Fence;
use bellwether_core::guard::cooldown::Cooling;
use bellwether_core::guard::gate::{Ended, Ticket};
use bellwether_core::policy::Priority;
use bellwether_core::read::flight::FlightId;
use bellwether_core::read::walk::{self, Event, Report, Step, Walk};
use bellwether_core::time::Tick;
use futures_util::FutureExt;

use crate::body::{AnyBody, AnyLoaded, LoadFn, LoadInput};
use crate::engine::ask::Ask;
use crate::engine::cell::{FlightCell, Outcome};
use crate::engine::due::Due;
use crate::engine::tier::{Link, Next};
use crate::engine::{Engine, draw};
use crate::entry::{Aside, Extra, Resident, Tag, TierMark};
use crate::error::Error;
use crate::key::Key;
use crate::load::{Found, Keep, LoadError, Terms};
use crate::state::flights::Ending;
use crate::state::gate::{KeyShare, Turned};
use crate::state::space::{SpacePermit, SpaceState};

/// A flight that is to be led.
#[derive(Clone, Copy)]
pub(crate) struct Start {
    pub(crate) id: FlightId,
    /// `Some`: an older flight still reads; start when it ends, or at the moment named, if one is.
    pub(crate) parked: Option<Option<Tick>>,
}

/// Leads one flight. However its task ends, the flight lands and its followers are told.
pub(crate) struct Leader {
    pub(crate) engine: Arc<Engine>,
    pub(crate) space: Arc<SpaceState>,
    pub(crate) key: Key,
    /// `None`: a load for one caller alone, which is not in the table.
    pub(crate) id: Option<FlightId>,
    pub(crate) cell: Arc<FlightCell>,
    /// Class and deadline of a load that is not in the table.
    alone: (Priority, Tick),
    refresh: bool,
    /// It has called its loader.
    loaded: bool,
    /// Its walk begins on the disk.
    looks: bool,
    pub(crate) landed: bool,
    pub(crate) walk: Walk,
    /// The way to the shared tier, where there is one.
    pub(crate) link: Option<Link>,
}

/// What a load brought home.
pub(crate) struct Cargo {
    pub(crate) body: Body,
    pub(crate) aside: Aside,
}

impl Cargo {
    pub(crate) fn nothing() -> Cargo {
        Cargo { body: Body::Missing, aside: Aside::default() }
    }
}

/// The part of it that becomes an entry, or the error.
pub(crate) enum Body {
    Value(AnyBody),
    Missing,
    Same(Resident),
    Error(LoadError),
}

/// A load that has begun to read.
pub(crate) struct Begun {
    pub(crate) fence: Fence,
    pub(crate) started: Tick,
    pub(crate) have: Option<Resident>,
}

impl Leader {
    fn new(
        engine: &Arc<Engine>,
        space: &Arc<SpaceState>,
        key: &Key,
        id: Option<FlightId>,
        cell: Arc<FlightCell>,
        refresh: bool,
    ) -> Leader {
        let link = id.and_then(|_| Link::of(engine, space, key));
        let looks = id.is_some() && Leader::looks(engine, space, key, refresh);
        let (walk, _) = begin(false, link.as_ref(), refresh, looks);
        Leader {
            engine: engine.clone(),
            space: space.clone(),
            key: key.clone(),
            id,
            cell,
            alone: (Priority::Normal, Tick::NEVER),
            refresh,
            loaded: false,
            looks,
            landed: false,
            walk,
            link,
        }
    }

    /// Where its walk begins.
    pub(crate) fn first(&self, parked: bool) -> Step {
        begin(parked, self.link.as_ref(), self.refresh, self.looks).1
    }

    /// Leads the flight on the engine's runtime.
    pub(crate) fn launch(
        engine: &Arc<Engine>,
        space: &Arc<SpaceState>,
        key: &Key,
        start: Start,
        cell: Arc<FlightCell>,
        load: LoadFn,
    ) {
        let leader = Leader::new(engine, space, key, Some(start.id), cell, false);
        let first = leader.first(start.parked.is_some());
        engine.runtime().spawn(leader.lead(first, start.parked.flatten(), load));
    }

    /// Loads for one caller, beside the table.
    pub(crate) fn launch_alone(
        engine: &Arc<Engine>,
        space: &Arc<SpaceState>,
        key: &Key,
        ask: &Ask,
        cell: Arc<FlightCell>,
        load: LoadFn,
    ) {
        let mut leader = Leader::new(engine, space, key, None, cell, false);
        leader.alone = (ask.priority, ask.deadline());
        let first = leader.first(false);
        engine.runtime().spawn(leader.lead(first, None, load));
    }

    /// Leads a refresh that nobody waits for.
    pub(crate) fn launch_refresh(
        engine: &Arc<Engine>,
        space: &Arc<SpaceState>,
        key: &Key,
        start: Start,
        cell: Arc<FlightCell>,
        load: LoadFn,
    ) {
        engine.refreshing.fetch_add(1, Ordering::Relaxed);
        let leader = Leader::new(engine, space, key, Some(start.id), cell, true);
        let first = leader.first(start.parked.is_some());
        engine.runtime().spawn(leader.lead(first, start.parked.flatten(), load));
    }

    /// Takes over a flight whose batch ended without an answer for it; it is in the table and may run.
    pub(crate) fn take_over(
        engine: &Arc<Engine>,
        space: &Arc<SpaceState>,
        key: &Key,
        id: FlightId,
        cell: Arc<FlightCell>,
    ) -> Leader {
        Leader::new(engine, space, key, Some(id), cell, false)
    }

    /// Performs the walk from `step` on. `turn`: a flight that waits for an older one starts then at the latest.
    pub(crate) async fn lead(mut self, mut step: Step, turn: Option<Tick>, load: LoadFn) {
        let mut load = Some(load);
        let mut permit = None;
        let mut cargo = Cargo::nothing();
        let end = loop {
            let event = match step {
                Step::AwaitTurn => self.await_turn(turn).await,
                Step::Look | Step::Probe | Step::Acquire(_) => match self.hear(&step).await {
                    Next::Step(next) => {
                        step = next;
                        continue;
                    }
                    Next::Landed { entry, refresh } => {
                        if let Some(load) = load.filter(|_| refresh) {
                            self.engine.refresh(&self.space, &self.key, &Due::of(&entry, &self.engine), load);
                        }
                        return;
                    }
                },
                Step::Wait(pause) => {
                    if let Some(link) = &mut self.link {
                        link.wait(pause).await;
                    }
                    Event::Waited
                }
                Step::Admit => match self.admit().await {
                    Ok(granted) => {
                        permit = Some(granted);
                        Event::Admitted
                    }
                    Err((why, retry_after)) => Event::Shed(why, retry_after),
                },
                Step::Load => match (load.take(), permit.take()) {
                    (Some(load), Some(permit)) => {
                        self.loaded = true;
                        let event;
                        (event, cargo) = self.load(load, permit).await;
                        event
                    }
                    _ => unreachable!("the walk loads once, after its permit"),
                },
                end => break end,
            };
            step = self.walk.on(event, self.engine.clock.now(), &self.space.policy, draw());
        };
        self.end(end, cargo).await;
    }

    /// Lands the flight and tells the shared tier how its load ended.
    pub(crate) async fn end(mut self, end: Step, cargo: Cargo) {
        let parting = self.walk.parting(&end, self.engine.clock.now());
        let kept = self.settle(end, cargo);
        self.part(parting, kept).await;
    }

    async fn await_turn(&self, until: Option<Tick>) -> Event {
        let Some(id) = self.id else { return Event::Turn };
        let mut until = until;
        loop {
            let turn = self.cell.turn(until).await;
            if turn || self.engine.flights.locked(&self.key, |shard| shard.unpark(&self.key, id)) {
                return Event::Turn;
            }
            // Two loads read: only an end of one makes room now.
            until = None;
        }
    }

    /// A permit, and for a load that no flight coalesces a place in its key's share first.
    async fn admit(&self) -> Result<(SpacePermit, Option<KeyShare>), Turned> {
        let ticket = Ticket(self.id.unwrap_or_else(|| self.engine.flights.fresh_id()).0);
        let share = match self.id {
            Some(_) => None,
            None => Some(self.space.gate.share(self.key.hash, ticket, self.alone.1).await?),
        };
        let place = || self.id.and_then(|id| self.place(id)).unwrap_or((self.alone.0, 0, self.alone.1));
        Ok((self.space.admit(ticket, place).await?, share))
    }

    /// What the flight has inherited from those who joined.
    pub(crate) fn place(&self, id: FlightId) -> Option<(Priority, u32, Tick)> {
        self.engine.flights.locked(&self.key, |shard| {
            let flight = shard.flights(&self.key)?.get(id)?;
            Some((flight.priority, flight.followers, flight.deadline.unwrap_or(Tick::NEVER)))
        })
    }

    /// From here on the flight is reading: an invalidation overtakes it.
    pub(crate) fn begin_read(&self) -> Begun {
        let begin = |fence| Begun { fence, started: self.engine.clock.now(), have: None };
        let Some(id) = self.id else { return begin(self.engine.next_fence()) };
        self.engine.flights.locked(&self.key, |shard| {
            let mut begun = begin(self.engine.next_fence());
            shard.begin_read(&self.key, id, begun.fence, begun.started);
            // After a removal nothing older may be revived, so no validator is shown.
            begun.have = self.engine.memory.peek(self.key.by_ref()).filter(|entry| {
                entry.kind() == Kind::Value && entry.fence() > self.engine.floor_of(&self.space, entry).removed
            });
            // Older than a removal that this process has not heard of yet may be what it would revive by a validator.
            let lease = self.link.as_ref().and_then(|link| Some(link.lease.as_ref()?.token));
            shard.reads_by(&self.key, id, lease.filter(|_| begun.have.is_none()).unwrap_or_default());
            begun
        })
    }

    /// Calls the loader: bounded by the origin's timeout, its panic an error like any other.
    async fn load(&self, load: LoadFn, permit: (SpacePermit, Option<KeyShare>)) -> (Event, Cargo) {
        let begun = self.begin_read();
        let deadline = begun.started + self.space.gate.timeout();
        let timing = self.engine.clock.time();
        let input = LoadInput { have: begun.have.clone(), deadline, clock: self.engine.clock.clone() };
        let loaded = bounded(&self.engine, deadline, async move { load(input).await }).await;
        let took = self.engine.clock.took(&timing);
        let (permit, share) = permit;
        let ended = match &loaded {
            Ok(_) => Ended::Answered { took_us: Some(took.us) },
            Err(error) => Ended::Failed { class: error.class, again: self.last_failure().is_some() },
        };
        permit.end(ended.as_seen(took.stood_still));
        drop(share);
        self.space.note_load(took, loaded.is_ok());
        self.digest(begun, loaded)
    }

    /// Turns a loader's answer into what the walk needs to know and what the shell keeps.
    pub(crate) fn digest(&self, begun: Begun, loaded: AnyLoaded) -> (Event, Cargo) {
        let answer = match loaded {
            Ok(answer) => answer,
            Err(error) => return self.fail(error),
        };
        let times = self.space.load_times();
        let Terms { ttl, tags, version, keep } = answer.terms;
        let extra = Extra::of(version, tags.iter().map(Tag::named).collect());
        let token = self.link.as_ref().map(|link| link.lease.as_ref().map_or(Fence::ZERO, |lease| lease.token));
        let due = self.engine.clock.now() + self.engine.resync;
        let aside = Aside { extra, mark: token.map(|token| TierMark::of(token, due)), ..Aside::default() };
        // What the loader says of keeping holds for every answer, a missing row's too.
        let kept = |found, kind| match keep {
            Keep::Yes => found,
            Keep::No => walk::Found::Uncacheable { kind, private: false },
            Keep::Private => walk::Found::Uncacheable { kind, private: true },
        };
        let (found, body) = match (answer.found, begun.have) {
            (Found::Value(value), _) => (kept(walk::Found::Value, Kind::Value), Body::Value(value)),
            (Found::Missing, _) => (kept(walk::Found::Missing, Kind::Negative), Body::Missing),
            (Found::NotModified, Some(have)) => (kept(walk::Found::NotModified, Kind::Value), Body::Same(have)),
            (Found::NotModified, None) => {
                let error = LoadError::rejected("\"not modified\", but there was nothing to be modified");
                (walk::Found::NotModifiedOfNothing, Body::Error(error))
            }
        };
        let report = Report { started: begun.started, fence: begun.fence, found, ttl, times };
        (Event::Loaded(report), Cargo { body, aside })
    }

    fn fail(&self, error: LoadError) -> (Event, Cargo) {
        tracing::debug!(space = &*self.space.name, key = self.key.hash, class = error.class.as_str(), "load failed");
        let (broken, now) = (self.space.gate.is_broken(), self.engine.clock.now());
        let before = Cooling::before(self.last_failure(), broken, error.class, now);
        let event = Event::Failed(error.class, before);
        (event, Cargo { body: Body::Error(error), aside: Aside::default() })
    }

    /// The key's failed state, if its last load failed a moment ago.
    pub(crate) fn last_failure(&self) -> Option<Cooling> {
        let now = self.engine.clock.now();
        self.engine.flights.locked(&self.key, |shard| shard.last_failure(&self.key, now))
    }
}

/// The beginning of a walk.
fn begin(parked: bool, link: Option<&Link>, refresh: bool, looks: bool) -> (Walk, Step) {
    let (walk, step) = Walk::start(parked, link.map(|link| link.sharing(refresh)));
    if looks { walk.with_disk(step) } else { (walk, step) }
}

/// Runs a loader until `deadline`; a panic is an error like any other.
pub(crate) async fn bounded<T>(
    engine: &Engine,
    deadline: Tick,
    load: impl Future<Output = Result<T, LoadError>>,
) -> Result<T, LoadError> {
    tokio::select! {
        biased;
        loaded = AssertUnwindSafe(load).catch_unwind() => loaded.unwrap_or_else(|panic| Err(panicked(&*panic))),
        () = engine.clock.sleep_until(deadline) => Err(LoadError::new(FailClass::Timeout, "the origin's timeout passed")),
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> LoadError {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned());
    LoadError::new(FailClass::Failed, format!("the loader panicked: {text}"))
}

impl Drop for Leader {
    fn drop(&mut self) {
        if self.refresh {
            self.engine.refreshing.fetch_sub(1, Ordering::Relaxed);
            if !self.loaded {
                // Another process had made it, or the guard turned it away: its turn is another's.
                self.space.paced.refund(self.engine.clock.now());
            }
        }
        if !self.landed {
            // The task was aborted or its runtime ended: nobody may wait for it in vain.
            let source = LoadError::new(FailClass::Failed, "the load was aborted with its runtime").source;
            self.land(Ending::Neither, |_| Outcome::Failed(Error::origin(FailClass::Failed, None, source)));
        }
    }
}
