//! Who has references of his own, and does what was acknowledged win over all of them?

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use bellwether_core::time::{Span, Tick};
use bytes::Bytes;

use super::own;
use super::references::{References, Seen};
use super::tests::{Tier, under_every_policy};
use super::{Memory, Resident};
use crate::cache::Cache;
use crate::eviction::Eviction;
use crate::key::{Key, KeyRef, Seed};
use crate::load::Loaded;
use crate::policy::Policy;
use crate::port::clock::Clock;
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
fn hammer<V: Value>(marked: bool, of: fn(u64) -> V, number: fn(&V) -> u64) -> (u64, usize) {
    let (cache, space) = space::<V>(8 << 20);
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
                let value = number(&value);
                wrong.fetch_add(u64::from(value < least.max(seen)), SeqCst);
                given[key].fetch_max(value, SeqCst);
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
            let value = Loaded::value(of(n));
            assert!(space.put(&name, if n % 3 == 0 { value.tag(tag.as_str()) } else { value }));
            least[key].store(n, SeqCst);
            let pause = Instant::now();
            while pause.elapsed() < Duration::from_micros(n % 100) {
                std::hint::spin_loop();
            }
            most = most.max(memory(&space).references.held().0);
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
    let (wrong, most) = hammer(true, |n| n, |n| *n);
    println!("{most} references at most");
    assert!(most > KEYS / 4, "they were in use: {most}");
    assert_eq!(wrong, 0);
    assert!(hammer(false, |n| n, |n| *n).0 > 0, "the control: what nobody marks is served by a reference");
}

/// What is in the reference itself, not behind a link to the entry.
#[test]
fn g2_what_was_acknowledged_wins_where_the_reference_has_the_value_itself() {
    let of = |n: u64| Bytes::copy_from_slice(&n.to_be_bytes());
    let (wrong, most) = hammer(true, of, |value| value.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)));
    assert!(most > KEYS / 4, "they were in use: {most}");
    assert_eq!(wrong, 0);
}

#[test]
fn who_reads_alone_has_no_reference_and_who_is_alone_again_lets_go() {
    let (_cache, space) = space::<u64>(8 << 20);
    let read = || (0..100).for_each(|key| drop(space.hit(&key)));
    (0..100).for_each(|key| assert!(space.put(&key, key)));
    (0..1_000).for_each(|_| read());
    assert_eq!(memory(&space).references.held().0, 0, "alone");
    assert!(!own::any());
    while_read(&space, READERS, 100, || {
        until("the control: threads have references where they meet", || {
            read();
            memory(&space).references.held().0 > 180
        });
    });
    until("this thread reads on and lets go", || {
        read();
        memory(&space).references.held().0 == 0 && !own::any()
    });
}

#[test]
fn references_of_idle_threads_are_let_go_and_hold_no_value() {
    let (_cache, space) = space::<Arc<str>>(8 << 20);
    let value: Arc<str> = "value".into();
    (0..100).for_each(|key| assert!(space.put(&key, value.clone())));
    let (over, references) = (AtomicBool::new(false), &memory(&space).references);
    std::thread::scope(|scope| {
        let read = || {
            until("references are held", || {
                (0..100).for_each(|key| drop(space.hit(&key)));
                references.held().0 > 100 || over.load(SeqCst)
            });
            over.store(true, SeqCst);
            // It lives on, and asks for nothing.
            until("nothing is held", || references.held() == (0, 0));
        };
        for _ in 0..READERS {
            scope.spawn(read);
        }
    });
    (0..100).for_each(|key| drop(space.remove(&key)));
    until("the values are gone", || Arc::strong_count(&value) == 1);
}

