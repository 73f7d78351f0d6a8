//! Where does everything begin? A cache, its spaces and its origins.

use std::any::TypeId;
use std::marker::PhantomData;
use std::sync::{Arc, Weak};

use bellwether_core::fence::{Fence, Invalidation};
use bellwether_core::heat::policy::HotPolicy;
use bellwether_core::policy::Budget;
use bellwether_core::time::Span;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::{Handle, Runtime, RuntimeFlavor};

use crate::cached::Cached;
use crate::control::{brakes, follow, heat, pace, resync};
use crate::disk::{Disk, Lying};
use crate::engine::debts::{Owing, Retried};
use crate::engine::space::{SpaceState, Travel};
use crate::engine::{Engine, SharedTier};
use crate::error::SetupError;
use crate::events::{Heard, Ledger, Transport};
use crate::eviction::Eviction;
use crate::key::{CacheKey, Key, KeyRef};
use crate::observe::explain::{Explain, ExplainReaction};
use crate::observe::snapshot::Snapshot;
use crate::policy::{Human, Policy};
use crate::port::clock::Clock;
use crate::shared::{Sharing, Tier};
use crate::space::{Cleared, Space};
use crate::state::fleet::{Fleet, Listener};
use crate::state::gate::OriginGate;
use crate::state::memory::{LEAST_LIMIT, Memory};
use crate::state::plan::Planned;
use crate::state::spread::SpreadTier;
use crate::weigh::Value;

/// Threads of the runtime that a cache starts for its loads where none is given.
const LOAD_THREADS: usize = 2;
/// How often [`Cache::until_live`] looks.
const LOOK: Span = Span::ms(5);
/// Values up to this size must find room, unless the builder says otherwise.
const LARGEST_VALUE: u64 = 1 << 20;

/// A cache: one memory limit, any number of spaces. Cheap to clone.
///
/// ```
/// use bellwether::{Cache, Loaded, Policy};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = Cache::builder().memory("64 MiB").build()?;
/// let users = cache.space::<u64, String>("user", Policy::ttl("60s").grace("6h"));
/// let user = users.get(&42).or_load(|ctx| async move {
///     Ok::<_, std::io::Error>(Loaded::value(format!("user number {}", ctx.key())))
/// }).await?;
/// assert_eq!(*user, "user number 42");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Cache {
    pub(crate) engine: Arc<Engine>,
    pub(crate) default_origin: Origin,
}

/// An origin with a guard of its own, for [`Cache::space_on`].
#[derive(Clone)]
pub struct Origin(pub(crate) Arc<OriginGate>);

/// What a cache is to be.
pub struct CacheBuilder {
    memory: Result<u64, String>,
    largest_value: u64,
    eviction: Eviction,
    origin_name: String,
    budget: Budget,
    clock: Option<Clock>,
    runtime: Option<Handle>,
    tier: Option<Arc<dyn Tier>>,
    tier_budget: Human,
    resync: Human,
    backplane: Option<Arc<dyn Transport>>,
    ledger: Option<Arc<dyn Ledger>>,
    listener: Option<Listener>,
    disk: Option<Arc<dyn Disk>>,
    hash_seed: Option<u64>,
    hot: HotPolicy,
}

impl CacheBuilder {
    /// The limit of resident bytes, overhead included: "256 MiB" (the default), "1 GiB", "64 KiB".
    #[must_use]
    pub fn memory(mut self, limit: &str) -> CacheBuilder {
        self.memory = parse_size(limit);
        self
    }

    /// The limit of resident bytes as a number.
    #[must_use]
    pub fn memory_bytes(mut self, limit: u64) -> CacheBuilder {
        self.memory = Ok(limit);
        self
    }

    /// The size up to which a single value must find room (default 1 MiB). Larger ones may be
    /// refused, which is counted and answered with why = `too_large`.
    #[must_use]
    pub fn largest_value(mut self, bytes: u64) -> CacheBuilder {
        self.largest_value = bytes;
        self
    }

    /// Who goes first when memory is full. Default: [`Eviction::Auto`]; the others need the cargo feature `foyer`.
    #[must_use]
    pub fn eviction(mut self, policy: Eviction) -> CacheBuilder {
        self.eviction = policy;
        self
    }

