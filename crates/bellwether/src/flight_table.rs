//! Does the flight table keep its promises under every interleaving? The table, opened for the test
//! that tries them. Only built with the feature `shuttle`.

use std::sync::Arc;

use bellwether_core::fence::{Fence, Floor, Invalidation};
use bellwether_core::policy::Priority;
use bellwether_core::read::decide::Demand;
use bellwether_core::read::flight::{Asker, FlightId};
use bellwether_core::time::{Span, Tick};
use bellwether_core::write::keep::{Newness, Resident, may_keep};
use shuttle::sync::{Condvar, Mutex};

use crate::key::{Key, KeyRef};
use crate::state::flights::{Ending, FlightTable, Joined, Led};

const NOW: Tick = Tick(1_000_000);

/// What callers of a flight wait on.
#[derive(Default)]
pub struct Told {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default)]
struct State {
    turn: bool,
    value: Option<u64>,
}

impl Told {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().expect("no panic under this lock"));
        self.changed.notify_all();
    }

    fn wait<T>(&self, ready: impl Fn(&State) -> Option<T>) -> T {
        let mut state = self.state.lock().expect("no panic under this lock");
        loop {
            if let Some(ready) = ready(&state) {
                return ready;
            }
            state = self.changed.wait(state).expect("no panic under this lock");
        }
    }

    /// Waits for the flight's value.
    pub fn value(&self) -> u64 {
        self.wait(|state| state.value)
    }

    /// Waits for a parked flight's turn.
    pub fn turn(&self) {
        self.wait(|state| state.turn.then_some(()));
    }
}

/// What became of a caller.
pub enum Entered {
    /// Memory had a value.
    Hit(u64),
    /// It follows.
    Follow(Arc<Told>),
    /// It leads; if `parked`, after its turn came or [`Table::unpark`] said yes.
    Lead {
        /// The flight.
        id: u64,
        /// Whom to tell.
        told: Arc<Told>,
        /// An older flight still runs.
        parked: bool,
    },
}

/// The flight table with one key, and the memory behind it.
pub struct Table {
    flights: FlightTable<Arc<Told>>,
    key: Key,
    /// Touched under the key's lock only, as the engine does.
    resident: Mutex<Option<(Fence, u64)>>,
}

impl Default for Table {
    fn default() -> Table {
        let key = KeyRef { hash: 7, bytes: b"key", space: 0 }.to_key();
        Table { flights: FlightTable::new(false), key, resident: Mutex::new(None) }
    }
}

impl Table {
    /// Looks into memory, then joins or starts a flight.
    pub fn enter(&self) -> Entered {
        let asker = Asker { demand: Demand::Any, priority: Priority::Normal, deadline: None, floor: Fence::ZERO };
        self.flights.locked(&self.key, |shard| {
            if let Some((_, value)) = *self.memory() {
                return Entered::Hit(value);
            }
            match self
                .flights
                .join(shard, &self.key, Led::Here { hedge: Span::ZERO }, &asker, NOW, |_| Arc::new(Told::default()))
            {
                Joined::Follow { cell, .. } => Entered::Follow(cell),
                Joined::Lead { id, cell } => Entered::Lead { id: id.0, told: cell, parked: false },
                Joined::LeadLater { id, cell, .. } => Entered::Lead { id: id.0, told: cell, parked: true },
                Joined::Full => unreachable!("a handful of flights"),
            }
        })
    }

    /// A parked flight's hedge is over: may it start beside the older one?
    pub fn unpark(&self, id: u64) -> bool {
        self.flights.locked(&self.key, |shard| shard.unpark(&self.key, FlightId(id)))
    }

    /// The flight begins to read, under the fence returned.
    pub fn begin_read(&self, id: u64) -> u64 {
        self.flights.locked(&self.key, |shard| {
            let fence = self.flights.next_fence(0);
            assert!(shard.begin_read(&self.key, FlightId(id), fence, NOW), "only a flight that runs reads");
            fence.0
        })
    }

    /// How many flights read, as the table knows.
    pub fn reading(&self) -> usize {
        self.flights.locked(&self.key, |shard| shard.flights(&self.key).map_or(0, |flights| flights.reading()))
    }

    /// The flight ends: its value is kept if nothing newer came, and told.
    pub fn land(&self, id: u64, fence: u64, value: u64, told: &Told) {
        let next = self.flights.locked(&self.key, |shard| {
            let floor = shard.floor(&self.key);
            let mut resident = self.memory();
            let newness = |fence| Newness { fence, version: None };
            let there = resident.map(|(fence, _)| Resident { newness: newness(fence), floor: Floor::NONE });
            if may_keep(floor, there, newness(Fence(fence))) {
                *resident = Some((Fence(fence), value));
            }
            self.flights.land(shard, &self.key, FlightId(id), Ending::Succeeded, NOW).and_then(|landed| landed.next)
        });
        if let Some(next) = next {
            next.change(|state| state.turn = true);
        }
        told.change(|state| state.value = Some(value));
    }

    /// Invalidates the key; if not `honest`, only its bytes go, as in a cache without floors.
    pub fn invalidate(&self, honest: bool) -> u64 {
        self.flights.locked(&self.key, |shard| {
            let fence = self.flights.next_fence(0);
            if honest {
                shard.invalidate(&self.key, Floor::of(Invalidation::Remove, fence), NOW);
            }
            *self.memory() = None;
            fence.0
        })
    }

    /// Flights under way.
    pub fn live(&self) -> usize {
        self.flights.live()
    }

    fn memory(&self) -> shuttle::sync::MutexGuard<'_, Option<(Fence, u64)>> {
        self.resident.lock().expect("no panic under this lock")
    }
}
