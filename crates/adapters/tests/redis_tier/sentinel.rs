//! Real sentinels: the primary is killed, another is named.

use super::*;
use bellwether_servers::Sentinel;

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failover_the_new_primary_is_used_and_nobody_waits_meanwhile() {
    let all = Arc::new(blocking(|| Sentinel::start().expect("sentinels")).await);
    let addresses: Vec<String> = all.addresses().iter().map(ToString::to_string).collect();
    let url = format!("redis+sentinel://{}/{}", addresses.join(","), Sentinel::NAME);
    let tier = open(&url);
    store(&tier, b"k", "v").await;
    assert!(tier.check().await.is_usable());
    let unknown = open(&url.replace(&format!("/{}", Sentinel::NAME), "/nobody")).check().await;
    assert!(unknown.to_string().contains("watches nothing by the name \"nobody\""), "{unknown}");
    let old = tier.counts().nodes[0].address.clone();
    let killer = all.clone();
    let killed = blocking(move || killer.kill_primary().unwrap()).await;
    assert_eq!(old, all.servers()[killed].address().to_string());
    let since = Instant::now();
    let (mut slow, mut calls, mut last) = (0, 0, String::new());
    let token = loop {
        let asked = Instant::now();
        let answer = tokio::time::timeout(BUDGET, tier.acquire(b"new", ask(Mode::Miss))).await;
        calls += 1;
        if asked.elapsed() >= BUDGET {
            slow += 1;
        }
        match answer {
            Ok(Ok(Acquired::Granted { token, .. })) => break token,
            Ok(Ok(other)) => panic!("{other:?}"),
            Ok(Err(error)) => {
                assert!(error.kind.is_out_of_reach(), "{error}");
                last = error.text;
            }
            Err(_) => {}
        }
        // Sentinels that could not agree try again after six seconds, on a busy machine more than once.
        if since.elapsed() >= PATIENCE * 3 {
            let sentinels = all.clone();
            let named = blocking(move || sentinels.primary()).await;
            panic!("no failover: \"{last}\", and sentinels name server {named:?} after {killed}");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    println!("sentinel: back {:?} after kill -9, {calls} calls meanwhile, {slow} of them slow", since.elapsed());
    assert!(slow * 10 <= calls.max(100), "{slow} of {calls} calls took their whole budget");
    assert_eq!(tier.publish(b"new", token, entry("v")).await.unwrap(), Stored::Yes(token));
    assert_ne!(tier.counts().nodes[0].address, old);
    assert!(body(tier.get(b"new").await).is_some());
}
