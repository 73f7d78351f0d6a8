//! What does a herd cost the origin? One load for a cold key, none for a stale one's callers, and
//! never more than its budget, by whatever path (G1, G4, G9).

#[allow(dead_code, reason = "every test program uses its part of the helpers")]
mod common;

use std::sync::Arc;
use std::time::Duration;

use bellwether::{Budget, Cache, Clock, LoadError, Loaded, Policy, Space, Span, Why};
use common::{Source, cache, manual, minute, soon, until};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use tokio::sync::Semaphore;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_20_000_cold_callers_cost_exactly_one_load_and_all_are_served() {
    let (cache, space) = cache(minute());
    let source = Source::default();
    let caller = |_| {
        let (space, source) = (space.clone(), source.clone());
        tokio::spawn(async move { space.get(&1).or_load(source.loader(Duration::from_millis(100))).await.is_ok() })
    };
    let served = soon("20,000 callers", join_all((0..20_000).map(caller))).await;
    assert!(served.into_iter().all(|served| matches!(served, Ok(true))));
    assert_eq!(source.runs(), 1);
    let counts = cache.snapshot();
    assert_eq!((counts.spaces[0].total(), counts.spaces[0].of(Why::Loaded), counts.stampedes), (20_000, 1, 1));
    assert_eq!((counts.flight_followers.count(), counts.live_flights), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g4_an_expired_key_with_grace_blocks_nobody_and_costs_one_load_a_refresh() {
    let (_cache, space, clock) = manual(minute().grace("1h"));
    let (source, gate) = (Source::default(), Arc::new(Semaphore::new(1)));
    let load = || {
        let (source, gate) = (source.clone(), gate.clone());
        |_| async move {
            let value = source.read(Duration::ZERO).await;
            gate.acquire().await.expect("never closed").forget();
            Ok::<_, LoadError>(Loaded::value(value))
        }
    };
    space.get(&1).or_load(load()).await.unwrap();
    for round in 1..=5 {
        clock.advance(Span::secs(61));
        source.write();
        for _ in 0..1_000 {
            let answer = space.get(&1).or_load(load()).now_or_never().expect("nobody waits for the refresh").unwrap();
            assert_eq!((*answer, answer.why()), (round - 1, Why::StaleRefreshing));
        }
        gate.add_permits(1);
        until("the refresh lands", || space.hit(&1).is_some_and(|value| *value == round)).await;
        assert_eq!(source.runs(), round + 1);
    }
    // Control: without grace every one of them waits.
    let (_cache, space, clock) = manual(minute());
    gate.add_permits(1);
    space.get(&1).or_load(load()).await.unwrap();
    clock.advance(Span::secs(61));
    assert!(space.get(&1).or_load(load()).now_or_never().is_none());
}

/// Every way to a load, at random, by many tasks at once.
async fn mixed(space: Space<u64, u64>, source: Source, seed: u64, rounds: usize) {
    let mut rng = fastrand::Rng::with_seed(seed);
    for _ in 0..rounds {
        let key = rng.u64(..40);
        let takes = Duration::from_millis(rng.u64(..3));
        let load = source.loader(takes);
        let ask: BoxFuture<'_, ()> = match rng.u8(..6) {
            0 => async { drop(space.get(&key).or_load(load).await) }.boxed(),
            1 => async { drop(space.get(&key).fresh().or_load(load).await) }.boxed(),
            2 => async { drop(space.get(&key).bypass().or_load(load).await) }.boxed(),
            3 => {
                space.refresh(&key);
                async { drop(space.get(&key).or_load(load).await) }.boxed()
            }
            4 => {
                drop(space.remove(&key));
                async { drop(space.get(&key).timeout("5ms").or_load(load).await) }.boxed()
            }
            _ => {
                let (keys, source): (Vec<u64>, _) = ((key..key + 8).collect(), source.clone());
                async {
                    let keys = keys;
                    let batch = move |keys: Vec<u64>, _| {
                        let source = source.clone();
                        async move {
                            let value = source.read(takes).await;
                            match value % 7 {
                                6 => Err(LoadError::refused("now and then a batch fails")),
                                _ => Ok(keys.into_iter().map(|key| (key, Loaded::value(value))).collect()),
                            }
                        }
                    };
                    drop(space.get_many(&keys).or_load(batch).await);
                }
                .boxed()
            }
        };
        source.write();
        soon("a request of the mix", ask).await;
    }
}

async fn run_mix(budget: Budget) -> Source {
    let cache = Cache::builder().budget(budget).build().expect("the budget makes sense");
    let space = cache.space("row", Policy::ttl("1s").grace("1h"));
    let source = Source::default();
    join_all((0..16).map(|seed| tokio::spawn(mixed(space.clone(), source.clone(), seed, 60)))).await;
    until("refreshes end", || cache.snapshot().live_flights == 0 && source.running() == 0).await;
    let counts = cache.snapshot();
    assert_eq!((counts.origins[0].running, counts.origins[0].waiting), (0, 0), "every permit came back");
    assert_eq!(counts.spaces[0].loads(), source.runs(), "every call of a loader is counted");
    source
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g9_no_path_ever_exceeds_the_concurrency_budget() {
    let tight = run_mix(Budget { max_concurrency: 3, ..Budget::default() }).await;
    assert!(tight.peak() <= 3, "{} at once", tight.peak());
    assert!(tight.runs() > 100, "the mix loads: {}", tight.runs());
    let wide = run_mix(Budget { max_concurrency: 1_000, ..Budget::default() }).await;
    assert!(wide.peak() > 3, "control: without the budget {} at once", wide.peak());
}

/// Runs the mix under `rate`; its loads, and by how many they were ever ahead of 100 a second.
async fn ahead_of_the_rate(rate: Option<f64>) -> (u64, u64) {
    let clock = Clock::manual();
    let budget = Budget { rate, max_concurrency: 1_000, ..Budget::default() };
    let cache = Cache::builder().clock(clock.clone()).budget(budget).build().expect("the budget makes sense");
    let space = cache.space("row", Policy::ttl("1s").grace("1h").timeout("10s"));
    let source = Source::default();
    let mixes: Vec<_> = (0..8).map(|seed| tokio::spawn(mixed(space.clone(), source.clone(), seed, 40))).collect();
    let (begun, mut ahead) = (clock.now(), 0);
    while !mixes.iter().all(tokio::task::JoinHandle::is_finished) {
        let elapsed = clock.now().since(begun).0;
        // The burst of a rate is a tenth of a second's worth.
        let allowed = 10 + 100 * elapsed / 1000;
        ahead = ahead.max(source.runs().saturating_sub(allowed));
        assert!(elapsed < 3_600_000, "the mix hangs");
        clock.advance(Span::ms(5));
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    (source.runs(), ahead)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g9_no_path_ever_exceeds_the_rate() {
    let (loads, ahead) = ahead_of_the_rate(Some(100.0)).await;
    assert_eq!(ahead, 0, "loads beyond the rate");
    assert!(loads > 50, "the mix loads: {loads}");
    let (_, ahead) = ahead_of_the_rate(None).await;
    assert!(ahead > 0, "control: without a rate the mix is ahead of it");
}
