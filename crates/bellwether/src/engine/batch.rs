//! How are many keys read at once? One load for all that memory lacks, and an outcome for each.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bellwether_core::guard::gate::{Ended, Ticket};
use bellwether_core::read::walk::{Event, Parting, Step};
use bellwether_core::time::Tick;
use bellwether_core::why::Why;
use futures_util::future::{BoxFuture, join_all};

use crate::body::{AnyBody, AnyLoaded, LoadFn};
use crate::engine::ask::{Answer, Ask};
use crate::engine::cell::{FlightCell, Outcome};
use crate::engine::due::Due;
use crate::engine::hit::Look;
use crate::engine::lead::{Begun, Cargo, Leader, Start, bounded};
use crate::engine::miss::Entered;
use crate::engine::tier::Next;
use crate::engine::{Engine, draw};
use crate::entry::{Entry, Resident};
use crate::error::Error;
use crate::key::{ByCarriedHash, Key};
use crate::load::{LoadError, Loaded};
use crate::port::clock::Clock;
use crate::shared::{Tier, TierTrouble};
use crate::state::space::SpaceState;

/// Keys of one batch; more are split.
pub(crate) const MOST_IN_BATCH: usize = 500;

/// What a batch loader is told besides its keys.
pub(crate) struct BatchInput {
    pub(crate) deadline: Tick,
    pub(crate) clock: Clock,
}

/// A batch loader without its types: gets positions in the caller's list of distinct keys, answers
/// with positions. Those it leaves out are missing rows.
pub(crate) type BatchFn = Arc<
    dyn Fn(Vec<usize>, BatchInput) -> BoxFuture<'static, Result<Vec<(usize, Loaded<AnyBody>)>, LoadError>>
        + Send
        + Sync,
>;

/// A key of a batch whose flight this caller leads.
#[derive(Clone)]
struct Granted {
    at: usize,
    key: Key,
    start: Start,
    cell: Arc<FlightCell>,
}

