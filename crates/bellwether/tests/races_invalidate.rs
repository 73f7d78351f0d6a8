//! Does an invalidation beside a load win? Whoever begins to read after it was acknowledged must
//! never see what was read before (G2), and what was read before must not stay (G3).

#[allow(dead_code, reason = "every test program uses its part of the helpers")]
mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use bellwether::{Cache, LoadError, Loaded, Space};
use common::{Naive, Source, cache, minute, soon, until};
use futures_util::FutureExt;
use futures_util::future::join_all;

const LOAD: Duration = Duration::from_millis(10);
const ROUNDS: u64 = 20;

/// Starts a load of version 0, writes version 1 and invalidates while it runs. Returns what a reader
/// that came after the invalidation got, and what is resident after both.
async fn beside_a_load(space: &Space<u64, u64>, key: u64, invalidate: impl FnOnce()) -> (u64, Option<u64>) {
    let source = Source::default();
    let load = || {
        let source = source.clone();
        move |_| async move { Ok::<_, LoadError>(Loaded::value(source.read(LOAD).await).tag("all")) }
    };
    let mut older = Box::pin(space.get(&key).or_load(load()));
    assert!((&mut older).now_or_never().is_none());
    until("the load has read", || source.runs() == 1).await;
    source.write();
    invalidate();
    let younger = soon("a reader after the invalidation", space.get(&key).or_load(load())).await.expect("it loads");
    soon("the reader before it", older).await.expect("its load goes on");
    assert!(source.peak() <= 2, "g1: at most one successor");
    (*younger, space.peek(&key).map(|cached| *cached))
}

async fn zero_stale(how: &str, invalidate: impl Fn(&Cache, &Space<u64, u64>, u64)) {
    let (cache, space) = cache(minute());
    for round in 0..ROUNDS {
        let found = beside_a_load(&space, round, || invalidate(&cache, &space, round)).await;
        assert_eq!(found, (1, Some(1)), "{how}, round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_g3_no_stale_value_survives_a_removal_beside_its_load() {
    zero_stale("remove", |_, space, key| drop(space.remove(&key))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_g3_no_stale_value_survives_an_expiry_beside_its_load() {
    zero_stale("expire", |_, space, key| drop(space.expire(&key))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_g3_no_stale_value_survives_an_invalidated_tag_beside_its_load() {
    zero_stale("remove_tag", |cache, _, _| drop(cache.remove_tag("all"))).await;
    zero_stale("expire_tag", |cache, _, _| drop(cache.expire_tag("all"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_g3_no_stale_value_survives_a_clearing_beside_its_load() {
    zero_stale("clear", |_, space, _| drop(space.clear())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g3_a_write_beside_a_load_stays() {
    zero_stale("put", |_, space, key| assert!(space.put(&key, 1))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_control_a_map_with_flights_keeps_and_serves_the_stale_value() {
    let (mut kept, mut served) = (0, 0);
    for _ in 0..ROUNDS {
        let (naive, source) = (Naive::default(), Source::default());
        let load = || {
            let source = source.clone();
            async move { Ok::<_, ()>(source.read(LOAD).await) }
        };
        let mut older = Box::pin(naive.get(1, load()));
        assert!((&mut older).now_or_never().is_none());
        source.write();
        naive.remove(1);
        let (younger, _) = tokio::join!(naive.get(1, load()), older);
        served += u64::from(younger == Ok(0));
        kept += u64::from(naive.peek(1) == Some(0));
    }
    assert_eq!((kept, served), (ROUNDS, ROUNDS));
}

/// A second invalidation while the older load still runs must not hide the first from a reader that
/// came between the two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_a_reader_between_two_invalidations_of_a_tag_gets_no_value_from_before_the_first() {
    let (cache, space) = cache(minute());
    for many in [false, true] {
        for key in 0..ROUNDS {
            let (key, source) = (key + 1000 * u64::from(many), Source::default());
            let tagged = source.clone();
            let load = move |_| async move { Ok::<_, LoadError>(Loaded::value(tagged.read(LOAD).await).tag("twice")) };
            let mut older = Box::pin(space.get(&key).or_load(load.clone()));
            assert!((&mut older).now_or_never().is_none());
            until("the load has read", || source.runs() == 1).await;
            source.write();
            cache.remove_tag("twice");
            let reader = async {
                if !many {
                    return *space.get(&key).or_load(load).await.unwrap();
                }
                let source = source.clone();
                let keys = [key];
                let answers = space.get_many(&keys).or_load(move |keys: Vec<u64>, _| {
                    let source = source.clone();
                    async move {
                        let value = source.read(LOAD).await;
                        Ok::<_, LoadError>(keys.into_iter().map(|key| (key, Loaded::value(value))).collect())
                    }
                });
                **answers.await[0].as_ref().unwrap()
            };
            let mut reader = Box::pin(reader);
            assert!((&mut reader).now_or_never().is_none());
            cache.remove_tag("twice");
            assert_eq!(soon("the reader in between", reader).await, 1, "many: {many}");
            older.await.unwrap();
        }
    }
}

const TRIES: u64 = 100_000;
const AT_ONCE: u64 = 64;

/// A load that has read and lingers: told when it has read, it waits until it is let go.
#[derive(Default)]
struct Linger {
    read: AtomicU64,
    version: AtomicU64,
}

impl Linger {
    async fn load(self: Arc<Linger>) -> u64 {
        let version = self.version.load(SeqCst);
        self.read.fetch_add(1, SeqCst);
        // Long enough for the removal to come while this value is under way.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        version
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_a_removal_during_a_load_0_stale_of_100_000_after_its_reply() {
    let (_cache, space) = cache(minute());
    let naive = Naive::default();
    let worker = |first: u64| {
        let (space, naive) = (space.clone(), naive.clone());
        tokio::spawn(async move {
            let (mut stale, mut control) = (0, 0);
            for key in (first..TRIES).step_by(AT_ONCE as usize) {
                let linger = Arc::new(Linger::default());
                let ask = || {
                    let linger = linger.clone();
                    space.get(&key).or_load(|_| async { Ok::<_, LoadError>(Loaded::value(linger.load().await)) })
                };
                let mut older = std::pin::pin!(ask());
                let _ = (&mut older).now_or_never();
                while linger.read.load(SeqCst) == 0 {
                    tokio::task::yield_now().await;
                }
                linger.version.store(1, SeqCst);
                drop(space.remove(&key));
                stale += u64::from(*ask().await.unwrap() != 1);
                stale += u64::from(space.hit(&key).is_some_and(|value| *value != 1));
                older.await.unwrap();
                stale += u64::from(space.peek(&key).is_some_and(|value| *value != 1));

                let linger = Arc::new(Linger::default());
                let ask = || naive.get(key, linger.clone().load().map(Ok::<_, ()>));
                let mut older = std::pin::pin!(ask());
                let _ = (&mut older).now_or_never();
                linger.version.store(1, SeqCst);
                naive.remove(key);
                let (younger, _) = tokio::join!(ask(), older);
                control += u64::from(younger != Ok(1));
            }
            (stale, control)
        })
    };
    let counts = join_all((0..AT_ONCE).map(worker)).await;
    let (stale, control) = counts.into_iter().map(Result::unwrap).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    assert_eq!(stale, 0);
    assert!(control > TRIES / 2, "the control is stale in {control} of {TRIES}");
}
