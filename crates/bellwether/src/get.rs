//! How does a caller ask? `get(key)`, what it insists on, and the loader.

use std::borrow::Borrow;
use std::sync::Arc;

use bellwether_core::guard::gate::Ticket;
use bellwether_core::policy::Priority;
use bellwether_core::read::decide::Demand;
use bellwether_core::time::Tick;
use bellwether_core::why::Why;
use futures_util::future::FutureExt;

use crate::asked::{Terms, erase, typed, why_of};
use crate::body::AnyBody;
use crate::cached::Cached;
use crate::ctx::{BatchCtx, LoadCtx};
use crate::engine::batch::{BatchFn, distinct};
use crate::engine::due::Due;
use crate::error::Error;
use crate::key::{CacheKey, Key, KeyRef};
use crate::load::{LoadError, Loaded};
use crate::or_load::OrLoad;
use crate::policy::Human;
use crate::space::{Shared, Space};
use crate::weigh::Value;

/// A read being asked for; nothing happens before [`Get::or_load`] or [`Get::if_cached`].
#[must_use = "a read that is not awaited does nothing"]
pub struct Get<'a, K: ?Sized, V> {
    space: &'a Space<K, V>,
    key: &'a K,
    /// Most insist on nothing: then there is less to write, and to look at.
    terms: Option<Terms>,
}

/// Several reads at once; nothing happens before [`GetMany::or_load`].
#[must_use = "a read that is not awaited does nothing"]
pub struct GetMany<'a, B, K: ?Sized, V> {
    space: &'a Space<K, V>,
    keys: &'a [B],
    terms: Option<Terms>,
}

macro_rules! terms {
    () => {
        /// Refuses values whose load began longer ago than this ("2s", a `Duration`).
        ///
        /// # Panics
        /// If a text is no duration.
        pub fn fresh_within(self, age: impl Into<Human>) -> Self {
            let age = age.into().0.unwrap_or_else(|text| panic!("fresh_within: {text}"));
            self.demand(Demand::MaxAge(age))
        }

        /// Joins or starts a load whatever is resident.
        pub fn fresh(self) -> Self {
            self.demand(Demand::Fresh)
        }

        /// What age is acceptable, as data.
        pub fn demand(mut self, demand: Demand) -> Self {
            self.terms.get_or_insert_default().demand = demand;
            self
        }

        /// The class of the load that this read may need; a flight inherits the highest.
        pub fn priority(mut self, priority: Priority) -> Self {
            self.terms.get_or_insert_default().priority = Some(priority);
            self
        }

        /// This caller's deadline, from now; the space's `timeout` unless set. The load goes on without it. Nobody waits
        /// for longer than 49 days, whatever is asked for.
        ///
        /// # Panics
        /// If a text is no duration.
        pub fn timeout(mut self, timeout: impl Into<Human>) -> Self {
            let timeout = timeout.into().0.unwrap_or_else(|text| panic!("timeout: {text}"));
            self.terms.get_or_insert_default().timeout = Some(timeout);
            self
        }

        /// This caller's deadline as a moment of the cache's clock.
        pub fn deadline(mut self, deadline: Tick) -> Self {
            self.terms.get_or_insert_default().deadline = Some(deadline);
            self
        }
    };
}

impl<K: CacheKey + ?Sized, V: Value> Get<'_, K, V> {
    terms!();

    /// Passes the cache by: loads under the guard for this caller alone, keeps nothing.
    pub fn bypass(mut self) -> Self {
        self.terms.get_or_insert_default().bypass = true;
        self
    }

    /// The value, from the cache or from `loader`: of all callers that need it at the same time,
    /// one leads and its loader runs, on the cache's runtime, whatever becomes of the caller.
    ///
    /// # Errors
    /// [`Error::is_missing`] if the origin has no such row; a timeout at this caller's deadline;
    /// shed by the guard; or the load failed: unless a stale value or the default stands in.
    pub fn or_load<F, Fut, E>(self, loader: F) -> impl Future<Output = Result<Cached<V>, Error>>
    where
        F: FnOnce(LoadCtx<K::Owned, V>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Loaded<V>, E>> + Send,
        E: Into<LoadError>,
    {
        OrLoad::Asked { space: self.space, key: self.key, terms: self.terms, loader }
    }

    /// The value if it is resident and may be served; never loads.
    ///
    /// # Errors
    /// [`Error::is_not_cached`], or [`Error::is_missing`] if it is known not to exist.
    pub fn if_cached(self) -> Result<Cached<V>, Error> {
        let found = self.space.found(self.key);
        match self.space.judge(self.key, found, Demand::CachedOnly)? {
            Some((cached, _)) => Ok(cached),
            None => Err(Error::new(Why::NotCached)),
        }
    }
}

