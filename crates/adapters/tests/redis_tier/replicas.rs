//! Do replicas answer for a hot key, and only those that are in step, with nothing that was seen to be over?

use bellwether::{Invalidation, SpreadTier};
use bellwether_adapters::tiers::redis::Reads;
use bellwether_servers::{RedisCluster, Sentinel};
use tokio::runtime::Handle;

use super::*;

const KEY: &[u8] = b"{user:7}:cart";
const REPLICAS: usize = 2;
/// No time limit at all: what protects then is what this process knows.
const FOR_EVER: Span = Span::secs(3600);
/// No node answers more than this of what each would on average.
const MOST_OF_MEAN: f64 = 1.3;

async fn cluster() -> Arc<RedisCluster> {
    let start = || {
        let cluster = RedisCluster::start(1, REPLICAS).expect("a cluster");
        // A node names no replica in its map of which it has not heard that anything was replicated.
        cluster.nodes()[0].call(&["SET", "{}anything", "", "EX", "1"]).unwrap();
        let lists = |node: &Redis| {
            let text = node.call(&["CLUSTER", "SLOTS"]).unwrap().to_string();
            cluster.nodes()[1..].iter().all(|replica| text.contains(&replica.address().port().to_string()))
        };
        let began = Instant::now();
        while !cluster.nodes().iter().all(lists) {
            assert!(began.elapsed() < PATIENCE, "the map has no replicas");
            std::thread::sleep(Duration::from_millis(50));
        }
        cluster
    };
    Arc::new(blocking(start).await)
}

fn seeds(cluster: &RedisCluster) -> String {
    let seeds: Vec<String> = cluster.addresses().iter().map(ToString::to_string).collect();
    format!("redis+cluster://{}", seeds.join(","))
}

/// A process: its tier, and that in front of it which shares out reads.
fn process(url: &str) -> (Arc<RedisTier>, SpreadTier) {
    let tier = Arc::new(calm(url));
    (tier.clone(), SpreadTier::new(tier, Handle::current()))
}

/// Plain reads that a server has answered.
fn reads(server: &Redis) -> u64 {
    let of = |line: &str| line.strip_prefix("cmdstat_getrange:calls=")?.split(',').next()?.parse().ok();
    let text = server.call(&["INFO", "commandstats"]).unwrap().to_string();
    text.lines().find_map(of).unwrap_or(0)
}

async fn all_reads(cluster: &Arc<RedisCluster>) -> Vec<u64> {
    let cluster = cluster.clone();
    blocking(move || cluster.nodes().iter().map(reads).collect()).await
}

/// The busiest node's reads beside the mean of all, while `tier` reads the key.
async fn skew(cluster: &Arc<RedisCluster>, tier: &SpreadTier) -> f64 {
    let before = all_reads(cluster).await;
    for _ in 0..2_000 {
        assert!(body(tier.get(KEY).await).is_some());
    }
    let reads: Vec<u64> = all_reads(cluster).await.iter().zip(before).map(|(after, before)| after - before).collect();
    *reads.iter().max().unwrap() as f64 * reads.len() as f64 / reads.iter().sum::<u64>() as f64
}

