//! Do several processes with one shared tier load as if they were one? Caches that share a tier in memory.

#[allow(dead_code, reason = "every test program uses its part of the helpers")]
mod common;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::{Source, minute, soon, until, wide};
use bellwether::shared::{Found, Tier};
use bellwether::testing::{Mode, SharedMemory};
use bellwether::{
    Budget, Cache, Clock, Early, Fence, Invalidation, LoadCtx, LoadError, Loaded, Policy, Space, Span, Why,
};
use futures_util::future::join_all;
use tokio::sync::Semaphore;

const LOAD: Duration = Duration::from_millis(30);

struct Fleet {
    tier: SharedMemory,
    clock: Clock,
    caches: Vec<(Cache, Space<u64, u64>)>,
}

/// `n` caches that share a tier and a clock.
fn fleet(n: usize, policy: &Policy) -> Fleet {
    under(n, policy, &wide())
}

fn under(n: usize, policy: &Policy, budget: &Budget) -> Fleet {
    let clock = Clock::system();
    let tier = SharedMemory::new(clock.clone());
    let mut fleet = Fleet { tier, clock, caches: Vec::new() };
    for _ in 0..n {
        let cache = fleet.another(policy, budget);
        fleet.caches.push(cache);
    }
    fleet
}

impl Fleet {
    fn another(&self, policy: &Policy, budget: &Budget) -> (Cache, Space<u64, u64>) {
        let builder = Cache::builder().memory("1 MiB").clock(self.clock.clone()).shared(self.tier.clone());
        let cache = builder.budget(budget.clone()).build().expect("the budget makes sense");
        let space = cache.shared_space("row", policy.clone()).expect("a new space");
        (cache, space)
    }

    fn space(&self, n: usize) -> &Space<u64, u64> {
        &self.caches[n].1
    }

    fn shared(&self, n: usize) -> bellwether::SharedCounts {
        self.caches[n].0.snapshot().shared.expect("there is a tier")
    }
}