    /// What the origin behind [`Cache::space`] may be asked to bear. Default: 16 loads at once, 2 s each.
    #[must_use]
    pub fn budget(mut self, budget: Budget) -> CacheBuilder {
        self.budget = budget;
        self
    }

    /// What the origin behind [`Cache::space`] is called in metrics. Default: "default".
    #[must_use]
    pub fn origin_name(mut self, name: &str) -> CacheBuilder {
        name.clone_into(&mut self.origin_name);
        self
    }

    /// The runtime on which loads run. Default: the current one if it has several threads,
    /// otherwise two threads of the cache's own, because a caller's runtime that stops would
    /// strand everybody who waits for its loads.
    #[must_use]
    pub fn runtime(mut self, runtime: Handle) -> CacheBuilder {
        self.runtime = Some(runtime);
        self
    }

    /// The clock: [`Clock::manual`] in tests.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> CacheBuilder {
        self.clock = Some(clock);
        self
    }

    /// A tier that several processes share, for spaces declared with [`Cache::shared_space`].
    #[must_use]
    pub fn shared(mut self, tier: impl Tier) -> CacheBuilder {
        self.tier = Some(Arc::new(tier));
        self
    }

    /// All that one request may spend on the shared tier (default 50 ms).
    #[must_use]
    pub fn shared_timeout(mut self, budget: impl Into<Human>) -> CacheBuilder {
        self.tier_budget = budget.into();
        self
    }

    /// An entry of a shared space is compared with the shared tier at most this late (default 5 s), so that it does
    /// not outlive what was removed there without our hearing of it.
    #[must_use]
    pub fn shared_resync(mut self, resync: impl Into<Human>) -> CacheBuilder {
        self.resync = resync.into();
        self
    }

    /// How this process hears of invalidations by others, and they of its own. Without one tags and spaces are
    /// invalidated in this process alone, and other processes notice a removed key `shared_resync` later.
    #[must_use]
    pub fn backplane(mut self, transport: impl Transport) -> CacheBuilder {
        self.backplane = Some(Arc::new(transport));
        self
    }

    /// Is told what other processes invalidated, once it holds here: for caches beside this one. It must not block.
    /// A key is told twice: before the shared tier knows, and after.
    #[must_use]
    pub fn on_heard(mut self, listener: impl Fn(&Heard) + Send + Sync + 'static) -> CacheBuilder {
        self.listener = Some(Box::new(listener));
        self
    }

    /// Remembers across restarts which invalidations the shared tier could not be told.
    #[must_use]
    pub fn ledger(mut self, ledger: impl Ledger) -> CacheBuilder {
        self.ledger = Some(Arc::new(ledger));
        self
    }

    /// A tier on this machine's disk, for spaces declared with [`Cache::shared_space`]: it holds what memory has no
    /// room for, and what survives a restart.
    #[must_use]
    pub fn disk(mut self, disk: impl Disk) -> CacheBuilder {
        self.disk = Some(Arc::new(disk));
        self
    }

    /// Fixes how keys are hashed, so that the same requests evict the same entries in every run: for
    /// replays and tests. Unless it is set, a program draws its own, and nobody can choose keys that collide.
    #[must_use]
    pub fn hash_seed(mut self, seed: u64) -> CacheBuilder {
        self.hash_seed = Some(seed);
        self
    }

    /// From when on a key is hot. Default: from half of what one node bears on, and that is measured.
    #[must_use]
    pub fn hot(mut self, policy: HotPolicy) -> CacheBuilder {
        self.hot = policy;
        self
    }

    /// Builds the cache.
    ///
    /// # Errors
    /// A limit that can't be read or is below 64 KiB, an eviction policy that this build lacks, a budget or
    /// thresholds of hot keys without sense, or no threads for loads.
    pub fn build(self) -> Result<Cache, SetupError> {
        heat::sensible(&self.hot)?;
        let limit = self.memory.map_err(SetupError::Memory)?;
        if limit < LEAST_LIMIT {
            return Err(SetupError::Memory(format!("{limit} bytes are too few: at least 64 KiB")));
        }
        let budget = self.tier_budget.0.map_err(SetupError::SharedTime)?;
        let resync = self.resync.0.map_err(SetupError::SharedTime)?;
        let (runtime, own) = match (self.runtime, Handle::try_current()) {
            (Some(given), _) => (given, None),
            (None, Ok(current)) if current.runtime_flavor() == RuntimeFlavor::MultiThread => (current, None),
            (None, _) => {
                let own = load_runtime().map_err(|error| SetupError::Runtime(error.to_string()))?;
                (own.handle().clone(), Some(own))
            }
        };
        let clock = self.clock.unwrap_or_else(Clock::system);
        let fixed = |seed| ahash::RandomState::with_seeds(seed, !seed, seed.rotate_left(32), 0);
        let seed = self.hash_seed.map_or_else(ahash::RandomState::new, fixed);
        let memory = Memory::new(self.eviction, limit, self.largest_value.min(limit / 4), clock.clone(), &seed)
            .ok_or(SetupError::Eviction(self.eviction))?;
        let listener = self.listener;
        let fleet = self.backplane.as_ref().map(|to| Fleet::new(to.delivery(), resync, clock.clone(), listener));
        let spread = self.tier.map(|tier| SpreadTier::new(tier, runtime.clone()));
        let shared = SharedTier { spread, budget, resync, fleet: fleet.clone(), ledger: self.ledger, disk: self.disk };
        let engine = Engine::new(memory, clock, seed, shared, self.hot, runtime, own);
        heat::start(&engine, self.backplane.clone());
        if let (Some(fleet), Some(transport)) = (fleet, self.backplane) {
            follow::start(&engine, fleet, transport);
        }
        resync::start(&engine);
        brakes::start(&engine);
        pace::start(&engine);
        let default_origin = declare_origin(&engine, &self.origin_name, self.budget)?;
        Ok(Cache { engine, default_origin })
    }
}

