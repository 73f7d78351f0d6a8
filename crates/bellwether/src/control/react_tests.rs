//! Reactions, as readers and writers notice them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use bellwether_core::heat::plan::{Measure, Reason};
use bellwether_core::time::Span;

use crate::testing::SharedMemory;
use crate::{Cache, CacheBuilder, Clock, HotPolicy, Loaded, Policy, Space};

/// Nothing here takes this long unless somebody hangs.
const HANG: Duration = Duration::from_secs(20);

fn until(what: &str, ready: impl Fn() -> bool) {
    let begun = Instant::now();
    while !ready() {
        assert!(begun.elapsed() < HANG, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn in_force(cache: &Cache, measure: Measure) -> bool {
    cache.snapshot().reactions.iter().any(|counts| counts.measure == measure && counts.keys > 0)
}

fn saved(cache: &Cache, measure: Measure) -> u64 {
    cache.snapshot().reactions.iter().find(|counts| counts.measure == measure).map_or(0, |counts| counts.saved)
}

fn announce(cache: &Cache, space: &Space<u64, String>, key: u64) {
    let now = cache.clock().now();
    assert!(space.announce(&key, now, now + Span::secs(600)));
}

async fn read(space: &Space<u64, String>, key: u64) -> String {
    let load = |_| async { Ok::<_, std::io::Error>(Loaded::value("loaded".to_owned())) };
    String::clone(&*space.get(&key).or_load(load).await.expect("it loads"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_announced_key_is_loaded_before_anybody_asks_and_kept_fresh_by_its_worker() {
    let cache = Cache::builder().build().expect("the defaults make sense");
    let space: Space<u64, String> = cache.space("s", Policy::ttl("800ms").jitter(0.0));
    let loads = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    let counted = loads.clone();
    space.loaded_by(move |ctx| {
        counted[*ctx.key() as usize].fetch_add(1, SeqCst);
        async { Ok::<_, std::io::Error>(Loaded::value("ready".to_owned())) }
    });
    let now = cache.clock().now();
    assert!(!space.announce(&0, now, now), "over before it begins");
    announce(&cache, &space, 0);
    until("its worker refreshes it although nobody reads it", || loads[0].load(SeqCst) >= 3);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1_600) {
        assert!(space.get(&0).if_cached().is_ok_and(|found| !found.is_stale()), "it is never due");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(loads[1].load(SeqCst), 0, "the control: of what nobody announced and nobody reads nothing is loaded");
    let explain = cache.explain_key(&space, &0).reaction.expect("it is reacted to");
    assert_eq!((explain.reaction.reason, explain.stage), (Reason::Announced, None));
    assert!(explain.reaction.has(Measure::Worker) && explain.cost >= 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_that_is_off_holds_a_promoted_key_for_its_time_and_no_longer() {
    let clock = Clock::manual();
    let tier = SharedMemory::new(clock.clone());
    let cache = Cache::builder().clock(clock.clone()).shared(tier.another_way()).build().expect("a cache");
    let space = cache.shared_space::<u64, String>("s", Policy::ttl("10m")).expect("a space");
    space.shared.state.brake(true);
    announce(&cache, &space, 1);
    until("it is promoted", || {
        clock.advance(Span::ms(100));
        in_force(&cache, Measure::Promote)
    });
    let asked = || tier.calls().gets;
    for key in [1, 2] {
        assert_eq!(read(&space, key).await, "loaded");
    }
    // Who waited has it a little before the tier does; until then a read asks that twice.
    until("both are published", || cache.snapshot().shared.is_some_and(|shared| shared.published >= 2));
    let before = asked();
    for _ in 0..5 {
        read(&space, 1).await;
    }
    assert_eq!(asked(), before, "memory answers");
    for _ in 0..5 {
        read(&space, 2).await;
    }
    assert_eq!(asked(), before + 5, "the control: what is not promoted is asked for each time");
    assert!(saved(&cache, Measure::Promote) >= 5);
    clock.advance(Span::secs(3));
    read(&space, 1).await;
    assert_eq!(asked(), before + 6, "its time is over");
    assert!(space.write(&1, "newer".to_owned()).await);
    assert_eq!(read(&space, 1).await, "newer", "G2: what was written wins");
    assert!(space.remove(&1).await);
    assert_eq!(read(&space, 1).await, "loaded", "G2: what was removed is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_space_without_memory_asks_the_tier_each_time_but_for_keys_that_are_hot() {
    let clock = Clock::system();
    let tier = SharedMemory::new(clock.clone());
    let hot = HotPolicy { capacity: Some(1_000.0), ..HotPolicy::default() };
    let build =
        |builder: CacheBuilder| builder.clock(clock.clone()).shared(tier.another_way()).build().expect("a cache");
    let cache = build(Cache::builder().hot(hot));
    let space = cache.shared_space::<u64, String>("s", Policy::ttl("10m").memory(false)).expect("a space");
    let asked = || tier.calls().gets;
    for key in [1, 2] {
        assert_eq!(read(&space, key).await, "loaded");
    }
    // Who waited has it a little before the tier does; until then a read asks that twice.
    until("both are published", || cache.snapshot().shared.is_some_and(|shared| shared.published >= 2));
    let before = asked();
    for _ in 0..20 {
        read(&space, 2).await;
    }
    assert!(asked() >= before + 20, "each read asks the tier");
    let begun = Instant::now();
    while !in_force(&cache, Measure::Promote) {
        assert!(begun.elapsed() < HANG, "it is found and promoted by itself");
        for _ in 0..50 {
            read(&space, 1).await;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let explain = cache.explain_key(&space, &1).reaction.expect("it is reacted to");
    assert!(!explain.reaction.has(Measure::OwnCopies), "no reference to what memory does not answer with");
    // One instance of five per cent of a thousand a second: asked for again every 100 ms, less up to a tenth.
    assert_eq!(explain.reaction.promote, Some(Span::ms(100)));
    let (before, begun, mut reads) = (asked(), Instant::now(), 0);
    while begun.elapsed() < Duration::from_millis(450) {
        read(&space, 1).await;
        reads += 1;
    }
    let most = u64::try_from(begun.elapsed().as_millis()).expect("short") / 90 + 2;
    assert!(asked() - before <= most && reads > 10 * most, "{} of {reads} reads", asked() - before);
    let before = asked();
    for _ in 0..20 {
        read(&space, 2).await;
    }
    assert!(asked() >= before + 20, "the control: a key that is not hot is asked for each time");
    // G2, here and from elsewhere.
    assert!(space.write(&1, "newer".to_owned()).await);
    assert_eq!(read(&space, 1).await, "newer");
    let other = build(Cache::builder());
    let elsewhere = other.shared_space::<u64, String>("s", Policy::ttl("10m")).expect("a space");
    assert!(elsewhere.remove(&1).await);
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(read(&space, 1).await, "loaded", "without a backplane it is noticed once the promotion is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_shared_tier_memory_answers_whatever_the_policy_says() {
    let cache = Cache::builder().build().expect("the defaults make sense");
    let space: Space<u64, String> = cache.space("s", Policy::ttl("10m").memory(false));
    assert_eq!(read(&space, 1).await, "loaded");
    assert!(space.get(&1).if_cached().is_ok(), "there is nobody else to ask");
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_of_a_key_that_is_written_all_the_time_go_to_the_tier_as_one_and_each_is_acknowledged() {
    let clock = Clock::system();
    let tier = SharedMemory::new(clock.clone());
    let hot = HotPolicy { capacity: Some(1_000.0), ..HotPolicy::default() };
    let build =
        |builder: CacheBuilder| builder.clock(clock.clone()).shared(tier.another_way()).build().expect("a cache");
    let cache = build(Cache::builder().hot(hot));
    let space = cache.shared_space::<u64, String>("s", Policy::ttl("10m")).expect("a space");
    let begun = Instant::now();
    let (mut writes, mut measured) = (0u64, None);
    while begun.elapsed() < HANG && writes < 60_000 {
        let many = (0..50).map(|n| space.write(&7, format!("{}", writes + n)).into_future());
        let told = futures_util::future::join_all(many).await;
        assert!(told.into_iter().all(|told| told), "each is acknowledged");
        writes += 50;
        match measured {
            None if in_force(&cache, Measure::Coalesce) => measured = Some((writes, cache.snapshot().shared)),
            Some((from, _)) if writes >= from + 2_000 => break,
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (from, Some(before)) = measured.expect("its writes are gathered") else { panic!("there is a tier") };
    let told = cache.snapshot().shared.expect("there is one").told - before.told;
    assert!(told * 10 < writes - from, "{told} times told of {} writes", writes - from);
    assert!(saved(&cache, Measure::Coalesce) > 0);
    let last = format!("{}", writes - 1);
    assert_eq!(*space.peek(&7).expect("it is there"), last);
    let other = build(Cache::builder());
    let elsewhere = other.shared_space::<u64, String>("s", Policy::ttl("10m")).expect("a space");
    assert_eq!(read(&elsewhere, 7).await, last, "the last of them is what others find");
    assert!(space.remove(&7).await);
    assert!(space.write(&7, "after".to_owned()).await, "a removal is no end of it");
}
