//! How often is a key loaded that a whole fleet reads all the time? Fifty caches over one Redis.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bellwether::{Early, Loaded, Policy, Why};
use bellwether_benches::report::Bar;
use futures_util::future::join_all;

use crate::contender::space_with;

const CACHES: usize = 50;
const TTL: Duration = Duration::from_millis(500);
const LOAD: Duration = Duration::from_millis(40);
const ELAPSED: Duration = Duration::from_secs(12);
/// Between two reads of one cache.
const PAUSE: Duration = Duration::from_millis(5);

/// Loads beside those that nothing can avoid, and readers that waited.
#[tokio::main(worker_threads = 2)]
pub(crate) async fn measure(url: &str) -> Vec<Bar> {
    let loads = Arc::new(AtomicU64::new(0));
    let blocked = Arc::new(AtomicU64::new(0));
    // Without jitter and early refresh what is due is exact: a period is the ttl, counted from the end of a load, and
    // the load that its first stale reader starts.
    let policy = Policy::ttl("500ms").grace("10s").early(Early::Off).jitter(0.0);
    let caches: Vec<_> = (0..CACHES).map(|_| space_with(url, true, policy.clone())).collect();
    let load = {
        let loads = loads.clone();
        move |_| {
            let loads = loads.clone();
            async move {
                loads.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(LOAD).await;
                Ok::<_, std::io::Error>(Loaded::value("value".to_owned()))
            }
        }
    };
    caches[0].get("steady").or_load(load.clone()).await.expect("loaded");
    let (first, began) = (loads.load(Ordering::Relaxed), Instant::now());
    let readers = caches.iter().map(|cache| {
        let (load, blocked) = (load.clone(), blocked.clone());
        async move {
            // What a process does not have yet it must fetch once.
            let mut known = false;
            while began.elapsed() < ELAPSED {
                let value = cache.get("steady").timeout("5s").or_load(load.clone()).await.expect("a value");
                let waited = !matches!(value.why(), Why::Hit | Why::StaleRefreshing);
                blocked.fetch_add(u64::from(waited && known), Ordering::Relaxed);
                known = true;
                tokio::time::sleep(PAUSE).await;
            }
        }
    });
    join_all(readers).await;
    let due = began.elapsed().as_secs_f64() / (TTL + LOAD).as_secs_f64();
    let made = (loads.load(Ordering::Relaxed) - first) as f64;
    println!("{CACHES} caches read one key of a ttl of {TTL:?} for {ELAPSED:?}: {made} loads, {due:.1} due\n");
    vec![
        Bar::at_most("steady expiry, 50 caches: loads / due", made / due, 1.02),
        Bar::exactly("... readers that waited", blocked.load(Ordering::Relaxed) as f64, 0.0),
    ]
}