async fn down(_: LoadCtx<u64, u64>) -> Result<Loaded<u64>, LoadError> {
    Err(LoadError::from(std::io::Error::other("the origin is down")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_fifty_processes_with_a_hundred_callers_each_load_a_cold_key_once() {
    let (fleet, source) = (fleet(50, &minute()), Source::default());
    let callers = (0..5_000).map(|n| fleet.space(n % 50).get(&1).or_load(source.loader(LOAD * 5)));
    let answers = soon("a cold key", join_all(callers)).await;
    assert!(answers.iter().all(Result::is_ok), "{:?}", answers.iter().find(|answer| answer.is_err()));
    assert_eq!(source.runs(), 1, "one load for the whole fleet");
    let whys = |why| answers.iter().flatten().filter(|answer| answer.why() == why).count();
    assert_eq!((whys(Why::Loaded), whys(Why::Lone)), (1, 0));
    assert!(!fleet.tier.is_leased(b"row:1"), "publishing ended the lease");

    // Control: without the tier each of them loads.
    let apart = Source::default();
    let alone: Vec<_> = (0..50).map(|_| common::cache(minute())).collect();
    join_all(alone.iter().map(|(_, space)| space.get(&1).or_load(apart.loader(LOAD)))).await;
    assert_eq!(apart.runs(), 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_a_holder_that_dies_is_followed_by_one_backup() {
    let budget = Budget { timeout: Span::ms(600), ..wide() };
    let (fleet, source) = (under(10, &minute(), &budget), Source::default());
    let holder = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let built = Cache::builder().clock(fleet.clock.clone()).shared(fleet.tier.clone()).runtime(holder.handle().clone());
    let dies = built.budget(budget.clone()).build().expect("a cache");
    let space = dies.shared_space::<u64, u64>("row", minute()).expect("a space");
    let never = Arc::new(Semaphore::new(0));
    let (asks, load) = (space.clone(), source.held(&never));
    let caller = tokio::spawn(async move { asks.get(&1).or_load(load).await.map(|value| *value) });
    until("the holder loads", || source.runs() == 1).await;
    let began = Instant::now();
    let callers = (0..100).map(|n| fleet.space(n % 10).get(&1).or_load(source.loader(LOAD)));
    holder.shutdown_background();
    let answers = soon("a backup", join_all(callers)).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(source.runs(), 2, "the holder's load and one backup");
    assert!(began.elapsed() >= Duration::from_millis(350), "nobody is presumed gone before two heartbeats are missed");
    assert_eq!((0..10).map(|n| fleet.shared(n).backups).sum::<u64>(), 1);
    drop(caller);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_a_long_load_is_kept_alive_by_heartbeats() {
    let budget = Budget { timeout: Span::ms(900), ..wide() };
    let (fleet, source) = (under(5, &minute(), &budget), Source::default());
    let callers = (0..20).map(|n| fleet.space(n % 5).get(&1).or_load(source.loader(Duration::from_millis(850))));
    let answers = soon("a long load", join_all(callers)).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    // Without a heartbeat the lease of 900 ms would be up for a backup after 600.
    assert_eq!(source.runs(), 1);
    assert!(fleet.tier.calls().renews >= 2, "{:?}", fleet.tier.calls());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g4_a_tier_that_fails_or_freezes_costs_its_budget_and_a_load_for_each_process() {
    for mode in [Mode::Failing, Mode::Frozen] {
        let (fleet, source) = (fleet(5, &minute()), Source::default());
        fleet.tier.set(mode);
        let began = Instant::now();
        let callers = (0..200).map(|n| fleet.space(n % 5).get(&1).or_load(source.loader(LOAD)));
        let answers = soon("a broken tier", join_all(callers)).await;
        assert!(answers.iter().all(Result::is_ok), "{mode:?}: {answers:?}");
        assert!(began.elapsed() < Duration::from_secs(3), "{mode:?}: {:?}", began.elapsed());
        assert_eq!(source.runs(), 5, "{mode:?}: one lone load for each process");
        let lone = answers.iter().flatten().filter(|answer| answer.why() == Why::Lone).count();
        assert_eq!(lone, 5, "{mode:?}: those who led say so");
        let cached = fleet.space(0).peek(&1).expect("resident");
        assert!(cached.remaining() <= Span::secs(1), "{mode:?}: a lone value is not fresh for long");

        fleet.tier.set(Mode::Working);
        assert!(fleet.tier.is_empty(), "{mode:?}: a lone value is never published");
        source.write();
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let callers = (0..50).map(|n| fleet.space(n % 5).get(&1).or_load(source.loader(LOAD)));
        let answers = soon("the tier is back", join_all(callers)).await;
        assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|value| **value == 1)), "{mode:?}: {answers:?}");
        assert_eq!(source.runs(), 6, "{mode:?}: one load for all, once the tier is back");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_a_blink_of_the_tier_makes_nobody_load_beside_the_holder() {
    let (fleet, source) = (fleet(10, &minute()), Source::default());
    let callers = (0..100).map(|n| fleet.space(n % 10).get(&1).or_load(source.loader(Duration::from_millis(300))));
    let blink = async {
        // Whoever has not heard yet that somebody loads is not spoken of here.
        until("the holder loads, and all others know", || source.runs() == 1 && fleet.tier.calls().gets >= 10).await;
        fleet.tier.set(Mode::Failing);
        tokio::time::sleep(Duration::from_millis(100)).await;
        fleet.tier.set(Mode::Working);
    };
    let (answers, ()) = soon("a blink", async { tokio::join!(join_all(callers), blink) }).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(source.runs(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g3_a_load_that_an_invalidation_elsewhere_overtook_stays_in_no_tier() {
    let (fleet, source) = (fleet(2, &minute()), Source::default());
    let gate = Arc::new(Semaphore::new(0));
    let (one, load) = (fleet.space(0).clone(), source.held(&gate));
    let leading = tokio::spawn(async move { one.get(&1).or_load(load).await });
    until("it reads the old row", || source.runs() == 1).await;
    source.write();
    assert!(fleet.space(1).remove(&1).await);
    gate.add_permits(1);
    assert_eq!(*leading.await.expect("no panic").expect("loaded"), 0, "who asked before is answered");
    until("publishing is refused", || fleet.tier.calls().refused == 1).await;
    until("and it is forgotten", || fleet.space(0).peek(&1).is_none()).await;
    assert!(fleet.tier.is_empty());
    for n in [0, 1] {
        assert_eq!(*fleet.space(n).get(&1).or_load(source.loader(LOAD)).await.expect("loaded"), 1);
    }
    assert_eq!(source.runs(), 2, "the second took over what the first loaded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g3_a_foreign_delete_during_a_load_voids_its_lease() {
    let (fleet, source) = (fleet(1, &minute()), Source::default());
    let gate = Arc::new(Semaphore::new(0));
    let (one, load) = (fleet.space(0).clone(), source.held(&gate));
    let leading = tokio::spawn(async move { one.get(&1).or_load(load).await });
    until("it reads the old row", || source.runs() == 1).await;
    fleet.tier.delete(b"row:1");
    gate.add_permits(1);
    leading.await.expect("no panic").expect("loaded");
    until("it is forgotten", || fleet.shared(0).refused == 1 && fleet.space(0).peek(&1).is_none()).await;
    assert!(fleet.tier.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_value_of_the_tier_answers_at_once_and_is_refreshed_once() {
    let policy = Policy::ttl("50ms").jitter(0.0).grace("1h").early(Early::Off).timeout("8s");
    let (mut fleet, source) = (fleet(1, &policy), Source::default());
    fleet.space(0).get(&1).or_load(source.loader(LOAD)).await.expect("loaded");
    until("published", || !fleet.tier.is_empty()).await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    source.write();
    for _ in 0..5 {
        let cache = fleet.another(&policy, &wide());
        fleet.caches.push(cache);
    }
    let slow = LOAD * 10;
    let callers = (0..100).map(|n| fleet.space(1 + n % 5).get(&1).or_load(source.loader(slow)));
    let began = Instant::now();
    let answers = soon("stale values", join_all(callers)).await;
    let stale = |why: Why| answers.iter().flatten().filter(|answer| answer.why() == why && ***answer == 0).count();
    assert_eq!(stale(Why::StaleRefreshing), 100, "{answers:?}");
    assert!(began.elapsed() < slow, "nobody waited for the refresh");
    until("the refresh lands", || fleet.space(1).peek(&1).is_some_and(|value| *value == 1)).await;
    assert_eq!(source.runs(), 2, "one refresh for all of them");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_load_is_rescued_by_the_tiers_body_and_seen_by_all() {
    let policy = Policy::ttl("50ms").jitter(0.0).stale_if_error("1h").early(Early::Off).timeout("8s");
    let (mut fleet, source) = (fleet(1, &policy), Source::default());
    fleet.space(0).get(&1).or_load(source.loader(LOAD)).await.expect("loaded");
    until("published", || !fleet.tier.is_empty()).await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    for _ in 0..2 {
        let cache = fleet.another(&policy, &wide());
        fleet.caches.push(cache);
    }
    let saved = fleet.space(1).get(&1).or_load(source.failing(LOAD)).await.expect("a stale body");
    assert_eq!((*saved, saved.why()), (0, Why::StaleError));
    assert_eq!(source.runs(), 2);
    until("the lease is given back", || fleet.tier.calls().releases == 1).await;
    // The failed state is the fleet's: nobody else tries again meanwhile.
    let error = fleet.space(2).get(&2).or_load(source.failing(LOAD)).await.expect_err("nothing to be saved by");
    assert_eq!(error.why(), Why::OriginFailed);
    until("the lease is given back", || fleet.tier.calls().releases == 2).await;
    let cooling = fleet.space(1).get(&2).or_load(source.failing(LOAD)).await.expect_err("it failed a moment ago");
    assert_eq!((cooling.why(), source.runs()), (Why::Cooling, 3));
    assert!(cooling.retry_after().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_early_refresh_is_one_load_for_ten_processes() {
    let policy = Policy::ttl("400ms").jitter(0.0).timeout("8s");
    let (fleet, source) = (fleet(10, &policy), Source::default());
    let began = Instant::now();
    let readers = (0..10).map(|n| {
        let (space, source) = (fleet.space(n).clone(), source.clone());
        async move {
            while began.elapsed() < Duration::from_millis(1_700) {
                space.get(&1).or_load(source.loader(LOAD)).await.expect("a value");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    });
    soon("readers", join_all(readers)).await;
    // A period is at least the ttl without the longest lead: 1.4 x the load, at most a quarter of the ttl.
    let periods = began.elapsed().as_millis() / 300 + 1;
    assert!(source.runs() >= 3, "it is refreshed at all");
    assert!(u128::from(source.runs()) <= periods, "{} loads in {periods} periods", source.runs());
    let early: u64 = (0..10).map(|n| fleet.caches[n].0.snapshot().spaces[0].of(Why::Loaded)).sum();
    assert!(early < source.runs(), "refreshed while it was still served");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_an_expired_body_is_a_rescue_where_the_policy_says_so_and_a_removed_one_never() {
    for (rescues, removes) in [(true, false), (false, false), (true, true)] {
        let policy = minute().stale_if_error("1h").rescue_invalidated(rescues);
        let (mut fleet, source) = (fleet(2, &policy), Source::default());
        fleet.space(0).get(&1).or_load(source.loader(LOAD)).await.expect("loaded");
        until("published", || !fleet.tier.is_empty()).await;
        let told = if removes { fleet.space(1).remove(&1) } else { fleet.space(1).expire(&1) };
        assert!(told.await);
        let cache = fleet.another(&policy, &wide());
        fleet.caches.push(cache);
        let answer = fleet.space(2).get(&1).or_load(down).await.map(|value| value.why());
        match answer {
            Ok(why) => assert!(rescues && !removes && why == Why::RescuedInvalidated, "{why:?}"),
            Err(error) => assert!(!rescues || removes, "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
        let fresh = fleet.space(2).get(&1).or_load(source.loader(LOAD)).await.expect("loaded");
        assert_eq!((fresh.why(), source.runs()), (Why::Loaded, 2), "an expired value is loaded anew");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_an_invalidation_that_the_tier_could_not_be_told_holds_here_and_is_told_later() {
    let (mut fleet, source) = (fleet(2, &minute()), Source::default());
    fleet.space(0).get(&1).or_load(source.loader(LOAD)).await.expect("loaded");
    until("published", || !fleet.tier.is_empty()).await;
    source.write();
    fleet.tier.set(Mode::Failing);
    assert!(!fleet.space(0).remove(&1).await, "the tier did not hear of it");
    assert_eq!(fleet.shared(0).pending, 1);
    assert!(fleet.caches[0].0.explain("row:1").expect("a space").pending, "and `explain` says so");
    let lone = fleet.space(0).get(&1).or_load(source.loader(LOAD)).await.expect("loaded");
    assert_eq!((*lone, lone.why()), (1, Why::Lone));
    assert!(fleet.space(0).remove(&1).was_resident());

    fleet.tier.set(Mode::Working);
    // The old value still lies there; who knows of the removal tells it first.
    let value = fleet.space(0).get(&1).or_load(source.loader(LOAD)).await.expect("loaded");
    assert_eq!((*value, value.why()), (1, Why::Loaded));
    until("nothing is pending", || fleet.shared(0).pending == 0).await;
    let cache = fleet.another(&minute(), &wide());
    fleet.caches.push(cache);
    assert_eq!(*fleet.space(2).get(&1).or_load(source.loader(LOAD)).await.expect("loaded"), 1);

    // Nobody reads: it is told all the same.
    fleet.tier.set(Mode::Failing);
    assert!(!fleet.space(1).remove(&1).await);
    fleet.tier.set(Mode::Working);
    until("told in the background", || fleet.shared(1).pending == 0 && fleet.tier.is_empty()).await;
    assert!(fleet.shared(1).retried > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_stored_is_handed_out_and_never_overwritten() {
    let (fleet, source) = (fleet(2, &minute()), Source::default());
    fleet.tier.put_foreign(b"row:1", "77", Some(Span::secs(5)));
    let foreign = fleet.space(0).get(&1).or_load(source.loader(LOAD)).await.expect("a value");
    assert_eq!((*foreign, foreign.why(), source.runs()), (77, Why::Hit, 0));
    assert!(foreign.remaining() <= Span::secs(5));
    fleet.tier.put_foreign(b"row:2", "no number", None);
    let loaded = fleet.space(1).get(&2).or_load(source.loader(LOAD)).await.expect("a value");
    assert_eq!((loaded.why(), source.runs()), (Why::Loaded, 1));
    let found = fleet.tier.get(b"row:2").await.expect("it works");
    assert!(matches!(found, Found::Foreign { body, .. } if &*body == b"no number"));
    assert_eq!(fleet.tier.calls().publishes, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g5_an_answer_that_may_not_be_kept_is_loaded_side_by_side_in_the_whole_fleet() {
    let (fleet, source) = (fleet(2, &minute()), Source::default());
    let private =
        |source: Source| move |_| async move { Ok::<_, LoadError>(Loaded::value(source.read(LOAD).await).private()) };
    fleet.space(0).get(&1).or_load(private(source.clone())).await.expect("for its caller");
    until("the marker is there", || fleet.tier.calls().publishes == 1).await;
    assert!(fleet.tier.is_empty(), "no body");
    let (granted, other) = (fleet.tier.calls().granted, fleet.space(1));
    let answers = join_all((0..5).map(|_| other.get(&1).or_load(private(source.clone())))).await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|value| value.why() == Why::Uncacheable)));
    assert_eq!((source.runs(), fleet.tier.calls().granted), (6, granted), "each for itself, and without a lease");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_overlapping_batches_of_two_processes_load_each_key_once() {
    let (fleet, source) = (fleet(4, &minute()), Source::default());
    let loads = Arc::new(std::sync::Mutex::new(HashMap::<u64, u32>::new()));
    let batches = (0..4u64).map(|n| {
        let (space, source, loads) = (fleet.space(n as usize).clone(), source.clone(), loads.clone());
        let mut keys: Vec<u64> = (n * 25..n * 25 + 100).collect();
        if n % 2 == 1 {
            keys.reverse();
        }
        async move {
            let load = move |keys: Vec<u64>, _| {
                let (source, loads) = (source.clone(), loads.clone());
                async move {
                    for key in &keys {
                        *loads.lock().expect("no panic").entry(*key).or_default() += 1;
                    }
                    source.read(LOAD).await;
                    Ok::<_, LoadError>(keys.into_iter().map(|key| (key, Loaded::value(key))).collect())
                }
            };
            let values = space.get_many(&keys).or_load(load).await;
            assert!(values.iter().zip(&keys).all(|(value, key)| value.as_ref().is_ok_and(|value| **value == *key)));
        }
    });
    soon("overlapping batches", join_all(batches)).await;
    let loads = loads.lock().expect("no panic");
    assert_eq!(loads.len(), 175);
    assert!(loads.values().all(|n| *n == 1), "{loads:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_insists_on_a_fresh_value_joins_another_processs_load() {
    let (fleet, source) = (fleet(5, &minute()), Source::default());
    fleet.space(0).get(&1).or_load(source.loader(LOAD)).await.expect("loaded");
    until("published", || !fleet.tier.is_empty()).await;
    source.write();
    let callers = (0..50).map(|n| fleet.space(n % 5).get(&1).fresh().or_load(source.loader(LOAD * 5)));
    let answers = soon("fresh values", join_all(callers)).await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|value| **value == 1)), "{answers:?}");
    assert_eq!(source.runs(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_what_was_taken_out_of_the_tier_is_dropped_here_within_a_period() {
    let clock = Clock::system();
    let tier = SharedMemory::new(clock.clone());
    let built = |resync: &str| {
        let cache = Cache::builder().clock(clock.clone()).shared(tier.clone()).shared_resync(resync).build();
        let cache = cache.expect("a cache");
        let space = cache.shared_space::<u64, u64>("row", minute().grace("1h")).expect("a space");
        (cache, space)
    };
    let ((cache, space), (_, trusts), source) = (built("200ms"), built("1h"), Source::default());
    for key in [1, 2] {
        space.get(&key).or_load(source.loader(LOAD)).await.expect("loaded");
    }
    until("published", || tier.len() == 2).await;
    assert_eq!(*trusts.get(&1).or_load(source.loader(LOAD)).await.expect("adopted"), 0);
    // What is as it was stays, and is compared once a period, however often it is read.
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(900) {
        assert!(space.hit(&1).is_some() && space.hit(&2).is_some());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let counts = cache.snapshot().shared.expect("a tier");
    assert!((2..=10).contains(&counts.verified), "{counts:?}");
    let explained = cache.explain("row:1").and_then(|key| key.entry?.shared).expect("an entry of a shared space");
    assert!(explained.fence > 0 && explained.compared_in.is_some_and(|left| left <= Span(200)), "{explained:?}");
    assert_eq!((counts.dropped, source.runs()), (0, 2));

    source.write();
    tier.delete(b"row:1");
    until("the copy is dropped", || space.hit(&1).is_none()).await;
    assert_eq!(*space.get(&1).or_load(source.loader(LOAD)).await.expect("loaded"), 1);
    assert_eq!(**space.hit(&2).as_ref().expect("untouched"), 0);
    assert_eq!(**trusts.hit(&1).as_ref().expect("control: who never compares never hears of it"), 0);

    // A tier that is silent proves nothing: what it has confirmed is served for as long as is promised, and no longer.
    assert!(space.hit(&2).is_some());
    let confirmed = Instant::now();
    tier.set(Mode::Frozen);
    assert!(space.hit(&2).is_some(), "a silent tier takes nothing from us at once");
    until("it was not confirmed for too long", || space.hit(&2).is_none()).await;
    assert!(confirmed.elapsed() >= Duration::from_millis(100), "{:?}", confirmed.elapsed());
    assert!(trusts.hit(&1).is_some(), "control: who never compares believes it for ever");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_negatives_and_stale_values_are_compared_as_well() {
    let clock = Clock::system();
    let tier = SharedMemory::new(clock.clone());
    let cache = Cache::builder().clock(clock).shared(tier.clone()).shared_resync("100ms").build().expect("a cache");
    let policy = Policy::ttl("100ms").jitter(0.0).grace("1h").negative_ttl("60s").timeout("8s");
    let space = cache.shared_space::<u64, u64>("row", policy).expect("a space");
    let source = Source::default();
    let missing = |_| async { Ok::<_, LoadError>(Loaded::missing()) };
    assert!(space.get(&1).or_load(missing).await.is_err_and(|error| error.is_missing()));
    space.get(&2).or_load(source.loader(LOAD)).await.expect("loaded");
    until("published", || tier.len() == 2).await;
    tier.delete(b"row:1");
    tier.delete(b"row:2");
    let gone = |key: u64| {
        let space = space.clone();
        move || space.get(&key).if_cached().is_err_and(|error| error.is_not_cached())
    };
    until("the negative is dropped", gone(1)).await;
    until("the stale value is dropped", gone(2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_program_wrote_is_found_by_others_and_nothing_is_loaded() {
    let (mut fleet, key) = (fleet(2, &minute()), 1);
    let one = fleet.space(0).clone();
    assert!(fleet.space(1).find(&key).await.is_err_and(|error| error.is_not_cached()));
    assert!(one.write(&key, 5).await);
    assert_eq!(**fleet.space(1).find(&key).await.as_ref().expect("it is in the tier"), 5);
    assert_eq!(**fleet.space(1).hit(&key).as_ref().expect("and here from now on"), 5);
    let told = one.remove(&key).acknowledged().await;
    assert!(told.told && told.was_resident);
    assert!(!one.remove(&key).acknowledged().await.was_resident, "it is gone");
    let cache = fleet.another(&minute(), &wide());
    fleet.caches.push(cache);
    assert!(fleet.space(2).find(&key).await.is_err_and(|error| error.is_not_cached()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_a_tier_that_forgets_an_acknowledged_removal_is_not_believed() {
    let (fleet, source) = (fleet(2, &minute()), Source::default());
    fleet.space(0).get(&1).or_load(source.loader(LOAD)).await.expect("loaded");
    until("published", || !fleet.tier.is_empty()).await;
    let before = fleet.tier.backup();
    source.write();
    assert!(fleet.space(0).remove(&1).await);
    fleet.tier.restore(before);
    let value = fleet.space(0).get(&1).or_load(source.loader(LOAD)).await.expect("loaded");
    assert_eq!((*value, value.why()), (1, Why::Loaded), "a replica that lagged was promoted");
    until("the new value is published", || fleet.tier.calls().publishes == 2).await;
    let heard = fleet.space(1).get(&1).or_load(source.loader(LOAD)).await.expect("a value");
    assert_eq!((*heard, source.runs()), (1, 2), "and the newer value is above what was forgotten");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_a_tag_or_space_that_was_invalidated_here_is_not_revived_by_the_tier() {
    let (fleet, source) = (fleet(2, &minute()), Source::default());
    let tagged = |source: Source| {
        move |_| async move { Ok::<_, LoadError>(Loaded::value(source.read(LOAD).await).tag("team:7")) }
    };
    for key in [1, 2] {
        fleet.space(0).get(&key).or_load(tagged(source.clone())).await.expect("loaded");
    }
    until("published", || fleet.tier.len() == 2).await;
    source.write();
    fleet.caches[0].0.remove_tag("team:7");
    let value = fleet.space(0).get(&1).or_load(tagged(source.clone())).await.expect("loaded");
    assert_eq!((*value, value.why()), (1, Why::Loaded));
    fleet.space(0).clear();
    source.write();
    assert_eq!(*fleet.space(0).get(&2).or_load(tagged(source.clone())).await.expect("loaded"), 2);
    // Control: without a backplane another process knows nothing of it.
    assert_eq!(*fleet.space(1).get(&1).or_load(source.loader(LOAD)).await.expect("adopted"), 1);
}

/// What another process invalidated before may be heard of while a write is on its way to the tier.
#[tokio::test]
async fn a_write_is_not_lost_to_an_older_one_that_is_heard_of_late() {
    let fleet = fleet(2, &minute());
    for heard_with_its_fence in [true, false] {
        assert!(fleet.space(0).write(&7, 1).acknowledged().await.told);
        let raised =
            fleet.tier.invalidate(b"row:7", Invalidation::Remove, Fence::ZERO, Span::ZERO).await.expect("it works");
        // On this thread nothing else runs until it waits: the tier is told of the write only then.
        let writing = fleet.space(1).write(&7, 2);
        fleet.caches[1].0.hear_key(b"row:7", Invalidation::Remove, heard_with_its_fence.then_some(raised.fence));
        assert!(writing.acknowledged().await.told);
        let held = fleet.tier.get(b"row:7").await.expect("it works");
        assert!(matches!(held, Found::Entry { .. }), "{heard_with_its_fence}: {held:?}");
        assert_eq!(fleet.space(1).find(&7).await.ok().map(|found| *found), Some(2));
    }
    // One that came later wins, as soon as it is heard of.
    let raised =
        fleet.tier.invalidate(b"row:7", Invalidation::Remove, Fence::ZERO, Span::ZERO).await.expect("it works");
    fleet.caches[1].0.hear_key(b"row:7", Invalidation::Remove, Some(raised.fence));
    assert_eq!(fleet.space(1).find(&7).await.ok().map(|found| *found), None);
}
