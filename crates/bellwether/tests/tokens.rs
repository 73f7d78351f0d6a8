//! Who may fill a key of a space that several processes fill by themselves? Caches that share a tier in memory: one
//! token for all of them, void by whatever happens to the key anywhere (G1, G3).

#[allow(dead_code, reason = "every test program uses its part of the helpers")]
mod common;

use std::time::Duration;

use bellwether::shared::{Found, Tier};
use bellwether::testing::{Mode, SharedMemory};
use bellwether::{Cache, Clock, Demand, Lease, Policy, Space, Span, Token, Why};
use common::{minute, soon, until};
use futures_util::future::join_all;

const LEASE: Span = Span::secs(5);

type Process = (Cache, Space<u64, u64>);

fn process(tier: &SharedMemory, clock: &Clock, policy: Policy) -> Process {
    let built = Cache::builder().memory("1 MiB").clock(clock.clone()).shared(tier.clone()).build();
    let cache = built.expect("it makes sense");
    let space = cache.shared_space("row", policy).expect("a new space");
    (cache, space)
}

/// Two processes on one tier; `grace` of their space.
fn two(grace: &str) -> (SharedMemory, Process, Process) {
    let clock = Clock::system();
    let tier = SharedMemory::new(clock.clone());
    let process = |way: &SharedMemory| process(way, &clock, minute().grace(grace));
    let (one, two) = (process(&tier), process(&tier.another_way()));
    (tier, one, two)
}

async fn lease(space: &Space<u64, u64>, wait: Span) -> Lease<u64> {
    soon("a lease", space.lease(&1, Demand::Any, LEASE, wait)).await.expect("no error")
}

async fn token(space: &Space<u64, u64>) -> Token {
    match lease(space, Span::secs(8)).await {
        Lease::Token(token) => token,
        other => panic!("a token, not {}", told(&other)),
    }
}

fn told(lease: &Lease<u64>) -> String {
    match lease {
        Lease::Value(value, token) => format!("value {} {}", **value, token.is_some()),
        Lease::Missing => "missing".to_owned(),
        Lease::Token(token) => format!("token, lone: {}", token.is_lone()),
        Lease::Held(_) => "held".to_owned(),
    }
}