impl Engine {
    /// Answers each of `keys`, which are distinct.
    pub(crate) async fn many(
        self: &Arc<Engine>,
        space: &Arc<SpaceState>,
        keys: &[Key],
        ask: &Ask,
        load: BatchFn,
    ) -> Vec<Result<Answer, Error>> {
        let mut answers: Vec<Option<Result<Answer, Error>>> = Vec::with_capacity(keys.len());
        let began = self.flights.current_fence();
        let mut granted = Vec::new();
        let mut waiting = Vec::new();
        for (at, key) in keys.iter().enumerate() {
            let answer = match self.look(space, key.by_ref(), ask.demand) {
                Look::Serve { entry, why, at: as_of, refresh } => {
                    self.resync(space, || key.clone(), &entry, as_of);
                    if refresh {
                        self.refresh(space, key, &Due::of(&entry, self), single(&load, at));
                    }
                    Some(Ok((entry, why, as_of)))
                }
                Look::NotCached => Some(Err(Error::new(Why::NotCached))),
                Look::Load | Look::LoadAlone => match self.enter(space, key, ask) {
                    Entered::Wait(cell, start) => {
                        waiting.push((at, cell.clone(), start.is_some()));
                        granted.extend(start.map(|start| Granted { at, key: key.clone(), start, cell }));
                        None
                    }
                    // Not to be shared: loaded on its own, like a caller of its own.
                    Entered::Alone => {
                        waiting.push((at, self.alone_in_background(space, key, ask, single(&load, at)), true));
                        None
                    }
                    other => Some(self.without_flight(space, key, ask, other)),
                },
            };
            answers.push(answer);
        }
        // A flight that must wait for an older one goes its own way: a batch never waits with unread keys in hand.
        let (parked, now): (Vec<Granted>, Vec<Granted>) = granted.into_iter().partition(|g| g.start.parked.is_some());
        for g in parked {
            Leader::launch(self, space, &g.key, g.start, g.cell, single(&load, g.at));
        }
        for chunk in now.chunks(MOST_IN_BATCH) {
            match chunk {
                [g] => Leader::launch(self, space, &g.key, g.start, g.cell.clone(), single(&load, g.at)),
                many => self.launch_batch(space, many, &load),
            }
        }
        for (at, cell, led) in waiting {
            let key = &keys[at];
            let why = if led { Why::Loaded } else { Why::Coalesced };
            let answer = match self.wait(space, key, ask, &cell).await {
                // Another caller's private answer, a token given back, or a load older than an
                // invalidation that this caller knows of: load for ourselves.
                Ok(Outcome::Private(_) | Outcome::Released) if !led => {
                    self.miss(space, key, ask, &mut Some(single(&load, at))).await
                }
                Ok(Outcome::Landed(entry, _) | Outcome::Lone(entry)) if !led && self.outdated(space, &entry, began) => {
                    self.miss(space, key, ask, &mut Some(single(&load, at))).await
                }
                outcome => self.delivered(space, key, ask, outcome, why),
            };
            answers[at] = Some(answer);
        }
        answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(Error::new(Why::OriginFailed)))).collect()
    }

    /// One task and one permit for all of `granted`. Their leaders are made here, so that the
    /// flights land even if the task never runs.
    fn launch_batch(self: &Arc<Engine>, space: &Arc<SpaceState>, granted: &[Granted], load: &BatchFn) {
        let Some(first) = granted.first() else { return };
        let ticket = Ticket(first.start.id.0);
        let lead = |g: &Granted| {
            // Whoever joins one of these flights raises the batch.
            g.cell.set_ticket(ticket);
            (g.at, Leader::take_over(self, space, &g.key, g.start.id, g.cell.clone()))
        };
        self.runtime().spawn(lead_batch(ticket, granted.iter().map(lead).collect(), load.clone()));
    }

    fn alone_in_background(
        self: &Arc<Engine>,
        space: &Arc<SpaceState>,
        key: &Key,
        ask: &Ask,
        load: LoadFn,
    ) -> Arc<FlightCell> {
        let cell = Arc::new(FlightCell::new(self.flights.fresh_id(), &self.clock));
        Leader::launch_alone(self, space, key, ask, cell.clone(), load);
        cell
    }
}

/// The batch loader, asked for one key.
fn single(load: &BatchFn, at: usize) -> LoadFn {
    let load = load.clone();
    Box::new(move |input| {
        Box::pin(async move {
            let found = load(vec![at], BatchInput { deadline: input.deadline, clock: input.clock }).await?;
            let own = found.into_iter().find(|(position, _)| *position == at);
            Ok(own.map_or_else(Loaded::missing, |(_, loaded)| loaded))
        })
    })
}

