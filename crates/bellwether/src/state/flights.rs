//! Who loads what right now? The flights of all keys, their last failures, and the floors of removed
//! keys, in shards: what must not be torn apart happens under one shard's lock.

use std::collections::{HashMap, HashSet, VecDeque};

use bellwether_core::fence::{Fence, Floor, Invalidation};
use bellwether_core::guard::cooldown::Cooling;
use bellwether_core::read::flight::{Asker, Flight, FlightId, Flights, Join};
use bellwether_core::time::{Span, Tick};

use crate::key::{ByCarriedHash, Key};
use crate::state::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::state::sync::{Mutex, lock};

const SHARDS: usize = 64;
/// Loads under way in a process; a key beyond that is shed.
pub(crate) const MOST_LIVE: usize = 10_000;
/// Tokens of a process that clients hold. Counted apart: who hoards tokens must not keep others from loading.
pub(crate) const MOST_TOKENS: usize = 10_000;
/// Key floors of a process: 2^20.
const MOST_FLOORS: usize = 1 << 20;
/// Failures remembered in a process.
const MOST_COOLING: usize = 16_384;

/// The flight table of one cache. `C` is what callers wait on.
pub(crate) struct FlightTable<C> {
    shards: Box<[Mutex<Shard<C>>]>,
    ids: AtomicU64,
    fences: AtomicU64,
    loads: AtomicUsize,
    tokens: AtomicUsize,
}

/// Who leads a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Led {
    /// A load of this process; behind an overtaken one it waits at most `hedge` for its turn.
    Here {
        /// That wait.
        hedge: Span,
    },
    /// A client that holds a token.
    Outside,
}

/// One shard: its lock is the order in which loads, removals and landings of its keys happen.
pub(crate) struct Shard<C> {
    slots: HashMap<Key, Slot<C>, ByCarriedHash>,
    floors: KeyFloors,
    /// Whether entries older than a floor can come from elsewhere: from a shared tier.
    elsewhere: bool,
    /// When which failure may be forgotten, in the order of failing.
    cooled: VecDeque<(Tick, Key)>,
}

struct Slot<C> {
    flights: Flights,
    cells: Vec<Live<C>>,
}

/// A flight under way, as the table sees it.
struct Live<C> {
    id: FlightId,
    led: Led,
    cell: C,
}

impl<C> Default for Slot<C> {
    fn default() -> Slot<C> {
        Slot { flights: Flights::default(), cells: Vec::new() }
    }
}

/// What became of an asker, with what it waits on.
pub(crate) enum Joined<C> {
    Follow {
        id: FlightId,
        cell: C,
        raised: Option<Flight>,
    },
    Lead {
        id: FlightId,
        cell: C,
    },
    LeadLater {
        id: FlightId,
        cell: C,
        at: Option<Tick>,
    },
    /// Too many live flights.
    Full,
}

/// How a flight ends, as far as the key's cool-down is concerned.
#[derive(Clone, Copy)]
pub(crate) enum Ending {
    /// The origin answered: earlier failures are forgotten.
    Succeeded,
    /// The load failed: the key cools down.
    Failed(Cooling),
    /// No news of the origin (shed, aborted, a token given back): an earlier failure stays in mind.
    Neither,
}

/// What a flight leaves behind.
pub(crate) struct Landed<C> {
    pub(crate) flight: Flight,
    /// The successor whose turn came.
    pub(crate) next: Option<C>,
}

impl<C: Clone> FlightTable<C> {
    /// `elsewhere`: entries may also come from a shared tier.
    pub(crate) fn new(elsewhere: bool) -> FlightTable<C> {
        let shard =
            || Shard { slots: HashMap::default(), floors: KeyFloors::default(), elsewhere, cooled: VecDeque::new() };
        FlightTable {
            shards: (0..SHARDS).map(|_| Mutex::new(shard())).collect(),
            ids: AtomicU64::new(0),
            fences: AtomicU64::new(0),
            loads: AtomicUsize::new(0),
            tokens: AtomicUsize::new(0),
        }
    }

    /// Runs `f` under the lock of `key`'s shard.
    pub(crate) fn locked<R>(&self, key: &Key, f: impl FnOnce(&mut Shard<C>) -> R) -> R {
        // The low bits choose buckets inside the shard's map.
        let at = (key.hash >> 32) as usize % SHARDS;
        f(&mut lock(&self.shards[at]))
    }

