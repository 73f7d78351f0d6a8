//! How long does a caller wait, and what does it get instead of an answer? On a clock driven by hand.

#[allow(dead_code, reason = "every test program uses its part of the helpers")]
mod common;

use std::sync::Arc;
use std::time::Duration;

use bellwether::{Budget, Cache, Clock, Error, FailClass, LoadError, Loaded, Policy, Space, Span, Why};
use common::{Answer, Source, manual, minute, soon, until};
use futures_util::FutureExt;
use tokio::sync::Semaphore;

const NOW: Duration = Duration::ZERO;

fn gate() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(0))
}

/// Loads version 0 into `key`.
async fn warm(space: &Space<u64, u64>, key: u64) {
    space.get(&key).or_load(Source::default().loader(NOW)).await.expect("it loads");
}

async fn failing(space: &Space<u64, u64>, source: &Source) -> Answer {
    soon("a failing load", space.get(&1).or_load(source.failing(NOW))).await
}

fn why(answer: &Answer) -> Why {
    answer.as_ref().map_or_else(Error::why, |cached| cached.why())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g4_each_caller_is_answered_by_its_own_deadline_and_the_load_goes_on() {
    let (cache, space, clock) = manual(minute().timeout("1s"));
    let (source, gate) = (Source::default(), gate());
    let mut leader = Box::pin(space.get(&1).or_load(source.held(&gate)));
    let mut hasty = Box::pin(space.get(&1).timeout("100ms").or_load(source.held(&gate)));
    let mut dated = Box::pin(space.get(&1).deadline(clock.now() + Span::ms(300)).or_load(source.held(&gate)));
    assert!((&mut leader).now_or_never().is_none());
    let waits = |future: &mut _| FutureExt::now_or_never(future).is_none();
    assert!(waits(&mut hasty) && waits(&mut dated));
    clock.advance(Span::ms(99));
    assert!(waits(&mut hasty) && waits(&mut dated));
    clock.advance(Span::ms(1));
    let error = soon("the hasty caller", hasty).await.unwrap_err();
    assert!(error.is_timeout() && error.is_retryable() && error.retry_after().is_some(), "{error}");
    assert!(waits(&mut dated), "each has a deadline of its own");
    clock.advance(Span::ms(200));
    assert!(soon("the dated caller", dated).await.unwrap_err().is_timeout());
    gate.add_permits(1);
    assert_eq!(soon("the leader", leader).await.unwrap().why(), Why::Loaded);
    assert_eq!((source.runs(), cache.snapshot().live_flights), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g4_a_load_that_hangs_is_cut_off_at_the_origins_timeout_and_told_to_all() {
    let clock = Clock::manual();
    let budget = Budget { timeout: Span::secs(2), ..Budget::default() };
    let cache = Cache::builder().clock(clock.clone()).budget(budget).build().unwrap();
    let space = cache.space::<u64, u64>("row", minute());
    let (source, gate) = (Source::default(), gate());
    let mut callers: Vec<_> = (0..10).map(|_| Box::pin(space.get(&1).or_load(source.held(&gate)))).collect();
    assert!(callers.iter_mut().all(|caller| caller.now_or_never().is_none()));
    until("it begins", || source.running() == 1).await;
    clock.advance(Span::secs(2));
    for caller in callers {
        let error = soon("a caller of a load that hangs", caller).await.unwrap_err();
        assert_eq!((error.why(), error.class()), (Why::OriginTimeout, Some(FailClass::Timeout)));
    }
    until("its permit is back", || cache.snapshot().origins[0].running == 0 && source.running() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g4_after_20_loads_a_stale_value_or_the_default_is_preferred_to_further_waiting() {
    // Nothing is served stale at once, but an hour long for want of something better.
    let policy = || minute().stale_if_error("1h");
    let (_cache, space, clock) = manual(policy());
    let (source, gate) = (Source::default(), gate());
    warm(&space, 1).await;
    clock.advance(Span::secs(61));
    let mut unhedged = Box::pin(space.get(&1).or_load(source.held(&gate)));
    assert!((&mut unhedged).now_or_never().is_none());
    clock.advance(Span::ms(7_999));
    assert!((&mut unhedged).now_or_never().is_none(), "control: load times are unknown, so it waits for its deadline");
    clock.advance(Span::ms(1));
    assert_eq!(why(&soon("the deadline", unhedged).await), Why::StaleError);
    gate.add_permits(1);

    let (_cache, space, clock) = manual(policy());
    for key in [1].into_iter().chain(100..120) {
        warm(&space, key).await;
    }
    clock.advance(Span::secs(61));
    let defaulting = space.with_default(99);
    let mut stale = Box::pin(space.get(&1).or_load(source.held(&gate)));
    let mut default = Box::pin(defaulting.get(&2).or_load(source.held(&gate)));
    let mut neither = Box::pin(space.get(&2).or_load(source.held(&gate)));
    let waits = |future: &mut _| FutureExt::now_or_never(future).is_none();
    assert!((&mut stale).now_or_never().is_none() && waits(&mut default) && waits(&mut neither));
    clock.advance(Span::ms(49));
    assert!((&mut stale).now_or_never().is_none() && waits(&mut default));
    clock.advance(Span::ms(1));
    assert_eq!(why(&soon("the stale value", stale).await), Why::StaleError);
    let default = soon("the default", default).await.unwrap();
    assert_eq!((*default, default.why()), (99, Why::Default));
    assert!(waits(&mut neither), "who has neither waits on");
    gate.add_permits(2);
    assert_eq!(why(&soon("the rest", neither).await), Why::Coalesced);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_load_is_rescued_by_the_stale_value_then_by_the_default_then_by_nothing() {
    let (_cache, space, clock) = manual(minute().stale_if_error("10m"));
    let source = Source::default();
    warm(&space, 1).await;
    clock.advance(Span::secs(61));
    assert_eq!(why(&failing(&space, &source).await), Why::StaleError);
    assert_eq!((why(&failing(&space, &source).await), source.runs()), (Why::StaleError, 1), "it cools down");
    let fresh = space.get(&1).fresh().or_load(source.failing(NOW)).await;
    assert_eq!(why(&fresh), Why::Cooling, "who insists on a fresh value gets that or the error");
    clock.advance(Span::secs(600));
    assert_eq!(why(&failing(&space, &source).await), Why::OriginFailed, "past its end");
    let defaulting = space.with_default(5);
    assert_eq!(why(&failing(&defaulting, &source).await), Why::Default);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_an_expired_value_rescues_only_where_the_policy_says_so_and_a_removed_one_never() {
    for rescue in [true, false] {
        let (cache, space, _clock) = manual(minute().grace("1h").rescue_invalidated(rescue));
        let source = Source::default();
        let expected = if rescue { Why::RescuedInvalidated } else { Why::OriginFailed };
        warm(&space, 1).await;
        assert!(space.expire(&1).was_resident());
        assert!(space.hit(&1).is_none() && space.peek(&1).is_none(), "readers must load");
        drop(space.expire(&1));
        assert_eq!(why(&failing(&space, &source).await), expected, "expired twice, rescue: {rescue}");

        let tagged = |_| async { Ok::<_, LoadError>(Loaded::value(0).tag("team:7")) };
        drop(space.remove(&1));
        space.get(&1).or_load(tagged).await.unwrap();
        cache.expire_tag("team:7");
        assert_eq!(why(&failing(&space, &source).await), expected, "by its tag, rescue: {rescue}");

        drop(space.remove(&1));
        assert_eq!(why(&failing(&space, &source).await), Why::OriginFailed, "g2: removed, rescue: {rescue}");
        space.put(&1, 3);
        space.expire(&1).was_resident();
        cache.remove_tag("team:7");
        drop(space.remove(&1));
        assert_eq!(why(&failing(&space, &source).await), Why::OriginFailed, "g2: expired, then removed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cool_downs_double_from_200_ms_to_10_s_less_a_fifth_at_most() {
    let (_cache, space, clock) = manual(minute());
    let source = Source::default();
    for (n, full) in [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000].into_iter().enumerate() {
        let error = failing(&space, &source).await.unwrap_err();
        assert_eq!((error.why(), source.runs()), (Why::OriginFailed, n as u64 + 1));
        let pause = error.retry_after().expect("when to come again");
        assert!((full * 4 / 5..=full).contains(&pause.0), "failure {n}: {pause}");
        clock.advance(Span(pause.0 - 1));
        let cooling = failing(&space, &source).await.unwrap_err();
        assert_eq!((cooling.why(), cooling.retry_after()), (Why::Cooling, Some(Span::ms(1))));
        clock.advance(Span::ms(1));
    }
    // A success clears it: the next failure starts anew.
    warm(&space, 1).await;
    clock.advance(Span::secs(61));
    let pause = failing(&space, &source).await.unwrap_err().retry_after();
    assert!(pause.is_some_and(|pause| pause.0 <= 200), "{pause:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_a_refresh_or_a_write_ends_a_cool_down() {
    let (_cache, space, _clock) = manual(minute());
    let source = Source::default();
    type Ends = fn(&Space<u64, u64>);
    let ends: [(&str, Ends); 3] = [
        ("remove", |space| drop(space.remove(&1))),
        ("expire", |space| drop(space.expire(&1))),
        ("refresh", |space| assert!(!space.refresh(&1), "nothing is resident")),
    ];
    for (name, end) in ends {
        assert_eq!(why(&failing(&space, &source).await), Why::OriginFailed, "{name}");
        assert_eq!(why(&failing(&space, &source).await), Why::Cooling, "control: {name}");
        end(&space);
    }
    failing(&space, &source).await.unwrap_err();
    assert!(space.put(&1, 4));
    assert_eq!(why(&space.get(&1).or_load(source.loader(NOW)).await), Why::Hit);
    assert_eq!(why(&space.get(&1).fresh().or_load(source.loader(NOW)).await), Why::Loaded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_that_the_guard_turns_away_neither_cools_the_key_nor_forgets_its_failures() {
    let clock = Clock::manual();
    let budget = Budget { max_concurrency: 1, queue_limit: 0, ..Budget::default() };
    let cache = Cache::builder().clock(clock.clone()).budget(budget).build().unwrap();
    let space = cache.space::<u64, u64>("row", Policy::ttl("60s").stale_if_error("1h"));
    let (source, gate) = (Source::default(), gate());
    failing(&space, &source).await.unwrap_err();
    clock.advance(Span::ms(200));

    let mut holder = Box::pin(space.get(&2).or_load(source.held(&gate)));
    assert!((&mut holder).now_or_never().is_none());
    until("the permit is taken", || source.running() == 1).await;
    let shed = space.get(&1).or_load(source.loader(NOW)).await.unwrap_err();
    assert!(shed.is_shed() && shed.retry_after().is_some(), "{shed}");
    assert_eq!(shed.why(), Why::ShedQueue);
    gate.add_permits(1);
    holder.await.unwrap();

    let pause = failing(&space, &source).await.unwrap_err().retry_after().expect("when to come again");
    assert!(pause.0 >= 320, "the second failure in a row pauses for 400 ms less a fifth, not {pause}");
}
