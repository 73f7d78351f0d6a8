//! What happens when servers come and go?

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bellwether::shared::{Acquired, Found, Stored, Tier, TierTrouble};
use bellwether::{Fence, Invalidation, Mode, Span};
use bellwether_adapters::tiers::memcached::{MemcachedOptions, MemcachedTier, Placement};
use bellwether_servers::Memcached;

use super::{Plain, ask, body, entry, open, patient, run, servers, store, token, until, url};

/// So many that a share of a quarter is seen to within three points, whatever the ports are.
const KEYS: usize = 3_000;

fn key(n: usize) -> Vec<u8> {
    format!("product:{n}").into_bytes()
}

/// Stores what is missing, as a load would; says how many were.
async fn load_all(tier: &Arc<MemcachedTier>, value: &str) -> usize {
    let tasks = (0..KEYS).map(|n| {
        let (tier, value) = (tier.clone(), value.to_owned());
        async move {
            let key = key(n);
            match tier.acquire(&key, ask(Mode::Miss)).await.unwrap() {
                Acquired::Fresh(_) => 0,
                Acquired::Granted { token, .. } => {
                    assert_eq!(tier.publish(&key, token, entry(value)).await.unwrap(), Stored::Yes(token));
                    1
                }
                other => panic!("{other:?}"),
            }
        }
    });
    in_lots(tasks).await.into_iter().sum()
}

/// At most some at once: a tier's queue is bounded.
async fn in_lots<F: Future>(tasks: impl Iterator<Item = F>) -> Vec<F::Output> {
    use futures_util::StreamExt;
    futures_util::stream::iter(tasks).buffered(64).collect().await
}

async fn values(tier: &Arc<MemcachedTier>) -> BTreeMap<usize, String> {
    let found = in_lots((0..KEYS).map(|n| async move { (n, body(tier, &key(n)).await) })).await;
    let text = |body: bytes::Bytes| String::from_utf8(body.to_vec()).unwrap();
    found.into_iter().filter_map(|(n, body)| Some((n, text(body?)))).collect()
}

async fn remove_all(tier: &Arc<MemcachedTier>) {
    let tasks =
        (0..KEYS).map(|n| async move { tier.invalidate(&key(n), Invalidation::Remove, Fence::ZERO, Span::ZERO).await });
    assert!(in_lots(tasks).await.iter().all(Result::is_ok));
}

fn opened(servers: &[&Memcached], placement: Placement) -> Arc<MemcachedTier> {
    let addresses: Vec<_> = servers.iter().map(|server| server.address().to_string()).collect();
    let options = MemcachedOptions { placement, ..patient() };
    Arc::new(MemcachedTier::open(&format!("memcached://{}", addresses.join(",")), options).unwrap())
}

#[test]
fn a_fourth_server_moves_its_share_alone_and_when_it_leaves_nothing_old_comes_back() {
    // Points on a circle share it less evenly: 160 of them to within some points.
    for (placement, slack) in [(Placement::Rendezvous, 0.03), (Placement::Ketama, 0.12)] {
        run(servers(4), |servers| async move {
            let (three, four) = (servers.iter().take(3).collect::<Vec<_>>(), servers.iter().collect::<Vec<_>>());
            let tier = opened(&three, placement);
            assert_eq!(load_all(&tier, "first").await, KEYS);
            drop(tier);

            let tier = opened(&four, placement);
            let moved = load_all(&tier, "second").await;
            let share = moved as f64 / KEYS as f64;
            assert!(share <= 0.25 + slack, "{placement:?}: {moved} of {KEYS} keys moved");
            assert!(share > 0.1, "{placement:?}: the fourth server has {moved} of {KEYS} keys: is it used at all?");
            // All change, where they live now. What moved lies on its former server as it was.
            remove_all(&tier).await;
            assert_eq!(values(&tier).await.len(), 0);
            drop(tier);

            let tier = opened(&three, placement);
            let old = values(&tier).await;
            assert_eq!(old.len(), 0, "{placement:?}: old values came back: {:?}", old.first_key_value());
            assert!(tier.counts().untrusted >= moved as u64, "they were there, and passed over");
        });
    }
}

