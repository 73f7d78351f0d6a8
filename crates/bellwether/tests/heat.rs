//! Hot keys are found, others are not, and nothing of it costs a hit an allocation.

use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

use bellwether::{Cache, CapacitySource, Clock, HotPolicy, Loaded, Policy, SetupError, Space, Span, Stage};

const LIMIT: Duration = Duration::from_secs(20);

/// A cache whose own tasks run only while a test lets them, so that time never passes while a window is judged.
struct Shop {
    cache: Cache,
    clock: Clock,
    product: Space<u64, String>,
    runtime: Runtime,
}

impl Shop {
    /// A node bears 20,000 operations a second: 1,000 a window are half of it.
    fn new() -> Shop {
        let (clock, runtime) =
            (Clock::manual(), Builder::new_current_thread().enable_all().build().expect("a runtime"));
        let policy = HotPolicy { capacity: Some(20_000.0), ..HotPolicy::default() };
        let cache = Cache::builder().runtime(runtime.handle().clone()).clock(clock.clone()).hot(policy);
        let cache = cache.build().expect("a cache");
        let product = cache.space::<u64, String>("product", Policy::ttl("10m"));
        (0..2_000).for_each(|id| assert!(product.put(&id, Loaded::value(format!("product {id}")))));
        let shop = Shop { cache, clock, product, runtime };
        // Each task waits for the clock.
        let mut turns = 0..100;
        shop.until("they never begin", || turns.next().is_none());
        // The writes are over.
        (0..3).for_each(|_| shop.window());
        shop
    }

    /// Lets the cache's tasks run until something holds.
    fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + LIMIT;
        self.runtime.block_on(async {
            while !holds() {
                assert!(Instant::now() < deadline, "{what}");
                tokio::task::yield_now().await;
            }
        });
    }

    fn read(&self, id: u64, times: u64) {
        (0..times).for_each(|_| assert!(self.product.hit(&id).is_some()));
    }

    /// Lets a window pass, and waits until it was judged: it was as long as the clock says.
    fn window(&self) {
        let before = self.cache.heat().windows;
        self.clock.advance(Span::ms(100));
        self.until("no window was judged", || self.cache.heat().windows > before);
        assert_eq!(self.cache.heat().windows, before + 1);
    }

    fn hot(&self) -> Vec<(Box<[u8]>, Stage)> {
        self.cache.hot_keys(100).into_iter().map(|hot| (hot.key, hot.stage)).collect()
    }
}

fn key(id: u64) -> Box<[u8]> {
    id.to_string().into_bytes().into()
}

#[test]
fn a_key_that_takes_half_of_a_node_is_hot_and_one_that_takes_a_third_is_watched() {
    let shop = Shop::new();
    assert_eq!(shop.hot(), []);
    (0..2_000).for_each(|id| shop.read(id, 2));
    shop.read(7, 1_400);
    shop.read(8, 700);
    shop.window();
    assert_eq!(shop.hot(), [(key(7), Stage::Hot), (key(8), Stage::Watched)]);
    let hot = &shop.cache.hot_keys(1)[0];
    assert_eq!((&*hot.space, hot.value_bytes >= 9), ("product", true));
    assert!((11_000.0..17_000.0).contains(&hot.here.reads), "{hot:?}");
    assert!((0.55..0.85).contains(&hot.share) && hot.fleet == hot.here, "{hot:?}");
    let counts = shop.cache.heat();
    assert_eq!((counts.hot, counts.watched, counts.instances), (1, 1, 1));
    assert_eq!((counts.capacity, counts.capacity_source), (20_000.0, CapacitySource::Configured));
}

#[test]
fn s4_a_key_is_hot_before_its_window_is_over() {
    let shop = Shop::new();
    let windows = shop.cache.heat().windows;
    shop.read(7, 1_400);
    shop.until("it is found only at the end of the window", || !shop.hot().is_empty());
    assert_eq!(
        (shop.hot(), shop.cache.heat().windows),
        (vec![(key(7), Stage::Hot)], windows),
        "the clock stands still"
    );
}

