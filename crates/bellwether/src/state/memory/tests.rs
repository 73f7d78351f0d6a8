//! What must hold whoever stores: every rule under every policy of this build.

use super::*;
use crate::entry::{Entry, relabelled};
use bellwether_core::entry::{Kind, Meta};
use bellwether_core::fence::Fence;
use bellwether_core::time::Span;
use std::collections::HashSet;

/// A memory tier under test, with what is needed to fill it.
pub(super) struct Tier {
    pub(super) memory: Memory,
    pub(super) clock: Clock,
    pub(super) seed: Seed,
}

/// Runs `rule` on a fresh tier of each policy.
pub(super) fn under_every_policy(limit: u64, largest_value: u64, rule: impl Fn(&Tier)) {
    let policies: Vec<Eviction> = Eviction::ALL.into_iter().filter(|policy| policy.is_built_in()).collect();
    assert_eq!(policies.len(), if cfg!(feature = "foyer") { 6 } else { 1 });
    for policy in policies {
        println!("policy: {policy}");
        let (clock, seed) = (Clock::manual(), Seed::random());
        let memory = Memory::new(policy, limit, largest_value, clock.clone(), &seed).expect("built in");
        assert_eq!(memory.policy(), policy);
        let tier = Tier { memory, clock, seed };
        rule(&tier);
        let timers = tier.memory.store.timers() + tier.memory.nothings.timers();
        assert_eq!(timers, tier.memory.len(), "a timer for each entry, and none outlives it");
    }
}

impl Tier {
    pub(super) fn key(&self, n: u64) -> Key {
        KeyRef::new(0, &n.to_be_bytes(), &self.seed).to_key()
    }

    pub(super) fn entry(&self, key: &Key, bytes: usize, ttl: Span) -> Resident {
        let now = self.clock.now();
        let meta = Meta {
            fence: Fence(1),
            born: now,
            fresh_until: now + ttl,
            swr_ms: 0,
            hard_ms: 0,
            cost_ms: 1,
            early_ms: 0,
            kind: Kind::Value,
        };
        Entry::new(key, meta, None, bytes, vec![0u8; bytes])
    }

    fn put(&self, n: u64, bytes: usize, ttl: Span) -> bool {
        let key = self.key(n);
        self.memory.put(&key, self.entry(&key, bytes, ttl))
    }

    fn has(&self, n: u64) -> bool {
        self.memory.peek(self.key(n).by_ref()).is_some()
    }

    fn count(&self, of: impl Fn(&Books) -> &std::sync::atomic::AtomicU64) -> u64 {
        of(self.memory.counts()).load(Ordering::Relaxed)
    }

    fn sweep(&self) {
        while self.memory.sweep(self.clock.now()) {}
    }
}

impl Tier {
    fn put_missing(&self, n: u64) -> bool {
        let key = self.key(n);
        let meta = Meta { kind: Kind::Negative, ..self.entry(&key, 0, MINUTE).meta() };
        self.memory.put(&key, Entry::new(&key, meta, None, 0, ()))
    }
}

#[test]
fn a_scan_of_keys_that_do_not_exist_pushes_out_no_value() {
    under_every_policy(1 << 20, 1 << 10, |tier| {
        // As many values as find room, and no more.
        for n in 0..700 {
            tier.put(n, 1 << 10, MINUTE);
        }
        let values = || (0..700).filter(|n| tier.has(*n)).count();
        let (before, pushed_out) = (values(), tier.count(|counts| &counts.pressure));
        assert!(before > 500, "{before}");
        for n in 1_000_000..1_020_000 {
            assert!(tier.put_missing(n));
        }
        assert_eq!((values(), tier.count(|counts| &counts.pressure)), (before, pushed_out));
        let (nothings, bytes, limit) = tier.memory.nothings();
        assert!(nothings > 50 && bytes <= limit && limit == tier.memory.limit() / 20, "{nothings} {bytes} {limit}");
        assert_eq!(tier.count(|counts| &counts.crowded_out), 20_000 - nothings);
        // The control: twenty thousand small values push out most of what was there.
        for n in 1_000_000..1_020_000 {
            tier.put(n, 1, MINUTE);
        }
        assert!(tier.count(|counts| &counts.pressure) > 15_000);
    });
}