/// Waits until replicas answer for the key.
async fn until_near(tier: &SpreadTier, of: usize) {
    let began = Instant::now();
    let mut seen = 0;
    while seen < of * 20 {
        assert!(began.elapsed() < PATIENCE, "no replica answers");
        let before = tier.counts().from_replicas;
        drop(tier.get(KEY).await);
        seen += (tier.counts().from_replicas - before) as usize;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Cuts replicas off from their primary: they go on answering with what they have.
async fn cut_off(cluster: &Arc<RedisCluster>) {
    let cluster = cluster.clone();
    blocking(move || {
        for replica in &cluster.nodes()[1..] {
            replica.call(&["CONFIG", "SET", "masterauth", "wrong"]).unwrap();
            let down =
                || replica.call(&["INFO", "replication"]).unwrap().to_string().contains("master_link_status:down");
            let began = Instant::now();
            while !down() {
                assert!(began.elapsed() < PATIENCE, "it is still linked");
                // Whoever kills the link of a moment ago may be told that there is none.
                let _ = replica.call(&["CLIENT", "KILL", "TYPE", "master"]);
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_are_in_step_take_their_share_of_a_keys_reads() {
    let cluster = cluster().await;
    let (tier, spread) = process(&seeds(&cluster));
    store(&tier, KEY, "v").await;
    assert_eq!(tier.replicas(), REPLICAS);
    let before = skew(&cluster, &spread).await;
    assert!(before > 2.5, "the control: the primary answers all, {before:.2} of the mean");
    spread.near(KEY, Some(FOR_EVER));
    until_near(&spread, REPLICAS).await;
    let near = skew(&cluster, &spread).await;
    assert!(near <= MOST_OF_MEAN, "{near:.2} of the mean");
    // What is too long for one read as well.
    let long: String = (0..30_000).map(|n| format!("{n:x},")).collect();
    let envelope = Envelope { fresh_ms: 60_000, ..entry(long.clone()) };
    let token = match spread.acquire(KEY, Ask { holds: Fence(u64::MAX), ..ask(Mode::Early) }).await.unwrap() {
        Acquired::Granted { token, .. } => token,
        other => panic!("{other:?}"),
    };
    assert_eq!(spread.publish(KEY, token, envelope).await.unwrap(), Stored::Yes(token));
    let from = spread.counts().from_replicas;
    let began = Instant::now();
    while spread.counts().from_replicas < from + 20 {
        assert_eq!(body(spread.get(KEY).await).as_deref(), Some(long.as_bytes()), "never the older value");
        assert!(began.elapsed() < PATIENCE, "no replica answers with it");
    }
    spread.near(KEY, None);
    let after = skew(&cluster, &spread).await;
    println!("the busiest node's reads beside the mean: {before:.2}, with replicas {near:.2}, and without {after:.2}");
    assert!(after > 2.5, "{after:.2} of the mean");
}

#[tokio::test(flavor = "multi_thread")]
async fn g2_a_replica_that_is_cut_off_gives_nobody_what_is_over() {
    let cluster = cluster().await;
    let url = seeds(&cluster);
    let (tier, careful) = process(&url);
    let ((_, remover), (unaware_tier, unaware)) = (process(&url), process(&url));
    let lagging = open_with(&url, RedisOptions { reads: Reads::Replica, ..patient() });
    store(&tier, KEY, "old").await;
    careful.near(KEY, Some(Span::ms(300)));
    remover.near(KEY, Some(FOR_EVER));
    unaware.near(KEY, Some(FOR_EVER));
    for tier in [&careful, &remover, &unaware] {
        until_near(tier, REPLICAS).await;
    }
    cut_off(&cluster).await;
    let removed = remover.invalidate(KEY, Invalidation::Remove, Fence::ZERO, Span::ZERO).await.unwrap();
    assert!(removed.was_resident);
    for _ in 0..100 {
        assert_eq!(body(remover.get(KEY).await), None, "who removed it knows, however far replicas may lag");
    }
    store(&tier, KEY, "new").await;
    // As long as replicas may lag: then nobody can say that they are in step.
    tokio::time::sleep(Duration::from_millis(300)).await;
    for _ in 0..100 {
        assert_eq!(body(careful.get(KEY).await).as_deref(), Some(&b"new"[..]), "no replica is asked any more");
    }
    let mut old = [0, 0];
    for _ in 0..100 {
        // One that knows of nothing each time: once the key's own node has answered, older answers are dropped.
        let unaware = SpreadTier::new(unaware_tier.clone(), Handle::current());
        unaware.near(KEY, Some(FOR_EVER));
        old[0] += usize::from(body(unaware.get(KEY).await).as_deref() == Some(b"old"));
        old[1] += usize::from(body(lagging.get(KEY).await).as_deref() == Some(b"old"));
    }
    assert!(old[0] > 20 && old[1] > 50, "the controls, who know of nothing and bound nothing: {old:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_behind_sentinels_answer_as_well() {
    let sentinel = Arc::new(blocking(|| Sentinel::start().expect("sentinels")).await);
    let addresses: Vec<String> = sentinel.addresses().iter().map(ToString::to_string).collect();
    let url = format!("redis+sentinel://{}/{}", addresses.join(","), Sentinel::NAME);
    let (tier, spread) = process(&url);
    store(&tier, KEY, "v").await;
    assert_eq!(tier.replicas(), REPLICAS);
    let answered = async || {
        let servers = sentinel.clone();
        blocking(move || servers.servers()[1..].iter().map(reads).sum::<u64>()).await
    };
    for _ in 0..50 {
        assert!(body(spread.get(KEY).await).is_some());
    }
    assert_eq!(answered().await, 0, "the control: the primary answers");
    spread.near(KEY, Some(FOR_EVER));
    until_near(&spread, REPLICAS).await;
    assert!(answered().await >= 40);
}
