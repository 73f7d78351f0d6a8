//! Does every reason happen, and do the counters add up? Requests are the sum over [`Why`], and the
//! loads that the cache counts are the loads that the origin saw.

#[allow(dead_code, reason = "every test program uses its part of the helpers")]
mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use bellwether::{Budget, Cache, Clock, Demand, FailClass, LoadError, Loaded, Policy, Priority, Space, Span, Why};
use common::{Source, manual, minute, soon, until, wide};
use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::sync::Semaphore;

const NOW: Duration = Duration::ZERO;

/// Reasons that no request of the library can have in this version, and why not.
const UNREACHABLE: [(Why, &str); 9] = [
    (Why::NegativeType, "captures have types in a server's templates only"),
    (Why::NegativeFilter, "a server has a list of the keys that exist"),
    (Why::ShedClient, "a server has clients with addresses"),
    (Why::Lone, "there is no arbiter yet, so no load is without a lease"),
    (Why::Suspect, "the test tier never loses its continuity"),
    (Why::BreakerOpen, "the guard's first part has no breaker"),
    (Why::NoSpace, "a program names its spaces by value; only a server's key may fit none"),
    (Why::ReadOnly, "any program may write; only a server's space may refuse"),
    (Why::InvalidationQueued, "an invalidation is no read: it answers with a bool"),
];

fn whys(cache: &Cache) -> BTreeSet<Why> {
    let spaces = cache.snapshot().spaces;
    spaces.iter().flat_map(|space| space.requests.iter().map(|(why, _)| *why)).collect()
}

async fn fail(space: &Space<u64, u64>, key: u64, class: FailClass) {
    let asked = space.get(&key).or_load(move |_| async move { Err(LoadError::new(class, "the test says so")) });
    drop(soon("a failing load", asked).await);
}

async fn load(space: &Space<u64, u64>, key: u64, answer: Loaded<u64>) {
    drop(soon("a load", space.get(&key).or_load(|_| async { Ok::<_, LoadError>(answer) })).await);
}

/// Answers, with and without a load.
async fn plain() -> Cache {
    let (cache, space, clock) = manual(minute().grace("1h").rescue_invalidated(true).timeout("100ms"));
    let (source, gate) = (Source::default(), Arc::new(Semaphore::new(0)));
    let mut leader = Box::pin(space.get(&1).timeout("8s").or_load(source.held(&gate)));
    let mut follower = Box::pin(space.get(&1).timeout("8s").or_load(source.held(&gate)));
    let mut hasty = Box::pin(space.get(&1).or_load(source.held(&gate)));
    assert!((&mut leader).now_or_never().is_none() && (&mut follower).now_or_never().is_none());
    assert!((&mut hasty).now_or_never().is_none());
    clock.advance(Span::ms(100));
    assert!(soon("the hasty one", hasty).await.is_err());
    gate.add_permits(1);
    drop((leader.await, follower.await));
    assert!(space.hit(&1).is_some());
    assert!(space.get(&2).if_cached().is_err());
    drop(space.get(&1).bypass().or_load(source.loader(NOW)).await);
    load(&space, 3, Loaded::missing()).await;
    load(&space, 4, Loaded::value(1).uncacheable()).await;
    drop(space.lease(&5, Demand::Any, Span::secs(5), Span::ZERO).await);
    drop(space.lease(&5, Demand::Any, Span::secs(5), Span::ZERO).await);
    clock.advance(Span::secs(61));
    load(&space, 1, Loaded::value(2)).await;
    until("the refresh lands", || space.hit(&1).is_some()).await;
    drop(space.expire(&1));
    fail(&space, 1, FailClass::Failed).await;
    cache
}

/// Everything that can go wrong at the origin.
async fn failures() -> Cache {
    let (cache, space, clock) = manual(minute().stale_if_error("1h"));
    for (key, class) in
        [FailClass::Failed, FailClass::Refused, FailClass::Rejected, FailClass::Timeout].into_iter().enumerate()
    {
        fail(&space, key as u64, class).await;
        fail(&space, key as u64, class).await;
    }
    load(&space, 10, Loaded::value(1)).await;
    clock.advance(Span::secs(61));
    fail(&space, 10, FailClass::Overloaded).await;
    fail(&space.with_default(7), 11, FailClass::Failed).await;
    cache
}

/// What the guard turns away.
async fn shed() -> Cache {
    let clock = Clock::manual();
    let tight = Budget { max_concurrency: 1, queue_limit: 1, queue_wait: Span::secs(60), ..wide() };
    let cache = Cache::builder().clock(clock.clone()).budget(tight).build().expect("a budget");
    let space = cache.space::<u64, u64>("row", minute().stale_if_error("1h").timeout("60s"));
    let (source, gate) = (Source::default(), Arc::new(Semaphore::new(0)));
    load(&space, 1, Loaded::value(1)).await;
    clock.advance(Span::secs(61));
    let mut holder = Box::pin(space.get(&2).or_load(source.held(&gate)));
    assert!((&mut holder).now_or_never().is_none());
    until("the permit is taken", || source.running() == 1).await;
    let mut low = Box::pin(space.get(&3).priority(Priority::Low).or_load(source.held(&gate)));
    assert!((&mut low).now_or_never().is_none());
    until("it queues", || cache.snapshot().origins[0].waiting == 1).await;
    let stale = space.get(&1).priority(Priority::Low).or_load(source.held(&gate));
    assert_eq!(soon("turned away, rescued", stale).await.expect("stale").why(), Why::StaleShed);
    let mut critical = Box::pin(space.get(&4).priority(Priority::Critical).or_load(source.held(&gate)));
    assert!((&mut critical).now_or_never().is_none());
    let pushed = soon("the low one is pushed out", low).await.expect_err("shed");
    assert_eq!(pushed.why(), Why::ShedPriority);
    // One as important as all that wait is turned away at the door.
    let same = space.get(&5).priority(Priority::Critical).or_load(source.held(&gate));
    assert_eq!(soon("one too many", same).await.expect_err("shed").why(), Why::ShedQueue);
    gate.add_permits(2);
    drop((holder.await, critical.await));

    let slow = Budget { rate: Some(1.0), queue_wait: Span::ms(100), ..wide() };
    let origin = cache.origin("slow", slow).expect("a budget");
    let space = cache.space_on::<u64, u64>(&origin, "rated", minute()).expect("a space");
    load(&space, 1, Loaded::value(1)).await;
    load(&space, 2, Loaded::value(1)).await;
    cache
}

