//! As what does a store keep a key? The whole of it, in one block, beside the pointer to its entry.

use std::hash::{BuildHasher, Hash, Hasher};

use quick_cache::Equivalent;

use crate::entry::Resident;
use crate::key::{KeyRef, of_space};

/// Bytes behind a key's own: the number of its space.
const SPACE: usize = size_of::<u32>();

/// A key as a store keeps it: its bytes, then its space's number.
#[derive(Clone, PartialEq, Eq)]
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

    #[inline]
    fn split(&self) -> (&[u8], &[u8; SPACE]) {
        self.0.split_last_chunk().expect("every slot ends with its space")
    }

    #[inline]
    pub(super) fn is(&self, key: KeyRef<'_>) -> bool {
        let (bytes, space) = self.split();
        // In this order: the space is read where the key's bytes have been waited for.
        bytes == key.bytes && u32::from_le_bytes(*space) == key.space
    }
}

/// An entry met on a walk: its space's number, its key, and itself.
pub(crate) type Found = (u32, Box<[u8]>, Resident);

impl Hash for Slot {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (space, bytes) = self.parts();
        state.write(bytes);
        state.write_u32(space);
    }
}

impl Hash for KeyRef<'_> {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Equivalent<Slot> for KeyRef<'_> {
    #[inline]
    fn equivalent(&self, slot: &Slot) -> bool {
        slot.is(*self)
    }
}

/// Hashes a slot by its key; whoever asks for one carries the same hash.
#[derive(Clone)]
pub(super) struct ByKey(pub(super) ahash::RandomState);

impl ByKey {
    /// The hash of a slot's key.
    pub(super) fn of(&self, slot: &Slot) -> u64 {
        self.hash_one(slot)
    }
}

impl BuildHasher for ByKey {
    type Hasher = SlotHasher;
    #[inline]
    fn build_hasher(&self) -> SlotHasher {
        SlotHasher { made: self.0.build_hasher(), space: 0, carried: None }
    }
}

/// Of a key's bytes, or of a hash carried along: a key's bytes are never eight written as one word.
pub(super) struct SlotHasher {
    made: ahash::AHasher,
    space: u32,
    carried: Option<u64>,
}

impl Hasher for SlotHasher {
    #[inline]
    fn finish(&self) -> u64 {
        match self.carried {
            Some(hash) => hash,
            None => of_space(self.made.finish(), self.space),
        }
    }
    fn write(&mut self, bytes: &[u8]) {
        self.made.write(bytes);
    }
    fn write_u32(&mut self, space: u32) {
        self.space = space;
    }
    #[inline]
    fn write_u64(&mut self, hash: u64) {
        self.carried = Some(hash);
    }
}
