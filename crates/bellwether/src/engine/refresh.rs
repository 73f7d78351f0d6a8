//! When does a refresh begin that nobody waits for? At once, or in its turn where thousands are due together.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use bellwether_core::fence::Fence;
use bellwether_core::policy::Priority;
use bellwether_core::read::decide::Demand;
use bellwether_core::read::flight::Asker;
use bellwether_core::time::Tick;

use crate::body::LoadFn;
use crate::engine::Engine;
use crate::engine::cell::FlightCell;
use crate::engine::due::Due;
use crate::engine::lead::{Leader, Start};
use crate::key::Key;
use crate::port::clock::Clock;
use crate::state::flights::{Joined, Led};
use crate::state::paced::{Asked, Paced, Turn};
use crate::state::space::{SpaceState, Waiting};

/// Background refreshes of a process that may be under way; what comes beyond waits for its next reader.
const MOST_REFRESHING: usize = 1_000;

/// What becomes of a refresh at the flight table.
enum Refreshing {
    Begins(Joined<Arc<FlightCell>>),
    Waits(Asked),
    NotNeeded,
}

impl Engine {
    /// Starts a refresh that nobody waits for, or lets it wait for its turn; unless one runs, the key cools down, or
    /// too many run already.
    pub(crate) fn refresh(self: &Arc<Engine>, space: &Arc<SpaceState>, key: &Key, due: &Due, load: LoadFn) {
        if self.refreshing.load(Ordering::Relaxed) >= MOST_REFRESHING {
            return;
        }
        self.refresh_if(space, key, due.seen, load, |load, now| {
            let waiting = || Waiting {
                space: space.clone(),
                key: key.clone(),
                seen: due.seen,
                load: load.take().expect("nothing else takes it"),
            };
            space.paced.ask(&key.bytes, due.heat, due.until, now, waiting)
        });
    }

    /// Starts a refresh of a key that has a worker of its own: it is not kept waiting by how many refreshes run, nor for
    /// a turn. False as well if nobody said how its space is loaded.
    pub(crate) fn refresh_unasked(self: &Arc<Engine>, space: &Arc<SpaceState>, key: &Key, seen: Fence) -> bool {
        let load = space.unasked(&key.bytes);
        load.is_some_and(|load| self.refresh_if(space, key, seen, load, |_, _| Asked::Go))
    }

    /// Starts a refresh unless it is not needed, or `ask` makes it wait.
    fn refresh_if(
        self: &Arc<Engine>,
        space: &Arc<SpaceState>,
        key: &Key,
        seen: Fence,
        load: LoadFn,
        ask: impl FnOnce(&mut Option<LoadFn>, Tick) -> Asked,
    ) -> bool {
        // An open breaker would turn it away: with a herd on a stale value that is a task per read, for nothing.
        if space.is_retired() || space.gate.is_quiet() {
            return false;
        }
        let asker = Asker {
            demand: Demand::Any,
            priority: Priority::Background,
            deadline: None,
            floor: space.floor().newest(),
        };
        let led = Led::Here { hedge: space.successor_after() };
        let mut load = Some(load);
        let refreshing = self.flights.locked(key, |shard| {
            let now = self.clock.now();
            let loading = shard.flights(key).is_some_and(|flights| flights.covers(&asker, now));
            let landed = self.memory.peek(key.by_ref()).is_some_and(|entry| entry.fence() > seen);
            if loading || landed || shard.cooling(key, now).is_some() {
                return Refreshing::NotNeeded;
            }
            match ask(&mut load, now) {
                Asked::Go => {
                    let cell = |id| Arc::new(FlightCell::new(id, &self.clock));
                    Refreshing::Begins(self.flights.join(shard, key, led, &asker, now, cell))
                }
                waits => Refreshing::Waits(waits),
            }
        });
        let (start, cell) = match refreshing {
            Refreshing::Begins(Joined::Lead { id, cell }) => (Start { id, parked: None }, cell),
            Refreshing::Begins(Joined::LeadLater { id, cell, at }) => (Start { id, parked: Some(at) }, cell),
            Refreshing::Begins(Joined::Follow { .. } | Joined::Full) => {
                space.paced.refund(self.clock.now());
                return false;
            }
            Refreshing::Waits(Asked::Pump) => {
                let pump = pump(Arc::downgrade(self), space.paced.clone(), self.clock.clone());
                self.runtime().spawn(pump);
                return false;
            }
            Refreshing::Waits(_) | Refreshing::NotNeeded => return false,
        };
        if let Some(load) = load {
            Leader::launch_refresh(self, space, key, start, cell, load);
        }
        true
    }

    /// Begins a refresh whose turn it is.
    fn take_turn(self: &Arc<Engine>, waiting: Waiting) {
        let Waiting { space, key, seen, load } = waiting;
        let room = self.refreshing.load(Ordering::Relaxed) < MOST_REFRESHING;
        if !(room && self.refresh_if(&space, &key, seen, load, |_, _| Asked::Go)) {
            space.paced.refund(self.clock.now());
        }
    }
}

/// Begins the refreshes of a space in their turn, until none waits.
async fn pump(engine: Weak<Engine>, paced: Arc<Paced<Waiting>>, clock: Clock) {
    // What waits holds its space, and the space what waits.
    let mut unless_over = GiveUp(Some(&paced));
    loop {
        let Some(engine) = engine.upgrade() else { return };
        let Turn::Begin(begin, next) = paced.next(clock.now()) else {
            // From here on others may be waiting, for a pump of their own.
            unless_over.0 = None;
            return;
        };
        begin.into_iter().for_each(|waiting| engine.take_turn(waiting));
        drop(engine);
        let Some(next) = next else { continue };
        tokio::select! {
            () = clock.sleep_until(next) => {}
            () = paced.changed() => {}
        }
    }
}

/// If its task ends before the queue does, nothing waits for it.
struct GiveUp<'a>(Option<&'a Paced<Waiting>>);

impl Drop for GiveUp<'_> {
    fn drop(&mut self) {
        if let Some(paced) = self.0 {
            paced.give_up();
        }
    }
}
