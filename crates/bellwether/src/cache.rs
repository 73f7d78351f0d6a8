//! Where does everything begin? A cache, its spaces and its origins.

use std::any::TypeId;
use std::marker::PhantomData;
use std::sync::{Arc, Weak};

use bellwether_core::fence::{Fence, Invalidation};
use bellwether_core::policy::Budget;
use bellwether_core::time::Span;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::acknowledged::Cleared;
use crate::cached::Cached;
use crate::disk::Lying;
use crate::engine::Engine;
use crate::engine::debts::{Owing, Retried};
use crate::error::SetupError;
use crate::key::{CacheKey, Key, KeyRef};
use crate::observe::explain::{Explain, ExplainReaction};
use crate::observe::snapshot::Snapshot;
use crate::policy::Policy;
use crate::port::clock::Clock;
use crate::shared::Sharing;
use crate::space::Space;
use crate::state::gate::OriginGate;
use crate::state::plan::Planned;
use crate::state::space::{SpaceState, Travel};
use crate::weigh::Value;

/// How often [`Cache::until_live`] looks.
const LOOK: Span = Span::ms(5);

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

pub(crate) fn declare_origin(engine: &Arc<Engine>, name: &str, budget: Budget) -> Result<Origin, SetupError> {
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

    /// Makes whatever carries `tag` stale: it may be served while readers refresh it, the most read first and no faster
    /// than the space's pace. No invalidation. Walks the whole memory tier; not for a request's path. How many values
    /// that were in this process; others hear of it by the backplane, if there is one, and each key is loaded once for
    /// all that share its tier. What lies in the shared tier alone stays as it is.
    pub fn refresh_tag(&self, tag: &str) -> usize {
        self.engine.refresh_tag(tag)
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

#[cfg(test)]
mod tests {
    use super::*;

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