#[test]
fn what_references_lead_to_is_a_small_part_of_the_limit() {
    const LIMIT: u64 = 4 << 20;
    let (_cache, space) = space::<Vec<u8>>(LIMIT);
    (0..1_000).for_each(|key| assert!(space.put(&key, vec![0; 1 << 10])));
    let most = while_read(&space, READERS, 1_000, || {
        let mut most = 0;
        until("as much as a thread may have is had", || {
            most = most.max(memory(&space).references.held().1);
            most > LIMIT / 40
        });
        std::thread::sleep(Duration::from_millis(300));
        most.max(memory(&space).references.held().1)
    });
    assert!(most <= LIMIT / 32, "{most}");
    // One that is large beside that has none.
    (0..1_000).for_each(|key| assert!(space.put(&key, vec![0; 16 << 10])));
    until("those of what is gone are let go", || memory(&space).references.held().0 == 0);
    let held = while_read(&space, READERS, 100, || {
        std::thread::sleep(Duration::from_millis(300));
        memory(&space).references.held().0
    });
    assert_eq!(held, 0);
}

/// This thread has no reference to the key, or a good one.
fn has_good(references: &References, key: &Key, now: Tick) -> bool {
    matches!(references.get(&key.by_ref(), now), Seen::Good(_))
}

/// This thread may hold references: it has a stripe of counters.
fn has_a_stripe() {
    crate::observe::counters::WhyCounts::new().add(bellwether_core::why::Why::Hit);
}

fn tier(clock: &Clock, seed: &Seed) -> Tier {
    let memory = Memory::new(Eviction::Auto, 1 << 20, 1024, clock.clone(), seed).expect("built in");
    Tier { memory, clock: clock.clone(), seed: seed.clone() }
}

/// It takes one, as if it had met others there often enough.
fn take(tier: &Tier, key: &Key, entry: &Resident) {
    let (references, now) = (&tier.memory.references, tier.clock.now());
    has_a_stripe();
    assert!(tier.memory.put(key, entry.clone()));
    let before = references.before(key.hash).expect("nobody changes it");
    let spot = (0..9).find_map(|_| references.met(&key.by_ref(), entry, now)).expect("met often enough");
    let (own, _) =
        references.put(spot, &key.by_ref(), entry, before, now).expect("nobody else holds this thread's table");
    assert!(own.is_some() && has_good(references, key, now));
}

#[test]
fn g2_a_reference_is_void_once_its_key_was_written_or_removed() {
    under_every_policy(1 << 20, 1024, |tier| {
        let (key, now) = (tier.key(1), tier.clock.now());
        let (old, references) = (tier.entry(&key, 10, Span::secs(60)), &tier.memory.references);
        let held = || has_good(references, &key, now);
        take(tier, &key, &old);
        tier.memory.store.remove(key.by_ref()).expect("it is there");
        tier.memory.books.gone(key.space, &old);
        assert!(held(), "the control: a change that nobody marks is not noticed");
        take(tier, &key, &old);
        tier.memory.remove(key.by_ref()).expect("it is there");
        assert!(!held(), "removed");
        take(tier, &key, &old);
        let begun = references.changing(key.hash);
        assert!(!held() && references.before(key.hash).is_none(), "neither served nor taken while it changes");
        drop(begun);
        assert!(!held());
        take(tier, &key, &old);
        let other =
            (2..).map(|n| tier.key(n)).find(|other| !references.share_a_mark(other.hash, key.hash)).expect("many");
        assert!(tier.memory.remove(other.by_ref()).is_none());
        assert!(held(), "another key's change is none of this one's");
        assert!(!has_good(references, &key, now + Span::secs(1)), "the store is asked again");
        tier.memory.remove(key.by_ref());
    });
}

#[test]
fn g5_a_thread_s_reference_belongs_to_one_cache_and_holds_nothing_by_itself() {
    let (clock, seed) = (Clock::manual(), Seed::random());
    let (one, other) = (tier(&clock, &seed), tier(&clock, &seed));
    let (key, now) = (one.key(1), clock.now());
    let serves = |tier: &Tier| has_good(&tier.memory.references, &key, now);
    let take = |tier: &Tier| {
        let entry = tier.entry(&key, 10, Span::secs(60));
        take(tier, &key, &entry);
        Arc::downgrade(&entry)
    };
    let held = take(&one);
    assert!(serves(&one) && !serves(&other), "the same key, hash and mark in another cache");
    take(&other);
    assert!(serves(&other) && !serves(&one), "one place: the last that wanted it");
    take(&one);
    // What is good for nothing any more goes once somebody tidies, although the thread never comes back to it.
    one.memory.remove(key.by_ref()).expect("it is there");
    one.memory.references.tidy(now);
    assert!(held.upgrade().is_none() && one.memory.references.held() == (0, 0));
    let held = take(&one);
    assert!(serves(&one) && one.memory.references.held().0 == 1);
    one.memory.references.tidy(now + Span::ms(99));
    assert!(held.upgrade().is_some(), "still good");
    drop(one);
    assert!(held.upgrade().is_none(), "the cache is gone");
}