#[test]
fn a_value_and_what_says_that_there_is_none_take_each_others_place() {
    under_every_policy(1 << 20, 1 << 10, |tier| {
        let kind = || tier.memory.peek(tier.key(1).by_ref()).map(|entry| entry.kind());
        assert!(tier.put_missing(1) && kind() == Some(Kind::Negative));
        assert!(tier.put(1, 10, MINUTE) && kind() == Some(Kind::Value));
        assert_eq!((tier.memory.nothings().0, tier.memory.len()), (0, 1));
        assert!(tier.put_missing(1) && kind() == Some(Kind::Negative));
        assert_eq!((tier.memory.nothings().0, tier.memory.len()), (1, 1));
        assert_eq!((tier.memory.books.values(0), tier.memory.books.held(0).nothings), (0, 1));
        assert!(tier.memory.remove(tier.key(1).by_ref()).is_some() && tier.memory.len() == 0);
        tier.put_missing(2);
        tier.clock.advance(Span::secs(61));
        tier.sweep();
        assert_eq!((tier.memory.len(), tier.count(|counts| &counts.expired)), (0, 1), "it ends as values do");
    });
}

#[test]
fn what_a_space_holds_is_known_whatever_comes_and_goes() {
    under_every_policy(256 << 10, 1 << 10, |tier| {
        let mut rng = fastrand::Rng::with_seed(5);
        for _ in 0..20_000 {
            let n = rng.u64(..600);
            match rng.u8(..8) {
                0 => drop(tier.memory.remove(tier.key(n).by_ref())),
                1 => drop(tier.put_missing(n)),
                2 => {
                    tier.clock.advance(Span::ms(rng.u64(..300)));
                    tier.sweep();
                }
                _ => drop(tier.put(n, rng.usize(..2_000), Span::secs(rng.u64(1..90)))),
            }
        }
        let held = tier.memory.books.held(0);
        let (values, nothings): (Vec<_>, Vec<_>) = tier.memory.entries().partition(|e| e.2.kind() == Kind::Value);
        assert_eq!((held.values, held.nothings), (values.len() as u64, nothings.len() as u64));
        assert!(!values.is_empty() && !nothings.is_empty());
        // What has ended and was not swept out yet is the only difference there may be.
        let ahead = values.iter().filter(|e| e.2.fresh_until() >= tier.clock.now()).count() as u64;
        let (foretold, slack) = (held.ends.within(Span::secs(200), tier.clock.now()), 50);
        assert!((ahead..=ahead + slack).contains(&foretold), "{foretold} of {ahead}");
    });
}

/// Writers of one key come one at a time; those of different keys push each other's entries out.
#[test]
fn g6_threads_that_push_each_other_out_lose_no_count() {
    under_every_policy(256 << 10, 1 << 10, |tier| {
        let came: u64 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4u64).map(|own| scope.spawn(move || of_one_thread(tier, own))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no thread panics")).sum()
        });
        let of = |counter: fn(&Books) -> &std::sync::atomic::AtomicU64| tier.count(counter);
        let gone = of(|c| &c.pressure) + of(|c| &c.crowded_out) + of(|c| &c.expired) + of(|c| &c.invalidated);
        assert_eq!(gone + tier.memory.len() as u64, came, "each entry is there, or left for one reason");
        assert!(of(|c| &c.pressure) > 1_000 && of(|c| &c.expired) > 0 && of(|c| &c.invalidated) > 0);
        let (values, nothings): (Vec<_>, Vec<_>) = tier.memory.entries().partition(|e| e.2.kind() == Kind::Value);
        let held = tier.memory.books.held(0);
        assert_eq!((held.values, held.nothings), (values.len() as u64, nothings.len() as u64));
        assert_eq!(values.len() + nothings.len(), tier.memory.len());
        let weight: u64 = values.iter().chain(&nothings).map(|e| u64::from(tier.memory.cost(&e.2))).sum();
        assert_eq!(tier.memory.bytes(), weight);
    });
}

