//! Where do the copies of a split key lie, which of them is asked, and which does whoever replaces the key see to?
//!
//! A copy is a key of its own whose name begins with `{s<salt>}`: in a Redis Cluster what stands in the first braces
//! decides the slot, so that a key with a hash tag of its own splits as well. The salts stand in the key's own entry, so
//! that whoever invalidates it learns where the copies are.

use crate::draw::Draw;
use crate::time::Span;

/// A key has so many copies at most.
pub const MOST_COPIES: usize = 15;
/// A copy lives so long at most: the bound where nobody could be told that it is one, such as after an eviction of the
/// key itself.
pub const LIFE: Span = Span::secs(5);
/// Salts that an entry carries at most, those that are drained included.
const MOST_SALTS: usize = 4 * MOST_COPIES;
/// Names that are tried until enough lie on other nodes.
const TRIES: u32 = 4096;
/// In a salt: its copy is not filled any more.
const DRAINED: u32 = 1 << 31;

/// No node may be asked for more than so many times what all are asked for on average.
const BALANCE: f64 = 1.3;

/// On how many of so many nodes a key lies that takes more of one than it should: with fewer, those that have it would be
/// asked for more than [`BALANCE`] times the mean even where nothing else is read, and one that dies would leave its part
/// to few.
pub fn balanced(nodes: u32) -> u32 {
    let enough = (f64::from(nodes) / BALANCE).ceil() as u32;
    enough.min(MOST_COPIES as u32 + 1)
}

/// The name of a copy.
pub fn name(salt: u32, key: &[u8]) -> Vec<u8> {
    [format!("{{s{}}}", salt & !DRAINED).as_bytes(), key].concat()
}

/// Salts whose names lie on other nodes than `key` and than one another, `most` at most. `owner`: which node has a name,
/// as far as is known.
pub fn salts<N: PartialEq>(key: &[u8], most: usize, owner: impl Fn(&[u8]) -> Option<N>) -> Vec<u32> {
    let Some(own) = owner(key) else { return Vec::new() };
    let (mut taken, mut salts) = (vec![own], Vec::new());
    for salt in 0..TRIES {
        if salts.len() >= most.min(MOST_COPIES) {
            break;
        }
        let Some(node) = owner(&name(salt, key)) else { continue };
        if !taken.contains(&node) {
            taken.push(node);
            salts.push(salt);
        }
    }
    salts
}

/// Which of several places is asked: the less busy of two drawn at random, none twice. `busy`: questions under way at
/// each; at least one place.
///
/// Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001.
pub fn pick(busy: &[u32], draw: Draw) -> usize {
    let places = busy.len().max(1) as u64;
    let first = (draw.0 >> 32) % places;
    let second = match places {
        1 => first,
        _ => (first + 1 + (draw.0 & 0xFFFF_FFFF) % (places - 1)) % places,
    };
    let at = |place: u64| busy.get(place as usize).copied().unwrap_or(0);
    (if at(second) < at(first) { second } else { first }) as usize
}

/// Whether the copy of this salt, as an entry carries it, is filled.
pub fn is_filled(salts: &[u32], salt: u32) -> bool {
    salts.contains(&(salt & !DRAINED))
}

/// The salts that are filled.
pub fn filled(salts: &[u32]) -> impl Iterator<Item = u32> + '_ {
    salts.iter().copied().filter(|salt| salt & DRAINED == 0)
}

/// A salt as names have it, filled or not.
pub fn bare(salt: u32) -> u32 {
    salt & !DRAINED
}