impl<B: Borrow<K>, K: CacheKey + ?Sized, V: Value> GetMany<'_, B, K, V> {
    terms!();

    /// The values in the order of the keys, each with an outcome of its own: one load for all that
    /// memory lacks and nobody loads yet. The loader answers with keys; those it leaves out are
    /// missing rows. It is called again, key by key, if it fails as a whole.
    pub async fn or_load<F, Fut, E>(self, loader: F) -> Vec<Result<Cached<V>, Error>>
    where
        K::Owned: CacheKey,
        F: Fn(Vec<K::Owned>, BatchCtx) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<(K::Owned, Loaded<V>)>, E>> + Send + 'static,
        E: Into<LoadError>,
    {
        let GetMany { space, keys, terms } = self;
        let terms = terms.unwrap_or_default();
        let shared = space.shared.clone();
        let (unique, mentions) = distinct(keys.iter().map(|key| space.owned(key.borrow())));
        let mut owned: Vec<Option<K::Owned>> = unique.iter().map(|_| None).collect();
        for (key, place) in keys.iter().zip(&mentions) {
            owned[*place].get_or_insert_with(|| key.borrow().to_owned_key());
        }
        let owned: Arc<[K::Owned]> = owned.into_iter().flatten().collect();
        let load = erase_batch(unique.clone().into(), owned, shared.clone(), loader);
        let ask = terms.ask(&shared);
        let answers = shared.engine.many(&shared.state, &unique, &ask, load).await;
        // A key named twice is asked once and answered twice.
        let results: Vec<_> = mentions.iter().map(|place| typed(answers[*place].clone())).collect();
        let now_us = shared.engine.clock.now_us();
        for (result, place) in results.iter().zip(&mentions) {
            let why = why_of(result);
            if let Some(drawn) = shared.state.count_drawn(why, shared.engine.heat.sampling()) {
                let entry = answers[*place].as_ref().ok().map(|(entry, ..)| &**entry);
                shared.engine.look_at_read(&shared.state, &unique[*place].by_ref(), entry, drawn);
            }
            if why != Why::Hit {
                shared.state.request_seconds.record_since(ask.asked_us, now_us);
            }
        }
        results
    }
}

