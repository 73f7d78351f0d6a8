//! How does a user's key become the bytes an entry is found by?

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use bellwether_core::draw::Draw;
use bellwether_core::key::push_part;
use xxhash_rust::xxh3::xxh3_64_with_secret;

/// A type that can be a key. Its bytes must be injective: different keys, different bytes.
///
/// Text and byte keys are their own bytes, integers their decimal digits, tuples the
/// length-prefixed parts: so `"user:42"`, `42u64` and `("eu", 42u64)` never collide within a space
/// of one key type.
pub trait CacheKey: Send + Sync {
    /// The form in which a batch loader gets its keys.
    type Owned: Send + Clone + 'static;

    /// Hands the bytes to `f`, without allocating where the key is text, bytes or an integer. On the path of every hit.
    fn with_bytes<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R;

    /// An owned copy.
    fn to_owned_key(&self) -> Self::Owned;

    /// The key of these bytes, where they tell it: what is loaded although nobody reads it has nothing else. `None` for
    /// compound keys.
    fn of_bytes(bytes: &[u8]) -> Option<Self::Owned> {
        let _ = bytes;
        None
    }
}

macro_rules! bytes_key {
    ($($of:ty => $owned:ty, $read:expr);*) => { $(impl CacheKey for $of {
        type Owned = $owned;
        #[inline(always)]
        fn with_bytes<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
            f(self.as_ref())
        }
        fn to_owned_key(&self) -> $owned {
            self.into()
        }
        fn of_bytes(bytes: &[u8]) -> Option<$owned> {
            $read(bytes)
        }
    })* };
}
bytes_key!(str => String, text; String => String, text; [u8] => Vec<u8>, |bytes: &[u8]| Some(bytes.to_vec()));

fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

impl CacheKey for Vec<u8> {
    type Owned = Vec<u8>;
    #[inline(always)]
    fn with_bytes<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
        f(self)
    }
    fn to_owned_key(&self) -> Vec<u8> {
        self.clone()
    }
    fn of_bytes(bytes: &[u8]) -> Option<Vec<u8>> {
        Some(bytes.to_vec())
    }
}

macro_rules! integer_key {
    ($($of:ty),*) => { $(impl CacheKey for $of {
        type Owned = $of;
        #[inline(always)]
        fn with_bytes<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
            f(itoa::Buffer::new().format(*self).as_bytes())
        }
        fn to_owned_key(&self) -> $of {
            *self
        }
        fn of_bytes(bytes: &[u8]) -> Option<$of> {
            std::str::from_utf8(bytes).ok()?.parse().ok()
        }
    })* };
}
integer_key!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize);

impl<K: CacheKey + ?Sized> CacheKey for &K {
    type Owned = K::Owned;
    #[inline(always)]
    fn with_bytes<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
        (**self).with_bytes(f)
    }
    fn to_owned_key(&self) -> K::Owned {
        (**self).to_owned_key()
    }
    fn of_bytes(bytes: &[u8]) -> Option<K::Owned> {
        K::of_bytes(bytes)
    }
}

macro_rules! tuple_key {
    ($($name:ident $at:tt),*) => {
        impl<$($name: CacheKey),*> CacheKey for ($($name,)*) {
            type Owned = ($($name::Owned,)*);
            fn with_bytes<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
                let mut bytes = Vec::new();
                $(self.$at.with_bytes(|part| push_part(&mut bytes, part));)*
                f(&bytes)
            }
            fn to_owned_key(&self) -> Self::Owned {
                ($(self.$at.to_owned_key(),)*)
            }
        }
    };
}
tuple_key!(A 0, B 1);
tuple_key!(A 0, B 1, C 2);

/// A key as the tiers and the flight table know it. Its hash is keyed by a per-process seed and
/// computed once.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) hash: u64,
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) space: u32,
}

/// A key on its way in: not yet owned.
#[derive(Clone, Copy)]
pub(crate) struct KeyRef<'a> {
    pub(crate) hash: u64,
    pub(crate) bytes: &'a [u8],
    pub(crate) space: u32,
}

/// A key as the path of a hit looks for it. A type of its own, looked for in one place: so a store's search is made for that
/// path alone, and becomes part of it. Its space by reference: kept at hand until it is compared, more would have to be put aside.
pub(crate) struct Sought<'a> {
    pub(crate) hash: u64,
    pub(crate) bytes: &'a [u8],
    pub(crate) space: &'a u32,
}

impl<'a> Sought<'a> {
    /// The same, as all others look for it.
    #[cfg(feature = "foyer")]
    pub(crate) fn key(&self) -> KeyRef<'a> {
        KeyRef { hash: self.hash, bytes: self.bytes, space: *self.space }
    }
}

/// By what keys are hashed: a secret of this process, so that nobody outside can choose keys that collide.
#[derive(Clone)]
pub(crate) struct Seed([u8; SECRET]);

/// Bytes of a secret: as many as the hash asks for.
const SECRET: usize = 192;

impl Seed {
    /// One that nobody can guess: SipHash of numbers under keys from the system's randomness.
    pub(crate) fn random() -> Seed {
        let from_system = std::collections::hash_map::RandomState::new();
        Seed::of(|nth| from_system.hash_one(nth))
    }

