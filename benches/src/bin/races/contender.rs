//! What must a cache offer to race? `get` with a loader, `remove`, and perhaps a batch.

use std::sync::Arc;

use bellwether::{Cache, Loaded, Policy, Space};
use futures_util::future::BoxFuture;

/// What every contender is asked for.
pub(crate) const KEY: &str = "key";

/// A load of the one key.
pub(crate) type Load = Arc<dyn Fn() -> BoxFuture<'static, Result<u64, Refused>> + Send + Sync>;

/// The origin said no.
#[derive(Debug)]
pub(crate) struct Refused;

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the origin said no")
    }
}
impl std::error::Error for Refused {}

/// A cache in the race. Clones are the same cache.
pub(crate) trait Contender: Clone + Send + Sync + 'static {
    /// Its column.
    const NAME: &'static str;
    /// A fresh, empty one.
    fn new() -> Self;
    /// The value, loaded by `load` if need be; `None` on any error.
    fn get(&self, load: Load) -> BoxFuture<'_, Option<u64>>;
    /// Invalidates the key.
    fn remove(&self) -> BoxFuture<'_, ()>;
    /// The key with another one, in one batch, where there is such a call.
    fn get_many(&self, _: Load) -> Option<BoxFuture<'_, Option<u64>>> {
        None
    }
}

#[derive(Clone)]
pub(crate) struct Bellwether(Space<str, u64>);
impl Contender for Bellwether {
    const NAME: &'static str = "bellwether";
    fn new() -> Bellwether {
        let cache = Cache::builder().build().expect("the defaults make sense");
        Bellwether(cache.space("race", Policy::ttl("60s").timeout("10s")))
    }
    fn get(&self, load: Load) -> BoxFuture<'_, Option<u64>> {
        Box::pin(async move {
            let loader = move |_| async move { load().await.map(Loaded::value) };
            self.0.get(KEY).or_load(loader).await.ok().map(|value| *value)
        })
    }
    fn remove(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.0.remove(KEY).await;
        })
    }
    fn get_many(&self, load: Load) -> Option<BoxFuture<'_, Option<u64>>> {
        Some(Box::pin(async move {
            let loader = move |keys: Vec<String>, _| {
                // Only the raced key counts as a load of it.
                let raced = keys.iter().any(|key| key == KEY).then(|| load());
                async move {
                    let value = match raced {
                        Some(load) => load.await?,
                        None => 0,
                    };
                    Ok::<_, Refused>(keys.into_iter().map(|key| (key, Loaded::value(value))).collect())
                }
            };
            let answers = self.0.get_many(&[KEY, "another"]).or_load(loader).await;
            answers.into_iter().next()?.ok().map(|value| *value)
        }))
    }
}

#[derive(Clone)]
pub(crate) struct Moka(moka::future::Cache<String, u64>);
impl Contender for Moka {
    const NAME: &'static str = "moka 0.12";
    fn new() -> Moka {
        Moka(moka::future::Cache::new(1000))
    }
    fn get(&self, load: Load) -> BoxFuture<'_, Option<u64>> {
        Box::pin(async move { self.0.try_get_with_by_ref(KEY, async move { load().await }).await.ok() })
    }
    fn remove(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.0.invalidate(KEY))
    }
}

#[derive(Clone)]
pub(crate) struct Quick(Arc<quick_cache::sync::Cache<String, u64, quick_cache::UnitWeighter, ahash::RandomState>>);
impl Contender for Quick {
    const NAME: &'static str = "quick_cache 0.7";
    fn new() -> Quick {
        let (hasher, life) = (ahash::RandomState::new(), quick_cache::sync::DefaultLifecycle::default());
        Quick(Arc::new(quick_cache::sync::Cache::with(1000, 1000, quick_cache::UnitWeighter, hasher, life)))
    }
    fn get(&self, load: Load) -> BoxFuture<'_, Option<u64>> {
        Box::pin(async move { self.0.get_or_insert_async(KEY, async move { load().await }).await.ok() })
    }
    fn remove(&self) -> BoxFuture<'_, ()> {
        self.0.remove(KEY);
        Box::pin(async {})
    }
}

#[derive(Clone)]
pub(crate) struct Foyer(foyer_memory::Cache<String, u64>);
impl Contender for Foyer {
    const NAME: &'static str = "foyer 0.22";
    fn new() -> Foyer {
        Foyer(foyer_memory::CacheBuilder::new(1000).build())
    }
    fn get(&self, load: Load) -> BoxFuture<'_, Option<u64>> {
        Box::pin(async move {
            let entry = self.0.get_or_fetch(KEY, || async move { load().await }).await;
            entry.ok().map(|entry| *entry.value())
        })
    }
    fn remove(&self) -> BoxFuture<'_, ()> {
        self.0.remove(KEY);
        Box::pin(async {})
    }
}

#[derive(Clone)]
pub(crate) struct Amalgam(amalgam::Cache<u64>);
impl Contender for Amalgam {
    const NAME: &'static str = "amalgam-cache 0.4";
    fn new() -> Amalgam {
        Amalgam(amalgam::Cache::builder().try_build().expect("the defaults make sense"))
    }
    fn get(&self, load: Load) -> BoxFuture<'_, Option<u64>> {
        Box::pin(async move {
            let factory = amalgam::source::factory(move |_| async move { load().await });
            self.0.get_or_set(KEY, factory).await.ok()
        })
    }
    fn remove(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.0.remove(KEY).await.expect("an in-process removal");
        })
    }
}

#[derive(Clone)]
pub(crate) struct Cachet(Arc<cachet::Cache<String, u64>>);
impl Contender for Cachet {
    const NAME: &'static str = "cachet 0.16";
    fn new() -> Cachet {
        let builder = cachet::Cache::builder::<String, u64>(tick::Clock::new_tokio());
        Cachet(Arc::new(builder.memory().stampede_protection().build()))
    }
    fn get(&self, load: Load) -> BoxFuture<'_, Option<u64>> {
        Box::pin(async move {
            let entry = self.0.try_get_or_insert(KEY, || async move { load().await }).await;
            entry.ok().map(|entry| *entry.value())
        })
    }
    fn remove(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.0.invalidate(KEY).await.expect("an in-process removal");
        })
    }
}