fn load_runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(LOAD_THREADS)
        .thread_name("bellwether-load")
        .enable_all()
        .build()
}

fn declare_origin(engine: &Arc<Engine>, name: &str, budget: Budget) -> Result<Origin, SetupError> {
    sensible(name, &budget)?;
    let mut origins = engine.origins.write();
    if origins.iter().any(|declared| *declared.name == *name) {
        return Err(SetupError::OriginTwice(name.to_owned()));
    }
    // One that a revision dropped while its loads run: they count against the new budget (G9).
    let former = engine.former_origins.lock().iter().filter_map(Weak::upgrade).find(|gate| *gate.name == *name);
    let gate = match former {
        Some(gate) => {
            gate.set_budget(&budget);
            gate
        }
        None => OriginGate::new(name.into(), budget, engine.clock.clone(), engine.runtime().clone()),
    };
    origins.push(gate.clone());
    Ok(Origin(gate))
}

/// Whether a budget makes sense.
pub(crate) fn sensible(origin: &str, budget: &Budget) -> Result<(), SetupError> {
    let mistakes: Vec<String> = budget.mistakes().into_iter().map(|(knob, text)| format!("{knob} {text}")).collect();
    if mistakes.is_empty() { Ok(()) } else { Err(SetupError::Budget { origin: origin.to_owned(), mistakes }) }
}

impl Cache {
    /// Starts to describe a cache.
    pub fn builder() -> CacheBuilder {
        CacheBuilder {
            memory: Ok(256 << 20),
            largest_value: LARGEST_VALUE,
            eviction: Eviction::Auto,
            origin_name: "default".to_owned(),
            // Its loaders may ask what they like: that one of them fails says nothing of the others.
            budget: Budget { breaker: false, ..Budget::default() },
            clock: None,
            runtime: None,
            tier: None,
            tier_budget: "50ms".into(),
            resync: "5s".into(),
            backplane: None,
            ledger: None,
            listener: None,
            disk: None,
            hash_seed: None,
            hot: HotPolicy::default(),
        }
    }

