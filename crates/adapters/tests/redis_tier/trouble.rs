//! Servers that stop, vanish and come back.

use super::*;
use bellwether::shared::TierTrouble;

/// Calls as the engine makes them: within a budget. How long it took, and whether it was answered.
async fn within_budget(tier: &RedisTier, key: &[u8]) -> (Duration, bool) {
    let since = Instant::now();
    let answered = matches!(tokio::time::timeout(BUDGET, tier.get(key)).await, Ok(Ok(_)));
    (since.elapsed(), answered)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_costs_a_few_budgets_and_then_nothing_and_is_used_again_at_once() {
    let server = redis(&[]).await;
    let tier = open(&server.url());
    store(&tier, b"k", "v").await;
    server.freeze().unwrap();
    let mut waited = 0;
    until("the breaker to open", async || {
        let (_, answered) = within_budget(&tier, b"k").await;
        assert!(!answered);
        waited += 1;
        tier.counts().nodes[0].open.then_some(())
    })
    .await;
    assert!(waited <= 6, "{waited} calls waited their budget out");
    let mut slowest = Duration::ZERO;
    for _ in 0..200 {
        let (took, answered) = within_budget(&tier, b"k").await;
        assert!(!answered);
        slowest = slowest.max(took);
    }
    assert!(slowest < BUDGET, "{slowest:?}: nobody is asked any more");
    // Whoever has no budget of his own does not wait for ever either.
    assert_eq!(tier.acquire(b"k", ask(Mode::Miss)).await.unwrap_err().kind, TierTrouble::Unreachable);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    server.thaw().unwrap();
    let since = Instant::now();
    until("to be used again", async || within_budget(&tier, b"k").await.1.then_some(())).await;
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
    assert_eq!(body(tier.get(b"k").await).as_deref(), Some(&b"v"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_budgets_of_callers_our_own_limit_opens_the_breaker() {
    let server = redis(&[]).await;
    let tier = Arc::new(open(&server.url()));
    store(&tier, b"k", "v").await;
    server.freeze().unwrap();
    let since = Instant::now();
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let tier = tier.clone();
            tokio::spawn(async move { tier.get(b"k").await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap_err().kind, TierTrouble::Unreachable);
    }
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
    assert_eq!(tier.counts().opened, 1);
    server.thaw().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_restarted_while_nobody_asked_is_noticed_by_nobody() {
    let server = redis(&[]).await;
    let tier = open(&server.url());
    store(&tier, b"k", "v").await;
    let again = server.clone();
    blocking(move || again.restart().unwrap()).await;
    until("a new connection", async || {
        let counts = tier.counts();
        (counts.connects >= 2 && counts.nodes[0].connected && !counts.nodes[0].open).then_some(())
    })
    .await;
    let before = tier.counts();
    // Its scripts are gone with it, and its data.
    assert_eq!(body(tier.get(b"k").await), None);
    store(&tier, b"k", "v").await;
    let after = tier.counts();
    assert_eq!(after.unreachable, before.unreachable);
    assert!(after.script_fallbacks > before.script_fallbacks);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_fails_fast_and_works_again_when_it_is_back() {
    let server = redis(&[]).await;
    let tier = open(&server.url());
    store(&tier, b"k", "v").await;
    server.kill().unwrap();
    until("the breaker to open", async || {
        let _ = within_budget(&tier, b"k").await;
        tier.counts().nodes[0].open.then_some(())
    })
    .await;
    let since = Instant::now();
    for _ in 0..100 {
        assert!(tier.get(b"k").await.is_err());
    }
    assert!(since.elapsed() < AT_ONCE * 5, "{:?}", since.elapsed());
    let again = server.clone();
    blocking(move || again.restart().unwrap()).await;
    let since = Instant::now();
    until("to be used again", async || tier.get(b"k").await.ok()).await;
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_the_server_closes_are_made_again_and_reads_do_not_fail() {
    let server = redis(&[]).await;
    let tier = open(&server.url());
    store(&tier, b"k", "v").await;
    for round in 0..20 {
        call(&server, &["CLIENT", "KILL", "TYPE", "normal"]).await;
        assert_eq!(body(tier.get(b"k").await).as_deref(), Some(&b"v"[..]), "round {round}");
    }
    assert!(tier.counts().lost >= 20 && tier.counts().opened == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tier_that_is_dropped_leaves_no_connection_and_no_task() {
    let server = redis(&[]).await;
    let clients = async || {
        let list = call(&server, &["CLIENT", "LIST"]).await;
        String::from_utf8_lossy(list.as_bytes().expect("text")).lines().count()
    };
    let before = clients().await;
    let tier = calm(&server.url());
    store(&tier, b"k", noise(100_000)).await;
    until("connections: main, bulk, waiters", async || {
        let _ = tokio::time::timeout(BUDGET, tier.changed(b"k")).await;
        (clients().await >= before + 3).then_some(())
    })
    .await;
    drop(tier);
    until("connections to close", async || (clients().await == before).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_runtime_may_end_and_connections_live_on() {
    let server = redis(&[]).await;
    let tier = Arc::new(open(&server.url()));
    let other = tier.clone();
    blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { store(&other, b"k", "v").await });
    })
    .await;
    assert_eq!(body(tier.get(b"k").await).as_deref(), Some(&b"v"[..]));
    assert_eq!(tier.counts().connects, 1);
}
