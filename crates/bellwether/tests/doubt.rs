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
    until("the new value is published", || !tier.is_empty()).await;

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
async fn a_copy_that_nobody_read_for_longer_than_resync_is_compared_first() {
    let clock = Clock::system();
    let tier = SharedMemory::new(clock.clone());
    let source = Source::default();
    let (_cache, space) = cache(&tier, &clock, "200ms");
    space.get(&1).or_load(source.loader(Duration::ZERO)).await.expect("loads");
    until("it is published", || !tier.is_empty()).await;
    source.write();
    tier.delete(b"row:1");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let value = *space.get(&1).or_load(source.loader(Duration::ZERO)).await.expect("loads");
    assert_eq!(value, source.version(), "the first who reads it gets no old value");
}

/// Two processes of a fleet: what one of them reaches the tier by can be cut.
struct Pair {
    clock: Clock,
    tier: SharedMemory,
    cut: SharedMemory,
    source: Source,
}

impl Pair {
    fn new() -> Pair {
        let clock = Clock::system();
        let tier = SharedMemory::new(clock.clone());
        Pair { cut: tier.another_way(), tier, clock, source: Source::default() }
    }

    /// Who is cut off, and has a copy; what it holds was removed elsewhere by the time this returns.
    async fn removed_elsewhere(&self, policy: Policy, mode: Mode, resync: &str) -> (Cache, Space<u64, u64>) {
        let built = |tier: &SharedMemory, resync: &str| {
            let cache = Cache::builder().clock(self.clock.clone()).shared(tier.clone()).shared_resync(resync);
            let cache = cache.build().expect("a cache");
            let space = cache.shared_space::<u64, u64>("row", policy.clone()).expect("a space");
            (cache, space)
        };
        let (alone, other) = (built(&self.cut, resync), built(&self.tier, "1h"));
        let published = self.tier.calls().publishes;
        alone.1.get(&1).or_load(self.source.loader(Duration::ZERO)).await.expect("loads");
        until("it is published", || self.tier.calls().publishes > published).await;
        self.cut.set(mode);
        self.source.write();
        assert!(other.1.remove(&1).await, "the tier knows of it");
        alone
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_whoever_is_cut_off_from_everything_serves_what_was_removed_elsewhere_no_longer_than_promised() {
    for mode in [Mode::Failing, Mode::Frozen] {
        let pair = Pair::new();
        let (cache, space) = pair.removed_elsewhere(minute(), mode, "300ms").await;
        let removed = std::time::Instant::now();
        let mut last = Duration::ZERO;
        while removed.elapsed() < Duration::from_millis(1_500) {
            let asked = removed.elapsed();
            let value = *space.get(&1).or_load(pair.source.loader(Duration::ZERO)).await.expect("a value");
            if value != pair.source.version() {
                last = asked;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // 300 ms, three budgets of the tier, and a step; the rest is for a busy machine.
        assert!(last < Duration::from_millis(900), "{mode:?}: an old value {last:?} after its removal");
        // By then it loads by itself, what it loads is good for `resync`, and nobody else sees it.
        let (loads, shared) = (pair.source.runs(), cache.snapshot().shared.expect("a tier"));
        assert!((2..=7).contains(&loads), "{mode:?}: {loads} loads");
        assert_eq!(shared.lone, loads - 1, "{mode:?}: all but the first without a lease");
        assert!(pair.tier.is_empty(), "{mode:?}: a lone value is never published");

        // Control: who promises nothing for an hour serves the old value all the while.
        let pair = Pair::new();
        let (_cache, space) = pair.removed_elsewhere(minute(), mode, "1h").await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        let value = *space.get(&1).or_load(pair.source.loader(Duration::ZERO)).await.expect("a value");
        assert_ne!(value, pair.source.version(), "{mode:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g9_what_a_process_loads_that_is_cut_off_is_one_load_a_key_and_goes_through_the_guard() {
    let clock = Clock::system();
    let tier = SharedMemory::new(clock.clone());
    let source = Source::default();
    let budget = bellwether::Budget { max_concurrency: 2, ..common::wide() };
    let built = Cache::builder().memory("1 MiB").clock(clock).shared(tier.clone()).shared_resync("200ms");
    let cache = built.budget(budget).build().expect("it makes sense");
    let space = cache.shared_space::<u64, u64>("row", minute()).expect("a new space");
    for key in 0..20 {
        space.get(&key).or_load(source.loader(Duration::ZERO)).await.expect("loads");
    }
    until("they are published", || tier.len() == 20).await;
    tier.set(Mode::Failing);
    until("nobody has confirmed them for too long", || (0..20).all(|key| space.hit(&key).is_none())).await;
    let herd = (0..1_000).map(|n| {
        let (space, load) = (space.clone(), source.loader(Duration::from_millis(20)));
        async move { space.get(&(n % 20)).or_load(load).await.map(|value| *value) }
    });
    let answers = futures_util::future::join_all(herd).await;
    assert!(answers.iter().all(Result::is_ok), "{:?}", answers.iter().find(|answer| answer.is_err()));
    assert_eq!((source.runs(), source.peak()), (40, 2), "one load a key, two at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_what_nobody_could_confirm_answers_for_a_failed_load_only_where_the_space_has_a_time_for_failures() {
    let pair = Pair::new();
    let (_cache, space) = pair.removed_elsewhere(minute(), Mode::Failing, "200ms").await;
    // Within what is promised it is served, whatever the origin does.
    space.get(&1).or_load(pair.source.failing(Duration::ZERO)).await.expect("the copy");
    until("it was not confirmed for too long", || space.hit(&1).is_none()).await;
    let error = space.get(&1).or_load(pair.source.failing(Duration::ZERO)).await.expect_err("it may be removed");
    assert_eq!(error.why(), bellwether::Why::OriginFailed);

    let pair = Pair::new();
    let (_cache, space) = pair.removed_elsewhere(minute().stale_if_error("10m"), Mode::Failing, "200ms").await;
    until("it was not confirmed for too long", || space.hit(&1).is_none()).await;
    let saved = space.get(&1).or_load(pair.source.failing(Duration::ZERO)).await.expect("the space says so");
    assert_eq!((*saved, saved.why()), (0, bellwether::Why::StaleError), "and it is labelled");
    // The tier is back, and has nothing of it: then it saves nobody any more.
    pair.cut.set(Mode::Working);
    until("its failed load is forgotten", || space.get(&1).if_cached().is_err()).await;
    for _ in 0..400 {
        let answer = space.get(&1).or_load(pair.source.failing(Duration::ZERO)).await;
        if answer.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the tier has said that there is none, and it is served all the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g10_a_process_that_stood_still_asks_the_tier_before_it_serves_a_copy() {
    let clock = Clock::manual();
    let tier = SharedMemory::new(clock.clone());
    let source = Source::default();
    let (cache, space) = cache(&tier, &clock, "1h");
    space.get(&1).or_load(source.loader(Duration::ZERO)).await.expect("loads");
    until("it is published", || !tier.is_empty()).await;
    // Control: time that passes while the process runs says nothing against its copies.
    clock.advance(Span::secs(5));
    assert!(space.hit(&1).is_some());
    source.write();
    tier.delete(b"row:1");
    clock.stand_still(Span::ms(400));
    assert!(space.hit(&1).is_none(), "the first look after a pause");
    let value = *space.get(&1).or_load(source.loader(Duration::ZERO)).await.expect("loads");
    assert_eq!((value, source.runs()), (source.version(), 2));
    until("the new value is published", || tier.calls().publishes == 2).await;
    // What is as it was costs no load, only a question.
    clock.stand_still(Span::secs(20));
    let asked = cache.snapshot().shared.expect("a tier").gets;
    space.get(&1).or_load(source.loader(Duration::ZERO)).await.expect("a value");
    assert_eq!((cache.snapshot().shared.expect("a tier").gets, source.runs()), (asked + 1, 2));
}

/// A copy was made stale, and is read for the first time after it had to be compared with the tier.
async fn read_first_after_resync(grace: &str) {
    let clock = Clock::manual();
    let tier = SharedMemory::new(clock.clone());
    let source = Source::default();
    let built = Cache::builder().memory("1 MiB").clock(clock.clone()).shared(tier.clone()).shared_resync("5s");
    let cache = built.build().expect("it makes sense");
    let policy = Policy::ttl("1h").grace(grace).jitter(0.0);
    let space: Space<u64, u64> = cache.shared_space("row", policy).expect("a new space");
    let read = |key: u64| {
        let (space, source) = (space.clone(), source.clone());
        async move {
            let load = move |_| async move {
                Ok::<_, std::io::Error>(bellwether::Loaded::value(source.read(Duration::ZERO).await).tag("t"))
            };
            *space.get(&key).or_load(load).await.expect("loads")
        }
    };
    assert_eq!(read(1).await, source.version());
    until("it is published", || !tier.is_empty()).await;
    source.write();
    clock.advance(Span::secs(1));
    assert_eq!(cache.refresh_tag("t"), 1);
    let mut last = 0;
    for _ in 0..40 {
        clock.advance(Span(500));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    for _ in 0..200 {
        last = read(1).await;
        if last == source.version() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(last, source.version(), "what the tier holds is no fresher than what was made stale");
    assert_eq!(source.runs(), 2, "and it is loaded once more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_made_stale_is_not_fresh_again_because_the_tier_has_the_same_value() {
    read_first_after_resync("1h").await;
    read_first_after_resync("0s").await;
}
