//! A cluster, and sentinels: where the primary is changes, and what it forgot is suspect.

use std::sync::Arc;

use bellwether::events::{Covered, Turn};
use bellwether_servers::{RedisCluster, Sentinel};

use crate::followed::{Followed, events, key, publish, tag};

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_by_sentinels_begins_a_new_epoch() {
    let fleet = tokio::task::spawn_blocking(|| Sentinel::start().expect("sentinels")).await.unwrap();
    let addresses: Vec<String> = fleet.addresses().iter().map(ToString::to_string).collect();
    let url = format!("redis+sentinel://{}/{}", addresses.join(","), Sentinel::NAME);
    let to = Arc::new(events(&url));
    let mut followed = Followed::live(to.clone()).await;
    let before = publish(&to, [tag(1)]).await;
    followed.until("heard", |f| f.at >= before).await;
    let fleet = tokio::task::spawn_blocking(move || {
        let old = fleet.kill_primary().unwrap();
        fleet.until_primary_is_not(old).unwrap();
        fleet
    });
    let fleet = fleet.await.unwrap();
    let after = publish(&to, [tag(2)]).await;
    assert!(after.epoch > before.epoch);
    followed.until("live behind the new primary", |f| f.is_live() && f.at >= after).await;
    assert_eq!(followed.turns.last(), Some(&Turn::Live { lost: true }));
    assert_eq!(followed.floors.covers(before, "user", &[]), Covered::Removed);
    drop(fleet);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_carries_it_on_the_node_of_its_slot() {
    let cluster = tokio::task::spawn_blocking(|| RedisCluster::start(3, 1).expect("a cluster")).await.unwrap();
    let nodes: Vec<String> = cluster.addresses().iter().take(2).map(ToString::to_string).collect();
    let to = Arc::new(events(&format!("redis+cluster://{}", nodes.join(","))));
    let mut followed = Followed::live(to.clone()).await;
    let before = publish(&to, [key("k", 1), tag(1)]).await;
    followed.until("heard", |f| f.heard(&key("k", 1))).await;
    let cluster = tokio::task::spawn_blocking(move || {
        cluster.kill_primary_of_key(b"{bw}:stream").unwrap();
        cluster
    });
    let cluster = cluster.await.unwrap();
    let after = publish(&to, [tag(2)]).await;
    assert!(after.epoch > before.epoch);
    followed.until("live behind the new primary", |f| f.is_live() && f.at >= after).await;
    assert_eq!(followed.floors.covers(before, "user", &[1]), Covered::Removed);
    drop(cluster);
}