    /// Runs `f` under each shard's lock in turn.
    pub(crate) fn each_shard(&self, mut f: impl FnMut(&mut Shard<C>)) {
        self.shards.iter().for_each(|shard| f(&mut lock(shard)));
    }

    /// A fence above all given out before, close to the wall clock.
    pub(crate) fn next_fence(&self, wall_us: u64) -> Fence {
        let step = |last| Some(Fence(last).next(wall_us).0);
        let last = self.fences.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step).unwrap_or_else(|last| last);
        Fence(last).next(wall_us)
    }

    /// The newest fence given out: everything acknowledged so far lies at or below it.
    pub(crate) fn current_fence(&self) -> Fence {
        Fence(self.fences.load(Ordering::SeqCst))
    }

    /// Live flights of all keys, those that clients lead included.
    pub(crate) fn live(&self) -> usize {
        self.loads.load(Ordering::Relaxed) + self.tokens.load(Ordering::Relaxed)
    }

    fn count(&self, led: Led) -> &AtomicUsize {
        match led {
            Led::Here { .. } => &self.loads,
            Led::Outside => &self.tokens,
        }
    }

    fn full(&self, led: Led) -> bool {
        let most = match led {
            Led::Here { .. } => MOST_LIVE,
            Led::Outside => MOST_TOKENS,
        };
        self.count(led).load(Ordering::Relaxed) >= most
    }

    /// A number no flight of this table has had.
    pub(crate) fn fresh_id(&self) -> FlightId {
        FlightId(self.ids.fetch_add(1, Ordering::Relaxed))
    }

    /// Joins `key`'s flight or starts one, led as `led` says; `cell` makes what its callers wait on.
    pub(crate) fn join(
        &self,
        shard: &mut Shard<C>,
        key: &Key,
        led: Led,
        asker: &Asker,
        now: Tick,
        cell: impl FnOnce(FlightId) -> C,
    ) -> Joined<C> {
        if self.full(led) && !shard.slots.get(key).is_some_and(|slot| slot.flights.covers(asker, now)) {
            return Joined::Full;
        }
        let slot = shard.slots.entry(key.clone()).or_default();
        // Nobody is told when a client will be done, so behind one nobody waits for a turn.
        let hedge = if let Led::Here { hedge } = led { hedge } else { Span::ZERO };
        match slot.flights.join(asker, self.fresh_id(), hedge, now) {
            Join::Follow { id, raised } => {
                let cell = slot.cell(id).expect("every flight has its cell");
                let raised = raised.then(|| slot.flights.get(id).expect("just joined").clone());
                Joined::Follow { id, cell, raised }
            }
            Join::Lead(id) => Joined::Lead { id, cell: self.launch(slot, id, led, cell(id)) },
            Join::LeadLater { id, at } => Joined::LeadLater { id, cell: self.launch(slot, id, led, cell(id)), at },
        }
    }

    fn launch(&self, slot: &mut Slot<C>, id: FlightId, led: Led, cell: C) -> C {
        self.count(led).fetch_add(1, Ordering::Relaxed);
        slot.cells.push(Live { id, led, cell: cell.clone() });
        cell
    }

    /// Ends flight `id`.
    pub(crate) fn land(
        &self,
        shard: &mut Shard<C>,
        key: &Key,
        id: FlightId,
        ending: Ending,
        now: Tick,
    ) -> Option<Landed<C>> {
        let slot = shard.slots.get_mut(key)?;
        let (flight, next) = slot.flights.end(id)?;
        if let Some(at) = slot.cells.iter().position(|live| live.id == id) {
            self.count(slot.cells.swap_remove(at).led).fetch_sub(1, Ordering::Relaxed);
        }
        let next = next.and_then(|next| slot.cell(next));
        match ending {
            Ending::Succeeded => slot.flights.cooling = None,
            // An invalidation overtook the failed load: what failed is no news of the key as it is now.
            Ending::Failed(cooling) if !flight.overtaken => {
                slot.flights.cooling = Some(cooling);
                shard.cooled.push_back((cooling.remembered_until(), key.clone()));
            }
            Ending::Failed(_) | Ending::Neither => {}
        }
        shard.tidy(key, now);
        Some(Landed { flight, next })
    }
}

impl<C: Clone> Shard<C> {
    /// The keys of these spaces of which anything is known.
    pub(crate) fn keys_of(&self, spaces: &HashSet<u32>) -> Vec<Key> {
        self.slots.keys().filter(|key| spaces.contains(&key.space)).cloned().collect()
    }

