//! Why would this key be answered as it would? What the cache knows of one key, changing nothing.

use bellwether_core::draw::Draw;
use bellwether_core::entry::Kind;
use bellwether_core::guard::standing::Standing;
use bellwether_core::heat::hot::Stage;
use bellwether_core::heat::plan::{Estimate, Reaction};
use bellwether_core::heat::undone::Undone;
use bellwether_core::read::decide::{self, Decision, Demand, decide};
use bellwether_core::time::{Span, Tick};
use bellwether_core::why::Why;

use crate::engine::Engine;
use crate::entry::Tag;
use crate::key::Key;
use crate::state::plan::Planned;
use crate::state::space::SpaceState;

/// What is known of one key.
#[derive(Clone, Debug, PartialEq)]
pub struct Explain {
    /// Its space.
    pub space: String,
    /// How a read would be answered now: `hit`, `stale_refreshing`, `negative`, `cooling`, `breaker_open`, or
    /// `loaded` for one that would have to load.
    pub would: Why,
    /// The entry, if one is resident.
    pub entry: Option<ExplainEntry>,
    /// The newest removal of the key, its space or its tags; 0 if none is known.
    pub floor_removed: u64,
    /// The newest expiry of the same.
    pub floor_expired: u64,
    /// Flights of the key: whether they read already, whether an invalidation overtook them, how many follow.
    pub flights: Vec<ExplainFlight>,
    /// The key's last load failed: its class, how often in a row, and how much longer it cools down.
    pub failed: Option<(&'static str, u32, Span)>,
    /// An invalidation of the key holds here that the shared tier could not be told yet: its copy is not believed.
    pub pending: bool,
    /// Of the key's space more is invalidated than memory serves: memory is passed by.
    pub memory_off: bool,
    /// What is done about it because it is hot, or was announced.
    pub reaction: Option<ExplainReaction>,
    /// Its origin's guard: loads running and waiting, limit, breaker and more.
    pub origin: Standing,
}

/// A resident entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainEntry {
    /// Value, negative or marker.
    pub kind: Kind,
    /// Fence of the load that made it.
    pub fence: u64,
    /// Time since that load began.
    pub age: Span,
    /// Freshness left.
    pub fresh_for: Span,
    /// Time left in which it is served while a refresh runs, freshness included.
    pub served_for: Span,
    /// Time left until it is expired.
    pub kept_for: Span,
    /// How long its load took.
    pub cost: Span,
    /// Times it was served since stored (approximate).
    pub hits: u32,
    /// Bytes of the value itself.
    pub value_bytes: u32,
    /// Bytes it counts against the limit: with its key, and all that is kept beside it.
    pub bytes: u32,
    /// The origin's version of it.
    pub version: Option<u64>,
    /// Its tags.
    pub tags: Vec<String>,
    /// What is known of it in the shared tier; `None` in a space that has none.
    pub shared: Option<ExplainShared>,
    /// An invalidation covers it: it is not served any more, whatever its windows say.
    pub invalidated: bool,
}

/// What is known of an entry in the shared tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExplainShared {
    /// The tier's fence that it was copied from or published under; 0: the tier knows nothing of it.
    pub fence: u64,
    /// It is compared with the tier by the first read after this time; `None`: it is not.
    pub compared_in: Option<Span>,
}

/// What is done about a hot key.
#[derive(Clone, Debug, PartialEq)]
pub struct ExplainReaction {
    /// How hot the last window found it; `None`: it is announced, and was not hot yet.
    pub stage: Option<Stage>,
    /// The share of a node's capacity that it takes.
    pub share: f64,
    /// What is in force, and why.
    pub reaction: Reaction,
    /// It is hot no more: what was done is being undone, step by step.
    pub undoing: bool,
    /// How long it has been reacted to.
    pub since: Span,
    /// What is expected of it, per second.
    pub estimate: Estimate,
    /// Operations that it has spared the store, the shared tier and readers so far.
    pub saved: u64,
    /// Operations that it has cost so far, and milliseconds that writes were held back.
    pub cost: u64,
    /// Bytes that did not travel to and from the shared tier so far, because the value is compressed well.
    pub saved_bytes: u64,
    /// Microseconds that compressing it took so far.
    pub cpu_us: u64,
}

