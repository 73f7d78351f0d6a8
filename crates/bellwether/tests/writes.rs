//! Does a write keep what its writer said?

use std::time::Duration;

use bellwether::shared::{Found, Tier};
use bellwether::testing::{Mode, SharedMemory};
use bellwether::{Cache, Clock, Fence, Invalidation, Loaded, Policy, Space, Span};

#[test]
fn a_ttl_that_a_writer_names_is_exact_and_the_spaces_own_is_jittered() {
    let cache = Cache::builder().clock(Clock::manual()).build().expect("a cache");
    let space = cache.space::<u64, u64>("n", Policy::ttl("1000s").jitter(0.5));
    let remaining = |key| space.peek(&key).expect("resident").remaining();
    for key in 0..50 {
        assert!(space.put(&key, Loaded::value(key).ttl(Span::secs(60))));
        assert_eq!(remaining(key), Span::secs(60));
    }
    // The control: without a ttl of its own a value gets the space's, jittered.
    let jittered = (100..150).filter(|key| space.put(key, *key) && remaining(*key) < Span::secs(990)).count();
    assert!(jittered > 30, "only {jittered} of 50 were jittered");
}

/// Waits, at most 10 s, for what a cache does beside its answers.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("never: {what}");
}

async fn read(space: &Space<str, String>, origin: &'static str) -> String {
    let load = move |_| async move { Ok::<_, std::io::Error>(Loaded::value(origin.to_owned())) };
    space.get("k").or_load(load).await.expect("a value").to_string()
}

#[tokio::test]
async fn g2_a_write_takes_the_older_value_out_of_the_shared_tier() {
    let tier = SharedMemory::new(Clock::system());
    let spaces: Vec<Space<str, String>> = (0..3)
        .map(|_| {
            let cache = Cache::builder().shared(tier.clone()).build().expect("a cache");
            cache.shared_space("s", Policy::ttl("60s")).expect("a space")
        })
        .collect();
    assert_eq!(read(&spaces[0], "old").await, "old");
    eventually("published", || !tier.is_empty()).await;
    assert_eq!(read(&spaces[1], "new").await, "old", "the control: the tier answers without a load");
    let written = spaces[1].write("k", "new".to_owned());
    assert!(written.kept() && written.await, "the tier acknowledged it");
    assert_eq!(read(&spaces[2], "newer").await, "new", "what was written is found there, and nothing is loaded");
}

#[tokio::test]
async fn a_write_takes_the_older_values_place_in_one_step() {
    let tier = SharedMemory::new(Clock::system());
    let (_cache, space) = told(&tier).await;
    assert!(space.write("k", "one".to_owned()).await);
    let before = tier.calls();
    assert!(space.write("k", "two".to_owned()).await);
    let after = tier.calls();
    assert_eq!(
        (after.writes - before.writes, after.invalidations - before.invalidations),
        (1, 0),
        "no reader finds nothing"
    );
    assert!(space.remove("k").await);
    assert_eq!(tier.calls().invalidations - after.invalidations, 1, "the control: a removal is one");
}

/// A cache on `tier`, and a space of it, to which the tier's time is known.
async fn told(tier: &SharedMemory) -> (Cache, Space<str, String>) {
    let cache = Cache::builder().shared(tier.clone()).build().expect("a cache");
    let space: Space<str, String> = cache.shared_space("s", Policy::ttl("60s")).expect("a space");
    assert!(space.write("other", "v".to_owned()).await);
    (cache, space)
}

fn owed(cache: &Cache) -> u64 {
    cache.snapshot().shared.expect("there is a tier").pending
}

#[tokio::test]
async fn g2_a_queued_write_outlives_what_was_before_it_and_yields_to_what_came_after() {
    let tier = SharedMemory::new(Clock::system());
    let (cache, space) = told(&tier).await;
    let removed =
        async || tier.invalidate(b"s:k", Invalidation::Remove, Fence::ZERO, Span::ZERO).await.expect("it works").fence;
    for newer in [false, true, false] {
        let before = removed().await;
        tier.set(Mode::Frozen);
        assert!(!space.write("k", "new".to_owned()).await, "answered, and queued");
        // By clocks of whole milliseconds.
        tokio::time::sleep(Duration::from_millis(20)).await;
        tier.set(Mode::Working);
        let fence = if newer { removed().await } else { before };
        // Of what is being told nothing is known yet.
        for fence in [None, Some(fence)] {
            cache.hear_key(b"s:k", Invalidation::Remove, fence);
        }
        eventually("told", || owed(&cache) == 0).await;
        let found = space.find("k").await.ok().map(|found| found.to_string());
        assert_eq!(found, (!newer).then(|| "new".to_owned()), "newer: {newer}");
        let there = tier.get(b"s:k").await.expect("it works");
        assert_eq!(matches!(there, Found::Entry { .. }), !newer, "{there:?}");
    }
}

