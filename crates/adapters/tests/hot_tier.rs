//! Does a cache do in a real cluster what it says it does about a hot key? Replicas answer, and a large value is short.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "helpers outside #[test] may panic too: it is the report")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bellwether::{Cache, HotPolicy, Invalidation, Loaded, Measure, Policy, Space};
use bellwether_adapters::tiers::redis::{RedisOptions, RedisTarget, RedisTier};
use bellwether_envelope::Packing;
use bellwether_servers::RedisCluster;

const PATIENCE: Duration = Duration::from_secs(30);
/// Compresses well, and is long enough for the network to be its limit.
const LENGTH: usize = 200 * 1024;

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("no panic")
}

async fn cluster() -> Arc<RedisCluster> {
    let start = || {
        let cluster = RedisCluster::start(1, 1).expect("a cluster");
        cluster.nodes()[0].call(&["SET", "{}anything", "", "EX", "1"]).unwrap();
        let replica = cluster.nodes()[1].address().port().to_string();
        let began = Instant::now();
        while !cluster.nodes()[0].call(&["CLUSTER", "SLOTS"]).unwrap().to_string().contains(&replica) {
            assert!(began.elapsed() < PATIENCE, "the map has no replica");
            std::thread::sleep(Duration::from_millis(50));
        }
        cluster
    };
    Arc::new(blocking(start).await)
}

fn tier(cluster: &RedisCluster) -> RedisTier {
    let target = RedisTarget::parse(&format!("redis+cluster://{}", cluster.addresses()[0])).unwrap();
    let options = RedisOptions {
        connect_timeout: PATIENCE,
        answer_timeout: PATIENCE,
        bulk_timeout: PATIENCE,
        patience: PATIENCE,
        packing: Packing::NONE,
        ..RedisOptions::default()
    };
    RedisTier::open(target, options).unwrap()
}

async fn ask(cluster: &Arc<RedisCluster>, node: usize, words: &[&str]) -> String {
    let (cluster, words): (_, Vec<String>) = (cluster.clone(), words.iter().map(|&word| word.to_owned()).collect());
    blocking(move || {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        cluster.nodes()[node].call(&words).unwrap().to_string()
    })
    .await
}

/// Bytes that a key takes in the cluster.
async fn length(cluster: &Arc<RedisCluster>, key: &str) -> u64 {
    let text = ask(cluster, 0, &["STRLEN", key]).await;
    text.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or_else(|_| panic!("{text}"))
}

async fn read(space: &Space<str, String>, key: &str) -> usize {
    let load = |_| async { Ok::<_, std::io::Error>(Loaded::value("0123456789abcdef".repeat(LENGTH / 16))) };
    space.get(key).or_load(load).await.expect("it loads").len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_hot_value_is_compressed_and_read_from_a_replica_and_others_are_not() {
    let cluster = cluster().await;
    // A read of so large a value is as good as 50 small ones: the first ones alone would do for a small node.
    let capacity = |capacity| HotPolicy { capacity: Some(capacity), ..HotPolicy::default() };
    let hot = capacity(1_000_000.0);
    let cache = Cache::builder().shared(tier(&cluster)).shared_timeout("20s").hot(hot).build().expect("a cache");
    let policy = Policy::ttl("10m").memory(false).staleness_budget("300ms").timeout("20s");
    let space = cache.shared_space::<str, String>("page", policy).expect("a space");
    space.loaded_by(|_| async { Ok::<_, std::io::Error>(Loaded::value("0123456789abcdef".repeat(LENGTH / 16))) });
    for key in ["hot", "cold"] {
        assert_eq!(read(&space, key).await, LENGTH);
        // It is published once who waited has it.
        let began = Instant::now();
        while length(&cluster, &format!("bw:page:{key}")).await <= LENGTH as u64 {
            assert!(began.elapsed() < PATIENCE, "nothing is compressed here");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    // Ten windows: what was read by then is of the past.
    tokio::time::sleep(Duration::from_secs(1)).await;
    cache.set_hot(capacity(1_000.0)).expect("it makes sense");
    let counted = |measure: Measure| {
        let reactions = cache.snapshot().reactions;
        let of = reactions.iter().find(|counts| counts.measure == measure).expect("all are there");
        (of.keys, of.saved, of.cost)
    };
    let began = Instant::now();
    while counted(Measure::Replicas).1 < 5 || counted(Measure::Compress).2 == 0 {
        assert!(began.elapsed() < PATIENCE, "{:?}", cache.snapshot().reactions);
        for _ in 0..10 {
            assert_eq!(read(&space, "hot").await, LENGTH);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!((counted(Measure::Replicas).0, counted(Measure::Compress).0), (1, 1));
    let began = Instant::now();
    while length(&cluster, "bw:page:hot").await > LENGTH as u64 / 10 {
        assert!(began.elapsed() < PATIENCE, "it is loaded once more, and is short then");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(length(&cluster, "bw:page:cold").await > LENGTH as u64, "the control: what is not hot is as it was");
    assert_eq!(read(&space, "hot").await, LENGTH);
    let reactions = cache.snapshot().reactions;
    for counts in reactions {
        let spared = counts.measure == Measure::Compress;
        assert_eq!(counts.saved_bytes > LENGTH as u64 * 9 / 10, spared, "{counts:?}");
        assert_eq!(counts.cpu_us > 0, spared, "{counts:?}");
    }
    let replica = ask(&cluster, 1, &["INFO", "commandstats"]).await;
    assert!(replica.contains("cmdstat_getrange"), "a replica answered: {replica}");
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_answer_again_after_another_process_wrote_the_key() {
    let cluster = cluster().await;
    let hot = HotPolicy { capacity: Some(1_000.0), ..HotPolicy::default() };
    let cache = Cache::builder().shared(tier(&cluster)).shared_timeout("20s").hot(hot).build().expect("a cache");
    let policy = Policy::ttl("10m").memory(false).staleness_budget("300ms").timeout("20s");
    let space = cache.shared_space::<str, String>("page", policy).expect("a space");
    let answered = || {
        let reactions = cache.snapshot().reactions;
        reactions.iter().find(|counts| counts.measure == Measure::Replicas).expect("all are there").saved
    };
    // Before anything was heard, and after each time: who tells says first that it is about to, and may be gone then.
    for heard in 0..3 {
        if heard > 0 {
            assert!(cache.hear_key(b"page:hot", Invalidation::Expire, None), "it was held here");
        }
        let (began, before) = (Instant::now(), answered());
        while answered() < before + 5 {
            assert!(began.elapsed() < PATIENCE, "heard {heard} times: {:?}", cache.snapshot().reactions);
            for _ in 0..10 {
                assert_eq!(read(&space, "hot").await, LENGTH);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}