/// Entries that came of its keys and took nobody's place.
fn of_one_thread(tier: &Tier, own: u64) -> u64 {
    let (mut rng, mut came) = (fastrand::Rng::with_seed(own), 0);
    for _ in 0..10_000 {
        let n = own * 1_000 + rng.u64(..200);
        match rng.u8(..10) {
            0 => drop(tier.memory.remove(tier.key(n).by_ref())),
            1 if own == 0 => {
                tier.clock.advance(Span::ms(rng.u64(..300)));
                tier.sweep();
            }
            2..5 => drop(tier.memory.get(&tier.key(rng.u64(..4_000)).by_ref())),
            // Only what is not there for sure: whether it took a place could be told by nobody else.
            _ if !tier.has(n) => {
                let kept = if rng.u8(..8) == 0 {
                    tier.put_missing(n)
                } else {
                    tier.put(n, rng.usize(..2_000), Span::secs(rng.u64(1..90)))
                };
                came += u64::from(kept);
            }
            _ => {}
        }
    }
    came
}

const MINUTE: Span = Span::secs(60);

#[test]
fn what_is_accepted_is_there_and_what_is_too_large_is_refused_aloud() {
    under_every_policy(1 << 20, 16 << 10, |tier| {
        let mut refused = 0;
        for (n, bytes) in (0..).zip((1 << 10..1 << 20).step_by(1 << 10)) {
            let kept = tier.put(n, bytes, MINUTE);
            assert_eq!(kept, tier.has(n), "{bytes} bytes: what is said to be kept is there, and nothing else");
            refused += u64::from(!kept);
        }
        assert!(refused > 0 && refused < 1_000, "{refused} of 1,023 sizes were refused");
        assert_eq!(tier.count(|books| &books.too_large), refused);
    });
}

#[test]
fn what_is_accepted_stays_with_another_end() {
    under_every_policy(1 << 20, 16 << 10, |tier| {
        let sizes = (1 << 10..1 << 20).step_by(64);
        let (n, bytes) =
            (0..).zip(sizes).take_while(|(n, bytes)| tier.put(*n, *bytes, MINUTE)).last().expect("small ones");
        let (key, entry) = (tier.key(n), tier.memory.peek(tier.key(n).by_ref()).expect("kept"));
        let longer = Meta { fresh_until: entry.fresh_until() + MINUTE, ..entry.meta() };
        assert!(tier.memory.put(&key, relabelled(&entry, longer, None, false)), "the largest, {bytes} bytes");
        assert!(tier.has(n));
    });
}

#[test]
fn g6_resident_bytes_stay_within_the_limit_under_any_sizes() {
    under_every_policy(1 << 20, 16 << 10, |tier| {
        let mut rng = fastrand::Rng::with_seed(7);
        for n in 0..10_000 {
            // Now and then an older key again: a replacement must make no room for itself twice.
            let n = if rng.u8(..4) == 0 { rng.u64(..=n) } else { n };
            tier.put(n, rng.usize(..16 << 10), MINUTE);
            if rng.bool() {
                tier.memory.get(&tier.key(rng.u64(..=n)).by_ref());
            }
            assert!(tier.memory.bytes() <= tier.memory.limit(), "{} > {}", tier.memory.bytes(), tier.memory.limit());
        }
        assert!(tier.memory.bytes() > tier.memory.limit() / 2, "the limit is used: {}", tier.memory.bytes());
        assert!(tier.count(|counts| &counts.pressure) > 5_000);
        assert_eq!(tier.count(|counts| &counts.fresh), tier.count(|counts| &counts.pressure));
    });
}