async fn held(tier: &SharedMemory) -> Option<u64> {
    match tier.get(b"row:1").await.expect("an answer") {
        Found::Entry { envelope, .. } => serde_json::from_slice(&envelope.body).ok(),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_of_many_clients_of_ten_processes_one_gets_the_token_and_all_get_its_value() {
    let (clock, policy) = (Clock::system(), minute());
    let tier = SharedMemory::new(clock.clone());
    let fleet: Vec<Process> = (0..10).map(|_| process(&tier, &clock, policy.clone())).collect();
    let clients = fleet.iter().flat_map(|(_, space)| (0..20).map(move |_| space)).map(|space| async move {
        match lease(space, Span::secs(8)).await {
            Lease::Token(token) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                assert!(space.publish(&1, token, 7).await);
                1
            }
            Lease::Value(value, None) => {
                assert_eq!(*value, 7);
                0
            }
            other => panic!("{}", told(&other)),
        }
    });
    assert_eq!(join_all(clients).await.into_iter().sum::<u32>(), 1, "tokens for 200 clients");
    assert_eq!(tier.calls().publishes, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g3_a_token_is_void_after_whatever_another_process_or_program_did_to_the_key() {
    type Voids = fn(&SharedMemory, &Space<u64, u64>);
    let ways: [(&str, Voids); 5] = [
        ("remove", |_, other| drop(other.remove(&1))),
        ("expire", |_, other| drop(other.expire(&1))),
        ("put", |_, other| assert!(other.put(&1, 50))),
        ("a foreign delete", |tier, _| tier.delete(b"row:1")),
        ("a foreign write", |tier, _| tier.put_foreign(b"row:1", "60", None)),
    ];
    for (how, void) in ways {
        let (tier, (_a, here), (_b, other)) = two("0s");
        let token = token(&here).await;
        let asked = || tier.calls().invalidations + tier.calls().writes;
        let before = asked();
        void(&tier, &other);
        if !how.contains("foreign") {
            // It holds there once the tier knows; nobody has told this process.
            until("the tier to be told", || asked() > before).await;
        }
        assert!(!soon("the tier's word", here.publish(&1, token, 7)).await, "g3: {how}");
        assert_ne!(here.peek(&1).map(|value| *value), Some(7), "{how}: nor here");
        assert_ne!(held(&tier).await, Some(7), "{how}");
    }
    let (tier, (_a, here), _other) = two("0s");
    let token = token(&here).await;
    assert!(here.publish(&1, token, 7).await, "control: nothing came in between");
    assert_eq!((held(&tier).await, here.hit(&1).map(|value| *value)), (Some(7), Some(7)));
    assert!(!here.publish(&1, token, 8).await, "a token is good for one value");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_another_process_is_told_that_it_is_held_or_waits_or_gets_the_stale_value() {
    let (tier, (_a, here), (_b, other)) = two("0s");
    let first = token(&here).await;
    assert_eq!(told(&lease(&other, Span::ZERO).await), "held");
    assert_eq!(told(&lease(&other, Span::ms(30)).await), "held", "its patience is over");
    let waiting = lease(&other, Span::secs(8));
    let filling = async {
        until("somebody to wait", || tier.calls().acquires > 3).await;
        assert!(here.publish(&1, first, 7).await);
    };
    let (waited, ()) = tokio::join!(waiting, filling);
    assert_eq!(told(&waited), "value 7 false");

    let (tier, (_a, here), (_b, other)) = two("1h");
    assert!(here.put(&1, 1));
    until("the tier to have it", || tier.len() == 1).await;
    assert_eq!(told(&lease(&other, Span::ZERO).await), "value 1 false", "taken over from the tier");
    // Stale for both, by the same clock.
    for space in [&here, &other] {
        assert!(space.refresh(&1));
    }
    let Lease::Value(value, Some(renewing)) = lease(&here, Span::ZERO).await else { panic!("with a token") };
    assert_eq!((*value, value.why()), (1, Why::StaleRefreshing));
    assert_eq!(told(&lease(&other, Span::ZERO).await), "value 1 false", "at once, and the token is held elsewhere");
    assert!(here.publish(&1, renewing, 2).await);
    assert_eq!(told(&lease(&here, Span::ZERO).await), "value 2 false");
    until("the other to see it", || other.hit(&1).is_none()).await;
    let mut seen = String::new();
    for _ in 0..100 {
        seen = told(&lease(&other, Span::ZERO).await);
        if seen == "value 2 false" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(seen, "value 2 false");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_given_back_is_the_next_ones_in_whatever_process_and_a_cool_down_is_everybodys() {
    let (_tier, (_a, here), (_b, other)) = two("0s");
    let first = token(&here).await;
    assert!(here.release(&1, first, Span::ZERO).await);
    let second = token(&other).await;
    assert!(!here.release(&1, first, Span::ZERO).await, "it is no more");
    assert!(other.release(&1, second, Span::secs(60)).await);
    for space in [&here, &other] {
        let cooling = space.lease(&1, Demand::Any, LEASE, Span::secs(8)).await.err().expect("it cools down");
        assert_eq!(cooling.why(), Why::Cooling);
        assert!(cooling.retry_after().is_some_and(|left| left > Span::secs(50)), "{:?}", cooling.retry_after());
    }
    drop(here.remove(&1));
    assert!(matches!(lease(&here, Span::ZERO).await, Lease::Token(_)), "a removal ends it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_good_in_every_process_even_if_the_one_that_gave_it_is_gone() {
    let (tier, (cache, here), (_b, other)) = two("0s");
    let given = token(&here).await;
    let text = given.to_string();
    drop((cache, here));
    let given: Token = text.parse().expect("it comes back as it went out");
    assert!(other.publish(&1, given, 7).await);
    assert_eq!((other.hit(&1).map(|value| *value), held(&tier).await), (Some(7), Some(7)));
    assert!(!other.publish(&1, given, 8).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_never_comes_back_loses_the_token_when_its_lease_is_over() {
    let (_tier, (cache, here), (_b, other)) = two("0s");
    let short = Span::ms(150);
    let lost = soon("a lease", here.lease(&1, Demand::Any, short, Span::ZERO)).await;
    let Ok(Lease::Token(lost)) = lost else { panic!("a token") };
    let next = soon("the next one", other.lease(&1, Demand::Any, LEASE, Span::secs(8))).await;
    let Ok(Lease::Token(next)) = next else { panic!("the next token") };
    assert!(!here.publish(&1, lost, 7).await, "g3: late");
    assert!(other.publish(&1, next, 8).await);
    until("no flight is left", || cache.snapshot().live_flights == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g3_a_token_given_out_while_the_tier_is_away_is_never_used_there() {
    let (tier, (_a, here), (_b, other)) = two("0s");
    for mode in [Mode::Failing, Mode::Frozen] {
        assert!(here.remove(&1).await, "told");
        until("the tier to be told", || tier.is_empty()).await;
        tier.set(mode);
        let lone = token(&here).await;
        assert!(lone.is_lone(), "{mode:?}");
        assert_eq!(told(&lease(&here, Span::ZERO).await), "held", "{mode:?}: in this process it is one");
        let published = tier.calls().publishes;
        tier.set(Mode::Working);
        assert!(here.publish(&1, lone, 7).await, "{mode:?}: kept here");
        let left = here.hit(&1).map(|value| value.remaining()).expect("it is here");
        assert!(left <= Span::secs(1), "{mode:?}: for a moment, not {left}");
        assert_eq!((tier.calls().publishes, held(&tier).await), (published, None), "{mode:?}");
        assert!(other.peek(&1).is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_silent_tier_may_have_stored_is_fresh_here_for_a_moment_alone() {
    let (tier, (_a, here), _other) = two("0s");
    let given = token(&here).await;
    assert!(!given.is_lone());
    tier.set(Mode::Failing);
    assert!(here.publish(&1, given, 7).await);
    let left = here.hit(&1).map(|value| value.remaining()).expect("it is here");
    assert!(left <= Span::secs(1), "for a moment, not {left}");
    tier.set(Mode::Working);
    assert_eq!(held(&tier).await, None, "and is not tried again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g3_a_tag_that_was_invalidated_since_voids_a_token_and_its_lease() {
    let (tier, (cache, here), (_b, other)) = two("0s");
    let tagged = |value: u64| bellwether::Loaded::value(value).tag("team:7");
    let given = token(&here).await;
    cache.remove_tag("team:7");
    assert!(!here.publish(&1, given, tagged(7)).await, "g3");
    until("the lease to be given back", || !tier.is_leased(b"row:1")).await;
    let given = token(&other).await;
    assert!(other.publish(&1, given, tagged(8)).await, "control");
    // A space that is cleared as well.
    let (tier, (_a, here), _other) = two("0s");
    let given = token(&here).await;
    here.clear();
    assert!(!here.publish(&1, given, 7).await, "g3");
    until("the lease to be given back", || !tier.is_leased(b"row:1")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g4_a_client_that_vanishes_while_it_asks_leaves_nothing_behind() {
    let (tier, (cache, here), _other) = two("0s");
    tier.set(Mode::Frozen);
    let asking = tokio::time::timeout(Duration::from_millis(5), here.lease(&1, Demand::Any, LEASE, Span::secs(8)));
    assert!(asking.await.is_err(), "it gave up");
    until("no flight is left", || cache.snapshot().live_flights == 0).await;
    tier.set(Mode::Working);
    assert!(matches!(lease(&here, Span::ZERO).await, Lease::Token(_)));
}