    /// The same for the same number: for simulations, whose keys nobody chooses to do harm.
    pub(crate) fn fixed(seed: u64) -> Seed {
        Seed::of(|nth| Draw(seed).fork(nth).0)
    }

    fn of(word: impl Fn(u64) -> u64) -> Seed {
        let mut secret = [0; SECRET];
        let (words, _) = secret.as_chunks_mut();
        words.iter_mut().zip(0..).for_each(|(bytes, nth)| *bytes = word(nth).to_le_bytes());
        Seed(secret)
    }

    /// Hashes a key's bytes. Every 16 of them are multiplied by a part of the secret of their own, up to 128 side by
    /// side: where each step waits for the one before, a key of 64 bytes takes half as long again.
    #[inline]
    pub(crate) fn of_bytes(&self, bytes: &[u8]) -> u64 {
        xxh3_64_with_secret(bytes, &self.0)
    }
}

impl<'a> KeyRef<'a> {
    #[inline]
    pub(crate) fn new(space: u32, bytes: &'a [u8], seed: &Seed) -> KeyRef<'a> {
        KeyRef { hash: of_space(seed.of_bytes(bytes), space), bytes, space }
    }

    pub(crate) fn to_key(self) -> Key {
        Key { hash: self.hash, bytes: self.bytes.into(), space: self.space }
    }

    fn is(self, key: &Key) -> bool {
        self.hash == key.hash && self.space == key.space && *self.bytes == *key.bytes
    }
}

impl Key {
    pub(crate) fn by_ref(&self) -> KeyRef<'_> {
        KeyRef { hash: self.hash, bytes: &self.bytes, space: self.space }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.by_ref().is(other)
    }
}
impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// The hash of a key of `space` from that of its bytes: equal bytes of two spaces never share one.
/// Not a step of the hasher's own: that would be waited for, while this is ready before it is needed.
#[inline]
pub(crate) fn of_space(hash: u64, space: u32) -> u64 {
    hash ^ u64::from(space).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Hands the hash that a key carries through to the tables.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CarriedHash(u64);

impl Hasher for CarriedHash {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("keys hash by one u64");
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Builds [`CarriedHash`]es.
pub(crate) type ByCarriedHash = std::hash::BuildHasherDefault<CarriedHash>;

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(key: impl CacheKey) -> Vec<u8> {
        key.with_bytes(<[u8]>::to_vec)
    }

    #[test]
    fn g5_compound_keys_do_not_run_into_each_other() {
        assert_ne!(bytes(("ab", "c")), bytes(("a", "bc")));
        assert_ne!(bytes(("a", 1u64, "")), bytes(("a", "1", "x")));
        assert_eq!(bytes(42u64), b"42");
        assert_eq!(bytes(-7i32), b"-7");
        assert_eq!((i32::of_bytes(b"-7"), u8::of_bytes(b"-7"), <(u8, u8)>::of_bytes(b"1")), (Some(-7), None, None));
        assert_eq!((str::of_bytes(b"a:b").as_deref(), str::of_bytes(b"\xff")), (Some("a:b"), None));
    }

    /// Every part of a hash that a table goes by: its low bits, those that choose a shard, those by which references are
    /// found and void, its uppermost.
    #[test]
    fn keys_that_are_alike_spread_evenly_whatever_part_of_the_hash_is_looked_at() {
        const BINS: usize = 256;
        for (seed, length) in [Seed::random(), Seed::fixed(3)].iter().zip([8, 64]).chain([(&Seed::fixed(4), 200)]) {
            let key = |n: u64| format!("{n:0length$}").into_bytes();
            let hashes: Vec<u64> = (0..64 * BINS as u64).map(|n| seed.of_bytes(&key(n))).collect();
            let different: std::collections::HashSet<_> = hashes.iter().collect();
            assert_eq!(different.len(), hashes.len());
            for shift in [0, 8, 16, 32, 40, 48, 56] {
                let mut bins = [0u32; BINS];
                hashes.iter().for_each(|hash| bins[(hash >> shift) as usize % BINS] += 1);
                let (least, most) = (bins.iter().min(), bins.iter().max());
                // 64 are expected, and six times the spread of chance around it.
                assert!(least > Some(&16) && most < Some(&112), "{length} from {shift}: {least:?} to {most:?}");
            }
        }
    }

    #[test]
    fn a_secret_is_a_process_s_own_unless_it_is_named() {
        let of = |seed: Seed| seed.of_bytes(b"a key");
        assert_eq!(of(Seed::fixed(7)), of(Seed::fixed(7)));
        assert!(of(Seed::fixed(7)) != of(Seed::fixed(8)) && of(Seed::random()) != of(Seed::random()));
    }

    #[test]
    fn g5_equal_bytes_in_two_spaces_are_two_keys() {
        let seed = Seed::random();
        let (one, two) = (KeyRef::new(1, b"k", &seed), KeyRef::new(2, b"k", &seed));
        assert!(!one.is(&two.to_key()));
        assert_ne!(one.hash, two.hash);
        assert!(one.is(&one.to_key()));
    }
}