#[test]
fn a_server_that_was_removed_serves_nothing_old_when_it_returns() {
    run(servers(3), |servers| async move {
        let (three, two) = (servers.iter().collect::<Vec<_>>(), servers.iter().take(2).collect::<Vec<_>>());
        let tier = opened(&three, Placement::Rendezvous);
        assert_eq!(load_all(&tier, "first").await, KEYS);
        drop(tier);

        let tier = opened(&two, Placement::Rendezvous);
        let moved = load_all(&tier, "second").await;
        assert!((moved as f64) / (KEYS as f64) <= 1.0 / 3.0 + 0.03, "{moved} of {KEYS} keys moved");
        remove_all(&tier).await;
        drop(tier);

        let tier = opened(&three, Placement::Rendezvous);
        let old = values(&tier).await;
        assert_eq!(old.len(), 0, "old values came back: {:?}", old.first_key_value());
        assert_eq!(load_all(&tier, "third").await, KEYS);
        // Another process with the same servers changes nothing.
        let other = opened(&three, Placement::Rendezvous);
        assert_eq!(values(&other).await.len(), KEYS);
        assert_eq!(load_all(&other, "fourth").await, 0);
        assert_eq!(values(&tier).await.len(), KEYS);
    });
}

/// The control: values stay where nothing came between, so that what is passed over above was passed over for a reason.
#[test]
fn control_what_never_moved_is_kept_when_servers_come_and_go() {
    run(servers(3), |servers| async move {
        let (three, two) = (servers.iter().collect::<Vec<_>>(), servers.iter().take(2).collect::<Vec<_>>());
        let tier = opened(&three, Placement::Rendezvous);
        load_all(&tier, "first").await;
        let last = servers[2].address().to_string();
        let on_last = (0..KEYS).filter(|n| tier.server_of(&key(*n)) == last).count();
        drop(tier);
        drop(opened_and_heard(&two).await);
        let tier = opened(&three, Placement::Rendezvous);
        assert_eq!(values(&tier).await.len(), KEYS - on_last);
    });
}

async fn opened_and_heard(servers: &[&Memcached]) -> Arc<MemcachedTier> {
    let tier = opened(servers, Placement::Rendezvous);
    store(&tier, b"heard", entry("x")).await;
    // Its roll call has reached every server.
    tokio::time::sleep(Duration::from_millis(300)).await;
    tier
}

#[test]
fn processes_of_two_minds_about_the_servers_never_serve_what_the_other_moved() {
    run(servers(3), |servers| async move {
        let (three, two) = (servers.iter().collect::<Vec<_>>(), servers.iter().take(2).collect::<Vec<_>>());
        let behind = opened(&three, Placement::Rendezvous);
        load_all(&behind, "first").await;
        let last = servers[2].address().to_string();
        let moved: Vec<_> = (0..KEYS).filter(|n| behind.server_of(&key(*n)) == last).collect();
        let ahead = opened_and_heard(&two).await;
        remove_all(&ahead).await;
        // Once it has heard of it, which takes a roll call, it serves nothing of what the other removed elsewhere.
        until("nothing of the old server is served", async || {
            in_lots(moved.iter().map(|n| body_of(&behind, *n))).await.iter().all(Option::is_none)
        })
        .await;
        assert_eq!(values(&ahead).await.len(), 0);
    });
}

/// The servers that a process is told to use are those that its fleet uses: one with another configuration follows.
#[test]
fn a_process_with_another_configuration_uses_the_servers_that_came_into_use_last() {
    run(servers(4), |servers| async move {
        let all: Vec<&Memcached> = servers.iter().collect();
        let behind = opened(&all[..3], Placement::Rendezvous);
        assert_eq!(load_all(&behind, "first").await, KEYS);
        // One is left out, one is added that the other was never told of, and both return.
        for (use_, what) in [(&all[..2], "removed"), (&all[1..], "added and removed"), (&all[..3], "as configured")] {
            let ahead = opened(use_, Placement::Rendezvous);
            until("both use the same", async || {
                (0..KEYS).all(|n| behind.server_of(&key(n)) == ahead.server_of(&key(n)))
            })
            .await;
            let moved = load_all(&behind, "next").await;
            assert!(moved > KEYS / 5, "{what}: {moved} moved");
            // What one has loaded the other finds, wherever it lies now.
            assert_eq!(load_all(&ahead, "again").await, 0, "{what}");
            assert_eq!(load_all(&behind, "again").await, 0, "{what}");
            assert_eq!(values(&behind).await, values(&ahead).await, "{what}");
        }
    });
}

/// Slow to hear of others.
fn opened_slow(servers: &[&Memcached]) -> Arc<MemcachedTier> {
    let addresses: Vec<_> = servers.iter().map(|server| server.address().to_string()).collect();
    let options = MemcachedOptions { roll_call: Duration::from_secs(6), ..patient() };
    Arc::new(MemcachedTier::open(&format!("memcached://{}", addresses.join(",")), options).unwrap())
}