/// The salts that an entry carries which replaces one with `old` of age `age`, where `wanted` are to be filled.
///
/// A copy that nobody fills any more may still be read for its life: an entry goes on carrying its salt, so that an
/// invalidation reaches it, until an entry that carried it drained was there for as long.
pub fn carried(old: &[u32], wanted: &[u32], age: Span) -> Vec<u32> {
    let mut all: Vec<u32> = wanted.iter().map(|salt| bare(*salt)).collect();
    for salt in old {
        let over = salt & DRAINED != 0 && age >= LIFE;
        if !over && !all.iter().any(|held| bare(*held) == bare(*salt)) {
            all.push(salt | DRAINED);
        }
    }
    all.truncate(MOST_SALTS);
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// By a hash of what stands in the first braces, as a cluster does it.
    fn owner(nodes: usize) -> impl Fn(&[u8]) -> Option<usize> {
        move |name| {
            let open = name.iter().position(|byte| *byte == b'{');
            let close = name.iter().position(|byte| *byte == b'}');
            let tag = open.zip(close).map_or(name, |(open, close)| &name[open..close]);
            let hash = tag
                .iter()
                .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
            Some((hash >> 20) as usize % nodes)
        }
    }

    #[test]
    fn copies_lie_on_every_other_node_also_of_a_key_with_a_tag_of_its_own() {
        for key in [&b"product:42"[..], b"{user:7}:cart", b"{s1}x"] {
            let salts = salts(key, 9, owner(5));
            let mut nodes: Vec<_> = salts.iter().filter_map(|salt| owner(5)(&name(*salt, key))).collect();
            nodes.extend(owner(5)(key));
            nodes.sort_unstable();
            assert_eq!(nodes, [0, 1, 2, 3, 4]);
        }
    }

    #[test]
    fn s12_no_node_has_more_than_its_part_not_even_after_one_died() {
        for nodes in 2..=20u32 {
            let copies = balanced(nodes);
            assert!((1..=nodes).contains(&copies));
            let left = f64::from(nodes) / f64::from(copies);
            assert!(left <= BALANCE, "{nodes} nodes, {copies} with the key: {left} x the mean");
            // Whoever has it still once one of them died: the mean is over those that are left.
            if copies > 4 {
                let after = f64::from(nodes - 1) / f64::from(copies - 1);
                assert!(after <= BALANCE + 0.1, "{nodes}: {after}");
            }
        }
        assert_eq!([1, 2, 3, 4, 9, 10, 500].map(balanced), [1, 2, 3, 4, 7, 8, 16]);
    }

    #[test]
    fn where_all_names_lie_on_one_node_nothing_is_split() {
        assert_eq!(salts(b"k", 3, |_| Some(1)), [0_u32; 0]);
        assert_eq!(salts(b"k", 3, |_| None::<u8>), [0_u32; 0]);
    }

    #[test]
    fn two_choices_never_take_the_busiest_and_use_all() {
        let mut asked = [0_u32; 3];
        for n in 0..3_000 {
            asked[pick(&[0, 0, 9], Draw(0).fork(n))] += 1;
        }
        assert_eq!(asked[2], 0);
        assert!(asked[0] > 1_200 && asked[1] > 1_200, "{asked:?}");
        assert_eq!(pick(&[], Draw(9)), 0);
    }

    proptest! {
        #[test]
        fn no_copy_that_may_still_be_read_is_forgotten(
            steps in prop::collection::vec((prop::collection::vec(0_u32..6, 0..4), 0_u64..8_000), 1..40)
        ) {
            // Until when a copy of each salt may be read, if whoever fills it does so as late as it may.
            let (mut salts, mut until, mut now) = (Vec::new(), [0_u64; 6], 0);
            let mut since = 0;
            for (wanted, pause) in steps {
                salts = carried(&salts, &wanted, Span(now - since));
                since = now;
                now += pause;
                for salt in filled(&salts) {
                    // Filled until the entry is replaced.
                    until[salt as usize] = now + LIFE.0;
                }
                for (salt, until) in until.iter().enumerate().filter(|(_, until)| **until > now) {
                    let known = salts.iter().any(|held| bare(*held) == salt as u32);
                    prop_assert!(known, "salt {salt} is read until {until}, it is {now}: {salts:?}");
                }
            }
        }
    }

    #[test]
    fn a_salt_leaves_once_its_copy_is_gone() {
        let split = carried(&[], &[3, 4], Span::ZERO);
        let merged = carried(&split, &[], Span::secs(60));
        assert_eq!(filled(&merged).count(), 0);
        assert_eq!(merged.iter().map(|salt| bare(*salt)).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(carried(&merged, &[], Span(100)).len(), 2);
        assert!(carried(&merged, &[], LIFE).is_empty());
    }
}
