//! A real cluster: keys over all nodes, slots on the move, a primary killed.

use super::*;
use bellwether_adapters::tiers::redis::Reads;
use bellwether_servers::RedisCluster;

fn seeds(cluster: &RedisCluster) -> String {
    // Two of six: the others are learnt.
    let some: Vec<String> = cluster.addresses().iter().take(2).map(ToString::to_string).collect();
    format!("redis+cluster://{}", some.join(","))
}

async fn node_call(
    cluster: &Arc<RedisCluster>,
    at: usize,
    words: &[&str],
) -> Result<bellwether_servers::Value, String> {
    let (cluster, words): (_, Vec<String>) = (cluster.clone(), words.iter().map(|&word| word.to_owned()).collect());
    blocking(move || {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        cluster.nodes()[at].call(&words).map_err(|error| error.to_string())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_serves_all_slots_moves_them_and_survives_a_killed_primary() {
    let cluster = Arc::new(blocking(|| RedisCluster::start(3, 1).expect("a cluster")).await);
    let url = seeds(&cluster);
    let tier = Arc::new(open(&url));
    let keys: Vec<Vec<u8>> = (0..300).map(|n| format!("spread:{n}").into_bytes()).collect();
    for key in &keys {
        store(&tier, key, key.clone()).await;
    }
    // In their order, whichever node has them.
    let order: Vec<_> = tier.get_many(&keys).await.unwrap().into_iter().map(|found| body(Ok(found))).collect();
    assert!(order.iter().zip(&keys).all(|(body, key)| body.as_deref() == Some(&key[..])));
    let owners: std::collections::HashSet<usize> =
        keys.iter().map(|key| cluster.primary_of_key(&[b"bw:", &key[..]].concat()).unwrap()).collect();
    assert_eq!(owners.len(), 3);
    assert!(tier.check().await.is_usable());
    assert_eq!(tier.counts().redirects, 0, "the map was right");

    replicas_answer_reads(&url, &keys).await;
    slots_on_the_move(&cluster, &tier).await;
    a_waiter_is_woken(&tier).await;
    a_killed_primary(&cluster, &tier, &keys).await;
}

async fn replicas_answer_reads(url: &str, keys: &[Vec<u8>]) {
    // Nodes tell of replicas once these have told them how far they are.
    let tier = until("replicas to be told of", async || {
        let tier = open_with(url, RedisOptions { reads: Reads::Replica, ..patient() });
        let _ = tier.get(b"any").await;
        (tier.counts().nodes.len() == 6).then_some(tier)
    })
    .await;
    for key in keys.iter().take(60) {
        until("the replica to have it", async || body(tier.get(key).await).filter(|body| body == &key[..])).await;
    }
    let many = tier.get_many(&keys[..60]).await.unwrap();
    assert!(many.into_iter().zip(keys).all(|(found, key)| body(Ok(found)).as_deref() == Some(&key[..])));
    let counts = tier.counts();
    let connected = counts.nodes.iter().filter(|node| node.connected).count();
    assert!(connected > 3, "replicas are connected too: {counts:?}");
    assert_eq!(counts.redirects, 0);
    // Leases are the primary's.
    store(&tier, b"led", "v").await;
}

/// A key whose slot is being moved is asked for where it is; once it has moved, the map is mended.
async fn slots_on_the_move(cluster: &Arc<RedisCluster>, tier: &Arc<RedisTier>) {
    let key = b"bw:moving";
    let from = cluster.primary_of_key(key).unwrap();
    let to = (0..cluster.nodes().len()).find(|at| {
        *at != from
            && (0..u16::MAX / 4).step_by(100).any(|slot| slot < 16_384 && cluster.primary_of(slot).ok() == Some(*at))
    });
    let to = to.expect("another primary");
    let slot = bellwether_servers::slot(key).to_string();
    let id = async |at| {
        let id = node_call(cluster, at, &["CLUSTER", "MYID"]).await.unwrap();
        String::from_utf8_lossy(id.as_bytes().expect("text")).into_owned()
    };
    let (from_id, to_id) = (id(from).await, id(to).await);
    node_call(cluster, to, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]).await.unwrap();
    node_call(cluster, from, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]).await.unwrap();
    let before = tier.counts().redirects;
    // Not at the old node (any more): ASK.
    let token = granted(tier, b"moving").await;
    tier.publish(b"moving", token, entry("there")).await.unwrap();
    assert_eq!(body(tier.get(b"moving").await).as_deref(), Some(&b"there"[..]));
    assert!(tier.counts().redirects >= before + 3);
    for at in [to, from] {
        node_call(cluster, at, &["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]).await.unwrap();
    }
    // MOVED, once; then the map knows.
    assert_eq!(body(tier.get(b"moving").await).as_deref(), Some(&b"there"[..]));
    let after = tier.counts().redirects;
    for _ in 0..10 {
        assert_eq!(body(tier.get(b"moving").await).as_deref(), Some(&b"there"[..]));
    }
    assert!(tier.counts().redirects <= after + 1, "{} after {after}", tier.counts().redirects);
}

async fn a_waiter_is_woken(tier: &Arc<RedisTier>) {
    let token = granted(tier, b"waited").await;
    let waits = tier.clone();
    let waiter = tokio::spawn(async move { waits.changed(b"waited").await });
    tokio::time::sleep(BUDGET).await;
    assert!(!waiter.is_finished());
    tier.publish(b"waited", token, entry("v")).await.unwrap();
    tokio::time::timeout(PATIENCE, waiter).await.expect("woken").unwrap();
}

/// Callers of a dead primary's keys are answered at once, others notice nothing; then a replica has taken over.
async fn a_killed_primary(cluster: &Arc<RedisCluster>, tier: &Arc<RedisTier>, keys: &[Vec<u8>]) {
    let stored = |key: &[u8]| [b"bw:", key].concat();
    let victim = cluster.primary_of_key(&stored(&keys[0])).unwrap();
    let (hit, safe): (Vec<_>, Vec<_>) =
        keys.iter().partition(|key| cluster.primary_of_key(&stored(key)).unwrap() == victim);
    cluster.nodes()[victim].kill().unwrap();
    let since = Instant::now();
    let (mut slow, mut calls) = (0, 0);
    let back = loop {
        let asked = Instant::now();
        let answer = tokio::time::timeout(BUDGET, tier.get(hit[calls % hit.len()])).await;
        calls += 1;
        if asked.elapsed() >= BUDGET {
            slow += 1;
        }
        match answer {
            Ok(Ok(found)) => {
                assert_eq!(body(Ok(found)).as_deref(), Some(&hit[(calls - 1) % hit.len()][..]), "a replica has it");
                break since.elapsed();
            }
            Ok(Err(error)) => assert!(error.kind.is_out_of_reach(), "{error}"),
            Err(_) => {}
        }
        let asked = Instant::now();
        let other = tokio::time::timeout(PATIENCE, tier.get(safe[calls % safe.len()])).await.unwrap();
        // A node of the majority answers CLUSTERDOWN for nobody: cluster-require-full-coverage may, for a moment.
        if other.is_ok() && asked.elapsed() > BUDGET {
            slow += 1;
        }
        assert!(since.elapsed() < PATIENCE, "no failover");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(slow * 20 <= calls.max(200), "{slow} of {calls} calls took their whole budget");
    println!("cluster: back {back:?} after kill -9, {calls} calls meanwhile, {slow} of them slow");
    let healthy = cluster.clone();
    let fresh = hit[1].clone();
    until("leases again", async || tier.acquire(&[&fresh[..], b"!"].concat(), ask(Mode::Miss)).await.ok()).await;
    drop(healthy);
    let many = tier.get_many(keys).await.unwrap();
    assert!(many.into_iter().zip(keys).all(|(found, key)| body(Ok(found)).as_deref() == Some(&key[..])));
}