impl<'a, K: CacheKey + ?Sized, V: Value> Space<K, V> {
    /// Asks for one key.
    pub fn get(&'a self, key: &'a K) -> Get<'a, K, V> {
        Get { space: self, key, terms: None }
    }

    /// What memory or the shared tier holds; never loads. For spaces that programs fill by themselves.
    ///
    /// # Errors
    /// [`Error::is_not_cached`], also where the shared tier did not answer; or [`Error::is_missing`] if the key is known
    /// not to exist.
    pub async fn find(&self, key: &K) -> Result<Cached<V>, Error> {
        let shared = self.shared.clone();
        let asked_us = shared.engine.clock.now_us();
        let key = self.owned(key);
        let answer = shared.engine.find(&shared.state, &key).await;
        shared.counted(&key, answer, asked_us)
    }

    /// The same, and of what an earlier life of this process left on disk whatever would still be fresh by its own ttl,
    /// with why = `suspect`: nobody can say that it is. For spaces that no other process writes to; in others it is
    /// [`find`](Space::find).
    ///
    /// # Errors
    /// As `find`.
    pub async fn find_or_left_over(&self, key: &K) -> Result<Cached<V>, Error> {
        let shared = self.shared.clone();
        let (asked_us, owned) = (shared.engine.clock.now_us(), self.owned(key));
        let answer = match shared.engine.left_over(&shared.state, &owned).await {
            Some(answer) => Ok(answer),
            None => shared.engine.find(&shared.state, &owned).await,
        };
        shared.counted(&owned, answer, asked_us)
    }

    /// Does work at the space's origin that is no load, such as naming its keys: it begins once the guard would let a
    /// load of the background class go, and is not cut off. It holds no permit meanwhile, or readers would wait behind
    /// whatever it takes: who calls sees to it that few such works run at once, each on a connection of its own.
    ///
    /// # Errors
    /// The guard turned it away.
    pub async fn guarded<T>(&self, work: impl Future<Output = T>) -> Result<T, Error> {
        let Shared { engine, state, .. } = &*self.shared;
        let ticket = Ticket(engine.flights.fresh_id().0);
        let permit = state.gate.admit(ticket, || (Priority::Background, 0, Tick::NEVER)).await;
        // Given back at once, and how long it was held says nothing of loads.
        drop(permit.map_err(|(why, retry_after)| Error::later(why, retry_after))?);
        Ok(work.await)
    }

    /// As [`Space::refresh`], and the refresh begins at once, in the class of those that nobody
    /// waits for: it is a load, not a request. Where too many run already the next read begins it.
    pub fn refresh_with<F, Fut, E>(&self, key: &K, loader: F) -> bool
    where
        F: FnOnce(LoadCtx<K::Owned, V>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Loaded<V>, E>> + Send,
        E: Into<LoadError>,
    {
        let Shared { engine, state, .. } = &*self.shared;
        let owned = self.owned(key);
        let seen = engine.live(state, &owned).map(|entry| entry.meta().fence);
        if !engine.make_stale(state, &owned) {
            return false;
        }
        if let Some(seen) = seen {
            engine.refresh(state, &owned, &Due::at_once(seen), erase(key.to_owned_key(), loader));
        }
        true
    }

    /// Says how a key of this space is loaded although nobody reads it: a hot key is then refreshed before it ends by a
    /// worker of its own, and one that was [announced](Space::announce) is loaded ahead. It replaces what was said before.
    pub fn loaded_by<F, Fut, E>(&self, loader: F)
    where
        F: Fn(LoadCtx<K::Owned, V>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Loaded<V>, E>> + Send,
        E: Into<LoadError>,
    {
        let loader = Arc::new(loader);
        self.shared.state.load_unasked_by(Arc::new(move |bytes| {
            let (key, loader) = (K::of_bytes(bytes)?, loader.clone());
            // Called inside: what a loader borrows lives as long as its future.
            Some(erase(key, move |ctx| async move { loader(ctx).await }))
        }));
    }

    pub(crate) fn owned(&self, key: &K) -> Key {
        key.with_bytes(|bytes| KeyRef::new(self.shared.state.id, bytes, &self.shared.engine.seed).to_key())
    }
}

impl<K: CacheKey + ?Sized, V: Value> Space<K, V> {
    /// Asks for several keys at once: `&[u64]` for a space of `u64`, `&[&str]` or `&[String]` for one of `str`.
    pub fn get_many<'a, B: Borrow<K>>(&'a self, keys: &'a [B]) -> GetMany<'a, B, K, V> {
        GetMany { space: self, keys, terms: None }
    }
}

impl<V: Value> Shared<V> {
    fn key<K: CacheKey>(&self, key: &K) -> Key {
        key.with_bytes(|bytes| KeyRef::new(self.state.id, bytes, &self.engine.seed).to_key())
    }
}

fn erase_batch<K, V, F, Fut, E>(unique: Arc<[Key]>, owned: Arc<[K]>, shared: Arc<Shared<V>>, loader: F) -> BatchFn
where
    K: CacheKey + Clone + Send + Sync + 'static,
    V: Value,
    F: Fn(Vec<K>, BatchCtx) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Vec<(K, Loaded<V>)>, E>> + Send + 'static,
    E: Into<LoadError>,
{
    let loader = Arc::new(loader);
    Arc::new(move |positions, input| {
        let (unique, owned, shared, loader) = (unique.clone(), owned.clone(), shared.clone(), loader.clone());
        async move {
            let keys = positions.iter().map(|at| owned[*at].clone()).collect();
            let found = loader(keys, BatchCtx::new(input.deadline, input.clock)).await.map_err(Into::into)?;
            // Rows come back in any order, with or without some of them.
            let wanted: std::collections::HashMap<&Key, usize> =
                positions.iter().map(|at| (&unique[*at], *at)).collect();
            let place = |key: &K| wanted.get(&shared.key(key)).copied();
            let rows = found.into_iter().filter_map(|(key, loaded)| Some((place(&key)?, loaded)));
            Ok(rows.map(|(at, loaded)| (at, loaded.map(|value| Box::new(value) as AnyBody))).collect())
        }
        .boxed()
    })
}