    /// The flights of `key`, if anything is known of it.
    pub(crate) fn flights(&self, key: &Key) -> Option<&Flights> {
        self.slots.get(key).map(|slot| &slot.flights)
    }

    /// The key's last failure while it cools down.
    pub(crate) fn cooling(&self, key: &Key, now: Tick) -> Option<Cooling> {
        self.flights(key)?.cooling.filter(|cooling| cooling.remaining(now).is_some())
    }

    /// What is remembered of the key's last failure, cooling or not.
    pub(crate) fn last_failure(&self, key: &Key, now: Tick) -> Option<Cooling> {
        self.flights(key)?.cooling.filter(|cooling| !cooling.forgotten(now))
    }

    /// Whom an asker who only looks would wait for: the cell of a flight that reads or will read.
    pub(crate) fn cell(&self, key: &Key, id: FlightId) -> Option<C> {
        self.slots.get(key)?.cell(id)
    }

    /// `id` begins to read under `fence`. False if it is no more.
    pub(crate) fn begin_read(&mut self, key: &Key, id: FlightId, fence: Fence, now: Tick) -> bool {
        self.slots.get_mut(key).is_some_and(|slot| slot.flights.begin_read(id, fence, now))
    }

    /// A successor wants to start beside an older flight. False: not yet.
    pub(crate) fn unpark(&mut self, key: &Key, id: FlightId) -> bool {
        self.slots.get_mut(key).is_some_and(|slot| slot.flights.unpark(id))
    }

    /// Raises the key's floor and overtakes the loads that read it now.
    pub(crate) fn invalidate(&mut self, key: &Key, floor: Floor, now: Tick) {
        self.raise(key, floor, now, Flights::overtake);
    }

    /// The same for what somebody else did: see [`Flights::overtake_heard`].
    pub(crate) fn invalidate_heard(&mut self, key: &Key, floor: Floor, heard: Option<Fence>, now: Tick) {
        self.raise(key, floor, now, |flights| flights.overtake_heard(heard));
    }

    fn raise(&mut self, key: &Key, floor: Floor, now: Tick, overtake: impl FnOnce(&mut Flights)) {
        // Without a flight under way nothing older than this floor can land any more: every later
        // flight draws a later fence. So the floor need not be remembered.
        if self.elsewhere || self.slots.contains_key(key) {
            self.floors.raise(key.hash, floor);
        }
        if let Some(slot) = self.slots.get_mut(key) {
            overtake(&mut slot.flights);
            self.tidy(key, now);
        }
    }

    /// Whether the tier decides on what `id` loads: see [`Flight::doubted`].
    pub(crate) fn is_doubted(&self, key: &Key, id: FlightId) -> bool {
        self.flights(key).and_then(|flights| flights.get(id)).is_some_and(|flight| flight.doubted)
    }

    /// `id` reads by this lease of the tier: see [`Flights::reads_by`].
    pub(crate) fn reads_by(&mut self, key: &Key, id: FlightId, lease: Fence) {
        if let Some(slot) = self.slots.get_mut(key) {
            slot.flights.reads_by(id, lease);
        }
    }

    /// An invalidation is heard of that came before anything that was begun under `reading` or later: it covers what is
    /// older, and overtakes no load. Returns the fence up to which it does.
    pub(crate) fn invalidate_before(&mut self, key: &Key, verb: Invalidation, reading: Fence, now: Tick) -> Fence {
        // No fence of this process is drawn twice: below that one there is nothing newer.
        let covered = Fence(reading.0.saturating_sub(1));
        self.floors.raise(key.hash, Floor::of(verb, covered));
        self.forgive(key, now);
        covered
    }

    /// Forgets the key's last failure.
    pub(crate) fn forgive(&mut self, key: &Key, now: Tick) {
        if let Some(slot) = self.slots.get_mut(key) {
            slot.flights.cooling = None;
            self.tidy(key, now);
        }
    }

    /// Remembers a failure that no flight carried (a released token's cool-down).
    pub(crate) fn cool(&mut self, key: &Key, cooling: Cooling) {
        self.cooled.push_back((cooling.remembered_until(), key.clone()));
        self.slots.entry(key.clone()).or_default().flights.cooling = Some(cooling);
    }

    /// The newest invalidations of the key itself.
    pub(crate) fn floor(&self, key: &Key) -> Floor {
        self.floors.of(key.hash)
    }