/// Loads all granted keys under one permit. If the batch fails as a whole, each key is tried once
/// on its own before any of them cools down.
async fn lead_batch(ticket: Ticket, leaders: HashMap<usize, Leader>, load: BatchFn) {
    let Some((engine, space)) = leaders.values().next().map(|leader| (leader.engine.clone(), leader.space.clone()))
    else {
        return;
    };
    let leaders = beyond_disk(&engine, leaders.into_iter().collect(), &load).await;
    let mut leaders = with_rights(&engine, leaders, &load).await;
    if leaders.is_empty() {
        return;
    }
    let place = || {
        let places = leaders.iter().filter_map(|(_, leader)| leader.id.and_then(|id| leader.place(id)));
        places.reduce(|a, b| (a.0.max(b.0), a.1.saturating_add(b.1), a.2.max(b.2))).unwrap_or_default()
    };
    let permit = match space.admit(ticket, place).await {
        Ok(permit) => permit,
        Err((why, retry_after)) => {
            let shed =
                leaders.into_iter().map(|(_, leader)| leader.finish(Event::Shed(why, retry_after), Cargo::nothing()));
            join_all(shed).await;
            return;
        }
    };
    leaders.sort_unstable_by_key(|(at, _)| *at);
    let positions: Vec<usize> = leaders.iter().map(|(at, _)| *at).collect();
    let begun: Vec<(usize, Leader, Begun)> = leaders
        .into_iter()
        .map(|(at, leader)| {
            let begun = leader.begin_read();
            (at, leader, begun)
        })
        .collect();
    let (started, timing) = (engine.clock.now(), engine.clock.time());
    let deadline = started + space.gate.timeout();
    let input = BatchInput { deadline, clock: engine.clock.clone() };
    let loaded = bounded(&engine, deadline, async { load(positions, input).await }).await;
    let took = engine.clock.took(&timing);
    let ended = match &loaded {
        Ok(_) => Ended::Answered { took_us: None },
        Err(error) => Ended::Failed { class: error.class, again: false },
    };
    permit.end(ended.as_seen(took.stood_still));
    space.note_load(took, loaded.is_ok());
    let found = match loaded {
        Ok(found) => found,
        Err(error) => return once_more(&engine, &space, begun, &error, &load).await,
    };
    let mut found: HashMap<usize, Loaded<AnyBody>> = found.into_iter().collect();
    // All land before any is published: a slow tier holds up nobody.
    let mut landed = Vec::new();
    for (at, mut leader, begun) in begun {
        let answer: AnyLoaded = Ok(found.remove(&at).unwrap_or_else(Loaded::missing));
        let (event, cargo) = leader.digest(begun, answer);
        let (parting, kept) = leader.settle_after(event, cargo);
        landed.push(async move { leader.part(parting, kept).await });
    }
    join_all(landed).await;
}

/// A batch failed: each of its keys is tried once more on its own, as far as the origin's budget for that goes. The
/// others share the batch's error.
async fn once_more(
    engine: &Arc<Engine>,
    space: &SpaceState,
    begun: Vec<(usize, Leader, Begun)>,
    error: &LoadError,
    load: &BatchFn,
) {
    let mut denied = Vec::new();
    for (at, mut leader, begun) in begun {
        if space.gate.may_retry() {
            // By the right that it has: a lease of its own is kept.
            engine.runtime().spawn(leader.lead(Step::Admit, None, single(load, at)));
            continue;
        }
        let (event, cargo) = leader.digest(begun, Err(error.clone()));
        let (parting, kept) = leader.settle_after(event, cargo);
        denied.push(async move { leader.part(parting, kept).await });
    }
    join_all(denied).await;
}

/// Those of a batch's leaders whose keys are not on disk, or not so that it would do.
async fn beyond_disk(engine: &Arc<Engine>, leaders: Vec<(usize, Leader)>, load: &BatchFn) -> Vec<(usize, Leader)> {
    let looking = leaders.into_iter().map(|(at, mut leader)| async move {
        let next = match leader.first(false) {
            Step::Look => leader.look().await,
            step => Next::Step(step),
        };
        (at, next, leader)
    });
    let mut beyond = Vec::new();
    for (at, next, leader) in join_all(looking).await {
        match next {
            Next::Step(_) => beyond.push((at, leader)),
            Next::Landed { entry, refresh } => already_there(engine, at, &leader, &entry, refresh, load),
        }
    }
    beyond
}

/// A key of the batch has its entry without a load. One that is served stale is refreshed.
fn already_there(engine: &Arc<Engine>, at: usize, leader: &Leader, entry: &Entry, refresh: bool, load: &BatchFn) {
    if refresh {
        engine.refresh(&leader.space, &leader.key, &Due::of(entry, engine), single(load, at));
    }
}

/// A key of the batch is not loaded with the others: its flight is led from `step` on by itself.
fn own_way(engine: &Engine, at: usize, leader: Leader, step: Step, load: &BatchFn) {
    engine.runtime().spawn(leader.lead(step, None, single(load, at)));
}