#[test]
fn a_hot_key_that_is_reacted_to_has_a_reference_at_once_whatever_its_weight_and_its_use() {
    let tier = tier(&Clock::manual(), &Seed::random());
    let (references, now, key) = (&tier.memory.references, tier.clock.now(), tier.key(1));
    has_a_stripe();
    // More than all of a thread's references may lead to, which is more than each of them may.
    let entry = tier.entry(&key, 40 << 10, Span::secs(60));
    let met = || references.met(&key.by_ref(), &entry, now);
    let before = || references.before(key.hash).expect("nobody changes it");
    let has = |spot, at| references.put(spot, &key.by_ref(), &entry, before(), at).map(|(own, _)| own.is_some());
    assert!((0..9).all(|_| met().is_none()), "the control: too heavy for all others");
    references.plan(References::place(key.hash), Some(key.hash));
    let spot = met().expect("at the first meeting");
    assert_eq!((has(spot, now), has_good(references, &key, now)), (Some(true), true));
    let later = now + Span::ms(200);
    let ended = || match references.get(&key.by_ref(), later) {
        Seen::Ended(spot) => spot,
        Seen::Good(_) | Seen::Nothing => panic!("it has ended"),
    };
    let spot = ended();
    assert_eq!((spot.renews, has(spot, later)), (true, Some(true)), "hardly used, and kept");
    references.plan(References::place(key.hash), None);
    assert_eq!(
        (has(spot, later), has_good(references, &key, later)),
        (Some(false), false),
        "the control: as any other"
    );
}

#[test]
fn a_thread_that_goes_on_to_other_keys_throws_away_its_ways_to_what_has_ended() {
    let tier = tier(&Clock::manual(), &Seed::random());
    let [ended, good, other] = [1, 2, 3].map(|n| tier.key(n));
    let take = |key| take(&tier, key, &tier.entry(key, 10, Span::secs(60)));
    take(&ended);
    tier.clock.advance(Span::ms(60));
    take(&good);
    let later = tier.clock.now() + Span::ms(60);
    let look = || drop(tier.memory.references.get(&other.by_ref(), later));
    (0..100).for_each(|_| look());
    assert!(own::may_have(ended.hash, later), "not at every look");
    (0..1 << 17).for_each(|_| look());
    assert!(!own::may_have(ended.hash, later) && has_good(&tier.memory.references, &good, later));
}

#[test]
fn keys_that_are_looked_up_together_throw_away_what_has_ended_as_well() {
    let tier = tier(&Clock::manual(), &Seed::random());
    let (now, key) = (tier.clock.now(), tier.key(1));
    has_a_stripe();
    take(&tier, &key, &tier.entry(&key, 10, Span::secs(60)));
    let may_have = |at: Tick| own::may_have(key.hash, at);
    let others = |at: Tick| (2..70_000).filter(|n| own::may_have(tier.key(*n).hash, at)).count();
    others(now);
    assert!(may_have(now), "still good");
    others(now + Span::ms(200));
    assert!(!may_have(now + Span::ms(200)));
}

#[test]
fn a_long_key_has_no_reference() {
    let tier = tier(&Clock::manual(), &Seed::random());
    let now = tier.clock.now();
    has_a_stripe();
    let meets = |length: usize| {
        let key = KeyRef::new(0, &vec![7; length], &tier.seed).to_key();
        let entry = tier.entry(&key, 10, Span::secs(60));
        (0..9).any(|_| tier.memory.references.met(&key.by_ref(), &entry, now).is_some())
    };
    assert_eq!((meets(256), meets(257)), (true, false), "a thread's table has keys of its own, which nothing counts");
}
