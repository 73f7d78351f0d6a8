//! What does a request cost in memory? No allocation for a hit, a small future, a bounded follower.

#[allow(dead_code, reason = "every test program uses its part of the helpers")]
mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use bellwether::{LoadError, Loaded, Why};
use common::{Source, cache, minute, soon, until};
use futures_util::FutureExt;

/// Counts this thread's allocations, and the bytes that all threads hold.
struct Counting;

static HELD: AtomicI64 = AtomicI64::new(0);

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + 1));
        HELD.fetch_add(layout.size() as i64, Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size() as i64, Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of this thread while `act` runs.
fn allocations(act: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    act();
    ALLOCATIONS.get() - before
}

#[test]
fn a_hit_allocates_nothing() {
    let (_cache, space) = cache(minute());
    let text: bellwether::Space<str, String> = _cache.space("text", minute());
    assert!(space.put(&1, 7) && text.put("key", "value".to_owned()));
    let hits = |times: u64| {
        allocations(|| {
            for _ in 0..times {
                assert_eq!(space.hit(&1).map(|value| *value), Some(7));
                assert!(text.hit("key").is_some_and(|value| *value == "value"));
                let plain = space.get(&1).or_load(|_| async { Ok::<_, LoadError>(Loaded::value(0)) });
                assert_eq!(plain.now_or_never().map(|answer| answer.is_ok_and(|value| *value == 7)), Some(true));
                let aged = space.get(&1).fresh_within(Duration::from_secs(5));
                assert!(aged.if_cached().is_ok_and(|value| value.why() == Why::Hit));
            }
        })
    };
    hits(1);
    assert_eq!(hits(1_000), 0);
    assert!(allocations(|| drop(Box::new(1))) > 0, "control: the allocator counts");
}

#[test]
fn a_tagged_hit_and_a_negative_one_allocate_nothing_but_the_error() {
    let (_cache, space) = cache(minute());
    assert!(space.put(&1, Loaded::value(7).tag("team:7")));
    assert!(space.hit(&1).is_some());
    assert_eq!(allocations(|| assert!(space.hit(&1).is_some())), 0);
    assert!(space.put(&2, Loaded::missing()));
    assert!(allocations(|| assert!(space.get(&2).if_cached().is_err_and(|error| error.is_missing()))) <= 1);
}

#[test]
fn the_future_of_a_read_stays_small() {
    let (_cache, space) = cache(minute());
    let small = space.get(&1).or_load(|_| async { Ok::<_, LoadError>(Loaded::value(0)) });
    // Measured: see the message of a failure. It holds the request and the loader; a miss is boxed.
    assert!(size_of_val(&small) <= FUTURE_BYTES, "{} bytes", size_of_val(&small));
    let ids = [1, 2, 3];
    let many = space.get_many(&ids).or_load(|_, _| async { Ok::<_, LoadError>(Vec::new()) });
    assert!(size_of_val(&many) <= MANY_BYTES, "{} bytes", size_of_val(&many));
}

/// Bytes of the future of `get(..).or_load(..)` with a loader that captures nothing.
const FUTURE_BYTES: usize = 112;
/// The same of `get_many(..).or_load(..)`.
const MANY_BYTES: usize = 1_200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g6_20_000_followers_take_at_most_20_mb() {
    const FOLLOWERS: u32 = 20_000;
    let (cache, space) = cache(minute());
    let source = Source::default();
    let before = HELD.load(Relaxed);
    let caller = || {
        let (space, source) = (space.clone(), source.clone());
        tokio::spawn(async move { space.get(&1).or_load(source.loader(Duration::from_secs(2))).await.is_ok() })
    };
    let callers: Vec<_> = (0..=FOLLOWERS).map(|_| caller()).collect();
    let followers = || cache.explain("row:1").and_then(|told| told.flights.first().map(|flight| flight.followers));
    until("all follow", || followers() == Some(FOLLOWERS)).await;
    let held = HELD.load(Relaxed) - before;
    println!("{held} bytes, {} a follower", held / i64::from(FOLLOWERS));
    assert!(held <= 20_000_000, "{held} bytes");
    assert!(held > i64::from(FOLLOWERS) * 100, "control: {held} bytes are too few to be true");
    for caller in callers {
        assert!(soon("a follower", caller).await.expect("no panic"));
    }
    assert_eq!(source.runs(), 1);
}
