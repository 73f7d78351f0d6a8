//! How are the neighbours asked? "There is no such row" is a value like any other to them, so that it is kept.

use std::sync::Arc;
use std::time::Duration;

use cachet::{CacheEntry, CacheTier, InsertOutcome, TimeToRefresh};
use futures_util::future::BoxFuture;

use super::{Contender, GRACE};
use crate::origin::{Answer, Failed, Origin};

type Value = Option<u64>;

#[derive(Clone)]
pub(crate) struct Moka(moka::future::Cache<String, Value>);

impl Contender for Moka {
    const NAME: &'static str = "moka 0.12";

    fn new() -> Moka {
        Moka(moka::future::Cache::new(1000))
    }

    fn graced(ttl: Duration, _: &Origin) -> Option<Moka> {
        Some(Moka(moka::future::Cache::builder().max_capacity(1000).time_to_live(ttl).build()))
    }

    fn get<'a>(&'a self, key: &'a str, origin: &Origin) -> BoxFuture<'a, Answer> {
        let origin = origin.clone();
        Box::pin(async move { self.0.try_get_with_by_ref(key, origin.load()).await.map_err(|_| Failed) })
    }

    fn remove<'a>(&'a self, key: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(self.0.invalidate(key))
    }
}

#[derive(Clone)]
pub(crate) struct Quick(Arc<quick_cache::sync::Cache<String, Value, quick_cache::UnitWeighter, ahash::RandomState>>);

impl Contender for Quick {
    const NAME: &'static str = "quick_cache 0.7";

    fn new() -> Quick {
        let (hasher, life) = (ahash::RandomState::new(), quick_cache::sync::DefaultLifecycle::default());
        Quick(Arc::new(quick_cache::sync::Cache::with(1000, 1000, quick_cache::UnitWeighter, hasher, life)))
    }

    fn get<'a>(&'a self, key: &'a str, origin: &Origin) -> BoxFuture<'a, Answer> {
        let origin = origin.clone();
        Box::pin(async move { self.0.get_or_insert_async(key, origin.load()).await })
    }

    fn remove<'a>(&'a self, key: &'a str) -> BoxFuture<'a, ()> {
        self.0.remove(key);
        Box::pin(async {})
    }
}

#[derive(Clone)]
pub(crate) struct Foyer(foyer_memory::Cache<String, Value>);

impl Contender for Foyer {
    const NAME: &'static str = "foyer 0.22";

    fn new() -> Foyer {
        Foyer(foyer_memory::CacheBuilder::new(1000).build())
    }

    fn get<'a>(&'a self, key: &'a str, origin: &Origin) -> BoxFuture<'a, Answer> {
        let origin = origin.clone();
        Box::pin(async move {
            let entry = self.0.get_or_fetch(key, || origin.load()).await;
            entry.map(|entry| *entry.value()).map_err(|_| Failed)
        })
    }

    fn remove<'a>(&'a self, key: &'a str) -> BoxFuture<'a, ()> {
        self.0.remove(key);
        Box::pin(async {})
    }
}

#[derive(Clone)]
pub(crate) struct Amalgam(amalgam::Cache<Value>);

impl Contender for Amalgam {
    const NAME: &'static str = "amalgam-cache 0.4";

    fn new() -> Amalgam {
        Amalgam(amalgam::Cache::builder().try_build().expect("the defaults make sense"))
    }

    /// Its eager refresh, from `ttl` until the end of the grace: nobody waits for it, while its soft timeout
    /// lets everybody wait for a moment.
    fn graced(ttl: Duration, _: &Origin) -> Option<Amalgam> {
        let share = ttl.as_secs_f32() / (ttl + GRACE).as_secs_f32();
        let options = amalgam::EntryOptions::new(ttl + GRACE)
            .with_eager_refresh(amalgam::EagerThreshold::new(share))
            .with_fail_safe(true, Some(ttl + GRACE), None);
        let cache = amalgam::Cache::builder().default_options(options).try_build();
        Some(Amalgam(cache.expect("a ttl within its grace makes sense")))
    }

    fn get<'a>(&'a self, key: &'a str, origin: &Origin) -> BoxFuture<'a, Answer> {
        let origin = origin.clone();
        Box::pin(async move {
            let factory = amalgam::source::factory(move |_| origin.load());
            self.0.get_or_set(key, factory).await.map_err(|_| Failed)
        })
    }

    fn remove<'a>(&'a self, key: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.0.remove(key).await.expect("an in-process removal");
        })
    }
}

#[derive(Clone)]
pub(crate) struct Cachet(Arc<cachet::Cache<String, Value>>);

impl Contender for Cachet {
    const NAME: &'static str = "cachet 0.16";

    fn new() -> Cachet {
        let builder = cachet::Cache::builder::<String, Value>(tick::Clock::new_tokio());
        Cachet(Arc::new(builder.memory().stampede_protection().build()))
    }

    /// Its time to refresh, which wants the origin as a tier to fall back on.
    fn graced(ttl: Duration, origin: &Origin) -> Option<Cachet> {
        let clock = tick::Clock::new_tokio();
        let origin = cachet::Cache::builder::<String, Value>(clock.clone()).storage(Tier(origin.clone()));
        let builder = cachet::Cache::builder::<String, Value>(clock).memory().ttl(ttl + GRACE).fallback(origin);
        let refresh = TimeToRefresh::new(ttl, anyspawn::Spawner::new_tokio());
        Some(Cachet(Arc::new(builder.time_to_refresh(refresh).stampede_protection().build())))
    }

    fn get<'a>(&'a self, key: &'a str, origin: &Origin) -> BoxFuture<'a, Answer> {
        let origin = origin.clone();
        Box::pin(async move {
            let entry = self.0.try_get_or_insert(key, || origin.load()).await;
            entry.map(|entry| *entry.value()).map_err(|_| Failed)
        })
    }

    fn remove<'a>(&'a self, key: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.0.invalidate(key).await.expect("an in-process removal");
        })
    }
}

/// An origin as cachet's lowest tier: read, never written.
struct Tier(Origin);

impl CacheTier<String, Value> for Tier {
    async fn get(&self, _: &String) -> cachet::Result<Option<CacheEntry<Value>>> {
        let row = self.0.clone().load().await.map_err(cachet::Error::from_source)?;
        Ok(Some(CacheEntry::new(row)))
    }

    async fn insert(&self, _: String, _: CacheEntry<Value>) -> cachet::Result<InsertOutcome> {
        Ok(InsertOutcome::Rejected)
    }

    async fn invalidate(&self, _: &String) -> cachet::Result<()> {
        Ok(())
    }

    async fn clear(&self) -> cachet::Result<()> {
        Ok(())
    }
}