#[test]
fn every_entry_that_came_is_there_or_counted_as_gone() {
    under_every_policy(1 << 20, 16 << 10, |tier| {
        for n in 0..5_000 {
            assert!(tier.put(n, 1 << 10, if n % 2 == 0 { MINUTE } else { Span::secs(1) }));
        }
        tier.clock.advance(Span::secs(2));
        tier.sweep();
        let removed = (0..5_000).filter(|n| n % 10 == 0 && tier.memory.remove(tier.key(*n).by_ref()).is_some()).count();
        assert!(removed > 0);
        assert_eq!(tier.count(|counts| &counts.invalidated), removed as u64);
        let gone = [tier.count(|c| &c.pressure), tier.count(|c| &c.expired), tier.count(|c| &c.invalidated)];
        assert!(gone.iter().all(|count| *count > 0), "each cause happened: {gone:?}");
        assert_eq!(gone.iter().sum::<u64>() + tier.memory.len() as u64, 5_000);
    });
}

#[test]
fn what_is_too_large_is_refused_aloud_and_takes_its_predecessor_along() {
    under_every_policy(256 << 10, 1 << 10, |tier| {
        assert!(tier.put(1, 10, MINUTE));
        assert!(!tier.put(1, 250 << 10, MINUTE));
        assert_eq!(tier.count(|counts| &counts.too_large), 1);
        assert!(!tier.has(1), "an older value must not outlive a newer one");
        assert_eq!((tier.memory.bytes(), tier.count(|counts| &counts.pressure)), (0, 0));
    });
}

#[test]
fn the_largest_value_that_was_asked_for_finds_room() {
    under_every_policy(1 << 20, 200 << 10, |tier| {
        for n in 0..50 {
            assert!(tier.put(n, 200 << 10, MINUTE));
            assert!(tier.has(n), "what was kept is there");
        }
        assert_eq!(tier.count(|counts| &counts.too_large), 0);
    });
}

#[test]
fn a_sweep_frees_what_has_ended_and_only_that() {
    under_every_policy(1 << 20, 1 << 10, |tier| {
        for n in 0..1000 {
            tier.put(n, 10, if n % 2 == 0 { Span::secs(1) } else { Span::secs(100) });
        }
        tier.clock.advance(Span::secs(2));
        tier.sweep();
        assert_eq!((tier.memory.len(), tier.count(|counts| &counts.expired)), (500, 500));
        tier.put(1, 10, Span::secs(500));
        tier.clock.advance(Span::secs(150));
        tier.sweep();
        assert!(tier.has(1), "a replaced entry's old timer does not end the new one");
        assert_eq!(tier.memory.len(), 1);
        tier.clock.advance(Span::secs(500));
        tier.sweep();
        assert_eq!(tier.memory.len(), 0, "a replaced entry still ends");
        assert_eq!(tier.count(|counts| &counts.pressure), 0, "a replacement is no eviction");
    });
}

#[test]
fn a_replacement_in_a_full_tier_is_no_eviction() {
    // Two that fill one shard: to make room for the second's successor, a store may push out the second itself.
    under_every_policy(64 << 10, 16 << 10, |tier| {
        assert!(tier.put(1, 28 << 10, MINUTE) && tier.put(2, 28 << 10, MINUTE));
        let before = tier.count(|counts| &counts.pressure);
        for _ in 0..10 {
            assert!(tier.put(2, 28 << 10, MINUTE) && tier.has(2));
        }
        assert!(tier.count(|counts| &counts.pressure) <= before + 1, "at most the first went");
        let gone = tier.count(|counts| &counts.pressure);
        assert_eq!(gone + tier.memory.len() as u64, 2, "two came, whatever replaced them");
    });
}

#[test]
fn who_is_replaced_by_its_like_pushes_nobody_out() {
    let (clock, seed) = (Clock::manual(), Seed::random());
    let memory = Memory::new(Eviction::Auto, 64 << 10, 16 << 10, clock.clone(), &seed).expect("built in");
    let tier = Tier { memory, clock, seed };
    let pushed_out = || tier.count(|counts| &counts.pressure);
    let is_full = |n: &u64| tier.put(*n, 1 << 10, MINUTE) && pushed_out() > 0;
    let full = (0..1_000).find(is_full).expect("it fills");
    let before = (tier.memory.len(), pushed_out());
    (0..=full).filter(|n| tier.has(*n)).for_each(|n| assert!(tier.put(n, 1 << 10, MINUTE)));
    assert_eq!((tier.memory.len(), pushed_out()), before);
}

