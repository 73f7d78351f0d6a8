//! What does Bellwether do with a key, whichever face asks? Routing, reading through, writing, leases.
//!
//! A face parses and writes; everything between is here, once: which space a key belongs to, what is
//! stored under it, how a miss becomes a load, and which outcomes never reach the cache but count.

mod announce;
mod beginning;
mod budgets;
mod change;
mod class;
mod collector;
mod describe;
mod enumerate;
mod filter;
mod filters;
mod fleet;
mod front;
mod heat;
pub mod hotlist;
mod identity;
mod keylist;
mod lease;
mod open;
mod opened;
mod outcome;
mod peer;
mod penetration;
mod reach;
mod read;
mod ready;
mod reload;
mod reloads;
mod scan;
mod served;
mod serving;
mod shelf;
mod strangers;
mod surges;
mod tally;
mod telling;
mod tend;
mod told;
mod warm;
pub(crate) mod watch;
mod write;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::{ArcSwap, Guard};
use bellwether::disk::DiskState;
use bellwether::{Cache, Eviction, Explain, Snapshot, Span, Tick, Why};
use bellwether_core::filter::absent::Absent;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::config::{Config, Memory, Problem, Secret};
pub use announce::{NotTaken, Said, Taken, Told};
use beginning::Beginning;
use collector::Collector;
use fleet::Fleet;
use front::Current;
use open::Purpose;
use served::Served;
use serving::{Belongs, Serving};
use watch::{ClientId, Watch};

pub use beginning::Readiness;
pub use budgets::BudgetView;
pub(crate) use change::Change;
pub(crate) use class::class;
pub(crate) use collector::Telling;
pub(crate) use enumerate::Unnamed;
pub use filter::{FilterState, FilterView};
pub use fleet::SharedState;
pub use heat::{BigRow, HotRow, RateRow};
pub use hotlist::decoded as key_of_text;
pub(crate) use outcome::NO_KEY;
pub(crate) use outcome::shown;
pub use outcome::{Failure, Grant, KEY_TOO_LONG, Outcome, Refusal, Terms, no_space};
pub use peer::Peer;
pub use penetration::PenetrationView;
pub use reach::beside;
pub use reloads::{Reload, Reloads, Undone};
pub use scan::Page;
pub use served::SpaceView;
pub use surges::{SurgeKind, SurgeView};
pub(crate) use write::Deciding;
pub use write::{Ends, When, WriteTerms, Written};

/// Writers of one key of a plain space come one at a time, so that `SET … NX` is atomic; keys share so many locks.
const WRITE_LOCKS: usize = 64;
/// A start waits so long to hear the fleet's invalidations, where its tier is there.
const LISTENS: Span = Span::secs(2);
/// Somebody who asks for what is owed to be told waits for it so long.
const RETRIES: Span = Span::secs(3);
/// The space under which requests are counted that no space matches.
const NO_SPACE: &str = "";

/// A configuration at work; the client in whose name it is asked, if it has a number; and where its changes are
/// collected that others must be told. Cheap to clone.
#[derive(Clone)]
pub struct Service(Arc<Inner>, Option<ClientId>, Option<Arc<Collector>>);

struct Inner {
    /// What several processes share, if there is any.
    fleet: Option<Fleet>,
    /// Invalidations must reach this machine's disk as well.
    has_disk: bool,
    cache: Cache,
    /// A request takes it once, when it begins, and ends with what it took.
    serving: ArcSwap<Serving>,
    /// Which part of it a hit looks at.
    current: Current,
    /// Held by whoever puts another configuration to work.
    reloading: Mutex<()>,
    reloads: Reloads,
    password: Option<Secret>,
    memory: Memory,
    beginning: Beginning,
    /// Held by whoever lists an origin's keys.
    enumerating: tokio::sync::Mutex<()>,
    loads: Handle,
    write_locks: [Mutex<()>; WRITE_LOCKS],
    hasher: std::hash::RandomState,
    /// Held by whoever walks: one at a time, or a few clients could fill every thread and all memory with lists.
    scan: Arc<tokio::sync::Mutex<keylist::Latest>>,
    /// Clients that keep copies of their own.
    watch: Arc<Watch>,
    /// Filters of existing keys: what is written or invalidated is in them at once.
    filters: Arc<filter::Known>,
    surges: surges::Surges,
    /// Somebody tells them of what is no longer fresh.
    sweeping: AtomicBool,
}

