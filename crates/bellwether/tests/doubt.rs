//! What is a copy in memory worth that nobody has confirmed for a while, and what is owed to a tier that can't be told?

#[allow(dead_code, reason = "every test program uses its part of the helpers")]
mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bellwether::events::{Debt, Ledger};
use bellwether::shared::{Found, Tier};
use bellwether::testing::{Mode, SharedMemory};
use bellwether::{Cache, Clock, Invalidation, Policy, Space, Span};
use futures_util::future::{BoxFuture, FutureExt};

use crate::common::{Source, minute, until};

fn cache(tier: &SharedMemory, clock: &Clock, resync: &str) -> (Cache, Space<u64, u64>) {
    let built = Cache::builder().memory("1 MiB").clock(clock.clone()).shared(tier.clone()).shared_resync(resync);
    let cache = built.build().expect("it makes sense");
    let space = cache.shared_space("row", minute()).expect("a new space");
    (cache, space)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_removed_from_the_tier_is_not_served_longer_than_resync() {
    let clock = Clock::system();
    let tier = SharedMemory::new(clock.clone());
    let source = Source::default();
    let (soon, never) = (cache(&tier, &clock, "400ms"), cache(&tier, &clock, "1h"));
    for (_, space) in [&soon, &never] {
        space.get(&1).or_load(source.loader(Duration::ZERO)).await.expect("loads");
    }
    until("it is published", || !tier.is_empty()).await;
    source.write();
    tier.delete(b"row:1");
    let began = std::time::Instant::now();
    loop {
        let value = *soon.1.get(&1).or_load(source.loader(Duration::ZERO)).await.expect("loads");
        if value == source.version() {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "still the old one");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let old = *never.1.get(&1).or_load(source.loader(Duration::ZERO)).await.expect("loads");
    assert_ne!(old, source.version(), "the control believes its copy for an hour");
    assert_eq!(source.runs(), 2, "two loads in all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_the_tier_confirms_is_served_from_memory_and_costs_no_load() {
    let clock = Clock::system();
    let tier = SharedMemory::new(clock.clone());
    let source = Source::default();
    let (cache, space) = cache(&tier, &clock, "200ms");
    let began = std::time::Instant::now();
    let mut reads = 0u64;
    while began.elapsed() < Duration::from_millis(1_500) {
        space.get(&1).or_load(source.loader(Duration::ZERO)).await.expect("loads");
        reads += 1;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let shared = cache.snapshot().shared.expect("a tier");
    assert_eq!(source.runs(), 1);
    assert!(shared.verified >= 3 && shared.dropped == 0, "{shared:?}");
    assert!(shared.gets < reads / 10, "memory serves: {} of {reads} reads went to the tier", shared.gets);
    // One that nobody reads meanwhile is suspect, and read anew.
    let before = shared.gets;
    tokio::time::sleep(Duration::from_millis(500)).await;
    space.get(&1).or_load(source.loader(Duration::ZERO)).await.expect("loads");
    assert!(cache.snapshot().shared.expect("a tier").gets > before);
    assert_eq!(source.runs(), 1, "the tier had it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_a_copy_that_is_confirmed_stays_covered_by_what_was_invalidated() {
    let clock = Clock::system();
    let tier = SharedMemory::new(clock.clone());
    let source = Source::default();
    let (cache, space) = cache(&tier, &clock, "80ms");
    for _ in 0..60 {
        let read = source.clone();
        let load = move |_| async move {
            Ok::<_, std::io::Error>(bellwether::Loaded::value(read.read(Duration::ZERO).await).tag("t"))
        };
        let value = *space.get(&1).or_load(load).await.expect("loads");
        assert_eq!(value, source.version());
        tokio::time::sleep(Duration::from_millis(17)).await;
        source.write();
        cache.remove_tag("t");
        // Without a backplane the tier's copy is not covered by the tag: it is removed as well.
        space.remove(&1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_space_that_is_invalidated_more_than_read_has_its_memory_tier_off_and_says_so() {
    let clock = Clock::manual();
    let tier = SharedMemory::new(clock.clone());
    let source = Source::default();
    let (cache, space) = cache(&tier, &clock, "1h");
    let off = || cache.snapshot().spaces[0].memory_off;
    let turn = |want: bool| {
        let (clock, cache) = (clock.clone(), cache.clone());
        async move {
            for _ in 0..200 {
                if cache.snapshot().spaces[0].memory_off == want {
                    return;
                }
                clock.advance(Span::secs(5));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            panic!("the brake stays as it is");
        }
    };
    for row in 0..150 {
        space.remove(&row).await;
    }
    assert!(!off(), "not before the window is over");
    turn(true).await;
    let (before, runs) = (cache.snapshot().shared.expect("a tier").gets, source.runs());
    for _ in 0..20 {
        space.get(&1).or_load(source.loader(Duration::ZERO)).await.expect("loads");
    }
    assert!(cache.snapshot().shared.expect("a tier").gets >= before + 19, "reads ask the shared tier");
    assert_eq!(source.runs(), runs + 1, "and load once all the same");
    turn(false).await;
    space.get(&1).or_load(source.loader(Duration::ZERO)).await.expect("loads");
    let before = cache.snapshot().shared.expect("a tier").gets;
    for _ in 0..20 {
        space.get(&1).or_load(source.loader(Duration::ZERO)).await.expect("loads");
    }
    assert_eq!(cache.snapshot().shared.expect("a tier").gets, before, "memory serves again");
}

/// A ledger in memory: what a test sees of it.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<Debt>>>);

impl Ledger for Paper {
    fn owe(&self, debt: Debt) -> BoxFuture<'_, ()> {
        let mut debts = self.0.lock().expect("no panic");
        debts.retain(|held| held.name != debt.name);
        debts.push(debt);
        async {}.boxed()
    }
    fn paid(&self, name: &[u8]) {
        self.0.lock().expect("no panic").retain(|held| held.name != name);
    }
    fn debts(&self) -> Vec<Debt> {
        self.0.lock().expect("no panic").clone()
    }
}

fn with_ledger(tier: &SharedMemory, clock: &Clock, paper: &Paper) -> Cache {
    let built = Cache::builder().memory("1 MiB").clock(clock.clone()).shared(tier.clone());
    built.ledger(paper.clone()).build().expect("it makes sense")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalidation_that_the_tier_could_not_be_told_outlives_its_process() {
    let clock = Clock::system();
    let (tier, paper, source) = (SharedMemory::new(clock.clone()), Paper::default(), Source::default());
    let first = with_ledger(&tier, &clock, &paper);
    let space = first.shared_space::<u64, u64>("row", minute()).expect("a new space");
    space.get(&1).or_load(source.loader(Duration::ZERO)).await.expect("loads");
    until("it is published", || !tier.is_empty()).await;
    source.write();
    tier.set(Mode::Failing);
    assert!(!space.remove(&1).await, "it could not be told");
    let debt = Debt { name: b"row:1".to_vec(), verb: Invalidation::Remove, tries: 1 };
    assert_eq!(paper.debts()[0].name, debt.name);
    assert_eq!(first.owing().len(), 1);
    drop((space, first));
    tier.set(Mode::Working);
    assert!(matches!(tier.get(b"row:1").await, Ok(Found::Entry { .. })), "the old value is still there");

    let second = with_ledger(&tier, &clock, &paper);
    assert_eq!(second.owing()[0].space, "", "not before its space is declared");
    let space = second.shared_space::<u64, u64>("row", minute()).expect("a new space");
    let value = *space.get(&1).or_load(source.loader(Duration::ZERO)).await.expect("loads");
    assert_eq!(value, source.version(), "not believed, though the tier has it");
    until("it is paid", || second.owing().is_empty() && paper.debts().is_empty()).await;

    // Control: without a ledger the next process believes the tier.
    let third = Cache::builder().memory("1 MiB").clock(clock.clone()).shared(tier.clone()).build().expect("a cache");
    let forgetful = third.shared_space::<u64, u64>("row", minute()).expect("a new space");
    source.write();
    tier.set(Mode::Failing);
    assert!(!forgetful.remove(&1).await);
    drop((forgetful, third));
    tier.set(Mode::Working);
    let fourth = Cache::builder().memory("1 MiB").clock(clock.clone()).shared(tier.clone()).build().expect("a cache");
    let space = fourth.shared_space::<u64, u64>("row", minute()).expect("a new space");
    let value = *space.get(&1).or_load(source.loader(Duration::ZERO)).await.expect("loads");
    assert_ne!(value, source.version());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tier_that_refuses_makes_dead_letters_which_can_be_retried_and_dropped() {
    let clock = Clock::manual();
    let (tier, paper) = (SharedMemory::new(clock.clone()), Paper::default());
    let cache = with_ledger(&tier, &clock, &paper);
    let space = cache.shared_space::<u64, u64>("row", Policy::ttl("60s")).expect("a new space");
    tier.set(Mode::Refusing);
    assert!(!space.remove(&1).await && !space.expire(&2).await);
    let dead = || cache.owing().iter().filter(|owing| owing.dead).count();
    for _ in 0..400 {
        if dead() == 2 {
            break;
        }
        clock.advance(Span::secs(5));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let owing = cache.owing();
    assert!(owing.iter().all(|owing| owing.dead && owing.tries >= 10 && owing.space == "row"), "{owing:?}");
    assert_eq!((owing[0].verb, owing[1].verb), (Invalidation::Remove, Invalidation::Expire));
    assert_eq!(cache.drop_owed(Some(b"row:2")), 1);
    assert_eq!(cache.drop_owed(Some(b"row:9")), 0, "nothing is owed for it");
    tier.set(Mode::Working);
    assert_eq!(cache.retry_owed(None), 1);
    for _ in 0..400 {
        clock.advance(Span::secs(5));
        tokio::time::sleep(Duration::from_millis(5)).await;
        if cache.owing().is_empty() {
            break;
        }
    }
    assert!(cache.owing().is_empty() && paper.debts().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_nobody_can_confirm_is_suspect_and_a_silent_tier_takes_nothing_from_us() {
    let clock = Clock::system();
    let tier = SharedMemory::new(clock.clone());
    let source = Source::default();
    let (cache, space) = cache(&tier, &clock, "200ms");
    space.get(&1).or_load(source.loader(Duration::ZERO)).await.expect("loads");
    until("it is published", || !tier.is_empty()).await;
    source.write();
    tier.delete(b"row:1");
    // Nobody reads it for longer than `resync`: the first who does gets no old value.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let value = *space.get(&1).or_load(source.loader(Duration::ZERO)).await.expect("loads");
    assert_eq!(value, source.version());
    tier.set(Mode::Failing);
    let began = std::time::Instant::now();
    while began.elapsed() < Duration::from_millis(800) {
        space.get(&1).or_load(source.failing(Duration::ZERO)).await.expect("the copy stays");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(source.runs(), 2, "no load alone for what is still fresh");
    assert!(cache.snapshot().shared.expect("a tier").unreachable > 0);
}
