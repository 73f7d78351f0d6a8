//! Who may fill a plain space's key? One token at a time, void by whatever is newer (G3).

#[allow(dead_code, reason = "every test program uses its part of the helpers")]
mod common;

use bellwether::testing::{Mode, SharedMemory};
use bellwether::{Cache, Cached, Clock, Demand, Lease, Loaded, Space, Span, Token, Why};
use common::{Source, manual, minute, soon, until};
use futures_util::FutureExt;

const LEASE: Span = Span::secs(5);

async fn lease(space: &Space<u64, u64>, wait: Span) -> Lease<u64> {
    soon("a lease", space.lease(&1, Demand::Any, LEASE, wait)).await.expect("no error")
}

async fn token(space: &Space<u64, u64>) -> Token {
    match lease(space, Span::ZERO).await {
        Lease::Token(token) => token,
        other => panic!("a token, not {}", told(&other)),
    }
}

fn told(lease: &Lease<u64>) -> String {
    match lease {
        Lease::Value(value, token) => format!("value {} {:?}", **value, token.is_some()),
        Lease::Missing => "missing".to_owned(),
        Lease::Token(_) => "token".to_owned(),
        Lease::Held(left) => format!("held {left}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_one_client_gets_the_token_the_others_wait_for_its_value() {
    let (_cache, space, clock) = manual(minute());
    let held = token(&space).await;
    assert_eq!(told(&lease(&space, Span::ZERO).await), "held 5s");
    let mut waiter = Box::pin(space.lease(&1, Demand::Any, LEASE, Span::secs(3)));
    assert!((&mut waiter).now_or_never().is_none());
    clock.advance(Span::secs(1));
    assert!(space.publish(&1, held, 7).await);
    assert_eq!(told(&soon("the waiter", waiter).await.unwrap()), "value 7 false");
    let age = space.hit(&1).as_ref().map(Cached::age);
    assert_eq!(age, Some(Span::secs(1)), "its age counts from the token, before which nothing was read");
    assert!(!space.publish(&1, held, 8).await, "a token is good for one value");

    let missing = space.lease(&2, Demand::Any, LEASE, Span::ZERO).await.unwrap();
    let Lease::Token(token) = missing else { panic!("a token") };
    assert!(space.publish(&2, token, Loaded::missing()).await);
    assert_eq!(told(&space.lease(&2, Demand::Any, LEASE, Span::ZERO).await.unwrap()), "missing");
}

/// Callers at once with one demand, each of whom fills the key if it gets the token: how many did.
async fn tokens_of_a_crowd(space: &Space<u64, u64>, clock: &Clock, demand: Demand, load: Span) -> u32 {
    let mut tokens = 0;
    let mut crowd: Vec<_> = (0..8).map(|_| Box::pin(space.lease(&1, demand, LEASE, Span::secs(60)))).collect();
    while !crowd.is_empty() {
        let mut holder = None;
        // A look at each: who is done leaves.
        let mut left = Vec::new();
        for mut caller in crowd {
            match (&mut caller).now_or_never() {
                None => left.push(caller),
                Some(Ok(Lease::Token(token) | Lease::Value(_, Some(token)))) => holder = Some(token),
                Some(Ok(Lease::Value(value, None))) => assert_eq!(*value, u64::from(tokens)),
                Some(other) => panic!("{:?}", other.map(|lease| told(&lease))),
            }
        }
        crowd = left;
        if let Some(token) = holder {
            tokens += 1;
            clock.advance(load);
            assert!(space.publish(&1, token, u64::from(tokens)).await);
        }
        tokio::task::yield_now().await;
    }
    tokens
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_whoever_waits_for_a_token_shares_its_value_whatever_age_it_asked_for() {
    let load = Span::ms(300);
    for (demand, most) in [
        (Demand::Any, 1),
        (Demand::Fresh, 1),
        (Demand::MaxAge(Span::ms(500)), 1),
        // Older than that when it lands, but begun within it for all who asked at first.
        (Demand::MaxAge(Span::ms(200)), 1),
    ] {
        let (_cache, space, clock) = manual(minute());
        assert_eq!(tokens_of_a_crowd(&space, &clock, demand, load).await, most, "{demand:?}");
    }
    // Who comes when the load is older than that can't share it, and waits for the next one: one for all of those.
    let (_cache, space, clock) = manual(minute());
    let held = token(&space).await;
    clock.advance(Span::ms(300));
    let demand = Demand::MaxAge(Span::ms(200));
    let mut late: Vec<_> = (0..4).map(|_| Box::pin(space.lease(&1, demand, LEASE, Span::secs(60)))).collect();
    assert!(late.iter_mut().all(|caller| caller.now_or_never().is_none()));
    assert!(space.publish(&1, held, 7).await);
    let mut next = Vec::new();
    until("one of them gets the token", || {
        next.extend(late.iter_mut().filter_map(|caller| caller.now_or_never()).map(|lease| lease.expect("no error")));
        !next.is_empty()
    })
    .await;
    assert_eq!(next.iter().map(told).collect::<Vec<_>>(), ["token"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_hoard_tokens_keep_nobody_from_loading() {
    let (cache, space, _clock) = manual(minute());
    let lease = |key| space.lease(Box::leak(Box::new(key)), Demand::Any, Span::secs(600), Span::ZERO);
    let mut tokens = 0;
    let refused = loop {
        match lease(1_000 + tokens).await {
            Ok(Lease::Token(_)) => tokens += 1,
            other => break other.err().expect("an error, once all are given out"),
        }
        assert!(tokens <= 20_000, "tokens have no bound");
    };
    assert_eq!((refused.why(), refused.retry_after()), (Why::ShedQueue, Some(Span::ms(500))));
    let loaded = space.get(&1).or_load(Source::default().loader(std::time::Duration::ZERO));
    assert_eq!(soon("a load", loaded).await.unwrap().why(), Why::Loaded, "control: {tokens} tokens are out");
    assert_eq!(cache.snapshot().live_flights as u64, tokens);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn held_says_how_long_the_holder_has_got() {
    let (_cache, space, clock) = manual(minute());
    assert!(matches!(space.lease(&1, Demand::Any, Span::secs(60), Span::ZERO).await, Ok(Lease::Token(_))));
    clock.advance(Span::secs(10));
    assert_eq!(told(&lease(&space, Span::ZERO).await), "held 50s", "not the asker's own lease of {LEASE}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g3_a_token_is_void_after_a_removal_an_expiry_a_write_a_clearing_a_tag_or_its_end() {
    type Voids = fn(&Space<u64, u64>, &Clock);
    let ways: [(&str, Voids); 5] = [
        ("remove", |space, _| drop(space.remove(&1))),
        ("expire", |space, _| drop(space.expire(&1))),
        ("put", |space, _| assert!(space.put(&1, 50))),
        ("clear", |space, _| drop(space.clear())),
        ("its end", |_, clock| clock.advance(LEASE)),
    ];
    for (how, void) in ways {
        let (_cache, space, clock) = manual(minute());
        let held = token(&space).await;
        void(&space, &clock);
        assert!(!space.publish(&1, held, 7).await, "g3: {how}");
        assert_ne!(space.peek(&1).map(|value| *value), Some(7), "{how}");
        if how == "put" {
            continue;
        }
        // Nobody has to wait for a holder that will never publish.
        let next = token(&space).await;
        assert!(next > held && !space.release(&1, held, Span::ZERO).await, "{how}");
        assert!(space.publish(&1, next, 8).await, "control: {how}");
    }
    let (cache, space, _clock) = manual(minute());
    let held = token(&space).await;
    cache.remove_tag("team:7");
    assert!(!space.publish(&1, held, Loaded::value(7).tag("team:7")).await, "its tag was invalidated since");
    assert!(space.hit(&1).is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g4_waiters_are_woken_by_a_release_a_removal_or_the_end_of_the_lease() {
    type Ends = fn(&Space<u64, u64>, &Clock, Token);
    let ways: [(&str, Ends); 4] = [
        ("release", |space, _, token| assert_eq!(space.release(&1, token, Span::ZERO).now_or_never(), Some(true))),
        ("remove", |space, _, _| drop(space.remove(&1))),
        ("its end", |_, clock, _| clock.advance(LEASE)),
        ("put", |space, _, _| assert!(space.put(&1, 9))),
    ];
    for (how, end) in ways {
        let (cache, space, clock) = manual(minute());
        let held = token(&space).await;
        let mut waiter = Box::pin(space.lease(&1, Demand::Any, LEASE, Span::secs(60)));
        assert!((&mut waiter).now_or_never().is_none());
        end(&space, &clock, held);
        let got = told(&soon(how, waiter).await.unwrap());
        assert_eq!(got, if how == "put" { "value 9 false" } else { "token" }, "{how}");
        drop(space.remove(&1));
        until("no flight is left", || cache.snapshot().live_flights == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_value_goes_to_all_and_the_token_to_renew_it_to_one() {
    let (_cache, space, clock) = manual(minute().grace("1h"));
    assert!(space.put(&1, 1));
    assert_eq!(told(&lease(&space, Span::ZERO).await), "value 1 false");
    clock.advance(Span::secs(61));
    let first = lease(&space, Span::ZERO).await;
    assert_eq!(told(&first), "value 1 true");
    assert_eq!(told(&lease(&space, Span::ZERO).await), "value 1 false");
    let Lease::Value(value, Some(token)) = first else { panic!("with a token") };
    assert_eq!(value.why(), Why::StaleRefreshing);
    assert!(space.publish(&1, token, 2).await);
    assert_eq!(told(&lease(&space, Span::ZERO).await), "value 2 false");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_given_back_with_a_cool_down_keeps_others_away_for_so_long() {
    let (_cache, space, clock) = manual(minute());
    let held = token(&space).await;
    assert!(space.release(&1, held, Span::secs(2)).await);
    let cooling = space.lease(&1, Demand::Any, LEASE, Span::ZERO).await.err().expect("it cools down");
    assert_eq!((cooling.why(), cooling.retry_after()), (Why::Cooling, Some(Span::secs(2))));
    clock.advance(Span::secs(2));
    token(&space).await;
    let demand = space.lease(&2, Demand::CachedOnly, LEASE, Span::ZERO).await.err().map(|error| error.why());
    assert_eq!(demand, Some(Why::NotCached));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g4_loads_and_tokens_of_one_key_wait_for_each_other() {
    let (cache, space, _clock) = manual(minute());
    let source = Source::default();
    let held = token(&space).await;
    let mut reader = Box::pin(space.get(&1).or_load(source.loader(std::time::Duration::ZERO)));
    assert!((&mut reader).now_or_never().is_none(), "it follows the token");
    assert!(space.release(&1, held, Span::ZERO).await);
    assert_eq!((soon("the reader", reader).await.unwrap().why(), source.runs()), (Why::Loaded, 1));

    // A token that a clearing made void must not hold up the load that waits for its turn behind it.
    let (again, _) = (space.remove(&1), token(&space).await);
    assert!(again.was_resident());
    space.clear();
    let answer = soon("a load behind a void token", space.get(&1).or_load(source.loader(std::time::Duration::ZERO)));
    let mut answer = Box::pin(answer);
    let _ = (&mut answer).now_or_never();
    let _next = lease(&space, Span::ZERO).await;
    assert!(answer.await.is_ok());
    until("no flight but a token's is left", || cache.snapshot().live_flights <= 1).await;
}

/// What cache-aside code does without a token: read the row, lose time, store what was read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g3_control_a_late_write_without_a_token_stores_the_older_value() {
    let (_cache, space, _clock) = manual(minute());
    let row = Source::default();
    let read = row.version();
    row.write();
    drop(space.remove(&1));
    assert!(space.put(&1, read));
    assert_eq!(space.hit(&1).map(|value| *value), Some(0), "control: older than the removal, and served");

    let (_cache, space, _clock) = manual(minute());
    let row = Source::default();
    let held = token(&space).await;
    let read = row.version();
    row.write();
    drop(space.remove(&1));
    assert!(!space.publish(&1, held, read).await, "with a token it is refused");
    assert!(space.hit(&1).is_none());
}

/// Without tokens a herd of clients that load by themselves is a herd of loads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_control_without_tokens_every_client_loads() {
    let (_cache, space, _clock) = manual(minute());
    let source = Source::default();
    let aside = |_| async {
        if space.hit(&1).is_none() {
            let value = source.read(std::time::Duration::from_millis(20)).await;
            space.put(&1, value);
        }
    };
    soon("a herd", futures_util::future::join_all((0..20).map(aside))).await;
    assert_eq!(source.runs(), 20, "control");
    drop(space.remove(&1));
    let leased = |_| async {
        if let Lease::Token(token) = lease(&space, Span::secs(8)).await {
            let value = source.read(std::time::Duration::from_millis(20)).await;
            assert!(space.publish(&1, token, value).await);
        }
    };
    soon("a herd", futures_util::future::join_all((0..20).map(leased))).await;
    assert_eq!(source.runs(), 21, "one more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_silence_of_the_tier_who_would_fill_a_key_gets_the_value_that_a_reader_gets() {
    let clock = Clock::manual();
    let tier = SharedMemory::new(clock.clone());
    let built = Cache::builder().clock(clock.clone()).shared(tier.clone()).shared_resync("1h").build();
    let space = built.expect("it makes sense").shared_space::<u64, u64>("row", minute()).expect("a new space");
    assert!(space.write(&1, 5).await, "the tier knows of it");
    tier.set(Mode::Failing);
    // Nobody knows what was told meanwhile.
    clock.stand_still(Span::ms(400));
    let Lease::Value(value, None) = lease(&space, Span::ZERO).await else { panic!("a value, and no token") };
    assert_eq!((*value, value.why()), (5, Why::Suspect), "as memory may answer");
    let read = space.find(&1).await.expect("a reader gets it");
    assert_eq!((*read, read.why()), (5, Why::Suspect));
    // Control: of what memory lacks there is a token, of this process alone.
    assert!(matches!(space.lease(&2, Demand::Any, LEASE, Span::ZERO).await, Ok(Lease::Token(_))));
}
