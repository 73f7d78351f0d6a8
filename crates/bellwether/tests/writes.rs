//! Does a write keep what its writer said?

use std::time::Duration;

use bellwether::testing::{Mode, SharedMemory};
use bellwether::{Cache, Clock, Loaded, Policy, Space, Span};

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
    assert!(spaces[1].put("k", "new".to_owned()));
    eventually("taken out", || tier.is_empty()).await;
    assert_eq!(read(&spaces[2], "new").await, "new");
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
