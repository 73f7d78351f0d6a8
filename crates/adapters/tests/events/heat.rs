//! What one process sees of a key, others know.

use std::time::{Duration, Instant};

use bellwether::testing::SharedMemory;
use bellwether::{Cache, Clock, HotPolicy, Loaded, Policy, Space, Span, Stage};

use super::followed::{events, redis};

struct Process {
    cache: Cache,
    rows: Space<u64, u64>,
}

impl Process {
    async fn start(url: Option<&str>) -> Process {
        let hot = HotPolicy { capacity: Some(4_000.0), ..HotPolicy::default() };
        let mut builder = Cache::builder().memory("16 MiB").hot(hot).shared(SharedMemory::new(Clock::system()));
        if let Some(url) = url {
            builder = builder.backplane(events(url));
        }
        let cache = builder.build().unwrap();
        assert!(cache.until_live(Span::secs(10)).await, "live");
        let rows = cache.shared_space::<u64, u64>("row", Policy::ttl("10m")).unwrap();
        rows.put(&7, Loaded::value(7));
        Process { cache, rows }
    }

    fn hot(&self) -> Option<bellwether::HotKey> {
        self.cache.hot_keys(10).into_iter().find(|hot| hot.stage == Stage::Hot)
    }
}

/// One reads a key a thousand times where the other reads it once: whether that one knows it to be hot, by then.
async fn known_elsewhere(url: Option<&str>, limit: Duration) -> Option<bellwether::HotKey> {
    let (busy, idle) = (Process::start(url).await, Process::start(url).await);
    let until = Instant::now() + limit;
    while Instant::now() < until && idle.hot().is_none() {
        (0..1_000).for_each(|_| drop(busy.rows.hit(&7)));
        drop(idle.rows.hit(&7));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(busy.hot().is_some(), "where it is read it is known in any case");
    idle.hot()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_hot_elsewhere_is_known_here() {
    let server = redis();
    let hot = known_elsewhere(Some(&server.url()), Duration::from_secs(20)).await.expect("told in time");
    assert_eq!((&*hot.space, &*hot.key), ("row", &b"7"[..]));
    assert!(hot.fleet.reads > 10.0 * hot.here.reads && hot.share >= 0.5, "{hot:?}");
    // The control: without a backplane nobody tells.
    assert!(known_elsewhere(None, Duration::from_secs(1)).await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_know_how_many_they_are() {
    let server = redis();
    let url = server.url();
    let fleet = [Process::start(Some(&url)).await, Process::start(Some(&url)).await, Process::start(Some(&url)).await];
    let until = Instant::now() + Duration::from_secs(20);
    while fleet.iter().any(|process| process.cache.heat().instances != 3) {
        assert!(Instant::now() < until, "{:?}", fleet[0].cache.heat());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