    /// Declares a space on the default origin.
    ///
    /// # Panics
    /// If the policy makes no sense or the name is taken: see [`Cache::space_on`] for an error instead.
    pub fn space<K: CacheKey + ?Sized + 'static, V: Value>(
        &self,
        name: &str,
        policy: impl Into<Policy>,
    ) -> Space<K, V> {
        self.space_on(&self.default_origin, name, policy).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Declares an origin with a guard of its own.
    ///
    /// # Errors
    /// The budget makes no sense, or the name is taken.
    pub fn origin(&self, name: &str, budget: Budget) -> Result<Origin, SetupError> {
        declare_origin(&self.engine, name, budget)
    }

    /// The origin behind [`Cache::space`], for [`Cache::space_on`].
    pub fn default_origin(&self) -> Origin {
        self.default_origin.clone()
    }

    /// Declares a space on an origin. Declared again with the same types it is the same space,
    /// with its first policy.
    ///
    /// # Errors
    /// The policy makes no sense, or the name is taken by a space of other types.
    pub fn space_on<K: CacheKey + ?Sized + 'static, V: Value>(
        &self,
        origin: &Origin,
        name: &str,
        policy: impl Into<Policy>,
    ) -> Result<Space<K, V>, SetupError> {
        self.declare(origin, name, policy.into(), None)
    }

    /// Declares a space whose values also live in the shared tier, as JSON.
    ///
    /// # Errors
    /// As [`Cache::space_on`].
    pub fn shared_space<K, V>(&self, name: &str, policy: impl Into<Policy>) -> Result<Space<K, V>, SetupError>
    where
        K: CacheKey + ?Sized + 'static,
        V: Value + Serialize + DeserializeOwned,
    {
        self.shared_space_on(&self.default_origin, name, policy, Sharing::json())
    }

    /// Declares a space on an origin, whose values also live in the shared tier as `sharing` says.
    ///
    /// # Errors
    /// As [`Cache::space_on`].
    pub fn shared_space_on<K: CacheKey + ?Sized + 'static, V: Value>(
        &self,
        origin: &Origin,
        name: &str,
        policy: impl Into<Policy>,
        sharing: Sharing<V>,
    ) -> Result<Space<K, V>, SetupError> {
        self.declare(origin, name, policy.into(), Some(Travel::of(name, sharing)))
    }

    fn declare<K: CacheKey + ?Sized + 'static, V: Value>(
        &self,
        origin: &Origin,
        name: &str,
        policy: Policy,
        travel: Option<Travel>,
    ) -> Result<Space<K, V>, SetupError> {
        let policy = policy.resolve().map_err(|mistakes| SetupError::Policy { space: name.to_owned(), mistakes })?;
        let types = (TypeId::of::<PhantomData<K>>(), TypeId::of::<V>());
        let mut spaces = self.engine.spaces.write();
        if let Some(declared) = spaces.get(name) {
            if declared.types != types {
                return Err(SetupError::Twice(name.to_owned()));
            }
            return Ok(Space::new(self.engine.clone(), declared.clone()));
        }
        let id = self.engine.next_space();
        let state = Arc::new(SpaceState::new(id, name.into(), policy, origin.0.clone(), types, travel));
        self.engine.settle_memory(&state, None);
        spaces.insert(state.name.clone(), state.clone());
        drop(spaces);
        self.engine.adopt_debts();
        Ok(Space::new(self.engine.clone(), state))
    }

    /// Soft: whatever carries `tag` must be loaded anew; the old value is at most a rescue. In this
    /// process; others hear of it by the backplane, if there is one.
    pub fn expire_tag(&self, tag: &str) -> Cleared {
        Cleared::new(self.engine.invalidate_tag(tag, Invalidation::Expire))
    }

    /// Hard: from the moment this returns, no read that begins gets a value that carries `tag`.
    pub fn remove_tag(&self, tag: &str) -> Cleared {
        Cleared::new(self.engine.invalidate_tag(tag, Invalidation::Remove))
    }

    /// Makes whatever carries `tag` stale, in this process: it may be served while readers refresh it, the most read
    /// first and no faster than the space's pace. No invalidation. Walks the whole memory tier; not for a request's
    /// path. How many values that were.
    pub fn refresh_tag(&self, tag: &str) -> usize {
        self.engine.make_tag_stale(tag)
    }

    /// Another process invalidated a key, named as in the shared tier, under this fence of the tier's if it is known.
    /// A copy that is newer stays. True if a value was resident.
    pub fn hear_key(&self, name: &[u8], verb: Invalidation, fence: Option<Fence>) -> bool {
        self.engine.hear_key(name, verb, fence)
    }

    /// Another process invalidated a tag, given as [`crate::shared::tag_hash`] of its text.
    pub fn hear_tag(&self, tag: u64, verb: Invalidation) {
        drop(self.engine.raise_tag(tag, verb));
    }

    /// Another process invalidated a whole space. False: there is none of that name here.
    pub fn hear_space(&self, space: &str, verb: Invalidation) -> bool {
        self.engine.hear_space(space, verb)
    }

    /// Invalidations that hold here and of which the shared tier could not be told yet, by name.
    pub fn owing(&self) -> Vec<Owing> {
        self.engine.owing()
    }

    /// Tries again what is owed to the shared tier for the key of this name there, or for all keys. How many that are.
    pub fn retry_owed(&self, name: Option<&[u8]>) -> usize {
        self.engine.retry_owed(name)
    }

    /// The same, and waits for what comes of it: about `limit` long, whatever is owed.
    pub async fn retry_owed_within(&self, name: Option<&[u8]>, limit: Span) -> Retried {
        self.engine.retry_owed_within(name, limit).await
    }

    /// Gives up what is owed to the shared tier for the key of this name there, or for all keys: from then on its
    /// older value is believed until it ends. How many that were.
    pub fn drop_owed(&self, name: Option<&[u8]>) -> usize {
        self.engine.drop_owed(name)
    }

    /// Whether every invalidation of the fleet is known here that is older than the backplane's delay; without a
    /// backplane there is nothing to know.
    pub fn is_live(&self) -> bool {
        self.engine.fleet.as_ref().is_none_or(|fleet| fleet.is_live())
    }

    /// Whether the disk tier works; `None`: there is none.
    pub fn disk_state(&self) -> Option<crate::disk::DiskState> {
        self.engine.shelf.as_ref().map(|shelf| shelf.counts().state)
    }

    /// Waits until it is so, at most for `limit`. A process that waits before it takes requests loads less.
    pub async fn until_live(&self, limit: Span) -> bool {
        let clock = &self.engine.clock;
        let end = clock.now() + limit;
        while !self.is_live() && clock.now() < end {
            clock.sleep_until((clock.now() + LOOK).min(end)).await;
        }
        self.is_live()
    }

    /// What the cache knows of a key, named as `space:key`; `None` if there is no such space.
    /// The longest space name that fits is meant.
    pub fn explain(&self, name: &str) -> Option<Explain> {
        let spaces = self.engine.spaces.read();
        let fits =
            spaces.values().filter_map(|space| Some((space, name.strip_prefix(&*space.name)?.strip_prefix(':')?)));
        let (space, key) = fits.max_by_key(|(space, _)| space.name.len())?;
        Some(self.engine.explain(space, &KeyRef::new(space.id, key.as_bytes(), &self.engine.seed).to_key()))
    }

    /// What the cache knows of a key of `space`.
    pub fn explain_key<K: CacheKey + ?Sized, V: Value>(&self, space: &Space<K, V>, key: &K) -> Explain {
        self.engine.explain(&space.shared.state, &space.owned(key))
    }

    /// What lies on this machine's disk for a key of `space`, whether it may be served or not. Loads nothing, and takes
    /// nothing up; `None` if nothing is there, the space has no disk, or nobody can tell soon.
    pub async fn on_disk<K: CacheKey + ?Sized, V: Value>(&self, space: &Space<K, V>, key: &K) -> Option<Lying> {
        self.engine.lying(&space.shared.state, &space.owned(key)).await
    }

    /// What is done about hot keys right now: space, key bytes, and what is known of it. Bounded: only so many keys are
    /// reacted to at once.
    pub fn reactions(&self) -> Vec<(Arc<str>, Box<[u8]>, ExplainReaction)> {
        let spaces: std::collections::HashMap<u32, Arc<str>> =
            self.engine.spaces.read().values().map(|space| (space.id, space.name.clone())).collect();
        let (plan, now) = (self.engine.plans.snapshot(), self.engine.clock.now());
        let of = |(key, planned): (&Key, &Planned)| {
            Some((spaces.get(&key.space)?.clone(), (*key.bytes).into(), ExplainReaction::of(planned, now)))
        };
        plan.by_key.iter().filter_map(of).collect()
    }

    /// All counts at this moment.
    pub fn snapshot(&self) -> Snapshot {
        self.engine.snapshot()
    }

    /// How many entries are resident, negatives and markers included, for the price of a few loads.
    pub fn entries(&self) -> u64 {
        self.engine.memory.len() as u64
    }

    /// Names and keys of what is resident and may be served, in no order: space and key bytes.
    /// Walks the whole memory tier; not for a request's path.
    pub fn resident(&self) -> impl Iterator<Item = (Arc<str>, Box<[u8]>)> + '_ {
        let spaces = self.engine.spaces_by_id();
        self.engine.memory.entries().filter_map(move |(space, key, entry)| {
            let space = spaces.get(&space)?;
            self.engine.is_live(space, &entry).then(|| (space.name.clone(), key))
        })
    }

    /// The cache's clock.
    pub fn clock(&self) -> &Clock {
        &self.engine.clock
    }

    /// For how long somebody may keep `value` who hears of invalidations through this process alone: its freshness;
    /// where this process itself might not hear of one, at most `shared_resync`.
    pub fn keepable<V>(&self, value: &Cached<V>) -> Span {
        let heard = self.engine.fleet.as_ref().is_some_and(|fleet| fleet.is_live());
        match value.tier_fence() {
            None => value.remaining(),
            // What others wrote past us, or nobody but us knows of yet, nobody tells of.
            Some(fence) if heard && fence != Fence::ZERO => value.remaining(),
            Some(_) => value.remaining().at_most(self.engine.resync),
        }
    }
}

