//! Which further races do real caches lose? Two caches with one key, load methods mixed, runtimes
//! that stop, and a shared tier that fails or freezes.

#[allow(dead_code, reason = "every test program uses its part of the helpers")]
mod common;

use std::time::{Duration, Instant};

use bellwether::shared::Found;
use bellwether::testing::{Mode, SharedMemory};
use bellwether::{BatchCtx, Cache, Clock, LoadError, Loaded, Policy, Space, Tier, Why};
use common::{HANG, Naive, Source, cache, minute, soon, until, wide};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};

const LOAD: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g5_two_caches_and_two_spaces_with_one_key_share_no_flight() {
    let (one_cache, one) = cache(minute());
    let (_two_cache, two) = cache(minute());
    let other: Space<u64, u64> = one_cache.space("other", minute());
    let load = |value: u64| {
        move |_| async move {
            tokio::time::sleep(LOAD).await;
            Ok::<_, LoadError>(Loaded::value(value))
        }
    };
    let asked = async {
        tokio::join!(one.get(&1).or_load(load(1)), two.get(&1).or_load(load(2)), other.get(&1).or_load(load(3)))
    };
    let (a, b, c) = soon("three caches' loads", asked).await;
    assert_eq!((*a.unwrap(), *b.unwrap(), *c.unwrap()), (1, 2, 3));

    // Control: a flight table for the whole process, its key without the cache's name.
    let table = Naive::default();
    let load = |value: u64| async move {
        tokio::time::sleep(LOAD).await;
        Ok::<_, ()>(value)
    };
    let crossed = tokio::join!(table.get(1, load(1)), table.get(1, load(2)), table.get(1, load(3)));
    assert_eq!(crossed, (Ok(1), Ok(1), Ok(1)), "control: two of three get another's value");
}

type Rows = Vec<(u64, Loaded<u64>)>;