    /// Drops what is known of keys of which nothing need be known.
    fn tidy(&mut self, key: &Key, now: Tick) {
        if self.slots.get(key).is_some_and(|slot| slot.flights.idle(now)) {
            self.slots.remove(key);
        }
        while let Some((until, _)) = self.cooled.front()
            && (*until <= now || self.cooled.len() > MOST_COOLING / SHARDS)
        {
            let Some((until, key)) = self.cooled.pop_front() else { break };
            let Some(slot) = self.slots.get_mut(&key) else { continue };
            // A younger failure of the same key has its own place further back.
            if slot.flights.cooling.as_ref().is_some_and(|cooling| cooling.remembered_until() <= until) {
                slot.flights.cooling = None;
            }
            if slot.flights.idle(now) {
                self.slots.remove(&key);
            }
        }
    }
}

impl<C: Clone> Slot<C> {
    fn cell(&self, id: FlightId) -> Option<C> {
        self.cells.iter().find(|live| live.id == id).map(|live| live.cell.clone())
    }
}

/// Floors by hash, a bounded number. One that is dropped raises the floor of the whole stripe:
/// more loads, never older values. Two keys of one hash share a floor, to the same effect.
#[derive(Default)]
struct KeyFloors {
    floors: HashMap<u64, Floor, ByCarriedHash>,
    /// In the order of raising; the last mention of a hash is the one that counts.
    order: VecDeque<(u64, Fence)>,
    stripe: Floor,
}

impl KeyFloors {
    fn raise(&mut self, hash: u64, floor: Floor) {
        let held = self.floors.entry(hash).or_default();
        *held = held.merge(floor);
        self.order.push_back((hash, held.newest()));
        while self.order.len() > MOST_FLOORS / SHARDS {
            let Some((hash, mentioned)) = self.order.pop_front() else { break };
            if self.floors.get(&hash).is_some_and(|held| held.newest() == mentioned)
                && let Some(dropped) = self.floors.remove(&hash)
            {
                self.stripe = self.stripe.merge(dropped);
            }
        }
    }

    fn of(&self, hash: u64) -> Floor {
        self.floors.get(&hash).copied().unwrap_or_default().merge(self.stripe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bellwether_core::policy::Priority;
    use bellwether_core::read::decide::Demand;

    #[test]
    fn g2_a_dropped_floor_still_covers_what_it_covered() {
        let mut floors = KeyFloors::default();
        let many = (MOST_FLOORS / SHARDS + 100) as u64;
        for n in 1..=many {
            floors.raise(n, Floor { removed: Fence(n), expired: Fence::ZERO });
        }
        assert!(floors.floors.len() <= MOST_FLOORS / SHARDS);
        for n in 1..=many {
            assert!(floors.of(n).covers(Fence(n)), "the floor of {n} was lost");
        }
        assert!(!floors.of(many).covers(Fence(many + 1)));
    }

    #[test]
    fn a_key_removed_over_and_over_costs_one_floor() {
        let mut floors = KeyFloors::default();
        for n in 1..=(3 * MOST_FLOORS / SHARDS) as u64 {
            floors.raise(7, Floor { removed: Fence(n), expired: Fence::ZERO });
        }
        assert_eq!((floors.floors.len(), floors.stripe), (1, Floor::NONE));
        assert!(floors.order.len() <= MOST_FLOORS / SHARDS);
    }

    #[test]
    fn a_floor_is_remembered_only_while_something_older_can_land() {
        let key = |n: u64| Key { hash: n << 32, bytes: n.to_be_bytes().as_slice().into(), space: 0 };
        let floor = Floor { removed: Fence(9), expired: Fence::ZERO };
        let held = |elsewhere, flying| {
            let table = FlightTable::<()>::new(elsewhere);
            table.locked(&key(1), |shard| {
                let asker =
                    Asker { demand: Demand::Any, priority: Priority::Normal, deadline: None, floor: Fence::ZERO };
                if flying {
                    table.join(shard, &key(1), Led::Here { hedge: Span::ZERO }, &asker, Tick(0), |_| ());
                }
                shard.invalidate(&key(1), floor, Tick(0));
                shard.floor(&key(1)) == floor
            })
        };
        assert!(!held(false, false), "a store of nothing but written keys would grow by their floors");
        assert!(held(false, true) && held(true, false) && held(true, true));
    }

    #[test]
    fn fences_of_many_threads_are_all_different() {
        let table = FlightTable::<()>::new(false);
        let drawn = Mutex::new(std::collections::HashSet::new());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|_| assert!(lock(&drawn).insert(table.next_fence(5)))));
            }
        });
        assert!(lock(&drawn).iter().all(|fence| *fence <= table.current_fence()));
    }
}