/// Reads "256 MiB", "1 GiB", "64 KiB", "1000 B".
fn parse_size(text: &str) -> Result<u64, String> {
    let expected = || format!("expected a size such as \"256 MiB\" or \"1 GiB\", found \"{text}\"");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().map_err(|_| expected())?;
    let unit: u64 = match text[digits..].trim_start() {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(expected()),
    };
    number.checked_mul(unit).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!(parse_size("256 MiB"), Ok(256 << 20));
        assert_eq!(parse_size("1GiB"), Ok(1 << 30));
        for text in ["", "256", "256 MB", "-1 MiB", "99999999999 GiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_policy_that_this_build_lacks_is_refused_with_the_way_out() {
        for policy in Eviction::ALL {
            match Cache::builder().eviction(policy).build() {
                Ok(cache) => {
                    assert!(policy.is_built_in());
                    assert_eq!(cache.snapshot().memory.eviction, policy);
                }
                Err(error) => {
                    assert!(!policy.is_built_in() && error == SetupError::Eviction(policy));
                    assert!(error.to_string().contains(policy.as_str()) && error.to_string().contains("`foyer`"));
                }
            }
        }
    }

    #[test]
    fn a_cache_that_makes_no_sense_is_refused_with_the_reason() {
        let too_small = Cache::builder().memory("1 KiB").build().err();
        assert!(matches!(too_small, Some(SetupError::Memory(text)) if text.contains("64 KiB")));
        let no_loads = Budget { max_concurrency: 0, ..Budget::default() };
        assert!(matches!(Cache::builder().budget(no_loads).build().err(), Some(SetupError::Budget { .. })));
        let cache = Cache::builder().build().expect("the defaults make sense");
        let _user = cache.space::<u64, String>("user", Policy::ttl("60s"));
        let other = cache.space_on::<u64, u64>(&cache.default_origin, "user", Policy::ttl("60s")).err();
        assert_eq!(other, Some(SetupError::Twice("user".to_owned())));
        let origin = |name| cache.origin(name, Budget::default()).err();
        assert_eq!(origin("default"), Some(SetupError::OriginTwice("default".to_owned())), "the built-in one's name");
        assert_eq!((origin("db"), origin("db")), (None, Some(SetupError::OriginTwice("db".to_owned()))));
        let renamed = Cache::builder().origin_name("db").build().expect("a name is a name");
        assert!(
            renamed.origin("default", Budget::default()).is_ok() && renamed.origin("db", Budget::default()).is_err()
        );
        let bad = cache.space_on::<u64, u64>(&cache.default_origin, "x", Policy::ttl("60")).err();
        assert!(matches!(bad, Some(SetupError::Policy { mistakes, .. }) if mistakes.len() == 1));
    }
}