#[test]
fn writes_heat_a_key_too_and_are_told_apart() {
    let shop = Shop::new();
    (0..1_500).for_each(|_| drop(shop.product.remove(&3)));
    shop.window();
    let hot = shop.cache.hot_keys(10);
    assert_eq!(hot.len(), 1, "{hot:?}");
    assert!(hot[0].here.writes > 9_000.0 && hot[0].here.reads == 0.0, "{hot:?}");
}

#[test]
fn a_large_value_is_hot_at_fewer_reads() {
    let shop = Shop::new();
    let page = shop.cache.space::<str, String>("page", Policy::ttl("10m"));
    page.put("home", Loaded::value("x".repeat(64 << 10)));
    page.put("about", Loaded::value("x".repeat(100)));
    for _ in 0..40 {
        assert!(page.hit("home").is_some() && page.hit("about").is_some());
    }
    shop.window();
    let hot = shop.cache.hot_keys(10);
    assert_eq!(hot.len(), 1, "{hot:?}");
    assert!(&*hot[0].key == b"home" && hot[0].here.bytes > 64.0 * 1024.0 * 200.0, "{hot:?}");
    let big = shop.cache.big_keys(2);
    assert!(&*big[0].key == b"home" && big[0].space == "page" && big[0].bytes >= 64 << 10 && big[0].hits >= 40);
    assert!(big[1].bytes < 1_000 && shop.cache.big_keys(0).is_empty());
}

#[test]
fn a_hot_key_stays_hot_for_its_hold_and_no_longer() {
    let shop = Shop::new();
    shop.read(7, 2_000);
    shop.window();
    for _ in 0..4 {
        shop.clock.advance(Span::secs(10));
        shop.window();
        assert_eq!(shop.hot().len(), 1, "held");
    }
    for _ in 0..4 {
        shop.clock.advance(Span::secs(10));
        shop.window();
    }
    assert_eq!(shop.hot(), []);
}

#[test]
fn misses_count_as_reads_and_a_space_that_is_gone_is_not_spoken_of() {
    let shop = Shop::new();
    let page = shop.cache.space::<str, String>("page", Policy::ttl("10m"));
    shop.runtime.block_on(async {
        for _ in 0..2_000 {
            assert!(page.find("nowhere").await.is_err());
        }
    });
    shop.window();
    let hot = shop.cache.hot_keys(10);
    assert_eq!(hot.iter().map(|hot| &*hot.key).collect::<Vec<_>>(), [b"nowhere"]);
    let mut revision = shop.cache.revise();
    let origin = shop.cache.default_origin();
    let _product = revision.keep::<u64, String>(&origin, "product", Policy::ttl("10m")).expect("it is there");
    revision.commit().expect("the first");
    shop.window();
    assert_eq!(shop.hot(), []);
}

#[test]
fn thresholds_without_sense_are_refused_and_others_hold_from_the_next_window_on() {
    let zero = HotPolicy { capacity: Some(0.0), leave: 0.9, ..HotPolicy::default() };
    let refused = Cache::builder().hot(zero.clone()).build().err();
    assert!(matches!(&refused, Some(SetupError::Hot(mistakes)) if mistakes.len() == 2), "{refused:?}");
    let shop = Shop::new();
    assert!(matches!(shop.cache.set_hot(zero), Err(SetupError::Hot(_))));
    shop.read(7, 300);
    shop.window();
    assert_eq!(shop.hot(), []);
    shop.cache.set_hot(HotPolicy { absolute: Some(2_000.0), ..HotPolicy::default() }).expect("they make sense");
    shop.read(7, 300);
    shop.window();
    assert_eq!(shop.hot(), [(key(7), Stage::Hot)]);
    assert_eq!(shop.cache.heat().capacity_source, CapacitySource::Assumed, "nothing is measured by a manual clock");
}

#[test]
fn what_a_node_bears_is_measured_beside_everything_else() {
    let cache = Cache::builder().build().expect("a cache");
    let deadline = Instant::now() + LIMIT;
    while cache.heat().capacity_source != CapacitySource::Measured {
        assert!(Instant::now() < deadline, "{:?}", cache.heat());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(cache.heat().capacity >= 1_000.0);
}
