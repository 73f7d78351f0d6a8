//! What does a process know of a space? Its promises, its origin's gate, its floor and its counts.

mod floors;
mod times;
mod travel;

use std::any::TypeId;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bellwether_core::fence::{Fence, Floor, Invalidation};
use bellwether_core::guard::brake::Traffic;
use bellwether_core::guard::gate::{Ended, Ticket};
use bellwether_core::guard::unmet::Unmet;
use bellwether_core::heat::sample::{Drawn, Sampling};
use bellwether_core::policy::{Budget, Policy, Priority};
use bellwether_core::read::doubt::Marks;
use bellwether_core::read::flight::Flight;
use bellwether_core::time::{Span, Tick};
use bellwether_core::why::Why;
use parking_lot::Mutex;

use crate::body::{LoadFn, Unasked};
use crate::key::Key;
use crate::observe::counters::{Histogram, TIME_BOUNDS, WhyCounts};
use crate::port::clock::Took;
use crate::shared::tag_hash;
use crate::state::gate::{OriginGate, Permit, Turned};
use crate::state::paced::Paced;

use floors::Floors;
use times::Times;
pub(crate) use travel::Travel;

/// How long a successor waits for an overtaken load before it starts beside it, while load times are unknown.
const HEDGE_UNKNOWN: Span = Span::ms(50);

/// One space, without its types.
pub(crate) struct SpaceState {
    pub(crate) id: u32,
    pub(crate) name: Arc<str>,
    /// By it the detector of hot keys tells equal keys of two spaces apart: the same in every process.
    pub(crate) heat_seed: u64,
    pub(crate) policy: Policy,
    pub(crate) gate: Arc<OriginGate>,
    /// The space's own limits within its origin's, if it has any.
    own: Option<Arc<OriginGate>>,
    /// Of keys and values: a second declaration with other types would misread entries.
    pub(crate) types: (TypeId, TypeId),
    /// Present where entries may leave the process.
    pub(crate) travel: Option<Travel>,
    /// How its keys are loaded although nobody reads them, if somebody said so.
    unasked: Arc<Mutex<Option<Unasked>>>,
    floors: Arc<Floors>,
    counts: WhyCounts,
    /// Requests that left the hit path.
    pub(crate) request_seconds: Arc<Histogram<14>>,
    pub(crate) load_seconds: Arc<Histogram<14>>,
    pub(crate) loads: Arc<LoadCounts>,
    times: Arc<Times>,
    /// Refreshes that wait for their turn.
    pub(crate) paced: Arc<Paced<Waiting>>,
    /// What was asked for in vain while the origin was busy.
    pub(crate) unmet: Arc<Mutex<Unmet<Key>>>,
}

/// A refresh that waits for its turn.
pub(crate) struct Waiting {
    /// As it was when the refresh was due.
    pub(crate) space: Arc<SpaceState>,
    pub(crate) key: Key,
    /// The fence of the entry that was due.
    pub(crate) seen: Fence,
    pub(crate) load: LoadFn,
}

/// How loads ended. Their sum is the number of times the loader was called.
#[derive(Default)]
pub(crate) struct LoadCounts {
    pub(crate) succeeded: AtomicU64,
    pub(crate) failed: AtomicU64,
}

/// The right to run one load of a space. Dropped = given back.
pub(crate) struct SpacePermit {
    origin: Permit,
    /// Behind the origin's: who waits here asks there next.
    _own: Option<Permit>,
}

impl SpacePermit {
    /// Gives it back, and tells the guard how the load ended.
    pub(crate) fn end(self, ended: Ended) {
        self.origin.end(ended);
    }
}

/// A gate for what a space may take of its origin. How the origin is, its own gate knows.
fn own_limits(name: &Arc<str>, policy: &Policy, origin: &OriginGate) -> Option<Arc<OriginGate>> {
    if policy.max_concurrency.is_none() && policy.rate.is_none() {
        return None;
    }
    let max_concurrency = policy.max_concurrency.unwrap_or(u32::MAX);
    Some(origin.within(name.clone(), |whole| Budget {
        max_concurrency,
        rate: policy.rate,
        refresh_rate: None,
        adaptive: false,
        breaker: false,
        ..whole
    }))
}