#[tokio::test]
async fn g2_a_queued_write_that_a_tag_has_removed_does_not_reach_the_tier() {
    let tier = SharedMemory::new(Clock::system());
    let (cache, space) = told(&tier).await;
    for removes in [true, false] {
        tier.set(Mode::Frozen);
        assert!(!space.write("k", Loaded::value("v".to_owned()).tag("crowd")).await);
        if removes {
            cache.remove_tag("crowd");
        }
        tier.set(Mode::Working);
        eventually("told", || owed(&cache) == 0).await;
        let there = tier.get(b"s:k").await.expect("it works");
        assert_eq!(matches!(there, Found::Entry { .. }), !removes, "control: without that it does; {there:?}");
    }
}

#[test]
fn g6_an_entry_counts_its_key_its_value_once_and_its_tags() {
    let cache = Cache::builder().build().expect("a cache");
    let space = cache.space::<str, String>("s", Policy::ttl("60s"));
    let bytes = |key: &str| cache.explain_key(&space, key).entry.expect("resident").bytes as usize;
    assert!(space.put("k", "v".repeat(1000)));
    let plain = bytes("k");
    assert_eq!(plain, 160 + 1 + size_of::<String>() + 1000);
    assert!(space.put("k", Loaded::value("v".repeat(1000)).tag("t".repeat(500))));
    assert!(bytes("k") >= plain + 500, "{} {plain}", bytes("k"));
}

#[tokio::test]
async fn g4_shared_timeout_is_what_a_frozen_tier_may_cost() {
    let frozen = SharedMemory::new(Clock::system());
    frozen.set(Mode::Frozen);
    let mut took = Vec::new();
    for budget in ["20ms", "1s"] {
        let cache = Cache::builder().shared(frozen.clone()).shared_timeout(budget).build().expect("a cache");
        let space: Space<str, String> = cache.shared_space("s", Policy::ttl("60s").timeout("10s")).expect("a space");
        let started = std::time::Instant::now();
        assert_eq!(read(&space, "loaded").await, "loaded", "a frozen tier never hides the loader");
        took.push(started.elapsed());
    }
    assert!(took[1] >= Duration::from_secs(1) && took[0] < took[1], "{took:?}");
}

#[test]
fn a_renewed_value_has_its_spaces_time_and_grace_again_and_nothing_revives_a_stale_one() {
    let clock = Clock::manual();
    let cache = Cache::builder().clock(clock.clone()).build().expect("a cache");
    let space = cache.space::<u64, u64>("n", Policy::ttl("60s").grace("1h").jitter(0.0));
    assert!(space.put(&1, 1) && space.end_at(&1, clock.now() + Span::secs(5)).changed());
    clock.advance(Span::secs(4));
    assert!(space.renew(&1).changed());
    assert_eq!(space.peek(&1).expect("resident").remaining(), Span::secs(60));
    clock.advance(Span::secs(61));
    assert!(space.peek(&1).is_some_and(|value| value.is_stale()), "its grace is back as well");
    assert!(!space.renew(&1).changed() && !space.renew(&2).changed());
    assert!(space.peek(&1).is_some_and(|value| value.is_stale()), "control: it stayed stale");
}

#[tokio::test]
async fn a_refresh_that_a_program_begins_is_a_load_and_no_request() {
    let cache = Cache::builder().build().expect("a cache");
    let space: Space<str, String> = cache.space("s", Policy::ttl("60s").grace("1h"));
    let load = |_| async { Ok::<_, std::io::Error>(Loaded::value("new".to_owned())) };
    assert!(!space.refresh_with("k", load), "nothing is resident, so nothing is refreshed");
    assert_eq!(read(&space, "old").await, "old");
    assert!(space.refresh_with("k", load));
    eventually("refreshed", || space.peek("k").is_some_and(|value| *value == "new" && !value.is_stale())).await;
    let counts = &cache.snapshot().spaces[0];
    assert_eq!((counts.loads(), counts.total()), (2, 1));
    assert_eq!(read(&space, "newer").await, "new");
    assert_eq!(cache.snapshot().spaces[0].total(), 2, "control: a read is a request");
}
