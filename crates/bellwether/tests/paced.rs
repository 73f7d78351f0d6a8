//! An avalanche in the engine itself: what is due together is refreshed in turn, and nobody waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bellwether::{Cache, Clock, Loaded, Policy, Space, Span, Why};

const KEYS: u64 = 2_000;
const TTL: u64 = 100;

struct Shop {
    cache: Cache,
    clock: Clock,
    space: Space<u64, u64>,
    loads: Arc<AtomicU64>,
}

impl Shop {
    fn new() -> Shop {
        let clock = Clock::manual();
        let cache = Cache::builder().clock(clock.clone()).memory("64 MiB").build().expect("a cache");
        let policy = Policy::ttl("100s").grace("100s").jitter(0.0);
        let space = cache.space("product", policy);
        Shop { cache, clock, space, loads: Arc::default() }
    }

    async fn read(&self, key: u64) -> Why {
        let loads = self.loads.clone();
        let loader = move |_| async move {
            loads.fetch_add(1, Ordering::SeqCst);
            Ok::<_, std::io::Error>(Loaded::value(key).tag("all"))
        };
        self.space.get(&key).or_load(loader).await.expect("a value").why()
    }

    /// Moves the clock by a second, and lets what is due begin and end. Loads since the last call.
    async fn second(&self) -> u64 {
        // In steps, so that the queue is looked at within the second.
        for _ in 0..20 {
            self.clock.advance(Span::ms(50));
            self.settled().await;
        }
        self.loads.swap(0, Ordering::SeqCst)
    }

    async fn settled(&self) {
        tokio::time::sleep(Duration::from_micros(300)).await;
        for _ in 0..1_000 {
            if self.cache.snapshot().live_flights == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("loads never end");
    }

    /// Reads every key each second for as long as one is stale; the loads of each second.
    async fn through_the_avalanche(&self) -> Vec<u64> {
        let mut seconds = Vec::new();
        loop {
            let mut stale = 0;
            for key in 0..KEYS {
                match self.read(key).await {
                    Why::Hit => {}
                    Why::StaleRefreshing => stale += 1,
                    why => panic!("{why:?}: somebody had to wait"),
                }
            }
            seconds.push(self.second().await);
            if stale == 0 {
                return seconds;
            }
            assert!(seconds.len() < 100, "{stale} are stale still");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s6_what_ends_together_is_refreshed_over_the_grace_and_nobody_waits() {
    let shop = Shop::new();
    for key in 0..KEYS {
        assert_eq!(shop.read(key).await, Why::Loaded);
    }
    shop.second().await;
    assert_eq!(shop.cache.snapshot().spaces[0].held.values, KEYS);
    shop.clock.advance(Span::secs(TTL));
    shop.settled().await;
    let seconds = shop.through_the_avalanche().await;
    let (peak, all) = (seconds.iter().max().copied().unwrap_or_default(), seconds.iter().sum::<u64>());
    assert_eq!(all, KEYS, "each once");
    assert!(peak <= 2 * KEYS / TTL, "{peak} in a second, the mean is {}", KEYS / TTL);
    assert!(seconds.len() > 60, "spread over {} s", seconds.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_is_refreshed_is_served_meanwhile_and_loaded_in_turn() {
    let shop = Shop::new();
    for key in 0..KEYS {
        shop.read(key).await;
    }
    shop.second().await;
    assert_eq!(shop.cache.refresh_tag("none"), 0);
    assert_eq!(shop.cache.refresh_tag("all"), KEYS as usize);
    let seconds = shop.through_the_avalanche().await;
    let peak = seconds.iter().max().copied().unwrap_or_default();
    assert_eq!(seconds.iter().sum::<u64>(), KEYS);
    assert!(peak <= 2 * KEYS / TTL, "{peak}");
}

#[tokio::test(flavor = "multi_thread")]
async fn control_a_small_space_is_refreshed_at_once() {
    let shop = Shop::new();
    for key in 0..500 {
        shop.read(key).await;
    }
    shop.second().await;
    shop.clock.advance(Span::secs(TTL));
    for key in 0..500 {
        assert_eq!(shop.read(key).await, Why::StaleRefreshing);
    }
    assert!(shop.second().await > 400, "all of them come within a second");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_most_is_named_first() {
    let shop = Shop::new();
    for key in 0..50 {
        for _ in 0..=key {
            shop.read(key).await;
        }
    }
    shop.second().await;
    let popular = shop.cache.popular(10, |_| true, |_, _| None);
    let keys: Vec<String> = popular.iter().map(|p| String::from_utf8_lossy(&p.key).into_owned()).collect();
    assert_eq!(keys, ["49", "48", "47", "46", "45", "44", "43", "42", "41", "40"]);
    assert!(popular.iter().all(|p| &*p.space == "product" && p.rate > 0.0));
    let known = shop.cache.popular(1, |_| true, |_, key| (key == b"3").then_some(1_000.0));
    assert_eq!(&*known[0].key, b"3", "what was known before counts");
    assert_eq!(shop.cache.popular(10, |space| space != "product", |_, _| None), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_is_remembered_over_refreshes() {
    let shop = Shop::new();
    for (key, times) in [(9, 500), (1, 2)] {
        for _ in 0..times {
            shop.read(key).await;
        }
    }
    shop.settled().await;
    let first = || {
        let popular = shop.cache.popular(1, |_| true, |_, _| None);
        String::from_utf8_lossy(&popular[0].key).into_owned()
    };
    for _ in 0..3 {
        shop.clock.advance(Span::secs(TTL));
        for key in [1, 9] {
            assert_eq!(shop.read(key).await, Why::StaleRefreshing, "each is loaded anew");
        }
        shop.settled().await;
        assert_eq!(shop.read(1).await, Why::Hit);
        assert_eq!(first(), "9", "it had its readers before the refreshes");
    }
    // Made stale by hand it is the same copy, with the same readers.
    assert!(shop.space.refresh(&9));
    assert_eq!(first(), "9");
    // What nobody asks for any more is overtaken by what is asked for now.
    shop.clock.advance(Span::secs(2 * TTL - 1));
    for _ in 0..200 {
        shop.read(1).await;
    }
    assert_eq!(first(), "1");
}
