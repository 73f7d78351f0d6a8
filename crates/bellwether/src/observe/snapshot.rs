//! What are the numbers of a cache at one moment? Plain data: a server renders them, a program reads them.

use std::sync::atomic::Ordering;

use bellwether_core::guard::standing::Standing;
use bellwether_core::time::{Span, Tick};
use bellwether_core::why::Why;
use bellwether_core::write::ends::Crowd;

use crate::disk::DiskCounts;
use crate::engine::Engine;
use crate::eviction::Eviction;
use crate::observe::counters::HistogramCounts;
use crate::observe::shared::SharedCounts;
use crate::state::fleet::BackplaneCounts;
use crate::state::plan::MeasureCounts;
use crate::state::shelf::Shelf;
use crate::state::spread::{SpreadCounts, SpreadTier};

/// Everything a cache counts. Counters only ever grow.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Per space, in order of name.
    pub spaces: Vec<SpaceCounts>,
    /// Per origin, in order of declaration.
    pub origins: Vec<OriginCounts>,
    /// Flights that ended with ten followers or more.
    pub stampedes: u64,
    /// How many followed, per flight.
    pub flight_followers: HistogramCounts,
    /// Flights under way.
    pub live_flights: usize,
    /// The memory tier.
    pub memory: MemoryCounts,
    /// What is done about hot keys, by kind.
    pub reactions: Vec<MeasureCounts>,
    /// The shared tier, if there is one.
    pub shared: Option<SharedCounts>,
    /// Keys of the shared tier that are read from several of its nodes; `None` where there is no such tier.
    pub spread: Option<SpreadCounts>,
    /// The disk tier, if there is one.
    pub disk: Option<DiskCounts>,
    /// The backplane, if there is one.
    pub backplane: Option<BackplaneCounts>,
}

/// One space's counts.
#[derive(Clone, Debug)]
pub struct SpaceCounts {
    /// Its name.
    pub name: String,
    /// Requests by reason; those that never happened are left out. Requests are their sum.
    pub requests: Vec<(Why, u64)>,
    /// Times of the requests that left the hit path (a hit is too short to be timed).
    pub request_seconds: HistogramCounts,
    /// Times of the loads.
    pub load_seconds: HistogramCounts,
    /// Loads that brought an answer.
    pub loads_succeeded: u64,
    /// Loads that failed.
    pub loads_failed: u64,
    /// Its memory tier is off, because more was invalidated than served from it: reads ask the shared tier.
    pub memory_off: bool,
    /// What memory holds of it.
    pub held: SpaceHeld,
    /// Refreshes that wait for their turn.
    pub refreshes_waiting: usize,
    /// Keys that were asked for in vain while the origin was busy, and will be loaded once there is room.
    pub unmet: usize,
    /// Bytes of those keys: beside what memory may hold.
    pub unmet_bytes: usize,
    /// Refreshes a second that begin at most; `None`: the space is small, they begin at once.
    pub refresh_pace: Option<f64>,
}

/// What memory holds of a space, and when it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpaceHeld {
    /// Entries with a value.
    pub values: u64,
    /// Entries that say that there is none, or that it may not be kept.
    pub nothings: u64,
    /// Values that stop being fresh within a minute, ten minutes and an hour, to 10 s (10 min for those that live
    /// longer than an hour).
    pub ending: [(Span, u64); 3],
    /// The largest crowd of values that stop being fresh together, if there is one.
    pub crowd: Option<Crowd>,
}

impl SpaceCounts {
    /// All requests.
    pub fn total(&self) -> u64 {
        self.requests.iter().map(|(_, n)| n).sum()
    }

    /// Requests that ended for this reason.
    pub fn of(&self, why: Why) -> u64 {
        self.requests.iter().find(|(w, _)| *w == why).map_or(0, |(_, n)| *n)
    }

    /// Times the loader was called.
    pub fn loads(&self) -> u64 {
        self.loads_succeeded + self.loads_failed
    }
}

/// One origin's guard.
#[derive(Clone, Debug)]
pub struct OriginCounts {
    /// Its name.
    pub name: String,
    /// Loads that run now.
    pub running: usize,
    /// Loads that wait for a permit now.
    pub waiting: usize,
    /// The most loads that may ever run at once.
    pub max_concurrency: u32,
    /// Its limit, breaker, shedding and retries.
    pub guard: Standing,
}

