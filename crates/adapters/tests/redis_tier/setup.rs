//! Ways to a server, and servers that are not as they should be.

use super::*;
use bellwether::Invalidation;
use bellwether::shared::TierTrouble;
use bellwether_adapters::tiers::redis::{RedisTls, Report, Weight};

fn fatal(report: &Report) -> String {
    let all: Vec<String> =
        report.problems.iter().filter(|p| p.weight == Weight::Fatal).map(ToString::to_string).collect();
    assert!(!all.is_empty() && !report.is_usable(), "{report}");
    all.join("\n")
}

async fn works(tier: &RedisTier) {
    store(tier, b"k", "v").await;
    assert_eq!(body(tier.get(b"k").await).as_deref(), Some(&b"v"[..]));
    assert!(tier.check().await.is_usable());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_a_server_leads_there() {
    let server = redis(&["--requirepass", "s3cret"]).await;
    let port = server.address().port();
    works(&calm(&format!("redis://:s3cret@127.0.0.1:{port}"))).await;
    let base = calm(&format!("redis+unix://:s3cret@{}?db=3", server.socket().display()));
    works(&base).await;
    // Databases are apart, prefixes too.
    let other = calm(&format!("valkey://default:s3cret@localhost:{port}/4"));
    assert_eq!(body(other.get(b"k").await), None);
    let same = calm(&format!("redis://:s3cret@127.0.0.1:{port}/3"));
    assert!(body(same.get(b"k").await).is_some());
    let prefix = b"elsewhere:".to_vec();
    let apart = open_with(&format!("redis://:s3cret@127.0.0.1:{port}/3"), RedisOptions { prefix, ..patient() });
    assert_eq!(body(apart.get(b"k").await), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_trusts_whom_it_is_told_to_and_nobody_else() {
    let server = Arc::new(blocking(|| Redis::start_with_tls(&[]).expect("redis-server")).await);
    let url = server.tls_url().expect("TLS");
    let authority = std::fs::read(server.certificates().expect("certificates").authority).expect("a file");
    let tls = RedisTls { authority: Some(authority), identity: None };
    works(&open_with(&url, RedisOptions { tls, ..patient() })).await;
    let stranger = calm(&url);
    assert_eq!(stranger.get(b"k").await.unwrap_err().kind, TierTrouble::Unreachable);
    let told = fatal(&stranger.check().await);
    assert!(told.to_lowercase().contains("certificate"), "{told}");
    let tls = RedisTls { authority: Some(b"no certificate".to_vec()), identity: None };
    let wrong = RedisTier::open(RedisTarget::parse(&url).unwrap(), RedisOptions { tls, ..patient() });
    // A file without a certificate trusts nobody: whether that is said at once or by the check, it never works.
    if let Ok(tier) = wrong {
        fatal(&tier.check().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_without_repeating_it() {
    let server = redis(&["--requirepass", "s3cret"]).await;
    for login in [":hunter2@", "hunter:hunter2@", ""] {
        let tier = open(&format!("redis://{login}{}", server.address()));
        let error = tier.get(b"k").await.unwrap_err();
        assert_eq!(error.kind, TierTrouble::Unreachable);
        let told = fatal(&tier.check().await);
        assert!(told.contains("check user and password"), "{told}");
        assert!(!format!("{told} {error} {tier:?}").contains("hunter2"), "{told}");
    }
    let user_alone = RedisTier::open(RedisTarget::parse("redis://app@h").unwrap(), RedisOptions::default());
    assert!(user_alone.unwrap_err().hint().contains("USER:PASSWORD"));
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_rights_are_told_with_those_that_are_needed_and_those_are_enough() {
    let server = redis(&[]).await;
    let port = server.address().port();
    call(&server, &["ACL", "SETUSER", "poor", "on", ">p", "~bw:*", "+get", "+getrange", "+hello", "+time", "+info"])
        .await;
    let told = fatal(&calm(&format!("redis://poor:p@127.0.0.1:{port}")).check().await);
    assert!(told.contains("NOPERM") && told.contains("+evalsha"), "{told}");
    let elsewhere = RedisOptions { prefix: b"other:".to_vec(), ..patient() };
    // What the hint says, and nothing more.
    let start = told.find("~bw:*").expect("rights");
    let rights: Vec<&str> = told[start..].split(" (").next().unwrap_or_default().split_whitespace().collect();
    call(&server, &[&["ACL", "SETUSER", "rich", "on", ">p"], &rights[..]].concat()).await;
    let rich = calm(&format!("redis://rich:p@127.0.0.1:{port}"));
    works(&rich).await;
    let report = rich.check().await;
    assert!(report.problems.iter().all(|problem| !problem.problem.contains("woken")), "{report}");
    let token = granted(&rich, b"more").await;
    assert!(rich.renew(b"more", token, Span::secs(1)).await.unwrap());
    assert!(rich.release(b"more", token, Some((Span::secs(1), bellwether::FailClass::Failed))).await.unwrap());
    rich.invalidate(b"k", Invalidation::Expire, Fence::ZERO, Span::ZERO).await.unwrap();
    set(&rich, b"k", entry(noise(100_000))).await.unwrap();
    assert!(body(rich.get(b"k").await).is_some());
    let told = fatal(&open_with(&format!("redis://rich:p@127.0.0.1:{port}"), elsewhere).check().await);
    assert!(told.contains("NOPERM") && told.contains("~other:*"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_that_evicts_nothing_stores_nothing_but_still_forgets() {
    let server = redis(&["--maxmemory", "3mb", "--maxmemory-policy", "noeviction"]).await;
    let tier = calm(&server.url());
    store(&tier, b"held", "old").await;
    store(&tier, b"expires", "old").await;
    let leased = granted(&tier, b"leased").await;
    let mut n = 0;
    let error = until("a full server", async || {
        n += 1;
        call(&server, &["CONFIG", "SET", "maxmemory", "1mb"]).await;
        tier.acquire(format!("filler:{n}").as_bytes(), ask(Mode::Miss)).await.err()
    })
    .await;
    assert_eq!(error.kind, TierTrouble::Full, "{error}");
    assert_eq!(tier.publish(b"leased", leased, entry("v")).await.unwrap_err().kind, TierTrouble::Full);
    // What is there is read, and what must go goes, without a tombstone.
    assert_eq!(body(tier.get(b"held").await).as_deref(), Some(&b"old"[..]));
    for (key, verb) in [(&b"held"[..], Invalidation::Remove), (b"expires", Invalidation::Expire)] {
        assert!(tier.invalidate(key, verb, Fence::ZERO, Span::ZERO).await.unwrap().was_resident);
        assert_eq!(body(tier.get(key).await), None);
    }
    assert!(tier.counts().full > 0);
    assert!(fatal(&tier.check().await).contains("maxmemory-policy"));
    call(&server, &["CONFIG", "SET", "maxmemory", "0"]).await;
    assert!(tier.check().await.is_usable(), "only advice is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_told_and_costs_callers_nothing() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for url in [
        format!("redis://127.0.0.1:{port}"),
        format!("redis+cluster://127.0.0.1:{port}"),
        format!("redis+sentinel://127.0.0.1:{port}/main"),
        "redis+unix:///nowhere/redis.sock".to_owned(),
    ] {
        let tier = open(&url);
        assert_eq!(tier.get(b"first").await.unwrap_err().kind, TierTrouble::Unreachable, "{url}");
        let since = Instant::now();
        for _ in 0..100 {
            assert_eq!(tier.get(b"k").await.unwrap_err().kind, TierTrouble::Unreachable, "{url}");
        }
        assert!(since.elapsed() < AT_ONCE * 5, "{url}: {:?} for 100 calls", since.elapsed());
        let told = fatal(&tier.check().await);
        assert!(told.contains("does it run, and without TLS?"), "{told}");
        assert!(tier.counts().turned_away >= 90, "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_and_a_node_of_a_cluster_are_told_what_to_write_instead() {
    let primary = redis(&[]).await;
    let port = primary.address().port().to_string();
    let replica =
        Arc::new(blocking(move || Redis::start(&["--replicaof", "127.0.0.1", &port]).expect("redis-server")).await);
    let tier = open(&replica.url());
    let error = until("the replica to be in step", async || {
        tier.acquire(b"k", ask(Mode::Miss)).await.err().filter(|error| error.text.contains("replica"))
    })
    .await;
    assert_eq!(error.kind, TierTrouble::ReadOnly);
    let told = fatal(&tier.check().await);
    assert!(told.contains("redis+sentinel://"), "{told}");
    let lonely = redis(&["--cluster-enabled", "yes"]).await;
    assert!(!open(&lonely.url()).check().await.is_usable());
    let not_formed = open(&lonely.url().replace("redis://", "redis+cluster://")).check().await;
    assert!(fatal(&not_formed).contains("is it a cluster, and formed?"), "{not_formed}");
    let no_cluster = open(&primary.url().replace("redis://", "redis+cluster://")).check().await;
    assert!(fatal(&no_cluster).contains("cluster support disabled"), "{no_cluster}");
}