#[test]
fn removed_is_gone_and_handed_back_once() {
    under_every_policy(1 << 20, 1 << 10, |tier| {
        tier.put(1, 10, MINUTE);
        let key = tier.key(1);
        assert!(tier.memory.remove(key.by_ref()).is_some());
        assert!(tier.memory.remove(key.by_ref()).is_none() && !tier.has(1));
        assert_eq!(tier.count(|counts| &counts.invalidated), 1);
        assert_eq!((tier.memory.bytes(), tier.memory.len()), (0, 0));
    });
}

#[test]
fn g5_equal_bytes_in_another_space_are_another_key() {
    under_every_policy(1 << 20, 1 << 10, |tier| {
        tier.put(1, 10, MINUTE);
        let key = tier.key(1);
        let elsewhere = Key { space: 7, ..key.clone() };
        assert!(tier.memory.peek(elsewhere.by_ref()).is_none(), "the same hash is no proof");
        assert!(tier.memory.get(&elsewhere.by_ref()).is_none());
        assert!(tier.memory.remove(elsewhere.by_ref()).is_none() && tier.has(1));
    });
}

#[test]
fn many_keys_are_found_together_as_each_is_alone() {
    under_every_policy(4 << 20, 1 << 10, |tier| {
        for n in 0..500 {
            tier.put(n, 10, MINUTE);
        }
        (500..520).for_each(|n| assert!(tier.put_missing(n)));
        tier.memory.remove(tier.key(7).by_ref());
        for from in (0..540).step_by(5) {
            let mut keys: Vec<Key> = (from..from + 11).map(|n| tier.key(n)).collect();
            // One twice, and one of another space with the same hash.
            keys.push(keys[3].clone());
            keys.push(Key { space: 7, ..keys[4].clone() });
            for many in [1, 2, keys.len()] {
                let refs: Vec<KeyRef<'_>> = keys[..many].iter().map(Key::by_ref).collect();
                let mut found = vec![None; many];
                tier.memory.get_many(&refs, &mut found);
                for (key, found) in refs.iter().zip(&found) {
                    let alone = tier.memory.get(key);
                    assert_eq!(found.as_ref().map(Arc::as_ptr), alone.as_ref().map(Arc::as_ptr), "{from}");
                }
                assert_eq!(found.iter().flatten().count() == 0, from >= 520, "{from}");
            }
        }
    });
}

#[test]
fn a_walk_meets_every_entry_once_and_changes_nothing() {
    under_every_policy(1 << 20, 1 << 10, |tier| {
        for n in 0..100 {
            tier.put(n, 10, MINUTE);
        }
        tier.memory.remove(tier.key(3).by_ref());
        let met: Vec<_> = tier.memory.entries().map(|(space, key, _)| (space, key)).collect();
        let distinct: HashSet<_> = met.iter().cloned().collect();
        assert_eq!((met.len(), distinct.len(), tier.memory.len()), (99, 99, 99));
        assert!(
            met.iter().all(|(space, key)| *space == 0 && tier.memory.peek(KeyRef::new(0, key, &tier.seed)).is_some())
        );
    });
}

/// A look that must leave no trace, and one that must: under LRU the difference decides who goes.
#[cfg(feature = "foyer")]
#[test]
fn only_a_get_is_noticed_by_the_policy() {
    let stays = |look: fn(&Memory, &KeyRef<'_>) -> Option<Resident>| {
        let (clock, seed) = (Clock::manual(), Seed::random());
        let memory = Memory::new(Eviction::Lru, 64 << 10, 16 << 10, clock.clone(), &seed).expect("built in");
        let tier = Tier { memory, clock, seed };
        for n in 0..200 {
            tier.put(n, 1 << 10, MINUTE);
            assert!(look(&tier.memory, &tier.key(0).by_ref()).is_some() || n > 0);
        }
        tier.has(0)
    };
    assert!(stays(Memory::get), "asked for again and again");
    assert!(!stays(|memory, key| memory.peek(*key)), "looked at, which is no use of it");
}
