//! Waiters are woken by the server's word.

use super::*;
use bellwether::Invalidation;

/// Begins to wait, and is sure to wait when this returns.
async fn begin(tier: &Arc<RedisTier>, server: &Arc<Redis>, key: &'static str) -> tokio::task::JoinHandle<()> {
    let waits = tier.clone();
    let before = tracked(server).await;
    let task = tokio::spawn(async move { waits.changed(key.as_bytes()).await });
    until("the key to be tracked", async || (tracked(server).await > before).then_some(())).await;
    task
}

async fn tracked(server: &Arc<Redis>) -> u64 {
    let info = call(server, &["INFO", "stats"]).await;
    let text = String::from_utf8_lossy(info.as_bytes().expect("text")).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("tracking_total_keys:")).expect("a count").to_owned();
    line.trim().parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_changes_a_key_wakes_who_waits_for_it() {
    let server = redis(&[]).await;
    let tier = Arc::new(calm(&server.url()));
    // A key each: word of the one before may come late. What concerns all keys comes last.
    for end in ["publish", "release", "invalidate", "DEL", "expiry", "disconnection", "FLUSHALL"] {
        let lease = if end == "expiry" { Span::ms(700) } else { Span::secs(20) };
        let asked = tier.acquire(end.as_bytes(), Ask { lease, ..ask(Mode::Miss) }).await;
        let Ok(Acquired::Granted { token, .. }) = asked else { panic!("{end}: {asked:?}") };
        let waiter = begin(&tier, &server, end).await;
        assert!(end == "expiry" || !waiter.is_finished(), "{end}: nothing has changed yet");
        let key = end.as_bytes();
        match end {
            "publish" => drop(tier.publish(key, token, entry("v")).await.unwrap()),
            "release" => drop(tier.release(key, token, None).await.unwrap()),
            "invalidate" => drop(tier.invalidate(key, Invalidation::Remove, Fence::ZERO, Span::ZERO).await.unwrap()),
            "DEL" => drop(call(&server, &["DEL", "bw:DEL"]).await),
            "disconnection" => drop(call(&server, &["CLIENT", "KILL", "TYPE", "normal"]).await),
            "FLUSHALL" => drop(call(&server, &["FLUSHALL"]).await),
            _ => {}
        }
        let woken = tokio::time::timeout(PATIENCE / 2, waiter).await;
        assert!(woken.is_ok(), "{end}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_what_nobody_loads_does_not_wait() {
    let server = redis(&[]).await;
    let tier = calm(&server.url());
    // The load ended between the look and the wait.
    tokio::time::timeout(PATIENCE, tier.changed(b"nothing")).await.expect("no wait");
    store(&tier, b"k", "v").await;
    tokio::time::timeout(PATIENCE, tier.changed(b"k")).await.expect("no wait");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_keys_change_wakes_nobody_and_without_tracking_nothing_does() {
    let server = redis(&[]).await;
    let tier = Arc::new(calm(&server.url()));
    granted(&tier, b"k").await;
    let waiter = begin(&tier, &server, "k").await;
    store(&tier, b"other", "v").await;
    tokio::time::sleep(BUDGET).await;
    assert!(!waiter.is_finished());
    waiter.abort();
    let polls = open_with(&server.url(), RedisOptions { tracking: false, ..patient() });
    let waited = tokio::time::timeout(BUDGET, polls.changed(b"k"));
    assert!(waited.await.is_err(), "it can't tell: whoever waits polls");
    // Nor where the user may not.
    call(&server, &["ACL", "SETUSER", "u", "on", ">p", "~*", "+@all", "-client|tracking"]).await;
    let denied = calm(&format!("redis://u:p@{}", server.address()));
    store(&denied, b"works", "v").await;
    assert!(tokio::time::timeout(BUDGET, denied.changed(b"k")).await.is_err());
    assert!(denied.check().await.problems.iter().any(|problem| problem.hint.contains("client|tracking")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_hears_within_milliseconds() {
    let server = redis(&[]).await;
    let tier = Arc::new(calm(&server.url()));
    let other = calm(&server.url());
    let mut lags = Vec::new();
    for _ in 0..40 {
        let token = granted(&other, b"k").await;
        let waits = tier.clone();
        let waiter = tokio::spawn(async move {
            waits.changed(b"k").await;
            Instant::now()
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        let published = Instant::now();
        other.publish(b"k", token, entry("v")).await.unwrap();
        lags.push(waiter.await.unwrap().saturating_duration_since(published));
        call(&server, &["DEL", "bw:k"]).await;
    }
    lags.sort();
    // A poll would be due every 10 to 80 ms.
    assert!(lags[lags.len() / 2] < Duration::from_millis(10), "{lags:?}");
    println!("wake-up lag: p50 {:?}, worst {:?}", lags[lags.len() / 2], lags[lags.len() - 1]);
}