impl SpaceState {
    pub(crate) fn new(
        id: u32,
        name: Arc<str>,
        policy: Policy,
        gate: Arc<OriginGate>,
        types: (TypeId, TypeId),
        travel: Option<Travel>,
    ) -> SpaceState {
        SpaceState {
            id,
            own: own_limits(&name, &policy, &gate),
            heat_seed: tag_hash(&name),
            name,
            policy,
            gate,
            types,
            travel,
            unasked: Arc::default(),
            floors: Arc::default(),
            counts: WhyCounts::new(),
            request_seconds: Arc::new(Histogram::new(&TIME_BOUNDS)),
            load_seconds: Arc::new(Histogram::new(&TIME_BOUNDS)),
            loads: Arc::default(),
            times: Arc::default(),
            paced: Arc::default(),
            unmet: Arc::default(),
        }
    }

    /// Whether what has no tags is invalidated by its key alone.
    pub(crate) fn is_by_key(&self) -> bool {
        self.travel.as_ref().is_some_and(|travel| travel.by_key)
    }

    /// Of `wanted` keys that were asked for in vain, so many may be loaded now.
    pub(crate) fn catch_up(&self, wanted: usize) -> usize {
        let wanted = self.own.as_ref().map_or(wanted, |own| own.catch_up(wanted));
        self.gate.catch_up(wanted)
    }

    /// The same space under other promises: its entries, flights, floors, load times and counts are
    /// these. Loads under way end under the promises they began with.
    pub(crate) fn under(&self, policy: Policy, gate: Arc<OriginGate>) -> SpaceState {
        SpaceState {
            floors: self.floors.clone(),
            times: self.times.clone(),
            paced: self.paced.clone(),
            unmet: self.unmet.clone(),
            ..self.renewed(self.id, policy, gate)
        }
    }

    /// The same space, whose values live in the shared tier as `travel` says.
    pub(crate) fn travelling(self, travel: Option<Travel>) -> SpaceState {
        SpaceState { travel, ..self }
    }

    /// A space of this name and these types that begins with nothing but the counts.
    pub(crate) fn renewed(&self, id: u32, policy: Policy, gate: Arc<OriginGate>) -> SpaceState {
        // The same limits are the same permits: what runs counts on. Others begin with all of theirs free, and what
        // runs counts against the origin's alone.
        let same = (policy.max_concurrency, policy.rate) == (self.policy.max_concurrency, self.policy.rate);
        let own = if same { self.own.clone() } else { own_limits(&self.name, &policy, &gate) };
        SpaceState {
            own,
            counts: self.counts.clone(),
            unasked: self.unasked.clone(),
            request_seconds: self.request_seconds.clone(),
            load_seconds: self.load_seconds.clone(),
            loads: self.loads.clone(),
            ..SpaceState::new(id, self.name.clone(), policy, gate, self.types, self.travel.clone())
        }
    }

    /// From now on its keys are loaded so where nobody reads them.
    pub(crate) fn load_unasked_by(&self, unasked: Unasked) {
        *self.unasked.lock() = Some(unasked);
    }

    /// Whether its keys can be loaded although nobody reads them.
    pub(crate) fn loads_unasked(&self) -> bool {
        self.unasked.lock().is_some()
    }

    /// The load of a key that nobody reads.
    pub(crate) fn unasked(&self, key: &[u8]) -> Option<LoadFn> {
        let unasked = self.unasked.lock().clone();
        unasked?(key)
    }

    /// Waits for a permit of the space's own limits, if it has any, then for one of its origin's.
    pub(crate) async fn admit(
        &self,
        ticket: Ticket,
        place: impl Fn() -> (Priority, u32, Tick),
    ) -> Result<SpacePermit, Turned> {
        let Some(own) = &self.own else {
            return Ok(SpacePermit { origin: self.gate.admit(ticket, place).await?, _own: None });
        };
        // Both together take no longer than one queue may.
        let latest = own.latest();
        let own = own.admit(ticket, &place).await?;
        let within = || {
            let (class, waiters, give_up) = place();
            (class, waiters, give_up.min(latest))
        };
        Ok(SpacePermit { origin: self.gate.admit(ticket, within).await?, _own: Some(own) })
    }

