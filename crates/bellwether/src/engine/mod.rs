//! How is a decision carried out? The engine carries values and waits; every decision is the core's.

pub(crate) mod ask;
pub(crate) mod batch;
pub(crate) mod cell;
pub(crate) mod debts;
pub(crate) mod decided;
pub(crate) mod due;
pub(crate) mod heat;
pub(crate) mod hit;
pub(crate) mod lead;
pub(crate) mod miss;
pub(crate) mod notice;
pub(crate) mod refresh;
pub(crate) mod resync;
pub(crate) mod settle;
pub(crate) mod shelf;
pub(crate) mod silence;
pub(crate) mod stale;
pub(crate) mod tier;
pub(crate) mod token;
pub(crate) mod told;
pub(crate) mod unpack;
pub(crate) mod verify;
pub(crate) mod write;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use bellwether_core::draw::Draw;
use bellwether_core::fence::{Fence, Floor};
use bellwether_core::heat::policy::HotPolicy;
use bellwether_core::position::Position;
use bellwether_core::read::doubt::Ageing;
use bellwether_core::time::Span;
use parking_lot::{Mutex, RwLock};
use tokio::runtime::{Handle, Runtime};

use crate::disk::Disk;
use crate::engine::cell::FlightCell;
use crate::entry::Entry;
use crate::events::{Debt, Ledger};
use crate::key::Seed;
use crate::observe::counters::{FOLLOWER_BOUNDS, Histogram};
use crate::observe::shared::Tally;
use crate::port::clock::Clock;
use crate::shared::Tier;
use crate::state::fleet::Fleet;
use crate::state::flights::FlightTable;
use crate::state::gate::OriginGate;
use crate::state::heat::Heat;
use crate::state::memory::Memory;
use crate::state::pending::Pending;
use crate::state::plan::Plans;
use crate::state::shelf::Shelf;
use crate::state::silence::Silence;
use crate::state::space::SpaceState;
use crate::state::spread::SpreadTier;
use crate::state::stale::Stale;
use crate::state::tags::TagFloors;

/// How often expired entries are swept out. Expiry on read is exact; this frees memory.
const SWEEP_EVERY: Span = Span::ms(250);

/// What a cache is told of its other tiers when it is built.
pub(crate) struct SharedTier {
    pub(crate) spread: Option<SpreadTier>,
    pub(crate) budget: Span,
    pub(crate) resync: Span,
    pub(crate) fleet: Option<Arc<Fleet>>,
    pub(crate) ledger: Option<Arc<dyn Ledger>>,
    pub(crate) disk: Option<Arc<dyn Disk>>,
}

/// One cache's state, shared by all its spaces and tasks.
pub(crate) struct Engine {
    pub(crate) memory: Memory,
    pub(crate) flights: FlightTable<Arc<FlightCell>>,
    pub(crate) tags: TagFloors,
    /// Which keys are hot.
    pub(crate) heat: Arc<Heat>,
    pub(crate) clock: Clock,
    pub(crate) seed: Seed,
    pub(crate) tier: Option<Arc<dyn Tier>>,
    /// Which of the shared tier's keys are read from several nodes.
    pub(crate) spread: Option<SpreadTier>,
    /// The tier on this machine's disk.
    pub(crate) shelf: Option<Shelf>,
    /// All that one request may spend on the shared tier.
    pub(crate) tier_budget: Span,
    /// A copy of a shared space's entry is compared with the tier from this age on, when it is read; one that was not
    /// confirmed for a quarter longer is not believed.
    pub(crate) resync: Span,
    pub(crate) ageing: Mutex<Ageing>,
    /// The way to other processes, where there is one.
    pub(crate) fleet: Option<Arc<Fleet>>,
    /// Remembers what the tier could not be told.
    pub(crate) ledger: Option<Arc<dyn Ledger>>,
    /// What the process before this one owed, of spaces that are not declared yet.
    pub(crate) inherited: Mutex<Vec<Debt>>,
    /// Invalidations that the tier does not know of yet.
    pub(crate) pending: Pending,
    /// Tags that others made stale, and for which memory is to be walked.
    pub(crate) stale: Stale,
    pub(crate) tally: Tally,
    /// What is done about hot keys.
    pub(crate) plans: Plans,
    /// Copies that are compared with the tier right now.
    pub(crate) verifying: AtomicUsize,
    /// Whether the tier answers.
    pub(crate) silence: Silence,
    pub(crate) spaces: RwLock<HashMap<Arc<str>, Arc<SpaceState>>>,
    /// Ids of spaces are never used twice: what belongs to a space that is gone is nobody's.
    next_space: AtomicU32,
    pub(crate) origins: RwLock<Vec<Arc<OriginGate>>>,
    /// Revisions that were committed.
    pub(crate) revisions: AtomicU64,
    /// Gates of origins that are gone: their last loads may still run.
    pub(crate) former_origins: Mutex<Vec<Weak<OriginGate>>>,
    /// Background refreshes under way.
    pub(crate) refreshing: AtomicUsize,
    pub(crate) stampedes: AtomicU64,
    pub(crate) followers: Histogram<9>,
    runtime: Handle,
    /// Ours to end, if nobody gave us one.
    own_runtime: Mutex<Option<Runtime>>,
}