impl ExplainReaction {
    pub(crate) fn of(planned: &Planned, now: Tick) -> ExplainReaction {
        ExplainReaction {
            stage: planned.hot.map(|hot| hot.stage),
            share: planned.hot.map_or(0.0, |hot| hot.share),
            reaction: planned.reaction,
            undoing: planned.undone != Undone::Nothing,
            since: now.since(planned.since),
            estimate: planned.estimate,
            saved: planned.toll.saved(),
            cost: planned.toll.cost(),
            saved_bytes: planned.toll.packed.spared(),
            cpu_us: planned.toll.packed.took_us(),
        }
    }
}

/// A flight of the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainFlight {
    /// It reads the origin since so long; `None`: it waits for its turn or its permit.
    pub reading_for: Option<Span>,
    /// An invalidation came since it began to read.
    pub overtaken: bool,
    /// Callers that wait for it, its own not counted.
    pub followers: u32,
    /// Its class.
    pub priority: &'static str,
}

impl Engine {
    pub(crate) fn explain(&self, space: &SpaceState, key: &Key) -> Explain {
        let now = self.clock.now();
        let entry = self.memory.peek(key.by_ref());
        let (mut floor, flights, cooling) = self.flights.locked(key, |shard| {
            let flights = shard.flights(key).map(|flights| {
                let told = flights.iter().map(|flight| ExplainFlight {
                    reading_for: flight.reading.map(|reading| now.since(reading.since)),
                    overtaken: flight.overtaken,
                    followers: flight.followers,
                    priority: flight.priority.as_str(),
                });
                told.collect()
            });
            (shard.floor(key), flights.unwrap_or_default(), shard.last_failure(key, now))
        });
        floor = floor.merge(space.floor());
        let mut would = Why::Loaded;
        if let Some(entry) = &entry {
            let (meta, of_entry) = (entry.meta(), self.floor_of(space, entry));
            floor = floor.merge(of_entry);
            let seen = decide::Resident { meta: &meta, hits: entry.hits() };
            would = match decide(Some(seen), of_entry, Demand::Any, now, &space.policy, Draw(0)) {
                Decision::Serve(why) | Decision::ServeAndRefresh(why) => why,
                Decision::LoadAlone => Why::Uncacheable,
                Decision::Load | Decision::NotCached => Why::Loaded,
            };
        }
        if would == Why::Loaded && cooling.is_some_and(|cooling| cooling.remaining(now).is_some()) {
            would = Why::Cooling;
        }
        let origin = space.gate.standing();
        if would == Why::Loaded && origin.probes_in.is_some_and(|left| left > Span::ZERO) {
            would = Why::BreakerOpen;
        }
        Explain {
            space: space.name.to_string(),
            would,
            entry: entry.map(|entry| (entry.meta(), entry)).map(|(meta, entry)| ExplainEntry {
                kind: meta.kind,
                fence: meta.fence.0,
                age: meta.age(now),
                fresh_for: meta.fresh_until.since(now),
                served_for: meta.swr_until().since(now),
                kept_for: meta.hard_until().since(now),
                cost: Span(u64::from(meta.cost_ms)),
                hits: entry.hits(),
                value_bytes: entry.value_bytes(key.bytes.len()),
                bytes: self.memory.cost(&entry),
                version: entry.version(),
                tags: entry.tags().iter().map(Tag::shown).collect(),
                shared: entry.mark().map(|mark| ExplainShared {
                    fence: mark.fence().0,
                    compared_in: Some(mark.due()).filter(|due| *due != Tick::NEVER).map(|due| due.since(now)),
                }),
                invalidated: self.floor_of(space, &entry).covers(meta.fence),
            }),
            floor_removed: floor.removed.0,
            floor_expired: floor.expired.0,
            flights,
            failed: cooling.map(|c| (c.class.as_str(), c.attempts, c.remaining(now).unwrap_or(Span::ZERO))),
            pending: self.pending.owed(key).is_some(),
            memory_off: space.is_braked(),
            reaction: self.plans.of(key, |planned| Some(ExplainReaction::of(planned, now))),
            origin,
        }
    }
}