impl Service {
    /// Opens every origin and declares every space. Loads run on `loads`.
    ///
    /// # Errors
    /// Every origin, statement and space that can't be used, at once.
    pub async fn start(config: Config, loads: Handle) -> Result<Service, Vec<Problem>> {
        Service::begin(config, loads, Purpose::Serve).await
    }

    /// The same, to see whether it could be started: it serves nobody, and the disk tier is looked at from outside.
    ///
    /// # Errors
    /// As `start`.
    pub async fn rehearse(config: Config, loads: Handle) -> Result<Service, Vec<Problem>> {
        Service::begin(config, loads, Purpose::Check).await
    }

    async fn begin(config: Config, loads: Handle, purpose: Purpose) -> Result<Service, Vec<Problem>> {
        let (password, memory) = (config.listen.password.clone(), config.memory.clone());
        let fleet = match purpose {
            Purpose::Serve => fleet::open(&config, &loads).await?,
            Purpose::Check => fleet::seen(&config, &loads).await?,
        };
        let has_disk = config.disk.is_some();
        let (hot_list, ramp) = (config.hot_list(), config.listen.ramp);
        let (watch, filters) = (Arc::<Watch>::default(), Arc::<filter::Known>::default());
        let (cache, serving) = open::open(config, loads.clone(), fleet.as_ref(), (&watch, &filters), purpose)?;
        filters.are(serving.filters());
        ready::ready(&serving).await?;
        if fleet.as_ref().is_some_and(|fleet| !fleet.state().is_degraded()) {
            // Until then nothing of the tier is believed: it may have been invalidated before we listened.
            cache.until_live(LISTENS).await;
        }
        let beginning = Beginning::new(hot_list, ramp, cache.clock().now());
        let inner = Arc::new(Inner {
            fleet,
            has_disk,
            cache,
            current: Current::new(&serving.front),
            serving: ArcSwap::from_pointee(serving),
            reloading: Mutex::default(),
            reloads: Reloads::started(),
            password,
            memory,
            beginning,
            enumerating: tokio::sync::Mutex::default(),
            loads,
            write_locks: std::array::from_fn(|_| Mutex::new(())),
            hasher: std::hash::RandomState::new(),
            scan: Arc::default(),
            watch,
            filters,
            surges: surges::Surges::default(),
            sweeping: AtomicBool::new(false),
        });
        Ok(Service(inner, None, None))
    }

    /// What clients must know, if anything.
    pub fn password(&self) -> Option<&Secret> {
        self.0.password.as_ref()
    }

    /// Now, by the cache's clock: for [`Terms::asked`]. A system call: once per batch of commands is enough. To be asked
    /// once the batch was read and before memory is looked at: if the process stood still until then, what it holds is
    /// suspect from here on.
    pub fn now(&self) -> Tick {
        self.0.cache.clock().catch_up()
    }

    /// The client at this address, as budgets know it.
    pub fn peer(&self, address: IpAddr) -> Peer {
        Peer::of(&self.0.hasher, address)
    }

    /// What is at work now, for what ends at once.
    fn serving(&self) -> Guard<Arc<Serving>> {
        self.0.serving.load()
    }

    /// What is at work now, for what waits: it goes on with this even if another comes meanwhile.
    fn serving_on(&self) -> Arc<Serving> {
        self.0.serving.load_full()
    }

    /// What people are told of all spaces, in the order in which they are tried.
    pub fn space_views(&self) -> Vec<SpaceView> {
        self.serving().spaces.iter().map(Served::view).collect()
    }

    /// The name of the space that `key` belongs to, whether its captures have the right types or not.
    pub fn space_of(&self, key: &[u8]) -> Option<String> {
        match self.serving().belongs(key) {
            Belongs::To(served, _) | Belongs::WrongType(served) => Some(served.name.clone()),
            Belongs::Nowhere | Belongs::TooLong => None,
        }
    }

    /// The limit of resident bytes.
    pub fn memory_limit(&self) -> u64 {
        self.0.memory.limit
    }

    /// Who goes first when memory is full.
    pub fn eviction(&self) -> Eviction {
        self.0.memory.eviction
    }

    /// Resident entries, those included that say "no such row".
    pub fn entries(&self) -> u64 {
        self.0.cache.entries()
    }

    /// Invalidations of which the shared tier does not know yet.
    pub fn owing(&self) -> Vec<bellwether::Owing> {
        self.0.cache.owing()
    }

