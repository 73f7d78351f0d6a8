//! How does a cache change while it runs? Spaces and origins anew: prepared aside, then in force at once.

use std::any::TypeId;
use std::collections::{HashMap, HashSet};
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bellwether_core::policy::Budget;

use crate::cache::{Cache, Origin, sensible};
use crate::engine::Engine;
use crate::error::SetupError;
use crate::key::CacheKey;
use crate::policy::Policy;
use crate::shared::Sharing;
use crate::space::Space;
use crate::state::gate::OriginGate;
use crate::state::space::{SpaceState, Travel};
use crate::weigh::Value;

/// The next set of spaces and origins of a running cache.
///
/// Nothing changes before [`Revision::commit`]; dropped without it, nothing ever does. One at a
/// time: of two revisions begun from the same cache the first commit wins, and the other is refused.
///
/// ```
/// use bellwether::{Cache, Loaded, Policy};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = Cache::builder().build()?;
/// let user = cache.space::<u64, String>("user", Policy::ttl("60s"));
/// user.put(&1, Loaded::value("one".to_owned()));
///
/// let mut revision = cache.revise();
/// let slower = revision.keep::<u64, String>(&cache.default_origin(), "user", Policy::ttl("10m"))?;
/// revision.commit()?;
/// assert!(slower.peek(&1).is_some(), "entries stay, and so do their times");
///
/// let mut revision = cache.revise();
/// let anew = revision.renew::<u64, String>(&cache.default_origin(), "user", Policy::ttl("10m"))?;
/// revision.commit()?;
/// assert!(anew.peek(&1).is_none() && slower.peek(&1).is_none());
/// # Ok(()) }
/// ```
#[must_use = "nothing changes before `commit`"]
pub struct Revision {
    engine: Arc<Engine>,
    /// The revisions that the cache had seen when this one began.
    began: u64,
    default_origin: Origin,
    spaces: HashMap<Arc<str>, Arc<SpaceState>>,
    origins: Vec<(Arc<OriginGate>, Budget)>,
}

impl Cache {
    /// Starts to prepare other spaces and origins for this cache: those that it is to have from the
    /// commit on. What is not named in the revision is dropped by it.
    pub fn revise(&self) -> Revision {
        Revision {
            engine: self.engine.clone(),
            began: self.engine.revisions.load(Ordering::SeqCst),
            default_origin: self.default_origin.clone(),
            spaces: HashMap::new(),
            origins: Vec::new(),
        }
    }
}

impl Revision {
    /// An origin. One that the cache has, or had while its last loads run, keeps its guard, so that
    /// what runs counts against the new budget (G9); the budget holds from the commit on.
    ///
    /// # Errors
    /// The budget makes no sense, or the revision or the cache's own origin has the name already.
    pub fn origin(&mut self, name: &str, budget: Budget) -> Result<Origin, SetupError> {
        sensible(name, &budget)?;
        let of_revision = self.origins.iter().map(|(gate, _)| gate);
        if of_revision.chain([&self.default_origin.0]).any(|gate| *gate.name == *name) {
            return Err(SetupError::OriginTwice(name.to_owned()));
        }
        let gate = self.known_gate(name).unwrap_or_else(|| {
            let engine = &self.engine;
            OriginGate::new(name.into(), budget.clone(), engine.clock.clone(), engine.runtime().clone())
        });
        self.origins.push((gate.clone(), budget));
        Ok(Origin(gate))
    }

    fn known_gate(&self, name: &str) -> Option<Arc<OriginGate>> {
        let declared = |gate: &&Arc<OriginGate>| *gate.name == *name && !Arc::ptr_eq(gate, &self.default_origin.0);
        if let Some(gate) = self.engine.origins.read().iter().find(declared) {
            return Some(gate.clone());
        }
        let former = self.engine.former_origins.lock();
        former.iter().filter_map(std::sync::Weak::upgrade).find(|gate| *gate.name == *name)
    }

