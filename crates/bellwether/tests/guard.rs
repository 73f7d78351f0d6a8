//! Is an origin in trouble left alone, and does everybody get what there is? The guard, from the outside.

#[allow(dead_code, reason = "every test program uses its part of the helpers")]
mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use bellwether::{
    BreakerPosition, Budget, Cache, Clock, Error, FailClass, LoadError, Loaded, Policy, Space, Span, Why,
};
use common::{Source, minute, soon, until, wide};
use tokio::sync::Semaphore;

fn on(budget: Budget, policy: Policy) -> (Cache, Space<u64, u64>, Clock) {
    let clock = Clock::manual();
    let cache = Cache::builder().clock(clock.clone()).budget(budget).build().expect("a budget");
    let space = cache.space("row", policy);
    (cache, space, clock)
}

/// Twenty keys whose origin can't be reached.
async fn break_down(space: &Space<u64, u64>, source: &Source) {
    for key in 100..120 {
        let source = source.clone();
        let answer = space.get(&key).or_load(|_| async move {
            source.read(Duration::ZERO).await;
            Err::<Loaded<u64>, _>(LoadError::new(FailClass::Refused, "down"))
        });
        assert_eq!(answer.await.expect_err("it is down").why(), Why::OriginRefused);
    }
}

async fn ask(space: &Space<u64, u64>, key: u64, source: &Source) -> Result<Why, Error> {
    soon("an answer", space.get(&key).or_load(source.loader(Duration::ZERO))).await.map(|value| value.why())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_breaker_serves_what_there_is_and_leaves_the_origin_alone_until_it_is_back() {
    let (cache, space, clock) = on(wide(), minute().stale_if_error("1h"));
    let source = Source::default();
    for key in [1, 2] {
        ask(&space, key, &source).await.expect("loads");
    }
    clock.advance(Span::secs(61));
    break_down(&space, &source).await;
    assert_eq!(cache.snapshot().origins[0].guard.breaker, BreakerPosition::Open);
    let before = source.runs();
    assert_eq!(ask(&space, 1, &source).await.expect("there is a stale value"), Why::StaleShed);
    let with_default = space.clone().with_default(7);
    assert_eq!(ask(&with_default, 3, &source).await.expect("there is a default"), Why::Default);
    let nothing = ask(&space, 3, &source).await.expect_err("there is nothing");
    assert!(nothing.why() == Why::BreakerOpen && nothing.is_shed() && nothing.is_retryable(), "{nothing:?}");
    assert!(nothing.retry_after().is_some_and(|wait| wait > Span::ZERO && wait <= Span::ms(1200)), "{nothing:?}");
    space.remove(&2).await;
    assert_eq!(ask(&space, 2, &source).await.expect_err("removed is removed").why(), Why::BreakerOpen);
    assert_eq!(source.runs(), before, "nobody asked the origin");

    // It is back: one probe, then two, then four.
    clock.advance(Span::ms(1200));
    for key in 10..17 {
        assert_eq!(ask(&space, key, &source).await.expect("it is back"), Why::Loaded);
    }
    let guard = cache.snapshot().origins[0].guard;
    assert_eq!((guard.breaker, guard.opened), (BreakerPosition::Closed, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_without_a_breaker_the_origin_is_asked_on() {
    let (cache, space, _) = on(Budget { breaker: false, ..wide() }, minute());
    let source = Source::default();
    break_down(&space, &source).await;
    assert_eq!(ask(&space, 3, &source).await.expect("loads"), Why::Loaded);
    assert_eq!(cache.snapshot().origins[0].guard.breaker, BreakerPosition::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spaces_that_name_no_origin_do_not_share_a_breaker() {
    let cache = Cache::builder().build().expect("defaults");
    let (one, other) = (cache.space::<u64, u64>("one", minute()), cache.space::<u64, u64>("other", minute()));
    let source = Source::default();
    break_down(&one, &source).await;
    assert_eq!(ask(&other, 1, &source).await.expect("none of its business"), Why::Loaded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_herd_on_a_stale_value_starts_nothing_while_the_breaker_is_open() {
    let (cache, space, clock) = on(wide(), minute().grace("1h"));
    let source = Source::default();
    ask(&space, 1, &source).await.expect("loads");
    clock.advance(Span::secs(61));
    break_down(&space, &source).await;
    let (runs, sheds) = (source.runs(), cache.snapshot().origins[0].guard.sheds.total());
    for _ in 0..1_000 {
        assert_eq!(ask(&space, 1, &source).await.expect("stale"), Why::StaleRefreshing);
    }
    assert_eq!(source.runs(), runs);
    assert_eq!(cache.snapshot().origins[0].guard.sheds.total(), sheds, "not even the guard was asked");
    clock.advance(Span::ms(1200));
    ask(&space, 1, &source).await.expect("stale");
    until("a reader's refresh is the probe", || source.runs() > runs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_batches_are_tried_key_by_key_within_a_budget() {
    let (cache, space, _) = on(Budget { breaker: false, ..wide() }, minute());
    let calls = Arc::new(AtomicU64::new(0));
    for batch in 0..40u64 {
        let keys: Vec<u64> = (0..10).map(|n| batch * 10 + n).collect();
        let counted = calls.clone();
        let answers = space.get_many(&keys).or_load(move |_, _| {
            counted.fetch_add(1, SeqCst);
            async { Err::<Vec<(u64, Loaded<u64>)>, _>(LoadError::new(FailClass::Failed, "down")) }
        });
        let answers = soon("a batch", answers).await;
        assert!(answers.iter().all(|answer| answer.as_ref().is_err_and(|error| error.why() == Why::OriginFailed)));
    }
    // 40 batches, a hundred saved up, a tenth of all loads: not 440.
    let calls = calls.load(SeqCst);
    assert!((120..160).contains(&calls), "{calls}");
    assert_eq!(cache.snapshot().origins[0].guard.retries_denied, 440 - calls);
}

/// Ten reports that never end, of which `most` run at once; then a row of another space is asked for.
async fn row_beside_reports(reports: Policy, most: usize) -> Result<Why, Error> {
    let cache = Cache::builder().budget(Budget { max_concurrency: 8, ..wide() }).build().expect("a budget");
    let reports = cache.space::<u64, u64>("report", reports);
    let rows = cache.space::<u64, u64>("row", minute());
    let (slow, quick, gate) = (Source::default(), Source::default(), Arc::new(Semaphore::new(0)));
    let asked: Vec<_> = (0..10u64)
        .map(|key| {
            let (reports, load) = (reports.clone(), slow.held(&gate));
            tokio::spawn(async move { reports.get(&key).or_load(load).await.map(|_| ()) })
        })
        .collect();
    until("as many run as may", || slow.running() == most).await;
    let row = ask(&rows, 1, &quick).await;
    assert_eq!(slow.peak(), most, "no more ran at any time");
    asked.iter().for_each(tokio::task::JoinHandle::abort);
    gate.add_permits(10);
    row
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_space_with_limits_of_its_own_leaves_the_rest_of_its_origin_to_others() {
    let beside = row_beside_reports(minute().max_concurrency(2), 2).await;
    assert_eq!(beside.expect("six permits are free"), Why::Loaded);
    let behind = row_beside_reports(minute(), 8).await;
    assert_eq!(behind.expect_err("control: without them the reports take all").why(), Why::ShedQueue);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_space_has_a_rate_of_its_own() {
    let (_cache, space, _clock) = on(Budget { queue_wait: Span::ms(10), ..wide() }, minute().rate(10.0));
    let source = Source::default();
    assert_eq!(ask(&space, 1, &source).await.expect("the burst"), Why::Loaded);
    let second = ask(&space, 2, &source).await.expect_err("a tenth of a second too early");
    assert_eq!(second.why(), Why::ShedRate);
    let mistakes = Cache::builder().build().expect("defaults");
    let origin = mistakes.origin("db", Budget::default()).expect("a budget");
    assert!(mistakes.space_on::<u64, u64>(&origin, "bad", minute().rate(0.0).max_concurrency(0)).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_asked_for_in_vain_is_loaded_once_nobody_waits() {
    let budget = Budget { max_concurrency: 1, queue_wait: Span::ms(20), breaker: false, adaptive: false, ..wide() };
    let cache = Cache::builder().budget(budget).build().expect("a budget");
    let (loads, cannot) = (cache.space::<u64, u64>("loads", minute()), cache.space::<u64, u64>("cannot", minute()));
    let (unasked, gate) = (Arc::new(AtomicU64::new(0)), Arc::new(Semaphore::new(0)));
    let counted = unasked.clone();
    loads.loaded_by(move |ctx| {
        counted.fetch_add(1, SeqCst);
        let key = *ctx.key();
        async move { Ok::<_, LoadError>(Loaded::value(key)) }
    });
    let (slow, quick) = (Source::default(), Source::default());
    let (held, load) = (loads.clone(), slow.held(&gate));
    let busy = tokio::spawn(async move { held.get(&1).or_load(load).await.map(|_| ()) });
    until("the only permit is taken", || slow.running() == 1).await;
    for space in [&loads, &cannot] {
        for key in [2, 3, 4, 2] {
            assert_eq!(ask(space, key, &quick).await.expect_err("no room").why(), Why::ShedQueue);
        }
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(unasked.load(SeqCst), 0, "there is no room yet");
    gate.add_permits(1);
    busy.await.expect("no panic").expect("loads");
    until("they are there", || [2, 3, 4].iter().all(|key| loads.hit(key).is_some())).await;
    assert_eq!((unasked.load(SeqCst), quick.runs()), (3, 0), "each once, and nobody had to ask again");
    assert!([2, 3, 4].iter().all(|key| cannot.hit(key).is_none()), "the control: nobody knows how these are loaded");
}