async fn too_large() -> Cache {
    let cache = Cache::builder().memory("64 KiB").build().expect("the least");
    let space = cache.space::<u64, Vec<u8>>("row", minute());
    let big = space.get(&1).or_load(|_| async { Ok::<_, LoadError>(Loaded::value(vec![0; 100_000])) });
    drop(big.await);
    cache
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_reason_that_this_version_can_give_is_given() {
    let mut seen = BTreeSet::new();
    for cache in [plain().await, failures().await, shed().await, too_large().await] {
        seen.extend(whys(&cache));
    }
    let unreachable: BTreeSet<Why> = UNREACHABLE.iter().map(|(why, _)| *why).collect();
    let missing: Vec<_> = Why::ALL.iter().filter(|why| !seen.contains(why) && !unreachable.contains(why)).collect();
    assert!(missing.is_empty(), "never given: {missing:?}");
    let surprising: Vec<_> = seen.intersection(&unreachable).collect();
    assert!(surprising.is_empty(), "take them off the list: {surprising:?}");
}

/// One client of the mix; returns how many requests it made.
async fn client(cache: Cache, space: Space<u64, u64>, loads: Arc<AtomicU64>, seed: u64, requests: u64) -> u64 {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut made = 0;
    while made < requests {
        let key = rng.u64(..300);
        let luck = rng.u8(..100);
        let counted = loads.clone();
        let load = move |_| async move {
            counted.fetch_add(1, SeqCst);
            if luck.is_multiple_of(4) {
                tokio::task::yield_now().await;
            }
            match luck {
                0..5 => Err(LoadError::refused("now and then")),
                5..10 => Ok(Loaded::missing()),
                10..12 => Ok(Loaded::value(1).private()),
                12..14 => Ok(Loaded::value(1).uncacheable()),
                14 => panic!("a bug in the loader"),
                _ => Ok(Loaded::value(1).tag(if luck.is_multiple_of(2) { "even" } else { "odd" })),
            }
        };
        made += 1;
        match rng.u8(..20) {
            0 => drop(space.get(&key).fresh().or_load(load).await),
            1 => drop(space.get(&key).bypass().or_load(load).await),
            2 => drop(space.get(&key).if_cached()),
            3 => made -= u64::from(space.hit(&key).is_none()),
            4 | 5 => {
                let keys: Vec<u64> = (0..rng.u64(1..6)).map(|n| (key + n) % 300).collect();
                let counted = loads.clone();
                let batch = move |keys: Vec<u64>, _| {
                    counted.fetch_add(1, SeqCst);
                    async move {
                        match luck {
                            0..8 => Err(LoadError::refused("now and then")),
                            _ => Ok(keys.into_iter().map(|key| (key, Loaded::value(key))).collect()),
                        }
                    }
                };
                made += keys.len() as u64 - 1;
                drop(space.get_many(&keys).or_load(batch).await);
            }
            6 => {
                drop(space.remove(&key));
                drop(space.get(&key).timeout("1ms").or_load(load).await);
            }
            7 => {
                space.refresh(&key);
                drop(space.get(&key).or_load(load).await);
            }
            8 => {
                cache.expire_tag("odd");
                drop(space.get(&key).or_load(load).await);
            }
            _ => drop(space.get(&key).or_load(load).await),
        }
    }
    made
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_100_000_mixed_requests_the_counters_add_up() {
    std::panic::set_hook(Box::new(|info| {
        let text = info.payload_as_str().unwrap_or_default();
        // The loaders' own panics are part of the mix.
        if !text.contains("a bug in the loader") {
            eprintln!("{info}");
        }
    }));
    let cache = Cache::builder().budget(Budget { max_concurrency: 8, queue_limit: 20, ..wide() }).build().unwrap();
    let space = cache.space::<u64, u64>("row", Policy::ttl("50ms").grace("50ms"));
    let loads = Arc::new(AtomicU64::new(0));
    let clients = (0..40).map(|seed| tokio::spawn(client(cache.clone(), space.clone(), loads.clone(), seed, 2_500)));
    let made: u64 = join_all(clients).await.into_iter().map(Result::unwrap).sum();
    assert!(made >= 100_000, "{made}");
    until("all loads end", || cache.snapshot().live_flights == 0).await;
    until("loads beside the table end too", || {
        let origin = &cache.snapshot().origins[0];
        (origin.running, origin.waiting) == (0, 0)
    })
    .await;
    let counts = &cache.snapshot().spaces[0];
    println!("{made} requests, {} loads: {:?}", loads.load(SeqCst), counts.requests);
    assert_eq!(counts.total(), made, "{:?}", counts.requests);
    until("the last load is counted", || cache.snapshot().spaces[0].loads() == loads.load(SeqCst)).await;
    assert!(loads.load(SeqCst) > 5_000);
    assert_eq!(counts.load_seconds.count(), counts.loads());
}
