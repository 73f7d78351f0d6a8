//! Does a removal win on every thread, although each holds a reference of its own to a hot key?

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use bellwether::{Cache, Loaded, Measure, Policy, Space, Span};

const KEY: u64 = 7;
const ROUNDS: u64 = 6_000;
const READERS: usize = 3;

fn counts(cache: &Cache, measure: Measure) -> (u64, u64) {
    let counts = cache.snapshot().reactions.into_iter().find(|counts| counts.measure == measure);
    counts.map_or((0, 0), |counts| (counts.keys, counts.saved))
}

/// A cache whose key is hot, because somebody said so.
fn hot() -> (Cache, Space<u64, u64>) {
    let cache = Cache::builder().memory("4 MiB").build().expect("the defaults make sense");
    let space: Space<u64, u64> = cache.space("n", Policy::ttl("1h"));
    let now = cache.clock().now();
    assert!(space.announce(&KEY, now, now + Span::secs(600)));
    let begun = Instant::now();
    while counts(&cache, Measure::OwnCopies).0 == 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "it is reacted to");
        std::thread::sleep(Duration::from_millis(5));
    }
    (cache, space)
}

/// Readers on threads of their own while `change` runs; each value is larger than those before it. Who reads gets
/// nothing below what was acknowledged when it began, nor below what anybody had been given by then.
fn hammer(space: &Space<u64, u64>, change: impl FnOnce(&AtomicU64)) -> u64 {
    let (least, given, over, read) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                while !over.load(SeqCst) {
                    let (least, seen) = (least.load(SeqCst), given.load(SeqCst));
                    if let Some(value) = space.hit(&KEY) {
                        assert!(*value >= least, "{} was given after {least} had been acknowledged", *value);
                        assert!(*value >= seen, "{} was given after {seen} had been", *value);
                        given.fetch_max(*value, SeqCst);
                        read.fetch_add(1, SeqCst);
                    }
                }
            });
        }
        change(&least);
        over.store(true, SeqCst);
    });
    read.into_inner()
}

#[test]
fn g2_what_was_acknowledged_wins_on_every_thread_over_its_reference() {
    let (cache, space) = hot();
    let reads = hammer(&space, |least| {
        for n in 1..=ROUNDS {
            let tagged = n % 3 == 0;
            let value = Loaded::value(n);
            assert!(space.put(&KEY, if tagged { value.tag("t") } else { value }));
            least.store(n, SeqCst);
            // References are taken and used.
            let pause = Instant::now();
            while pause.elapsed() < Duration::from_micros(n % 40) {
                std::hint::spin_loop();
            }
            match n % 8 {
                0 => drop(space.remove(&KEY)),
                2 => drop(space.expire(&KEY)),
                4 => drop(space.clear()),
                3 | 6 if tagged => drop(cache.remove_tag("t")),
                _ => continue,
            }
            least.store(n + 1, SeqCst);
        }
    });
    let begun = Instant::now();
    while counts(&cache, Measure::OwnCopies).1 == 0 && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(counts(&cache, Measure::OwnCopies).1 > 0, "references were in use, in some of {reads} reads");
}

#[test]
fn a_reference_ends_with_its_value_and_pins_none_that_was_replaced() {
    let (cache, space) = hot();
    let strings: Space<u64, std::sync::Arc<str>> = cache.space("s", Policy::ttl("1h"));
    let now = cache.clock().now();
    assert!(strings.announce(&KEY, now, now + Span::secs(600)));
    let begun = Instant::now();
    while counts(&cache, Measure::OwnCopies).0 < 1 || cache.reactions().len() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(5));
    }
    let value: std::sync::Arc<str> = "first".into();
    assert!(strings.put(&KEY, value.clone()));
    // References are taken where threads meet.
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..10_000 {
                    assert_eq!(&**strings.hit(&KEY).expect("it is there"), "first");
                }
            });
        }
    });
    assert!(strings.put(&KEY, std::sync::Arc::<str>::from("second")));
    // This thread does not look again; whoever tidies lets go in its place.
    while std::sync::Arc::strong_count(&value) > 1 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the value that was replaced is held");
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(space);
}

#[test]
fn a_value_that_ends_is_not_served_by_a_reference() {
    let (cache, space) = hot();
    let short: Space<u64, u64> = cache.space("short", Policy::ttl("300ms").jitter(0.0));
    let now = cache.clock().now();
    assert!(short.announce(&KEY, now, now + Span::secs(600)));
    let begun = Instant::now();
    while cache.reactions().len() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(5));
    }
    let before = Instant::now();
    assert!(short.put(&KEY, 1));
    let read = || {
        let mut last = Instant::now();
        while short.hit(&KEY).is_some() {
            last = Instant::now();
            assert!(before.elapsed() < Duration::from_secs(20), "served for ever");
        }
        assert!(last.duration_since(before) >= Duration::from_millis(200), "it was served while it was fresh");
    };
    std::thread::scope(|scope| {
        scope.spawn(read);
        read();
    });
    drop(space);
}