/// A batch loader that reads the source once for all its keys.
fn batch(
    source: &Source,
    takes: Duration,
) -> impl Fn(Vec<u64>, BatchCtx) -> BoxFuture<'static, Result<Rows, LoadError>> + Send + Sync + 'static {
    let source = source.clone();
    move |keys, _| {
        let source = source.clone();
        async move {
            let value = source.read(takes).await;
            Ok(keys.into_iter().map(|key| (key, Loaded::value(value))).collect())
        }
        .boxed()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_every_way_to_load_a_key_joins_the_same_flight() {
    let (_cache, space) = cache(Policy::ttl("60s").grace("60s").timeout("8s"));
    let source = Source::default();
    let single = || space.get(&1).or_load(source.loader(LOAD));
    let ways: Vec<BoxFuture<'_, Why>> = vec![
        async { single().await.unwrap().why() }.boxed(),
        async { space.get(&1).fresh().or_load(source.loader(LOAD)).await.unwrap().why() }.boxed(),
        async { space.get(&1).fresh_within("5s").or_load(source.loader(LOAD)).await.unwrap().why() }.boxed(),
        async { space.get_many(&[1, 1]).or_load(batch(&source, LOAD)).await[1].as_ref().unwrap().why() }.boxed(),
    ];
    let whys = soon("four ways to load", join_all(ways)).await;
    assert_eq!(source.runs(), 1, "{whys:?}");
    assert_eq!(whys.iter().filter(|why| **why == Why::Coalesced).count(), 3);

    // A background refresh is a flight like any other: whoever insists on a fresh value joins it.
    assert!(space.refresh(&1));
    assert_eq!(single().await.unwrap().why(), Why::StaleRefreshing);
    let fresh = space.get(&1).fresh().or_load(source.loader(LOAD)).await.unwrap();
    let in_batch = space.get_many(&[1]).fresh().or_load(batch(&source, LOAD)).await[0].as_ref().unwrap().why();
    assert_eq!((fresh.why(), in_batch), (Why::Coalesced, Why::Loaded), "the second came after it had landed");
    assert_eq!(source.runs(), 3);

    let source = Source::default();
    let naive = || async { source.read(LOAD).await };
    join_all((0..4).map(|_| naive())).await;
    assert_eq!(source.runs(), 4, "control: four methods without a common table");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g4_a_leader_aborted_with_no_later_caller_strands_nobody() {
    let (cache, space) = cache(minute());
    let source = Source::default();
    let mut leader = Box::pin(space.get(&1).or_load(source.loader(LOAD)));
    assert!((&mut leader).now_or_never().is_none());
    drop(leader);
    until("its load lands without it", || space.peek(&1).is_some()).await;
    assert_eq!((source.runs(), cache.snapshot().live_flights, source.running()), (1, 0, 0));

    let (naive, source) = (Naive::default(), Source::default());
    let mut leader = Box::pin(naive.get(1, async { Ok::<_, ()>(source.read(LOAD).await) }));
    assert!((&mut leader).now_or_never().is_none());
    drop(leader);
    tokio::time::sleep(LOAD * 5).await;
    assert_eq!(naive.peek(1), None, "control: the work is lost");
}

/// Begins to lead on a `current_thread` runtime that is never driven again.
fn lead_and_stop<T>(ask: impl Future<Output = T>) -> (tokio::runtime::Runtime, T)
where
    T: Send,
{
    let caller = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let out = caller.block_on(ask);
    (caller, out)
}

#[test]
fn g4_a_callers_current_thread_runtime_that_stops_strands_nobody() {
    let source = Source::default();
    let follower =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let (stopped, (_cache, space)) = lead_and_stop(async {
        let (cache, space) = cache(minute());
        let (leading, read) = (space.clone(), source.loader(LOAD));
        tokio::spawn(async move { leading.get(&1).or_load(read).await });
        until("the load begins", || source.runs() == 1).await;
        (cache, space)
    });
    let ask = || space.get(&1).or_load(source.loader(LOAD));
    let served = follower.block_on(soon("the follower of a stopped runtime", async { ask().await.map(|v| *v) }));
    assert_eq!((served.unwrap(), source.runs()), (0, 1));
    drop(stopped);
    assert_eq!(*follower.block_on(ask()).unwrap(), 0);

    let (naive, source) = (Naive::default(), Source::default());
    let (stopped, ()) = lead_and_stop(async {
        let (leading, reading) = (naive.clone(), source.clone());
        tokio::spawn(async move { leading.get(1, async { Ok::<_, ()>(reading.read(LOAD).await) }).await });
        until("the load begins", || source.runs() == 1).await;
    });
    let ask = naive.get(1, async { Ok::<_, ()>(source.read(LOAD).await) });
    let hangs = follower.block_on(async { tokio::time::timeout(LOAD * 10, ask).await.is_err() });
    assert!(hangs, "control: the leader's runtime stands still, and the follower with it");
    drop(stopped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g4_a_shared_tier_that_fails_or_freezes_never_hides_the_loader() {
    for mode in [Mode::Failing, Mode::Frozen] {
        let tier = SharedMemory::new(Clock::system());
        tier.set(mode);
        let cache = Cache::builder().budget(wide()).shared(tier.clone()).build().unwrap();
        let space = cache.shared_space::<u64, u64>("row", minute()).unwrap();
        let source = Source::default();
        let begun = Instant::now();
        let callers = join_all((0..100).map(|_| space.get(&1).or_load(source.loader(LOAD))));
        let answers = soon("callers in front of a broken tier", callers).await;
        let took = begun.elapsed();
        assert!(answers.iter().all(Result::is_ok), "{mode:?}: {answers:?}");
        assert_eq!(source.runs(), 1);
        // The tier's budget of 50 ms and the load; the rest is for a busy machine.
        assert!(took < Duration::from_millis(50) + LOAD + Duration::from_secs(1), "{mode:?}: {took:?}");

        let begun = Instant::now();
        let keys: Vec<u64> = (100..400).collect();
        let many = soon("a batch in front of a broken tier", space.get_many(&keys).or_load(batch(&source, LOAD))).await;
        assert!(many.iter().all(Result::is_ok));
        assert!(
            begun.elapsed() < Duration::from_secs(3),
            "{mode:?}: a batch pays the budget once: {:?}",
            begun.elapsed()
        );

        let removed = Instant::now();
        let everywhere = space.remove(&1);
        assert!(everywhere.was_resident() && space.peek(&1).is_none(), "it holds here at once");
        assert!(!everywhere.await, "the tier did not hear of it, and that is told");
        assert!(removed.elapsed() < HANG);

        // Control: a cache that asks its tier with `?` answers its error, or never.
        let naive = async {
            let found = tier.get(b"row:1").await?;
            Ok::<_, bellwether::TierError>(matches!(found, Found::Entry { .. }))
        };
        let answer = tokio::time::timeout(LOAD * 10, naive).await;
        assert!(!matches!(answer, Ok(Ok(_))), "control: {mode:?} gives {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_g3_through_a_working_shared_tier_a_removed_value_does_not_come_back() {
    let tier = SharedMemory::new(Clock::system());
    let build = || Cache::builder().budget(wide()).shared(tier.clone()).build().unwrap();
    let (here, there) = (build(), build());
    let one = here.shared_space::<u64, u64>("row", minute()).unwrap();
    let two = there.shared_space::<u64, u64>("row", minute()).unwrap();
    let source = Source::default();
    one.get(&1).or_load(source.loader(LOAD)).await.unwrap();
    until("it is published", || tier.len() == 1).await;
    let adopted = two.get(&1).or_load(source.loader(LOAD)).await.unwrap();
    assert_eq!((source.runs(), adopted.why()), (1, Why::Hit), "what one has loaded the other adopts");
    source.write();
    assert!(two.remove(&1).await);
    assert!(tier.is_empty());
    assert_eq!(*two.get(&1).or_load(source.loader(LOAD)).await.unwrap(), 1);
    until("the new value is published", || tier.len() == 1).await;

    // Whoever insists on a young value is not served what lies in the tier.
    source.write();
    let fresh = two.get(&1).fresh().or_load(source.loader(LOAD)).await.unwrap();
    assert_eq!(*fresh, 2, "fresh() loads, whatever a tier holds");
    tokio::time::sleep(LOAD * 3).await;
    let third = build().shared_space::<u64, u64>("row", minute()).unwrap();
    source.write();
    let young = third.get(&1).fresh_within("10ms").or_load(source.loader(LOAD)).await.unwrap();
    assert_eq!(*young, 3, "the tier's value was older than asked for");
}
