//! As what does a store keep a key? The whole of it, in one block, beside the pointer to its entry.

use crate::key::{KeyRef, Seed, of_space};

/// Bytes behind a key's own: the number of its space.
const SPACE: usize = size_of::<u32>();

/// A key as a store keeps it: its bytes, then its space's number.
#[derive(PartialEq, Eq)]
pub(super) struct Slot(Box<[u8]>);

impl Slot {
    pub(super) fn new(key: KeyRef<'_>) -> Slot {
        let mut bytes = Vec::with_capacity(SPACE + key.bytes.len());
        bytes.extend_from_slice(key.bytes);
        bytes.extend_from_slice(&key.space.to_le_bytes());
        Slot(bytes.into())
    }

    /// The space's number and the key's own bytes.
    #[inline]
    pub(super) fn parts(&self) -> (u32, &[u8]) {
        let (bytes, space) = self.split();
        (u32::from_le_bytes(*space), bytes)
    }

    /// What its key is hashed to.
    pub(super) fn hash(&self, seed: &Seed) -> u64 {
        let (space, bytes) = self.parts();
        of_space(seed.of_bytes(bytes), space)
    }

    #[inline]
    fn split(&self) -> (&[u8], &[u8; SPACE]) {
        self.0.split_last_chunk().expect("every slot ends with its space")
    }

    #[inline(always)]
    pub(super) fn is(&self, key: &[u8], of: &u32) -> bool {
        let Some((bytes, space)) = self.0.split_last_chunk() else { return false };
        // In this order: the space is read where the key's bytes have been waited for.
        are_same(bytes, key) && u32::from_le_bytes(*space) == *of
    }
}

/// Whether two keys are the same. Those of usual length without a call, a loop or a guess: by pieces that overlap.
#[inline(always)]
pub(super) fn are_same(one: &[u8], other: &[u8]) -> bool {
    let length = other.len();
    if one.len() != length {
        return false;
    }
    // Of the very same length for the compiler as well.
    let one = &one[..length];
    match length {
        33..=64 => differs::<32>(one, other) == 0,
        16..=32 => differs::<16>(one, other) == 0,
        _ => are_same_elsewhere(one, other),
    }
}

/// Apart, so that what is searched by stays small.
#[inline(never)]
fn are_same_elsewhere(one: &[u8], other: &[u8]) -> bool {
    match one.len() {
        8..16 => differs::<8>(one, other) == 0,
        _ => one == other,
    }
}

/// Zero if both are the same in their first and their last `N` bytes, which they must have.
#[inline(always)]
fn differs<const N: usize>(one: &[u8], other: &[u8]) -> u64 {
    let of = |a: Option<&[u8; N]>, b: Option<&[u8; N]>| match (a, b) {
        (Some(a), Some(b)) => {
            let words = a.as_chunks().0.iter().zip(b.as_chunks().0);
            words.fold(0, |all, (a, b)| all | (u64::from_ne_bytes(*a) ^ u64::from_ne_bytes(*b)))
        }
        _ => u64::MAX,
    };
    of(one.first_chunk(), other.first_chunk()) | of(one.last_chunk(), other.last_chunk())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g5_keys_of_any_length_are_the_same_only_if_every_byte_is() {
        for length in 0..200 {
            let one: Vec<u8> = (0..length).map(|n| n as u8).collect();
            assert!(are_same(&one, &one.clone()), "{length}");
            for at in 0..length {
                for bit in 0..8 {
                    let mut other = one.clone();
                    other[at] ^= 1 << bit;
                    assert!(!are_same(&one, &other), "byte {at} of {length}");
                }
            }
            assert!(!are_same(&one, &one[..length.saturating_sub(1)]) || length == 0, "a part of it");
        }
    }
}
