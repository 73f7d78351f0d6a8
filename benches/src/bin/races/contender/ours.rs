//! How is Bellwether asked?

use std::time::Duration;

use bellwether::{Budget, Cache, Cached, Early, Error, Loaded, Policy, Space};
use futures_util::future::{BoxFuture, join_all};

use super::{Contender, GRACE};
use crate::origin::{Answer, Failed, Origin};

/// With an origin that is said to bear so many loads at once.
#[derive(Clone)]
pub(crate) struct Bellwether<const LOADS: u32>(Space<str, u64>);

/// As many as the drill's configuration says: the others give an origin as many unasked.
pub(crate) const WIDE: u32 = 256;
/// What it is taken to bear unless that is said.
pub(crate) const DEFAULT: u32 = 16;

impl<const LOADS: u32> Contender for Bellwether<LOADS> {
    const NAME: &'static str = if LOADS == DEFAULT { "bellwether, default budget" } else { "bellwether" };

    fn new() -> Self {
        Bellwether(cache(LOADS).space("race", lasting()))
    }

    fn pair() -> (Self, Self) {
        let cache = cache(LOADS);
        (Bellwether(cache.space("one", lasting())), Bellwether(cache.space("two", lasting())))
    }

    fn graced(ttl: Duration, _: &Origin) -> Option<Self> {
        let policy = Policy::ttl(ttl).grace(GRACE).jitter(0.0).early(Early::Off).timeout("5s");
        Some(Bellwether(cache(LOADS).space("race", policy)))
    }

    fn get<'a>(&'a self, key: &'a str, origin: &Origin) -> BoxFuture<'a, Answer> {
        let origin = origin.clone();
        Box::pin(async move { told(self.0.get(key).or_load(|_| load(origin)).await) })
    }

    fn get_within<'a>(&'a self, key: &'a str, origin: &Origin, deadline: Duration) -> BoxFuture<'a, Answer> {
        let origin = origin.clone();
        Box::pin(async move { told(self.0.get(key).timeout(deadline).or_load(|_| load(origin)).await) })
    }

    fn get_many<'a>(&'a self, rows: &'a [&'a (String, Origin)]) -> Option<BoxFuture<'a, Vec<Answer>>> {
        let keys: Vec<&str> = rows.iter().map(|(key, _)| key.as_str()).collect();
        let rows: Vec<(String, Origin)> = rows.iter().copied().cloned().collect();
        let loader = move |missed: Vec<String>, _| {
            let missed: Vec<_> = rows.iter().filter(|(key, _)| missed.contains(key)).cloned().collect();
            async move {
                let loads = missed.into_iter().map(|(key, origin)| async { load(origin).await.map(|row| (key, row)) });
                join_all(loads).await.into_iter().collect::<Result<Vec<_>, Failed>>()
            }
        };
        Some(Box::pin(async move { self.0.get_many(&keys).or_load(loader).await.into_iter().map(told).collect() }))
    }

    fn remove<'a>(&'a self, key: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.0.remove(key).await;
        })
    }
}

fn cache(loads: u32) -> Cache {
    let budget = Budget { max_concurrency: loads, ..Budget::default() };
    Cache::builder().budget(budget).build().expect("the defaults make sense")
}

fn lasting() -> Policy {
    Policy::ttl("60s").timeout("10s")
}

async fn load(origin: Origin) -> Result<Loaded<u64>, Failed> {
    Ok(origin.load().await?.map_or_else(Loaded::missing, Loaded::value))
}

fn told(outcome: Result<Cached<u64>, Error>) -> Answer {
    match outcome {
        Ok(value) => Ok(Some(*value)),
        Err(error) if error.is_missing() => Ok(None),
        Err(_) => Err(Failed),
    }
}