    /// A space that goes on: its entries with the times they were stamped with, its flights, tokens,
    /// invalidations and counts. A space that the cache does not have yet begins empty.
    ///
    /// # Errors
    /// The policy makes no sense, or the cache has a space of that name with other types.
    pub fn keep<K: CacheKey + ?Sized + 'static, V: Value>(
        &mut self,
        origin: &Origin,
        name: &str,
        policy: impl Into<Policy>,
    ) -> Result<Space<K, V>, SetupError> {
        let policy = resolved(name, policy)?;
        let gate = origin.0.clone();
        let state = match self.declared::<K, V>(name)? {
            Some(before) => before.under(policy, gate),
            None => SpaceState::new(self.engine.next_space(), name.into(), policy, gate, types::<K, V>(), None),
        };
        Ok(self.take(state))
    }

    /// As [`Revision::keep`], for a space whose values also live in the shared tier as `sharing` says from the
    /// commit on.
    ///
    /// # Errors
    /// As [`Revision::keep`].
    pub fn keep_shared<K: CacheKey + ?Sized + 'static, V: Value>(
        &mut self,
        origin: &Origin,
        name: &str,
        policy: impl Into<Policy>,
        sharing: Sharing<V>,
    ) -> Result<Space<K, V>, SetupError> {
        let policy = resolved(name, policy)?;
        let (gate, travel) = (origin.0.clone(), Some(Travel::of(name, sharing)));
        let state = match self.declared::<K, V>(name)? {
            Some(before) => before.under(policy, gate).travelling(travel),
            None => SpaceState::new(self.engine.next_space(), name.into(), policy, gate, types::<K, V>(), travel),
        };
        Ok(self.take(state))
    }

    /// A space that begins anew: from the commit on no entry of its predecessor is served, and no
    /// load of its predecessor that still runs is kept or joined. Only the counts go on.
    ///
    /// # Errors
    /// As [`Revision::keep`]; or its values also live in the shared tier, where the old ones would
    /// be found again: such a space needs another name.
    pub fn renew<K: CacheKey + ?Sized + 'static, V: Value>(
        &mut self,
        origin: &Origin,
        name: &str,
        policy: impl Into<Policy>,
    ) -> Result<Space<K, V>, SetupError> {
        let policy = resolved(name, policy)?;
        let (id, gate) = (self.engine.next_space(), origin.0.clone());
        let state = match self.declared::<K, V>(name)? {
            Some(before) if before.travel.is_some() => return Err(SetupError::Shared(name.to_owned())),
            Some(before) => before.renewed(id, policy, gate),
            None => SpaceState::new(id, name.into(), policy, gate, types::<K, V>(), None),
        };
        Ok(self.take(state))
    }

    /// As [`Revision::renew`], and from the commit on its values live in the shared tier as `sharing` says, or nowhere
    /// else. What it had there is left there: under the same names it would be found again, so that `sharing` is to
    /// give other ones.
    ///
    /// # Errors
    /// As [`Revision::keep`].
    pub fn renew_as<K: CacheKey + ?Sized + 'static, V: Value>(
        &mut self,
        origin: &Origin,
        name: &str,
        policy: impl Into<Policy>,
        sharing: Option<Sharing<V>>,
    ) -> Result<Space<K, V>, SetupError> {
        let policy = resolved(name, policy)?;
        let (id, gate) = (self.engine.next_space(), origin.0.clone());
        let travel = sharing.map(|sharing| Travel::of(name, sharing));
        let state = match self.declared::<K, V>(name)? {
            Some(before) => before.renewed(id, policy, gate).travelling(travel),
            None => SpaceState::new(id, name.into(), policy, gate, types::<K, V>(), travel),
        };
        Ok(self.take(state))
    }

    /// What the cache has under this name.
    fn declared<K: ?Sized + 'static, V: 'static>(&self, name: &str) -> Result<Option<Arc<SpaceState>>, SetupError> {
        let declared = self.engine.spaces.read().get(name).cloned();
        let taken = self.spaces.contains_key(name);
        if taken || declared.as_ref().is_some_and(|space| space.types != types::<K, V>()) {
            return Err(SetupError::Twice(name.to_owned()));
        }
        Ok(declared)
    }

    fn take<K: CacheKey + ?Sized, V: Value>(&mut self, state: SpaceState) -> Space<K, V> {
        let state = Arc::new(state);
        self.spaces.insert(state.name.clone(), state.clone());
        Space::new(self.engine.clone(), state)
    }

    /// From now on this is the cache. Spaces not named here are dropped with all their entries, and
    /// so are origins; loads of theirs that run are finished for those who wait, and not kept.
    ///
    /// Tidying up walks the whole memory tier if a space was dropped or renewed: not for a thread
    /// that must answer.
    ///
    /// # Errors
    /// Another revision was committed since this one began. Nothing has changed then: begin again.
    pub fn commit(self) -> Result<(), SetupError> {
        let engine = &*self.engine;
        let (began, order) = (self.began, Ordering::SeqCst);
        engine.revisions.compare_exchange(began, began + 1, order, order).map_err(|_| SetupError::Overtaken)?;
        for (gate, budget) in &self.origins {
            gate.set_budget(budget);
        }
        let gates: Vec<_> =
            std::iter::once(self.default_origin.0).chain(self.origins.into_iter().map(|o| o.0)).collect();
        let before = std::mem::replace(&mut *engine.origins.write(), gates.clone());
        let gone = |gate: &Arc<OriginGate>| !gates.iter().any(|kept| Arc::ptr_eq(kept, gate));
        let mut former = engine.former_origins.lock();
        // Each once, and only while something still holds it.
        former.retain(|gate| gate.upgrade().is_some_and(|gate| gone(&gate)));
        former.extend(before.iter().filter(|gate| gone(gate)).map(Arc::downgrade));
        drop(former);

        let kept: HashSet<u32> = self.spaces.values().map(|space| space.id).collect();
        for space in self.spaces.values() {
            engine.settle_memory(space, engine.spaces.read().get(&space.name).map(Arc::as_ref));
        }
        let before = std::mem::replace(&mut *engine.spaces.write(), self.spaces);
        let mut gone = HashSet::new();
        for space in before.values().filter(|space| !kept.contains(&space.id)) {
            // The floor is the truth; that the bytes go as well is tidying.
            space.retire();
            // Another space of that name may come, now or after a restart.
            drop(engine.unshelve_space(space, engine.next_fence()));
            gone.insert(space.id);
        }
        engine.drop_spaces(&gone);
        self.engine.adopt_debts();
        Ok(())
    }
}

fn types<K: ?Sized + 'static, V: 'static>() -> (TypeId, TypeId) {
    (TypeId::of::<PhantomData<K>>(), TypeId::of::<V>())
}

fn resolved(name: &str, policy: impl Into<Policy>) -> Result<bellwether_core::policy::Policy, SetupError> {
    let unresolved: Policy = policy.into();
    unresolved.resolve().map_err(|mistakes| SetupError::Policy { space: name.to_owned(), mistakes })
}
