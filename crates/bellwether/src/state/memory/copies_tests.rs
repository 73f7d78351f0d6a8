//! Who has references of his own, and does what was acknowledged win over all of them?

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use super::Memory;
use crate::cache::Cache;
use crate::key::KeyRef;
use crate::load::Loaded;
use crate::policy::Policy;
use crate::space::Space;
use crate::weigh::Value;

/// So many that it hardly ever happens that all of them are of one class.
const READERS: usize = 5;
const KEYS: usize = 200;
/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(20);

fn space<V: Value>(limit: u64) -> (Cache, Space<u64, V>) {
    let cache = Cache::builder().memory_bytes(limit).build().expect("the defaults make sense");
    let space = cache.space("n", Policy::ttl("1h"));
    (cache, space)
}

fn memory<V>(space: &Space<u64, V>) -> &Memory {
    &space.shared.engine.memory
}

/// Waits until it is as it should be.
fn until(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Reads `keys` again and again on some threads of their own while `then` runs.
fn while_read<V: Value, R>(space: &Space<u64, V>, threads: usize, keys: usize, then: impl FnOnce() -> R) -> R {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !over.load(SeqCst) {
                    (0..keys as u64).for_each(|key| drop(space.hit(&key)));
                }
            });
        }
        let result = then();
        over.store(true, SeqCst);
        result
    })
}

/// Readers on threads of their own while all keys are written, removed, expired and cleared; each value of a key is larger
/// than those before it. How often somebody got less than what was acknowledged when he began, or than anybody had been
/// given by then; and how many references there were at most. Unless changes are `marked`, removals go past the marks.
fn hammer(marked: bool) -> (u64, usize) {
    let (cache, space) = space::<u64>(8 << 20);
    let new = || -> Vec<AtomicU64> { (0..KEYS).map(|_| AtomicU64::new(0)).collect() };
    let (least, given, over, wrong) = (new(), new(), AtomicBool::new(false), AtomicU64::new(0));
    let read = || {
        let mut draw = fastrand::Rng::new();
        while !over.load(SeqCst) {
            // Some keys far more often than others.
            let most = draw.usize(..KEYS);
            let key = draw.usize(..=most);
            let (least, seen) = (least[key].load(SeqCst), given[key].load(SeqCst));
            if let Some(value) = space.hit(&(key as u64)) {
                wrong.fetch_add(u64::from(*value < least.max(seen)), SeqCst);
                given[key].fetch_max(*value, SeqCst);
            }
        }
    };
    let mut most = 0;
    std::thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(read);
        }
        for n in 1..=20_000 {
            let key = fastrand::usize(..KEYS);
            let (name, tag) = (key as u64, format!("t{key}"));
            let value = Loaded::value(n);
            assert!(space.put(&name, if n % 3 == 0 { value.tag(tag.as_str()) } else { value }));
            least[key].store(n, SeqCst);
            let pause = Instant::now();
            while pause.elapsed() < Duration::from_micros(n % 100) {
                std::hint::spin_loop();
            }
            most = most.max(memory(&space).copies.held().0);
            match n % 8 {
                _ if !marked => {
                    let named = name.to_string();
                    let sought = KeyRef::new(space.shared.state.id, named.as_bytes(), &space.shared.engine.seed);
                    assert!(memory(&space).store.remove(sought).is_some());
                }
                0 | 5 => drop(space.remove(&name)),
                2 => drop(space.expire(&name)),
                3 | 6 if n % 3 == 0 => drop(cache.remove_tag(&tag)),
                _ if n % 1_000 == 4 => {
                    drop(space.clear());
                    least.iter().for_each(|least| _ = least.fetch_max(n, SeqCst));
                }
                _ => continue,
            }
            least[key].store(n + 1, SeqCst);
        }
        over.store(true, SeqCst);
    });
    (wrong.into_inner(), most)
}

#[test]
fn g2_what_was_acknowledged_wins_at_every_key_at_which_threads_meet() {
    let (wrong, most) = hammer(true);
    println!("{most} references at most");
    assert!(most > KEYS / 4, "they were in use: {most}");
    assert_eq!(wrong, 0);
    assert!(hammer(false).0 > 0, "the control: what nobody marks is served by a reference");
}

#[test]
fn who_reads_alone_has_no_reference_and_who_is_alone_again_lets_go() {
    let (_cache, space) = space::<u64>(8 << 20);
    let read = || (0..100).for_each(|key| drop(space.hit(&key)));
    (0..100).for_each(|key| assert!(space.put(&key, key)));
    (0..1_000).for_each(|_| read());
    assert_eq!(memory(&space).copies.held().0, 0, "alone");
    assert!(!super::own::any());
    while_read(&space, READERS, 100, || {
        until("the control: threads have references where they meet", || {
            read();
            memory(&space).copies.held().0 > 180
        });
    });
    until("this thread reads on and lets go", || {
        read();
        memory(&space).copies.held().0 == 0 && !super::own::any()
    });
}

#[test]
fn references_of_idle_threads_are_let_go_and_hold_no_value() {
    let (_cache, space) = space::<std::sync::Arc<str>>(8 << 20);
    let value: std::sync::Arc<str> = "value".into();
    (0..100).for_each(|key| assert!(space.put(&key, value.clone())));
    let (over, copies) = (AtomicBool::new(false), &memory(&space).copies);
    std::thread::scope(|scope| {
        let read = || {
            until("references are held", || {
                (0..100).for_each(|key| drop(space.hit(&key)));
                copies.held().0 > 100 || over.load(SeqCst)
            });
            over.store(true, SeqCst);
            // It lives on, and asks for nothing.
            until("nothing is held", || copies.held() == (0, 0));
        };
        for _ in 0..READERS {
            scope.spawn(read);
        }
    });
    (0..100).for_each(|key| drop(space.remove(&key)));
    until("the values are gone", || std::sync::Arc::strong_count(&value) == 1);
}

#[test]
fn what_references_lead_to_is_a_small_part_of_the_limit() {
    const LIMIT: u64 = 4 << 20;
    let (_cache, space) = space::<Vec<u8>>(LIMIT);
    (0..1_000).for_each(|key| assert!(space.put(&key, vec![0; 1 << 10])));
    let most = while_read(&space, READERS, 1_000, || {
        let mut most = 0;
        until("as much as a thread may have is had", || {
            most = most.max(memory(&space).copies.held().1);
            most > LIMIT / 40
        });
        std::thread::sleep(Duration::from_millis(300));
        most.max(memory(&space).copies.held().1)
    });
    assert!(most <= LIMIT / 32, "{most}");
    // One that is large beside that has none.
    (0..1_000).for_each(|key| assert!(space.put(&key, vec![0; 16 << 10])));
    until("those of what is gone are let go", || memory(&space).copies.held().0 == 0);
    let held = while_read(&space, READERS, 100, || {
        std::thread::sleep(Duration::from_millis(300));
        memory(&space).copies.held().0
    });
    assert_eq!(held, 0);
}
