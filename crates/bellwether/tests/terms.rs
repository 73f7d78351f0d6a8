//! What does an answer's own word change? Its ttl, its tags, its version, "missing", "not modified",
//! "not to be kept", and what a program does to a value by hand. On a clock driven by hand.

#[allow(dead_code, reason = "every test program uses its part of the helpers")]
mod common;

use std::sync::Arc;
use std::time::Duration;

use bellwether::{Cache, Early, FailClass, HIT_MANY, LoadError, Loaded, Policy, Space, Span, Why};
use common::{Source, manual, minute, soon, until};
use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::sync::Semaphore;

const NOW: Duration = Duration::ZERO;

/// Asks for `key` with a loader that gives this answer.
async fn ask(space: &Space<u64, u64>, key: u64, answer: Loaded<u64>) -> Result<(u64, Why), Why> {
    let asked = space.get(&key).or_load(|_| async { Ok::<_, LoadError>(answer) });
    soon("a load", asked).await.map(|cached| (*cached, cached.why())).map_err(|error| error.why())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_row_is_believed_for_negative_ttl_and_never_served_stale() {
    let (_cache, space, clock) = manual(minute().grace("1h").negative_ttl("5s"));
    assert_eq!(ask(&space, 1, Loaded::missing()).await, Err(Why::Negative));
    clock.advance(Span::ms(4_999));
    assert_eq!(ask(&space, 1, Loaded::value(1)).await, Err(Why::Negative));
    assert!(space.known_missing(&1) && space.peek(&1).is_none() && space.hit(&1).is_none());
    clock.advance(Span::ms(1));
    assert_eq!(ask(&space, 1, Loaded::value(1)).await, Ok((1, Why::Loaded)));
    assert_eq!(ask(&space, 2, Loaded::missing()).await, Err(Why::Negative));
    drop(space.remove(&2));
    assert_eq!(ask(&space, 2, Loaded::value(2)).await, Ok((2, Why::Loaded)), "g2: a removal ends it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answers_own_ttl_counts_and_jitter_takes_off_its_share_at_most() {
    let (_cache, space, clock) = manual(minute());
    ask(&space, 1, Loaded::value(1).ttl(Span::secs(2))).await.unwrap();
    clock.advance(Span::ms(1_999));
    assert_eq!(ask(&space, 1, Loaded::value(2)).await, Ok((1, Why::Hit)));
    clock.advance(Span::ms(1));
    assert_eq!(ask(&space, 1, Loaded::value(2)).await, Ok((2, Why::Loaded)));

    let (_cache, space, _clock) = manual(Policy::ttl("100s").jitter(0.2));
    let mut ends = Vec::new();
    for key in 0..200 {
        ask(&space, key, Loaded::value(1)).await.unwrap();
        ends.push(space.peek(&key).unwrap().remaining().0);
    }
    assert!(ends.iter().all(|end| (80_000..=100_000).contains(end)), "{ends:?}");
    assert!(ends.iter().max().unwrap() - ends.iter().min().unwrap() > 15_000, "they do not expire together");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_a_tag_invalidates_what_carries_it_and_nothing_else() {
    let (cache, space, _clock) = manual(minute().grace("1h"));
    for (key, tag) in [(1, "team:7"), (2, "team:8"), (3, "team:7")] {
        ask(&space, key, Loaded::value(key).tag(tag).tag("all")).await.unwrap();
    }
    cache.expire_tag("team:7");
    assert_eq!((1..=3).filter(|key| space.hit(key).is_some()).collect::<Vec<u64>>(), [2]);
    assert_eq!(ask(&space, 1, Loaded::value(10).tag("team:7")).await, Ok((10, Why::Loaded)));
    assert!(space.hit(&1).is_some(), "what was loaded since is not covered");
    cache.remove_tag("all");
    assert_eq!((1..=3).filter(|key| space.peek(key).is_some()).collect::<Vec<u64>>(), [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g3_of_two_loads_side_by_side_the_greater_version_stays() {
    let (_cache, space, _clock) = manual(minute());
    let gate = Arc::new(Semaphore::new(0));
    let read = |value: u64| {
        let gate = gate.clone();
        move |_| async move {
            gate.acquire().await.expect("never closed").forget();
            Ok::<_, LoadError>(Loaded::value(value).version(value))
        }
    };
    space.put(&1, Loaded::value(5).version(5));
    let mut older = Box::pin(space.get(&1).fresh().or_load(read(4)));
    assert!((&mut older).now_or_never().is_none());
    gate.add_permits(1);
    soon("the older row", older).await.unwrap();
    assert_eq!(space.peek(&1).map(|value| (*value, value.version())), Some((5, Some(5))), "a replica lagged behind");
    gate.add_permits(1);
    soon("the newer row", space.get(&1).fresh().or_load(read(6))).await.unwrap();
    assert_eq!(space.peek(&1).map(|value| *value), Some(6));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_modified_revives_only_a_body_that_the_loader_was_shown() {
    let (cache, space, clock) = manual(minute().stale_if_error("1h"));
    let shown = |space: &Space<u64, u64>| {
        let space = space.clone();
        async move {
            let asked = space.get(&1).or_load(|ctx| async move {
                let Some(stale) = ctx.stale() else { return Ok::<_, LoadError>(Loaded::not_modified()) };
                assert_eq!((*stale, stale.version()), (7, Some(3)));
                Ok(Loaded::not_modified().tag("later"))
            });
            soon("a conditional load", asked).await.map(|cached| (*cached, cached.why())).map_err(|e| e.class())
        }
    };
    assert_eq!(shown(&space).await, Err(Some(FailClass::Rejected)), "there was nothing to be modified");
    drop(space.remove(&1));
    ask(&space, 1, Loaded::value(7).version(3).tag("first")).await.unwrap();
    clock.advance(Span::secs(61));
    assert_eq!(shown(&space).await, Ok((7, Why::Loaded)));
    let revived = space.hit(&1).expect("fresh again");
    assert_eq!((revived.age(), revived.remaining(), revived.version()), (Span::ZERO, Span::secs(60), Some(3)));
    // The tags of before and those that the origin named with its "not modified".
    for tag in ["first", "later"] {
        clock.advance(Span::secs(61));
        assert_eq!(shown(&space).await, Ok((7, Why::Loaded)), "{tag}");
        assert!(space.hit(&1).is_some());
        cache.expire_tag(tag);
        assert!(space.hit(&1).is_none(), "{tag}");
    }
    assert_eq!(shown(&space).await, Ok((7, Why::Loaded)), "an expired body may be found unmodified");
    drop(space.remove(&1));
    assert_eq!(shown(&space).await, Err(Some(FailClass::Rejected)), "g2: a removed one is not shown");
}

/// Ten callers of one key, while its loader gives this answer: how often it ran and why they were answered.
async fn ten(space: &Space<u64, u64>, key: u64, answer: fn(u64) -> Loaded<u64>) -> (u64, usize, Vec<Result<u64, Why>>) {
    let source = Source::default();
    let gate = Arc::new(Semaphore::new(0));
    let caller = |n: u64| {
        let (source, gate) = (source.clone(), gate.clone());
        let load = move |_| async move {
            let _running = source.begin();
            gate.acquire().await.expect("never closed").forget();
            Ok::<_, LoadError>(answer(n))
        };
        async move { space.get(&key).or_load(load).await.map(|cached| *cached).map_err(|error| error.why()) }
    };
    let mut callers: Vec<_> = (0..10).map(|n| Box::pin(caller(n))).collect();
    assert!(callers.iter_mut().all(|caller| caller.now_or_never().is_none()));
    until("a load begins", || source.running() > 0).await;
    gate.add_permits(100);
    let answers = soon("ten callers", join_all(callers)).await;
    (source.runs(), source.peak(), answers)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g5_a_private_answer_is_never_shared_and_an_uncacheable_one_only_with_those_who_wait() {
    let (_cache, space, clock) = manual(minute());
    let (runs, _, answers) = ten(&space, 1, |n| Loaded::value(n).uncacheable()).await;
    assert_eq!((runs, answers), (1, vec![Ok(0); 10]), "followers share it");
    assert!(space.peek(&1).is_none());

    let (runs, _, answers) = ten(&space, 2, |n| Loaded::value(n).private()).await;
    assert_eq!((runs, answers), (10, (0..10).map(Ok).collect::<Vec<_>>()), "each loads for itself");
    assert!(space.peek(&2).is_none());

    let (runs, _, answers) = ten(&space, 3, |_| Loaded::missing().private()).await;
    assert_eq!((runs, answers), (10, vec![Err(Why::Negative); 10]), "\"missing\" may be private too");
    assert!(!space.known_missing(&3));
    let (runs, ..) = ten(&space, 4, |_| Loaded::missing().uncacheable()).await;
    assert_eq!((runs, space.known_missing(&4)), (1, false));

    // For ten seconds callers of these keys load side by side, under the guard, then in flights again.
    for key in 1..=4 {
        let (runs, peak, _) = ten(&space, key, Loaded::value).await;
        assert_eq!(runs, 10, "side by side, key {key}");
        assert!(peak > 1, "at the same time, key {key}: {peak}");
    }
    assert_eq!(ask(&space, 1, Loaded::value(1)).await, Ok((1, Why::Uncacheable)));
    clock.advance(Span::secs(10));
    assert_eq!(ten(&space, 1, Loaded::value).await.0, 1);
    assert_eq!(
        ask(&space, 5, Loaded::value(1).ttl(Span::ZERO)).await,
        Ok((1, Why::Uncacheable)),
        "ttl 0 is no keeping"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_clear_removes_every_key_of_its_space_and_of_no_other() {
    let (cache, space, _clock) = manual(minute().grace("1h"));
    let other = cache.space::<u64, u64>("other", minute());
    for key in 0..10 {
        assert!(space.put(&key, key) && other.put(&key, key));
    }
    space.clear();
    assert!((0..10).all(|key| space.peek(&key).is_none() && other.hit(&key).is_some()));
    assert_eq!(cache.resident().count(), 10);
    assert_eq!(ask(&space, 1, Loaded::value(11)).await, Ok((11, Why::Loaded)));
    assert!(space.hit(&1).is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refreshed_value_is_served_once_more_and_another_end_is_exact() {
    let (_cache, space, clock) = manual(minute());
    assert!(space.put(&1, 1));
    assert!(space.refresh(&1), "even without a grace, for what is left of its ttl");
    assert_eq!(ask(&space, 1, Loaded::value(2)).await, Ok((1, Why::StaleRefreshing)));
    until("the refresh lands", || space.hit(&1).is_some_and(|value| *value == 2)).await;
    assert!(space.end_at(&1, clock.now() + Span::ms(500)).changed());
    clock.advance(Span::ms(499));
    assert_eq!(space.hit(&1).map(|value| value.remaining()), Some(Span::ms(1)));
    clock.advance(Span::ms(1));
    assert!(space.hit(&1).is_none() && space.peek(&1).is_none() && !space.end_at(&1, clock.now()).changed());
    assert_eq!(ask(&space, 1, Loaded::value(3)).await, Ok((3, Why::Loaded)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_early_refresh_begins_a_lead_before_the_end_of_what_is_asked_for_often() {
    for (early, hits, refreshes) in [(Early::Lead, 5_000, true), (Early::Lead, 10, false), (Early::Off, 5_000, false)] {
        let (_cache, space, clock) = manual(minute().early(early));
        let (source, gate) = (Source::default(), Arc::new(Semaphore::new(0)));
        let mut first = Box::pin(space.get(&1).or_load(source.held(&gate)));
        assert!((&mut first).now_or_never().is_none());
        until("it begins", || source.running() == 1).await;
        clock.advance(Span::ms(100));
        gate.add_permits(2);
        soon("a load of 100 ms", first).await.unwrap();
        // The lead is 1.2 to 1.4 times those 100 ms: 59,850 ms is ahead of it, 59,900 within it.
        clock.advance(Span::ms(59_850));
        for _ in 0..hits {
            assert_eq!(space.hit(&1).map(|value| value.why()), Some(Why::Hit));
        }
        assert_eq!(source.runs(), 1);
        clock.advance(Span::ms(50));
        let served = space.get(&1).or_load(source.held(&gate)).now_or_never().expect("served at once").unwrap();
        assert_eq!(served.why(), Why::Hit);
        if refreshes {
            until("the refresh lands", || space.hit(&1).is_some_and(|value| value.remaining() == Span::secs(60))).await;
        } else {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(source.runs(), 1 + u64::from(refreshes), "{early:?} after {hits} hits");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_too_large_to_keep_is_delivered_and_counted() {
    let (cache, _space, _clock) = manual(minute());
    let small = bellwether::Cache::builder().memory("64 KiB").build().unwrap();
    let space = small.space::<u64, String>("row", minute());
    let source = Source::default();
    for runs in 1..=2 {
        let load = source.clone();
        let big = space.get(&1).or_load(|_| async move {
            load.read(NOW).await;
            Ok::<_, LoadError>(Loaded::value("x".repeat(100_000)))
        });
        let big = big.await.unwrap();
        assert_eq!((big.len(), big.why(), source.runs()), (100_000, Why::TooLarge, runs));
    }
    assert_eq!((small.snapshot().memory.too_large, cache.snapshot().memory.too_large), (2, 0));
    assert!(!space.put(&2, "x".repeat(100_000)) && space.put(&2, "small".to_owned()));
}

#[tokio::test]
async fn many_hits_at_once_are_what_each_is_alone() {
    let cache = Cache::builder().memory("8 MiB").build().expect("the defaults make sense");
    let space: Space<[u8], u64> = cache.space("n", Policy::ttl("1h").grace("1h"));
    let keys: Vec<Vec<u8>> = (0..40u64).map(|n| n.to_string().into_bytes()).collect();
    let put = |n: usize, tag: &str| {
        let value = Loaded::value(n as u64);
        assert!(space.put(&keys[n], if tag.is_empty() { value } else { value.tag(tag) }));
    };
    let served = |keys: &[Vec<u8>]| {
        let counted =
            || cache.snapshot().spaces[0].requests.iter().find(|(why, _)| *why == Why::Hit).map_or(0, |hit| hit.1);
        let alone: Vec<Option<u64>> = keys.iter().map(|key| space.hit(key).map(|value| *value)).collect();
        let before = counted();
        let mut together = Vec::new();
        for keys in keys.chunks(HIT_MANY) {
            let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
            let mut found = vec![None; keys.len()];
            space.hit_many(&keys, &mut found);
            together.extend(found.iter().map(|value| value.as_deref().copied()));
        }
        assert_eq!(together, alone);
        let hits = together.iter().flatten().count();
        assert_eq!(counted() - before, hits as u64, "each is counted once, and nothing else is");
        hits
    };
    assert_eq!(served(&keys), 0);
    (0..40).for_each(|n| put(n, ["", "odd"][n % 2]));
    assert_eq!(served(&keys), 40, "those with tags as well");
    assert_eq!(served(&[keys[1].clone(), keys[1].clone(), b"none".to_vec()]), 2);
    drop(space.remove(&keys[4]));
    drop(space.expire(&keys[6]));
    assert_eq!(served(&keys), 38);
    drop(cache.remove_tag("odd"));
    assert_eq!(served(&keys), 18);
    drop(space.clear());
    assert_eq!(served(&keys), 0);
    put(3, "odd");
    assert_eq!(served(&keys), 1);
    // Beyond what is looked up together nothing is touched.
    let (all, mut found) = (keys.iter().map(Vec::as_slice).collect::<Vec<_>>(), vec![None; 40]);
    space.hit_many(&all[3..], &mut found);
    assert_eq!(found.iter().flatten().count(), 1);
    space.hit_many(&all[3..], &mut []);
}