/// The memory tier's counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryCounts {
    /// Who goes first when it is full.
    pub eviction: Eviction,
    /// Resident bytes, overhead included.
    pub bytes: u64,
    /// Their limit.
    pub limit: u64,
    /// Resident entries, negatives and markers included.
    pub entries: u64,
    /// Evicted to make room.
    pub evicted: u64,
    /// Of those, still fresh: a sign that the limit is too low.
    pub evicted_fresh: u64,
    /// Dropped after their end.
    pub expired: u64,
    /// Dropped by an invalidation.
    pub invalidated: u64,
    /// Not kept because a single entry was too large.
    pub too_large: u64,
    /// Entries without a value: rows that are known not to exist, keys whose answers may not be kept.
    pub nothings: u64,
    /// Their bytes.
    pub nothing_bytes: u64,
    /// The part of the limit that is theirs, and nobody else's.
    pub nothing_limit: u64,
    /// Of them, pushed out by others of the kind.
    pub nothings_evicted: u64,
}

/// How far ahead ends are told.
const AHEAD: [Span; 3] = [Span::secs(60), Span::secs(600), Span::secs(3600)];

impl Engine {
    /// What memory holds of a space.
    pub(crate) fn held(&self, space: u32, now: Tick) -> SpaceHeld {
        let held = self.memory.counts().held(space);
        SpaceHeld {
            values: held.values,
            nothings: held.nothings,
            ending: AHEAD.map(|ahead| (ahead, held.ends.within(ahead, now))),
            crowd: held.ends.crowd(now),
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let now = self.clock.now();
        let mut spaces: Vec<_> = self.spaces.read().values().cloned().collect();
        spaces.sort_by(|a, b| a.name.cmp(&b.name));
        let of_space = |space: &std::sync::Arc<crate::state::space::SpaceState>| {
            let (unmet, unmet_bytes) = {
                let unmet = space.unmet.lock();
                (unmet.len(), unmet.bytes())
            };
            SpaceCounts {
                name: space.name.to_string(),
                request_seconds: space.request_seconds.read(),
                requests: Why::ALL.iter().map(|why| (*why, space.counted(*why))).filter(|(_, n)| *n > 0).collect(),
                load_seconds: space.load_seconds.read(),
                loads_succeeded: space.loads.succeeded.load(Ordering::Relaxed),
                loads_failed: space.loads.failed.load(Ordering::Relaxed),
                memory_off: space.is_braked(),
                held: self.held(space.id, now),
                refreshes_waiting: space.paced.load().0,
                unmet,
                unmet_bytes,
                refresh_pace: space.paced.load().1,
            }
        };
        let origins = self.origins.read();
        let of_origin = |gate: &std::sync::Arc<crate::state::gate::OriginGate>| {
            let guard = gate.standing();
            OriginCounts {
                name: gate.name.to_string(),
                running: guard.running,
                waiting: guard.waiting,
                max_concurrency: gate.max_concurrency(),
                guard,
            }
        };
        let counts = self.memory.counts();
        let (nothings, nothing_bytes, nothing_limit) = self.memory.nothings();
        Snapshot {
            spaces: spaces.iter().map(of_space).collect(),
            origins: origins.iter().map(of_origin).collect(),
            stampedes: self.stampedes.load(Ordering::Relaxed),
            flight_followers: self.followers.read(),
            live_flights: self.flights.live(),
            memory: MemoryCounts {
                eviction: self.memory.policy(),
                bytes: self.memory.bytes(),
                limit: self.memory.limit(),
                entries: self.memory.len() as u64,
                evicted: counts.pressure.load(Ordering::Relaxed),
                evicted_fresh: counts.fresh.load(Ordering::Relaxed),
                expired: counts.expired.load(Ordering::Relaxed),
                invalidated: counts.invalidated.load(Ordering::Relaxed),
                too_large: counts.too_large.load(Ordering::Relaxed),
                nothings,
                nothing_bytes,
                nothing_limit,
                nothings_evicted: counts.crowded_out.load(Ordering::Relaxed),
            },
            reactions: self.plans.counts(),
            shared: self.tier.as_ref().map(|_| self.tally.counts(self.pending.len() as u64)),
            spread: self.spread.as_ref().map(SpreadTier::counts),
            disk: self.shelf.as_ref().map(Shelf::counts),
            backplane: self.fleet.as_ref().map(|fleet| fleet.counted()),
        }
    }
}
