//! What is a cache to be? Everything that is said of it before it is there.

use std::sync::Arc;

use bellwether_core::heat::policy::HotPolicy;
use bellwether_core::policy::Budget;
use tokio::runtime::{Handle, Runtime, RuntimeFlavor};

use crate::cache::{Cache, declare_origin};
use crate::control::{brakes, follow, heat, pace, resync, silence, unmet};
use crate::disk::Disk;
use crate::engine::{Engine, SharedTier};
use crate::error::SetupError;
use crate::events::{Heard, Ledger, Transport};
use crate::eviction::Eviction;
use crate::key::Seed;
use crate::policy::Human;
use crate::port::clock::Clock;
use crate::shared::Tier;
use crate::state::fleet::{Fleet, Listener};
use crate::state::memory::{LEAST_LIMIT, Memory};
use crate::state::spread::SpreadTier;

/// Threads of the runtime that a cache starts for its loads where none is given.
const LOAD_THREADS: usize = 2;
/// Values up to this size must find room, unless the builder says otherwise.
const LARGEST_VALUE: u64 = 1 << 20;

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
    pub fn shared(self, tier: impl Tier) -> CacheBuilder {
        self.shared_with(Arc::new(tier))
    }

    /// The same, of a tier that others ask as well, such as how its servers are.
    #[must_use]
    pub fn shared_with(mut self, tier: Arc<dyn Tier>) -> CacheBuilder {
        self.tier = Some(tier);
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
        let seed = self.hash_seed.map_or_else(Seed::random, Seed::fixed);
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
        silence::start(&engine);
        brakes::start(&engine);
        pace::start(&engine);
        unmet::start(&engine);
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
}