/// Those of a batch's leaders that may load now. What the shared tier has is taken from there; whoever must wait for
/// another process goes its own way, because a batch never waits with unread leases in hand.
async fn with_rights(engine: &Arc<Engine>, leaders: Vec<(usize, Leader)>, load: &BatchFn) -> Vec<(usize, Leader)> {
    let Some(tier) = engine.tier.clone().filter(|_| leaders.iter().all(|(_, leader)| leader.link.is_some())) else {
        return leaders;
    };
    let probed = probe_all(engine, &*tier, leaders, load).await;
    // All are asked for at once: one way there and back for the whole batch.
    let asking = probed.into_iter().map(|(at, next, mut leader)| async move {
        match next {
            Next::Step(step @ Step::Acquire(_)) => (at, leader.hear(&step).await, leader),
            next => (at, next, leader),
        }
    });
    let mut may_load = Vec::new();
    for (at, next, leader) in join_all(asking).await {
        match next {
            Next::Step(Step::Admit) => may_load.push((at, leader)),
            Next::Step(step) => own_way(engine, at, leader, step, load),
            Next::Landed { entry, refresh } => already_there(engine, at, &leader, &entry, refresh, load),
        }
    }
    may_load
}

/// What the shared tier has of the batch's keys, read in one go, and what each leader makes of it. Those that may not
/// ask yet go their own way.
async fn probe_all(
    engine: &Arc<Engine>,
    tier: &dyn Tier,
    leaders: Vec<(usize, Leader)>,
    load: &BatchFn,
) -> Vec<(usize, Next, Leader)> {
    let mut asked = Vec::new();
    for (at, mut leader) in leaders {
        match leader.link.as_mut().and_then(|link| link.ready_now(&leader.key)) {
            Some(fence) => asked.push((at, leader, fence)),
            None => own_way(engine, at, leader, Step::Probe, load),
        }
    }
    let Some(space) = asked.first().map(|(_, leader, _)| leader.space.clone()) else { return Vec::new() };
    let names: Vec<Vec<u8>> =
        asked.iter().filter_map(|(_, leader, _)| Some(leader.link.as_ref()?.to.name.clone())).collect();
    engine.tally.gets.fetch_add(names.len() as u64, Ordering::Relaxed);
    let (found, used) = engine.within(&space, engine.tier_budget, tier.get_many(&names)).await;
    let mut answers = match found {
        Ok(found) => found.into_iter().map(Ok).collect::<Vec<_>>(),
        Err(trouble) => names.iter().map(|_| Err(trouble)).collect(),
    }
    .into_iter();
    let mut judged = Vec::new();
    for (at, mut leader, fence) in asked {
        let Some(link) = leader.link.as_mut() else { continue };
        link.spent(used);
        let said = match answers.next() {
            Some(Ok(found)) => link.found(&leader.key, found, fence),
            Some(Err(trouble)) => link.trouble(trouble),
            None => link.trouble(TierTrouble::Failed),
        };
        judged.push((at, leader.judge(said), leader));
    }
    judged
}

impl Leader {
    /// Ends a walk whose load this leader did not run itself: everybody is told.
    fn settle_after(&mut self, event: Event, cargo: Cargo) -> (Parting, Option<Resident>) {
        let end = self.walk.on(event, self.engine.clock.now(), &self.space.policy, draw());
        let parting = self.walk.parting(&end, self.engine.clock.now());
        (parting, self.settle(end, cargo))
    }

    /// The same, and the shared tier is told as well.
    async fn finish(mut self, event: Event, cargo: Cargo) {
        let (parting, kept) = self.settle_after(event, cargo);
        self.part(parting, kept).await;
    }
}

/// Distinct keys in order of first mention, and for each mention its place among them.
pub(crate) fn distinct(keys: impl Iterator<Item = Key>) -> (Vec<Key>, Vec<usize>) {
    let mut places: HashMap<Key, usize, ByCarriedHash> = HashMap::default();
    let mut unique = Vec::new();
    let mentions = keys
        .map(|key| {
            *places.entry(key).or_insert_with_key(|key| {
                unique.push(key.clone());
                unique.len() - 1
            })
        })
        .collect();
    (unique, mentions)
}