    /// A flight that may wait for a permit inherited a class, a deadline or more waiters.
    pub(crate) fn raise_at_gates(&self, ticket: Ticket, flight: &Flight) {
        for gate in self.own.iter().chain([&self.gate]) {
            gate.raise(ticket, flight);
        }
    }

    /// The space is no more: nothing of it is served, and no load that still runs is kept.
    pub(crate) fn retire(&self) {
        self.raise(Invalidation::Remove, Fence(u64::MAX));
    }

    /// Whether a revision dropped it, or began it anew.
    pub(crate) fn is_retired(&self) -> bool {
        self.floor().removed == Fence(u64::MAX)
    }

    #[inline]
    pub(crate) fn count(&self, why: Why) {
        self.counts.add(why);
    }

    /// Counts what no entry has counted, and says whether the detector of hot keys looks at it: by its number.
    #[inline]
    pub(crate) fn count_drawn(&self, why: Why, sampling: Sampling) -> Option<Drawn> {
        sampling.draw(self.counts.add(why))
    }

    pub(crate) fn counted(&self, why: Why) -> u64 {
        self.counts.get(why)
    }

    /// Keys invalidated so far, and requests so far: of them those that memory answered, and all.
    pub(crate) fn traffic(&self) -> Traffic {
        let all = Why::ALL.iter().map(|why| self.counted(*why)).sum();
        let invalidations = self.floors.invalidations();
        Traffic { invalidations, hits: self.counted(Why::Hit), reads: all }
    }

    /// Whether each read of this space asks the shared tier, as its policy says.
    pub(crate) fn is_without_memory(&self) -> bool {
        !self.policy.memory && self.travel.as_ref().is_some_and(|travel| travel.on_shared)
    }

    /// The newest invalidations of the space as a whole.
    #[inline]
    pub(crate) fn floor(&self) -> Floor {
        self.floors.floor()
    }

    /// The newest of them, whatever its verb: as new as those of [`SpaceState::floor`], or newer.
    #[inline]
    pub(crate) fn newest_floor(&self) -> Fence {
        self.floors.newest()
    }

    /// What is known against its copies.
    #[inline]
    pub(crate) fn marks(&self) -> Marks {
        self.floors.marks()
    }

    /// A key was invalidated, or heard to be.
    pub(crate) fn note_invalidation(&self) {
        self.floors.note_invalidation();
    }

    /// Whether memory serves nothing of this space.
    #[inline]
    pub(crate) fn is_braked(&self) -> bool {
        self.floors.is_braked()
    }

    /// From now on memory serves nothing of this space; or it does again.
    pub(crate) fn brake(&self, on: bool) {
        self.floors.brake(on);
    }

    /// Makes copies suspect. Nothing is walked: who reads one compares.
    pub(crate) fn doubt(&self, suspect: Fence) {
        self.floors.doubt(suspect);
    }

    /// Copies up to this fence were confirmed too long ago.
    pub(crate) fn outlive(&self, unconfirmed: Fence) {
        self.floors.outlive(unconfirmed);
    }

    /// Invalidates the whole space.
    pub(crate) fn raise(&self, verb: Invalidation, fence: Fence) {
        self.floors.raise(verb, fence);
    }

    /// A loader returned. Called once per call of a loader, however many keys it loaded.
    pub(crate) fn note_load(&self, took: Took, succeeded: bool) {
        self.load_seconds.record_since(0, took.us);
        let count = if succeeded { &self.loads.succeeded } else { &self.loads.failed };
        count.fetch_add(1, Ordering::Relaxed);
        // What failed at once, or hung, says nothing of how long a load takes; nor does what this process stood still: a
        // lease as long as that would keep all others waiting for a holder that is gone.
        if succeeded && !took.stood_still {
            self.times.record(Span(took.us / 1000));
        }
    }

    /// p99 and mean of the load times.
    pub(crate) fn load_times(&self) -> (Option<Span>, Option<Span>) {
        self.times.p99_and_mean()
    }

    /// From this wait on, a stale copy or the default is preferred to further waiting.
    pub(crate) fn hedge_after(&self) -> Option<Span> {
        self.times.hedge_after()
    }

    /// How long a successor waits for an overtaken load before it starts beside it.
    pub(crate) fn successor_after(&self) -> Span {
        self.hedge_after().unwrap_or(HEDGE_UNKNOWN)
    }
}
