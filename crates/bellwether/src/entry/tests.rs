//! What an entry weighs, and what is counted of it.

use super::*;
use crate::key::{KeyRef, Seed};
use crate::weigh::Weigh as _;

const META: Meta = Meta {
    fence: Fence(1),
    kind: Kind::Value,
    born: Tick(0),
    fresh_until: Tick(1_000),
    swr_ms: 0,
    hard_ms: 0,
    cost_ms: 1,
    early_ms: 0,
};

#[test]
fn an_entry_is_small() {
    assert_eq!(size_of::<Entry<Plain<()>>>(), 48);
}

#[test]
fn threads_that_serve_one_entry_together_have_as_many_of_their_hits_looked_at() {
    const EACH: u32 = 400_000;
    let key = KeyRef::new(0, b"key", &Seed::fixed(1)).to_key();
    let (entry, sampling) = (Entry::new(&key, META, None, 0, 7_u64), Sampling::one_in(3));
    assert_eq!(entry.hits(), 0);
    let serve = || (0..EACH).filter(|_| entry.clone().is_due(sampling, entry.touch().served)).count() as u32;
    let looks: u32 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(serve)).collect();
        threads.into_iter().map(|thread| thread.join().expect("it ends")).sum()
    });
    let (seen, hits) = (looks * sampling.weight(), 4 * EACH);
    println!("{hits} hits, counted by the entry {}, by looks {seen}", entry.hits());
    assert!(entry.hits() <= hits && seen.abs_diff(hits) < hits / 10, "{seen} of {hits}");
}

#[test]
fn an_entry_tells_whether_another_thread_served_it_last_and_counts_on() {
    let key = KeyRef::new(0, b"key", &Seed::fixed(1)).to_key();
    crate::observe::counters::set_class(1);
    let entry = Entry::new(&key, META, None, 0, 7_u64);
    std::thread::scope(|scope| scope.spawn(|| assert!(!entry.touch().met)).join().expect("one that never counted"));
    assert!(!entry.touch().met && !entry.touch().met, "nobody but this one");
    let other = std::thread::scope(|scope| {
        let served = || {
            crate::observe::counters::set_class(2);
            (entry.touch().met, entry.touch().met)
        };
        scope.spawn(served).join().expect("it ends")
    });
    assert_eq!(other, (true, false));
    entry.served(served::COUNT - 5);
    assert!(entry.is_met() && entry.touch().met && !entry.is_met(), "what references served is not this thread's");
    assert_eq!(entry.hits(), 0, "around the end of the count");
    assert!(!entry.touch().met);
}

#[test]
fn a_reference_of_a_thread_s_own_has_the_same_value_and_counts_for_itself() {
    fn has<V: crate::weigh::Weigh + Send + Sync + Clone + PartialEq + 'static>(value: V) -> bool {
        let meta = Meta { swr_ms: 7, hard_ms: 9, early_ms: 3, ..META };
        let key = KeyRef::new(0, b"key", &Seed::fixed(1)).to_key();
        let entry = Entry::new(&key, meta, None, value.weight(), value.clone());
        let twin = entry.twin();
        twin.touch();
        assert!(twin.is_twin() && !entry.is_twin() && (twin.hits(), entry.hits()) == (1, 0));
        assert_eq!((twin.meta(), twin.value_bytes(3)), (entry.meta(), entry.value_bytes(3)));
        twin.value() == Some(&value) && twin.value::<u16>().is_none()
    }
    assert!(has(bytes::Bytes::from(vec![1; 99])) && has(std::sync::Arc::<str>::from("text")));
    assert!(has("text".to_owned()) && has(vec![1_u8; 99]) && has(7_u64));
}

#[test]
fn a_reference_of_a_thread_s_own_has_the_tags_and_the_mark_of_what_it_leads_to() {
    let (key, body) = (KeyRef::new(0, b"key", &Seed::fixed(1)).to_key(), bytes::Bytes::from(vec![1; 99]));
    let tagged = Entry::new(&key, META, Extra::of(Some(7), [Tag::of_wire(9)].into()), 99, body.clone());
    let twin = tagged.twin();
    let tags: Vec<u64> = twin.tags().iter().map(|tag| tag.hash).collect();
    assert_eq!((tags, twin.version()), (vec![9], Some(7)), "a removal of its tag is one of its own");
    let shared = Aside { mark: Some(TierMark::of(Fence(3), Tick(5))), ..Aside::default() };
    let twin = Entry::new(&key, META, shared, 99, body).twin();
    assert_eq!(twin.mark().map(TierMark::fence), Some(Fence(3)), "it is compared with the tier as the entry is");
}

#[test]
fn a_values_size_is_its_length_whatever_its_entry_holds_besides() {
    let key = KeyRef::new(0, b"a key of some length", &Seed::fixed(1)).to_key();
    let tags = || Extra::of(Some(7), [Tag::named(&"tag".into()), Tag::of_wire(9)].into());
    let mark = || Some(TierMark::of(Fence(3), Tick(5)));
    let asides = [(false, false), (true, false), (false, true), (true, true)].map(|(tagged, shared)| Aside {
        extra: tags().filter(|_| tagged),
        mark: mark().filter(|_| shared),
        past: Past::default(),
    });
    for aside in asides {
        let mut value = vec![7_u8; 59];
        value.reserve_exact(100);
        let entry = Entry::new(&key, META, aside, value.weight(), value);
        assert_eq!(entry.value_bytes(key.bytes.len()), 59);
        assert!(entry.weight > 59 + 160, "what it takes in memory is more");
        let link = relabelled(&entry, META, tags(), false);
        assert_eq!(link.value_bytes(key.bytes.len()), 59, "a reference has the size of what it leads to");
    }
    let number = Entry::new(&key, META, None, 0, 7_u64);
    assert_eq!(number.value_bytes(key.bytes.len()), 8);
}

#[test]
fn hits_go_on_being_counted_past_the_most_that_is_told_apart() {
    let key = KeyRef::new(0, b"key", &Seed::fixed(1)).to_key();
    let entry = Entry::new(&key, META, None, 0, 7_u64);
    for round in 0..9_u32 {
        let before = entry.hits();
        entry.served(served::COUNT / 3 + round);
        assert_eq!(entry.hits_since(before), served::COUNT / 3 + round);
    }
}