#[test]
fn what_was_removed_on_a_former_server_is_removed_where_it_moved_once_that_is_known() {
    // So many changes can be done again one by one, and more than that can't.
    for rounds in [1, 2] {
        run(servers(3), |servers| async move {
            let all: Vec<&Memcached> = servers.iter().collect();
            let behind = opened_slow(&all);
            load_all(&behind, "first").await;
            let last = all[2].address().to_string();
            let moved: Vec<_> = (0..KEYS).filter(|n| behind.server_of(&key(*n)) == last).collect();
            let ahead = opened(&all[..2], Placement::Rendezvous);
            assert!(load_all(&ahead, "second").await >= moved.len());
            for _ in 0..rounds {
                remove_all(&behind).await;
            }
            let still = async || in_lots(moved.iter().map(|n| body_of(&ahead, *n))).await.iter().flatten().count();
            assert_eq!(still().await, moved.len(), "the control: who did not know removed them elsewhere");
            until("they are gone where they moved", async || still().await == 0).await;
            assert_eq!(values(&behind).await.len(), 0);
        });
    }
}

#[test]
fn a_configuration_with_a_server_that_is_not_there_takes_nobody_along() {
    run(servers(2), |servers| async move {
        let all: Vec<&Memcached> = servers.iter().collect();
        let right = opened(&all, Placement::Rendezvous);
        assert_eq!(load_all(&right, "first").await, KEYS);
        // A port that nobody listens at.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let url = format!("memcached://{},{free}", all[0].address());
        let wrong = Arc::new(MemcachedTier::open(&url, patient()).unwrap());
        until("it uses what the others use", async || {
            (0..KEYS).all(|n| wrong.server_of(&key(n)) == right.server_of(&key(n)))
        })
        .await;
        assert_eq!(load_all(&wrong, "second").await, 0);
        assert_eq!(load_all(&right, "second").await, 0);
        assert!(wrong.check().await.iter().any(|(server, _)| *server == free.to_string()), "and it says so");
    });
}

#[test]
fn servers_that_others_named_are_given_up_when_one_stays_away() {
    run(servers(3), |servers| async move {
        let all: Vec<&Memcached> = servers.iter().collect();
        let tier = opened(&all[..2], Placement::Rendezvous);
        load_all(&tier, "first").await;
        drop(opened_and_heard(&all).await);
        let third = all[2].address().to_string();
        let uses_third = || tier.counts().servers.iter().any(|(server, _)| *server == third);
        until("it follows", async || uses_third()).await;
        // Who named the third is gone, and so is the third.
        all[2].freeze().unwrap();
        until("it is back at its own", async || {
            // What nobody asks is not known to be silent.
            let _ = values_of_some(&tier).await;
            !uses_third()
        })
        .await;
        all[2].thaw().unwrap();
        assert!(load_all(&tier, "second").await < KEYS, "what did not move is kept");
    });
}

async fn values_of_some(tier: &Arc<MemcachedTier>) -> usize {
    let found = in_lots((0..64).map(|n| async move { tier.get(&key(n)).await.is_ok() })).await;
    found.iter().filter(|is_there| **is_there).count()
}

async fn body_of(tier: &Arc<MemcachedTier>, n: usize) -> Option<bytes::Bytes> {
    body(tier, &key(n)).await
}

#[test]
fn a_server_that_lost_its_notes_gets_them_again() {
    run(servers(2), |servers| async move {
        let tier = open(&servers);
        store(&tier, b"k", entry("v")).await;
        let notes = |server: &Memcached| Plain::of(server).get("~bw:fleet");
        until("both have notes", async || servers.iter().all(|server| notes(server).is_some())).await;
        let before = notes(&servers[0]);
        Plain::of(&servers[0]).say(b"delete ~bw:fleet\r\n");
        until("they are written anew", async || notes(&servers[0]) == before).await;
        assert_eq!(body(&tier, b"k").await.unwrap(), "v");
        // Where all of them are lost, with nobody left who knows, nothing is trusted.
        drop(tier);
        servers.iter().for_each(|server| drop(Plain::of(server).say(b"delete ~bw:fleet\r\n")));
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        assert_eq!(body(&open(&servers), b"k").await, None);
    });
}

