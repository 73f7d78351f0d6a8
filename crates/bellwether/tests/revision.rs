//! Does a cache keep its promises while its spaces and origins change under way?
#![allow(clippy::unwrap_used, reason = "helpers outside #[test] may panic too: it is the report")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bellwether::{Budget, Cache, Clock, Demand, Lease, Loaded, Policy, SetupError, Space, Span, Why};

async fn load(space: &Space<str, String>, key: &str, value: &'static str) -> String {
    let loaded =
        space.get(key).or_load(move |_| async move { Ok::<_, std::io::Error>(Loaded::value(value.to_owned())) });
    (*loaded.await.unwrap()).clone()
}

fn revised(cache: &Cache, renew: bool, ttl: &str) -> Space<str, String> {
    let mut revision = cache.revise();
    let origin = cache.default_origin();
    let space = match renew {
        true => revision.renew(&origin, "s", Policy::ttl(ttl).jitter(0.0)),
        false => revision.keep(&origin, "s", Policy::ttl(ttl).jitter(0.0)),
    };
    revision.commit().expect("the only one");
    space.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_policy_keeps_entries_with_the_times_they_were_stamped_with() {
    let clock = Clock::manual();
    let cache = Cache::builder().clock(clock.clone()).build().unwrap();
    let space: Space<str, String> = cache.space("s", Policy::ttl("60s").jitter(0.0));
    assert_eq!(load(&space, "old", "1").await, "1");
    let space = revised(&cache, false, "10s");
    assert_eq!(load(&space, "new", "1").await, "1");
    clock.advance(Span::secs(30));
    assert_eq!(load(&space, "old", "2").await, "1", "fresh for the 60 s it was stamped with");
    assert_eq!(load(&space, "new", "2").await, "2", "control: stamped after the change, for 10 s");
    clock.advance(Span::secs(31));
    assert_eq!(load(&space, "old", "3").await, "3");
    assert_eq!(cache.snapshot().spaces.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn g2_nothing_of_a_renewed_space_is_served_kept_or_joined() {
    let cache = Cache::builder().build().unwrap();
    let old: Space<str, String> = cache.space("s", Policy::ttl("60s"));
    assert_eq!(load(&old, "k", "old").await, "old");
    let (open, gate) = tokio::sync::oneshot::channel::<()>();
    let late = tokio::spawn({
        let old = old.clone();
        async move {
            let loaded = old.get("late").or_load(move |_| async move {
                gate.await.unwrap();
                Ok::<_, std::io::Error>(Loaded::value("old".to_owned()))
            });
            (*loaded.await.unwrap()).clone()
        }
    });
    while cache.snapshot().origins[0].running == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let new = revised(&cache, true, "60s");
    assert!(new.peek("k").is_none() && old.peek("k").is_none());
    assert_eq!(cache.entries(), 0, "the bytes go as well");
    assert_eq!(load(&new, "k", "new").await, "new");
    // The old load still runs: a reader of the new space does not wait for it.
    assert_eq!(load(&new, "late", "new").await, "new");
    open.send(()).unwrap();
    assert_eq!(late.await.unwrap(), "old", "who asked before gets what it asked for");
    assert_eq!(load(&new, "late", "newer").await, "new");
    assert_eq!(cache.entries(), 2, "what landed late was not kept");
    assert!(cache.resident().all(|(name, _)| &*name == "s"));
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_of_a_space_that_goes_on_never_go_back_and_add_up() {
    let cache = Cache::builder().build().unwrap();
    let mut space: Space<str, String> = cache.space("s", Policy::ttl("60s"));
    let (mut asked, mut before) = (0, 0);
    for round in 0..20 {
        for key in ["a", "b", "a"] {
            load(&space, key, "v").await;
            asked += 1;
        }
        space = revised(&cache, round % 2 == 0, "60s");
        let counts = &cache.snapshot().spaces[0];
        assert!(counts.total() >= before);
        before = counts.total();
    }
    let snapshot = cache.snapshot();
    assert_eq!(snapshot.spaces[0].total(), asked);
    // Two keys at first, and again after each of ten renewals.
    assert_eq!(snapshot.spaces[0].of(Why::Loaded), 2 + 10 * 2);
    assert_eq!(snapshot.spaces[0].loads(), snapshot.spaces[0].of(Why::Loaded));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_revision_does_not_name_is_dropped() {
    let cache = Cache::builder().build().unwrap();
    let gone: Space<str, String> = cache.space("gone", Policy::ttl("60s"));
    assert!(gone.put("k", "v".to_owned()));
    let kept = revised(&cache, false, "60s");
    assert!(kept.put("k", "v".to_owned()));
    let names: Vec<_> = cache.snapshot().spaces.into_iter().map(|space| space.name).collect();
    assert_eq!(names, ["s"]);
    assert_eq!(cache.entries(), 1);
    assert!(gone.peek("k").is_none() && cache.explain("gone:k").is_none());
    drop(cache.revise());
    assert!(kept.peek("k").is_some(), "control: what is not committed does nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_told_and_nothing_has_changed() {
    let cache = Cache::builder().build().unwrap();
    let _first: Space<str, String> = cache.space("s", Policy::ttl("60s"));
    let origin = cache.default_origin();
    let mut revision = cache.revise();
    assert!(matches!(revision.keep::<str, String>(&origin, "s", Policy::ttl("0s")), Err(SetupError::Policy { .. })));
    assert!(matches!(revision.keep::<str, u64>(&origin, "s", Policy::ttl("1s")), Err(SetupError::Twice(_))));
    assert!(revision.keep::<str, String>(&origin, "s", Policy::ttl("1s")).is_ok());
    assert!(matches!(revision.renew::<str, String>(&origin, "s", Policy::ttl("1s")), Err(SetupError::Twice(_))));
    let no_loads = Budget { max_concurrency: 0, ..Budget::default() };
    assert!(matches!(revision.origin("o", no_loads), Err(SetupError::Budget { .. })));
    drop(revision);
    assert_eq!(cache.snapshot().origins.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn g9_a_budget_holds_across_changes_and_an_origin_that_comes_back() {
    let cache = Cache::builder().build().unwrap();
    let (running, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let budget = |most| Budget { max_concurrency: most, queue_wait: Span::secs(20), ..Budget::default() };
    let space = |most: Option<u32>| -> Option<Space<str, String>> {
        let mut revision = cache.revise();
        let policy = Policy::ttl("60s").timeout("20s");
        let space = most.map(|most| {
            let origin = revision.origin("o", budget(most)).unwrap();
            revision.renew(&origin, "s", policy).unwrap()
        });
        revision.commit().expect("the only one");
        space
    };
    let mut tasks = Vec::new();
    let mut ask = |space: &Space<str, String>, from: usize, count: usize| {
        for n in from..from + count {
            let (space, running, peak) = (space.clone(), running.clone(), peak.clone());
            tasks.push(tokio::spawn(async move {
                let key = n.to_string();
                let loaded = space.get(key.as_str()).or_load(move |_| async move {
                    peak.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                    tokio::time::sleep(Duration::from_millis(40)).await;
                    running.fetch_sub(1, SeqCst);
                    Ok::<_, std::io::Error>(Loaded::value("v".to_owned()))
                });
                loaded.await.map(drop)
            }));
        }
    };
    let eight = space(Some(8)).unwrap();
    ask(&eight, 0, 40);
    while running.load(SeqCst) < 8 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Fewer: those that run go on, and nobody starts beside them.
    let three = space(Some(3)).unwrap();
    ask(&three, 100, 10);
    tokio::time::sleep(Duration::from_millis(60)).await;
    while running.load(SeqCst) > 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    peak.store(0, SeqCst);
    // Gone and back while its loads still run: the same guard.
    assert!(space(None).is_none());
    let back = space(Some(3)).unwrap();
    ask(&back, 200, 10);
    for task in tasks {
        task.await.unwrap().expect("every caller is served");
    }
    assert!(peak.load(SeqCst) <= 3, "{} loads at once", peak.load(SeqCst));
    assert_eq!(peak.load(SeqCst), 3, "control: the budget was used");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_revisions_leave_nothing_behind() {
    let cache = Cache::builder().build().unwrap();
    let rss = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let revise = |n: u32| {
        let mut revision = cache.revise();
        let origin = revision.origin(if n.is_multiple_of(3) { "a" } else { "b" }, Budget::default()).unwrap();
        let one: Space<str, String> = revision.renew(&origin, "one", Policy::ttl("60s")).unwrap();
        let two: Space<str, String> = revision.keep(&origin, "two", Policy::ttl(&*format!("{}s", n + 1))).unwrap();
        revision.commit().expect("the only one");
        (one, two)
    };
    let mut at_200 = 0;
    for n in 0..1_000 {
        let (one, two) = revise(n);
        for key in ["a", "b", "c"] {
            assert!(one.put(key, "v".to_owned()) && two.put(key, "v".to_owned()));
        }
        assert_eq!(cache.entries(), 6);
        if n == 200 {
            at_200 = rss();
        }
    }
    let snapshot = cache.snapshot();
    assert_eq!((snapshot.spaces.len(), snapshot.origins.len()), (2, 2));
    // 800 spaces' counters alone would be 13 MiB.
    assert!(rss() < at_200 + 6 * 1024, "{at_200} KiB grew to {} KiB", rss());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_revisions_begun_together_the_first_commit_wins_and_the_other_changes_nothing() {
    let cache = Cache::builder().build().unwrap();
    let old: Space<str, String> = cache.space("s", Policy::ttl("60s"));
    let (mut first, mut second) = (cache.revise(), cache.revise());
    let _anew: Space<str, String> = first.renew(&cache.default_origin(), "s", Policy::ttl("60s")).unwrap();
    let kept: Space<str, String> = second.keep(&cache.default_origin(), "s", Policy::ttl("60s")).unwrap();
    assert!(first.commit().is_ok() && old.is_dropped());
    assert_eq!(second.commit(), Err(SetupError::Overtaken));
    assert!(kept.is_dropped(), "it would have gone on with what is dropped: a space that never keeps anything");
    let now = revised(&cache, false, "60s");
    assert_eq!((load(&now, "k", "1").await, load(&now, "k", "2").await), ("1".to_owned(), "1".to_owned()), "control");
}

#[test]
fn nothing_is_written_through_a_dropped_space() {
    let cache = Cache::builder().build().unwrap();
    let old: Space<str, String> = cache.space("s", Policy::ttl("60s"));
    assert!(old.put("k", "control".to_owned()) && cache.entries() == 1);
    let new = revised(&cache, true, "60s");
    assert!(!old.put("k", "old".to_owned()) && old.is_dropped() && !new.is_dropped());
    assert_eq!(cache.entries(), 0, "it would take room until its end, for nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_token_of_a_dropped_space_is_woken_and_gets_none() {
    let clock = Clock::manual();
    let cache = Cache::builder().clock(clock).build().unwrap();
    let old: Space<str, String> = cache.space("s", Policy::ttl("60s"));
    let lease = |space: Space<str, String>| async move {
        space
            .lease("k", Demand::Any, Span::secs(600), Span::secs(600))
            .await
            .map(|lease| matches!(lease, Lease::Token(_)))
    };
    assert_eq!(lease(old.clone()).await.ok(), Some(true), "control: the first gets it");
    let waiters: Vec<_> = (0..20).map(|_| tokio::spawn(lease(old.clone()))).collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(waiters.iter().all(|waiter| !waiter.is_finished()));
    let new = revised(&cache, true, "60s");
    for waiter in waiters {
        let answer = tokio::time::timeout(Duration::from_secs(10), waiter).await.expect("woken").unwrap();
        assert_eq!(answer.err().map(|error| error.why()), Some(Why::NotCached));
    }
    assert_eq!(lease(new).await.ok(), Some(true), "one token, of what is in its place");
}

#[test]
fn an_origin_has_one_name_in_a_revision_too() {
    let cache = Cache::builder().build().unwrap();
    let mut revision = cache.revise();
    assert!(revision.origin("db", Budget::default()).is_ok());
    for name in ["db", "default"] {
        let twice = revision.origin(name, Budget::default()).err();
        assert_eq!(twice, Some(SetupError::OriginTwice(name.to_owned())));
    }
}