    /// Tries them again: that of one key, by its name in the shared tier, or all; and what came of it.
    pub async fn retry_owed(&self, name: Option<&[u8]>) -> bellwether::Retried {
        self.0.cache.retry_owed_within(name, RETRIES).await
    }

    /// What it has to do without, each in a few words: it serves all the same. Nothing: all is well.
    pub fn degraded(&self) -> Vec<String> {
        let shared = self.shared_state().filter(SharedState::is_degraded);
        let mut all: Vec<String> =
            shared.map(|state| format!("shared tier: {}", state.troubles().join(", "))).into_iter().collect();
        if !self.0.cache.is_live() {
            all.push("backplane: not live".to_owned());
        }
        if self.0.cache.disk_state() == Some(DiskState::Off) {
            all.push("disk tier: off".to_owned());
        }
        all
    }

    /// Gives them up. How many that were.
    pub fn drop_owed(&self, name: Option<&[u8]>) -> usize {
        self.0.cache.drop_owed(name)
    }

    /// All counts at this moment. Requests that no space matches are counted under a space without a name.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.0.cache.snapshot();
        let serving = self.serving();
        snapshot.origins.retain(|origin| origin.name != open::NO_ORIGIN);
        for served in &serving.spaces {
            served.tally.add_to(&mut snapshot, &served.name);
        }
        serving.nowhere.add_to(&mut snapshot, NO_SPACE);
        snapshot
    }

    /// How the tier is that several processes share, if there is one.
    pub fn shared_state(&self) -> Option<SharedState> {
        self.0.fleet.as_ref().map(Fleet::state)
    }

    /// What `key` is called in the tier that several processes share; `None` if it is not there.
    pub(crate) fn shared_name(&self, key: &[u8]) -> Option<Vec<u8>> {
        let prefix = self.0.fleet.as_ref()?.shared.prefix.as_bytes();
        let serving = self.serving();
        let Belongs::To(served, _) = serving.belongs(key) else { return None };
        let config = serving.config.spaces.iter().find(|config| config.name == served.name)?;
        let name = fleet::naming::named(config.generation.as_deref().map(str::as_bytes), key);
        served.shared.then(|| [prefix, &name].concat())
    }

    /// What the cache knows of a key; `None` if it belongs to no space, or can't have a row.
    pub fn explain(&self, key: &[u8]) -> Option<Explain> {
        let serving = self.serving();
        let Belongs::To(served, captures) = serving.belongs(key) else { return None };
        if served.origin.as_ref().is_some_and(|source| served.load(source, &captures).is_none()) {
            return None;
        }
        let absent = served.absent(key, &captures, &Terms::asked(self.now()));
        let mut explain = self.0.cache.explain_key(&served.space, &*served.stored(key));
        // Nobody loads for a plain space: what is not fresh is not there for a plain read.
        if served.origin.is_none() && !matches!(explain.would, Why::Hit | Why::Negative) {
            explain.would = Why::NotCached;
        }
        if absent == Absent::Answers {
            explain.would = Why::NegativeFilter;
        }
        Some(explain)
    }

    /// A request for a key that a face itself found to be too long: no space has such keys.
    pub(crate) fn count_too_long(&self) {
        self.serving().nowhere.count(Why::NoSpace);
    }

    /// Soft: whatever carries one of these tags must be loaded anew.
    pub fn tag_expire(&self, tag: &[u8]) {
        self.clears(self.0.cache.expire_tag(&String::from_utf8_lossy(tag)));
        self.0.watch.tag_changed(tag);
    }

    /// Makes stale whatever carries one of these tags: it may be served while it is refreshed, the most read first and
    /// in turn. How many values that were, in this process. Walks memory: off the threads that serve.
    pub async fn tags_refresh(&self, tags: Vec<Vec<u8>>) -> usize {
        let service = self.clone();
        // One walker at a time, as for SCAN.
        let _walker = self.0.scan.clone().lock_owned().await;
        let walk = move || {
            let refresh = |tag: &Vec<u8>| service.0.cache.refresh_tag(&String::from_utf8_lossy(tag));
            tags.iter().map(refresh).sum()
        };
        // Only a process that ends does not walk.
        self.0.loads.spawn_blocking(walk).await.unwrap_or_default()
    }

    /// Hard: from the moment this returns, no read that begins gets a value that carries the tag.
    pub fn tag_remove(&self, tag: &[u8]) {
        self.clears(self.0.cache.remove_tag(&String::from_utf8_lossy(tag)));
        self.0.watch.tag_changed(tag);
    }
}