impl Engine {
    pub(crate) fn new(
        memory: Memory,
        clock: Clock,
        seed: Seed,
        shared: SharedTier,
        hot: HotPolicy,
        runtime: Handle,
        own_runtime: Option<Runtime>,
    ) -> Arc<Engine> {
        // A value lands here before it is published: it must be there when it is looked for.
        let resync = shared.resync.max(Span(shared.budget.0 * 2));
        let ageing = Ageing::new(resync, shared.budget, clock.now());
        let engine = Arc::new(Engine {
            memory,
            flights: FlightTable::new(shared.spread.is_some() || shared.disk.is_some()),
            tags: TagFloors::new(),
            heat: Arc::new(Heat::new(hot)),
            clock,
            seed,
            tier: shared.spread.clone().map(|spread| Arc::new(spread) as Arc<dyn Tier>),
            spread: shared.spread,
            shelf: shared.disk.map(Shelf::new),
            tier_budget: shared.budget,
            resync,
            ageing: Mutex::new(ageing),
            fleet: shared.fleet,
            inherited: Mutex::new(shared.ledger.as_ref().map(|ledger| ledger.debts()).unwrap_or_default()),
            ledger: shared.ledger,
            pending: Pending::default(),
            stale: Stale::default(),
            tally: Tally::default(),
            plans: Plans::default(),
            verifying: AtomicUsize::new(0),
            silence: Silence::default(),
            spaces: RwLock::default(),
            next_space: AtomicU32::new(0),
            origins: RwLock::default(),
            revisions: AtomicU64::new(0),
            former_origins: Mutex::default(),
            refreshing: AtomicUsize::new(0),
            stampedes: AtomicU64::new(0),
            followers: Histogram::new(&FOLLOWER_BOUNDS),
            runtime,
            own_runtime: Mutex::new(own_runtime),
        });
        engine.runtime.spawn(sweep(Arc::downgrade(&engine), engine.clock.clone()));
        engine
    }

    /// Loads run here, never on a caller's runtime: that one may stop and would strand all followers.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// An id that no space of this cache has had.
    pub(crate) fn next_space(&self) -> u32 {
        let next = self.next_space.fetch_add(1, Ordering::Relaxed);
        assert!(next < u32::MAX, "a space a second would use up the ids in 136 years");
        next
    }

    pub(crate) fn next_fence(&self) -> Fence {
        self.flights.next_fence(self.clock.wall_us())
    }

    /// The newest invalidations of an entry's space and tags and of itself. A removed key's entry
    /// is gone from memory the moment its removal is acknowledged, so its floor is not asked here.
    #[inline]
    pub(crate) fn floor_of(&self, space: &SpaceState, entry: &Entry) -> Floor {
        space.floor().merge(self.tags.floor_of(entry)).merge(entry.own_floor())
    }

    /// The spaces by their numbers.
    pub(crate) fn spaces_by_id(&self) -> HashMap<u32, Arc<SpaceState>> {
        self.spaces.read().values().map(|space| (space.id, space.clone())).collect()
    }

    /// How far this process has followed the fleet's invalidations.
    pub(crate) fn position(&self) -> Position {
        self.fleet.as_ref().map_or(Position::NONE, |fleet| fleet.position())
    }
}

/// A draw for one decision of the shell.
pub(crate) fn draw() -> Draw {
    Draw(fastrand::u64(..))
}

async fn sweep(engine: Weak<Engine>, clock: Clock) {
    loop {
        clock.sleep_until(clock.now() + SWEEP_EVERY).await;
        let Some(engine) = engine.upgrade() else { return };
        while engine.memory.sweep(clock.now()) {
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // A runtime must not be waited for inside another one.
        if let Some(runtime) = self.own_runtime.lock().take() {
            runtime.shutdown_background();
        }
    }
}
