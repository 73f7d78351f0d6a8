//! Who is measured? One shared cache each, asked for a key that it loads if nobody else does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bellwether::{Cache, Loaded, Policy, Space};
use bellwether_adapters::tiers::redis::{RedisOptions, RedisTarget, RedisTier};
use futures_util::future::BoxFuture;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;

/// How long a load takes, in ms.
pub(crate) const LOAD_MS: u64 = 200;

/// A contender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Bellwether,
    /// The same without being woken: it polls.
    Polling,
    Amalgam,
    /// `SET NX PX`, then everybody else looks every 50 ms.
    Lock,
}

impl Who {
    pub(crate) const ALL: [Who; 4] = [Who::Bellwether, Who::Polling, Who::Amalgam, Who::Lock];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Who::Bellwether => "bellwether",
            Who::Polling => "bellwether, polling",
            Who::Amalgam => "amalgam-cache 0.4",
            Who::Lock => "a SET NX lock",
        }
    }

    pub(crate) fn word(self) -> String {
        format!("{self:?}")
    }

    pub(crate) fn named(word: &str) -> Who {
        Who::ALL.into_iter().find(|who| who.word() == word).expect("a contender of ours")
    }
}

/// How often this process's loader ran.
pub(crate) type Loads = Arc<AtomicU64>;

/// Something that can be asked for a key.
pub(crate) trait Contender: Send + Sync {
    /// True if a value came.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, bool>;
}

pub(crate) async fn open(who: Who, url: &str, loads: Loads) -> Arc<dyn Contender> {
    match who {
        Who::Bellwether | Who::Polling => Arc::new(Ours { space: space(url, who == Who::Bellwether), loads }),
        Who::Amalgam => Arc::new(Amalgam { cache: amalgam_cache(url).await, loads }),
        Who::Lock => {
            let client = redis::Client::open(url).expect("an address");
            let connection = client.get_multiplexed_async_connection().await.expect("a connection");
            // What coalesces within the process; the lock is between processes.
            Arc::new(Lock { connection, one: tokio::sync::Mutex::new(()), loads })
        }
    }
}

async fn load(loads: &AtomicU64) -> String {
    loads.fetch_add(1, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(LOAD_MS)).await;
    "value".to_owned()
}

/// A space over one Redis, whose values outlive the run.
pub(crate) fn space(url: &str, tracking: bool) -> Space<str, String> {
    space_with(url, tracking, Policy::ttl("10m"))
}

pub(crate) fn space_with(url: &str, tracking: bool, policy: Policy) -> Space<str, String> {
    let options = RedisOptions { tracking, prefix: format!("bw{tracking}:").into_bytes(), ..RedisOptions::default() };
    let tier = RedisTier::open(RedisTarget::parse(url).expect("an address"), options).expect("a tier");
    let cache = Cache::builder().shared(tier).build().expect("a cache");
    cache.shared_space("bench", policy).expect("a space")
}

struct Ours {
    space: Space<str, String>,
    loads: Loads,
}

impl Contender for Ours {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, bool> {
        let loads = self.loads.clone();
        Box::pin(async move {
            let value = self
                .space
                .get(key)
                .timeout("10s")
                .or_load(|_| async move { Ok::<_, std::io::Error>(Loaded::value(load(&loads).await)) });
            value.await.is_ok()
        })
    }
}

struct Amalgam {
    cache: amalgam::Cache<String>,
    loads: Loads,
}

/// As its own example sets it up: second level, backplane and lock on Redis.
async fn amalgam_cache(url: &str) -> amalgam::Cache<String> {
    use amalgam::provider::{JsonSerializer, RedisBackplane, RedisDistributedCache, RedisDistributedLocker};
    let second = RedisDistributedCache::connect(url.to_owned()).await.expect("a connection");
    let backplane = RedisBackplane::connect(url.to_owned()).await.expect("a connection");
    let locker = RedisDistributedLocker::connect(url.to_owned()).await.expect("a connection");
    let builder = amalgam::Cache::builder().distributed(Arc::new(second)).serializer(Arc::new(JsonSerializer));
    let builder = builder.backplane(Arc::new(backplane)).distributed_locker(Arc::new(locker));
    builder.instance_id(format!("bench-{}", std::process::id())).try_build().expect("the defaults make sense")
}

impl Contender for Amalgam {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, bool> {
        let loads = self.loads.clone();
        Box::pin(async move {
            let factory = amalgam::source::factory(move |ctx| {
                let loads = loads.clone();
                async move { Ok::<_, amalgam::FactoryError>(ctx.value(load(&loads).await)) }
            });
            self.cache.get_or_set(key, factory).await.is_ok()
        })
    }
}

struct Lock {
    connection: MultiplexedConnection,
    one: tokio::sync::Mutex<()>,
    loads: Loads,
}

impl Lock {
    async fn value(&self, key: &str) -> Option<String> {
        self.connection.clone().get(format!("plain:{key}")).await.ok().flatten()
    }
}

impl Contender for Lock {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let _one = self.one.lock().await;
            let until = Instant::now() + Duration::from_secs(10);
            while Instant::now() < until {
                if self.value(key).await.is_some() {
                    return true;
                }
                let mut connection = self.connection.clone();
                let lock = format!("lock:{key}");
                let set = redis::cmd("SET").arg(&lock).arg(1).arg("NX").arg("PX").arg(5000).to_owned();
                let taken: Option<String> = set.query_async(&mut connection).await.unwrap_or_default();
                if taken.is_some() {
                    let value = load(&self.loads).await;
                    let _: Result<(), _> = connection.set(format!("plain:{key}"), value).await;
                    let _: Result<(), _> = connection.del(&lock).await;
                    return true;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            false
        })
    }
}
