//! Which races does a cache lose when its leader, its callers or its loader misbehave? Each test
//! runs the race against Bellwether and, as the control, against the cache that people write.

#[allow(dead_code, reason = "every test program uses its part of the helpers")]
mod common;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use bellwether::{LoadError, Loaded, Why};
use common::{Answer, Naive, Source, cache, minute, soon, until};
use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::time::timeout;

const CALLERS: u64 = 100;
const LOAD: Duration = Duration::from_millis(20);

async fn naive_read(source: Source, takes: Duration) -> Result<u64, ()> {
    Ok(source.read(takes).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g4_a_leader_that_lives_but_is_not_polled_strands_nobody() {
    let (_cache, space) = cache(minute());
    let source = Source::default();
    let mut leader = Box::pin(space.get(&1).or_load(source.loader(LOAD)));
    assert!((&mut leader).now_or_never().is_none(), "it leads a load that takes a while");
    let followers = (0..CALLERS).map(|_| space.get(&1).or_load(source.loader(LOAD)));
    let answers = soon("followers of a leader that is not polled", join_all(followers)).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!((source.runs(), *leader.await.unwrap()), (1, 0));

    let (naive, source) = (Naive::default(), Source::default());
    let mut leader = Box::pin(naive.get(1, naive_read(source.clone(), LOAD)));
    assert!((&mut leader).now_or_never().is_none());
    let follower = timeout(LOAD * 10, naive.get(1, naive_read(source, LOAD))).await;
    assert!(follower.is_err(), "control: the follower hangs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_g4_an_aborted_leader_costs_neither_a_load_nor_an_answer() {
    let (cache, space) = cache(minute());
    let source = Source::default();
    let leader = tokio::spawn({
        let (space, source) = (space.clone(), source.clone());
        async move { space.get(&1).or_load(source.loader(LOAD * 3)).await }
    });
    until("the load begins", || source.runs() == 1).await;
    let mut followers: Vec<_> = (1..CALLERS).map(|_| Box::pin(space.get(&1).or_load(source.loader(LOAD)))).collect();
    assert!(followers.iter_mut().all(|f| f.now_or_never().is_none()), "they follow");
    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());
    let answers = soon("followers of an aborted leader", join_all(followers)).await;
    assert!(answers.iter().all(|a| a.as_ref().is_ok_and(|v| v.why() == Why::Coalesced)), "{answers:?}");
    assert_eq!((source.runs(), cache.snapshot().live_flights), (1, 0));

    let (naive, source) = (Naive::default(), Source::default());
    let leader = tokio::spawn({
        let (naive, source) = (naive.clone(), source.clone());
        async move { naive.get(1, naive_read(source, LOAD * 3)).await }
    });
    until("the load begins", || source.runs() == 1).await;
    let follower = naive.get(1, naive_read(source.clone(), LOAD));
    leader.abort();
    assert!(soon("the control's follower", follower).await.is_ok());
    assert_eq!(source.runs(), 2, "control: the aborted leader's load is lost");
}

/// The table's row: 100 callers, one every 10 ms, each asks once and gives up after 50 ms, while a
/// load takes 100 ms: how many of them are served.
async fn impatient<F, T, E>(ask: impl Fn() -> F + Clone + Send + 'static) -> usize
where
    F: Future<Output = Result<T, E>> + Send,
    T: Send,
    E: Send,
{
    let started = tokio::time::Instant::now();
    let caller = |number: u32| {
        let ask = ask.clone();
        tokio::spawn(async move {
            tokio::time::sleep_until(started + Duration::from_millis(10) * number).await;
            timeout(Duration::from_millis(50), ask()).await.is_ok_and(|answer| answer.is_ok())
        })
    };
    let served = soon("impatient callers", join_all((0..CALLERS as u32).map(caller))).await;
    served.into_iter().filter(|served| matches!(served, Ok(true))).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_g4_a_load_outlives_callers_that_all_give_up() {
    let (_cache, space) = cache(minute());
    let source = Source::default();
    let served = impatient({
        let source = source.clone();
        move || {
            let (space, source) = (space.clone(), source.clone());
            async move { space.get(&1).or_load(source.loader(Duration::from_millis(100))).await }
        }
    })
    .await;
    assert_eq!(source.runs(), 1, "each caller asked once, and the first one's load served those who came later");
    // 95 where time is kept: those of the first 50 ms give up. A busy machine's load takes longer.
    assert!((60..100).contains(&served), "{served} of {CALLERS} were served");

    let (naive, source) = (Naive::default(), Source::default());
    let served = impatient({
        let source = source.clone();
        move || {
            let (naive, source) = (naive.clone(), source.clone());
            async move { naive.get(1, naive_read(source, Duration::from_millis(100))).await }
        }
    })
    .await;
    assert_eq!(served, 0, "control: every load dies with its caller");
    assert!(source.runs() > 5, "control: {} loads", source.runs());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g4_a_panic_of_the_loader_runs_once_and_reaches_all() {
    let (cache, space) = cache(minute());
    let runs = Arc::new(AtomicU64::new(0));
    let ask = || {
        let runs = runs.clone();
        space.get(&1).or_load(move |_| async move {
            runs.fetch_add(1, SeqCst);
            tokio::time::sleep(LOAD).await;
            if runs.load(SeqCst) > 0 {
                panic!("a bug in the loader");
            }
            Ok::<_, LoadError>(Loaded::value(0))
        })
    };
    let answers = soon("callers of a loader that panics", join_all((0..CALLERS).map(|_| ask()))).await;
    for answer in &answers {
        let error = answer.as_ref().expect_err("a panic is an error");
        assert_eq!(error.why(), Why::OriginFailed);
        let source = std::error::Error::source(error).expect("the panic's words").to_string();
        assert!(source.contains("a bug in the loader"), "{source}");
    }
    assert_eq!(runs.load(SeqCst), 1);
    let counts = cache.snapshot();
    assert_eq!((counts.live_flights, counts.origins[0].running), (0, 0));

    let (naive, runs) = (Naive::default(), AtomicU64::new(0));
    let ask = || {
        AssertUnwindSafe(naive.get(1, async {
            runs.fetch_add(1, SeqCst);
            if runs.load(SeqCst) > 0 {
                panic!("a bug in the loader");
            }
            Ok::<_, ()>(0)
        }))
        .catch_unwind()
    };
    join_all((0..CALLERS).map(|_| ask())).await;
    assert_eq!(runs.load(SeqCst), CALLERS, "control: every caller runs into it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_g4_an_error_of_the_origin_is_asked_for_once_then_the_key_cools_down() {
    let (_cache, space) = cache(minute());
    let source = Source::default();
    let answers: Vec<Answer> = join_all((0..CALLERS).map(|_| space.get(&1).or_load(source.failing(LOAD)))).await;
    for answer in &answers {
        let error = answer.as_ref().expect_err("the origin is down");
        assert_eq!(error.why(), Why::OriginFailed);
        assert!(error.retry_after().is_some_and(|after| after.0 <= 200), "{error}");
    }
    let later = space.get(&1).or_load(source.failing(LOAD)).await.expect_err("it cools down");
    assert_eq!((later.why(), source.runs()), (Why::Cooling, 1));
    let pause = later.retry_after().expect("a cooling key says for how long");
    tokio::time::sleep(Duration::from(pause)).await;
    assert!(space.get(&1).or_load(source.loader(LOAD)).await.is_ok(), "it keeps its word");

    let (naive, source) = (Naive::default(), Source::default());
    let fail = || {
        let source = source.clone();
        naive.get(1, async move {
            let _running = source.begin();
            Err::<u64, _>(())
        })
    };
    join_all((0..CALLERS).map(|_| fail())).await;
    assert_eq!(source.runs(), CALLERS, "control: one call after the other");
}