#[test]
fn notes_of_a_set_that_nobody_can_use_are_passed_over_and_what_is_stored_from_then_on_is_kept() {
    for strange in ["maglev a:1,b:2", "rendezvous a:notaport"] {
        run(servers(2), |servers| async move {
            let tier = open(&servers);
            let notes = |server: &Memcached| Plain::of(server).get("~bw:fleet");
            until("both have notes", async || servers.iter().all(|server| notes(server).is_some())).await;
            let written = format!("bellwether fleet 1\n0\n4000000000 {strange}");
            let set = format!("set ~bw:fleet 0 0 {}\r\n{written}\r\n", written.len());
            servers.iter().for_each(|server| assert_eq!(Plain::of(server).say(set.as_bytes()), "STORED"));
            // Whoever hears of it, and whoever starts with it, uses its own servers and keeps what it stores.
            let other = open(&servers);
            until("the notes to name the configured set again", async || {
                servers.iter().all(|server| notes(server).is_some_and(|notes| notes.len() > written.len()))
            })
            .await;
            let mut tries = 0;
            for (one, another) in [(&tier, &other), (&other, &tier)] {
                until("what one stores to be there for the other", async || {
                    tries += 1;
                    let key = format!("k:{tries}");
                    // A lease that is granted just before the set comes into use is refused at the key's new place.
                    let token = token(one, key.as_bytes(), ask(Mode::Miss)).await;
                    one.publish(key.as_bytes(), token, entry("after")).await.unwrap();
                    body(another, key.as_bytes()).await.is_some()
                })
                .await;
            }
        });
    }
}

#[test]
fn a_dead_server_is_told_at_once_and_the_others_go_on() {
    run(servers(3), |servers| async move {
        let tier = Arc::new(MemcachedTier::open(&url(&servers), MemcachedOptions::default()).unwrap());
        let of = |server: &Memcached| {
            let address = server.address().to_string();
            (0..).map(key).find(|key| tier.server_of(key) == address).unwrap()
        };
        let (lost, kept) = (of(&servers[1]), of(&servers[0]));
        store(&tier, &lost, entry("lost")).await;
        store(&tier, &kept, entry("kept")).await;
        servers[1].kill().unwrap();
        until("its keys fail", async || tier.get(&lost).await.is_err()).await;
        let since = Instant::now();
        for _ in 0..100 {
            let error = tier.get(&lost).await.unwrap_err();
            assert_eq!(error.kind, TierTrouble::Unreachable);
            assert!(error.text.contains(&servers[1].address().to_string()), "{}", error.text);
            assert!(
                tier.invalidate(&lost, Invalidation::Remove, Fence::ZERO, Span::ZERO).await.is_err(),
                "never elsewhere"
            );
            assert_eq!(body(&tier, &kept).await.unwrap(), "kept");
        }
        assert!(since.elapsed() < Duration::from_secs(5), "a hundred rounds took {:?}", since.elapsed());
        assert_eq!(tier.counts().servers.iter().filter(|(_, up)| *up).count(), 2);
        servers[1].restart().unwrap();
        until("it is used again", async || tier.get(&lost).await.is_ok()).await;
        assert_eq!(tier.get(&lost).await.unwrap(), Found::Nothing { lease: None }, "it came back empty");
        store(&tier, &lost, entry("again")).await;
    });
}

#[test]
fn a_frozen_server_is_left_alone_after_a_few_calls_and_used_again_when_it_thaws() {
    run(servers(2), |servers| async move {
        let tier = Arc::new(MemcachedTier::open(&url(&servers), MemcachedOptions::default()).unwrap());
        let address = servers[1].address().to_string();
        let lost = (0..).map(key).find(|key| tier.server_of(key) == address).unwrap();
        store(&tier, &lost, entry("v")).await;
        servers[1].freeze().unwrap();
        // As the engine calls: with a budget from outside.
        let budget = Duration::from_millis(50);
        let mut slow = 0;
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(2) {
            let called = Instant::now();
            let _failed_or_over = tokio::time::timeout(budget, tier.get(&lost)).await;
            slow += u32::from(called.elapsed() >= budget / 2);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(slow <= 10, "{slow} calls waited for a server that is silent");
        servers[1].thaw().unwrap();
        until("it is used again", async || matches!(tier.get(&lost).await, Ok(Found::Entry { .. }))).await;
    });
}

#[test]
fn without_any_server_calls_fail_at_once_and_go_on_when_one_comes() {
    run(servers(1), |servers| async move {
        servers[0].kill().unwrap();
        let tier = open(&servers);
        until("it is known to be down", async || !tier.counts().servers[0].1 && tier.get(b"k").await.is_err()).await;
        let since = Instant::now();
        for _ in 0..50 {
            assert_eq!(tier.get(b"k").await.unwrap_err().kind, TierTrouble::Unreachable);
        }
        assert!(since.elapsed() < Duration::from_secs(5));
        servers[0].restart().unwrap();
        until("it is used", async || tier.get(b"k").await.is_ok()).await;
        store(&tier, b"k", entry("v")).await;
        assert_eq!(body(&tier, b"k").await.unwrap(), "v");
    });
}
