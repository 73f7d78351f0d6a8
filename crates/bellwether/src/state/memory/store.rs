//! Where do entries lie? The one seam between what the memory tier promises and who stores.

use std::sync::Arc;

use bellwether_core::time::Tick;

use super::auto::Auto;
use super::books::Books;
#[cfg(feature = "foyer")]
use super::classic::{Classic, RECORD_OVERHEAD};
use super::parted::{PARTED_OVERHEAD, Parted};
use super::slot::Found;
use crate::entry::Resident;
use crate::eviction::Eviction;
use crate::key::{Key, KeyRef, Seed, Sought};

/// A store under a policy. An enum and no trait object: a hit on `auto` pays one comparison for the choice.
pub(super) enum Store {
    Auto(Auto),
    /// The same policy, for those who look up many keys at once.
    Parted(Parted),
    #[cfg(feature = "foyer")]
    Classic(Classic),
}

/// The same call to whichever it is.
macro_rules! either {
    ($store:expr, $held:ident => $call:expr) => {
        match $store {
            Store::Auto($held) => $call,
            Store::Parted($held) => $call,
            #[cfg(feature = "foyer")]
            Store::Classic($held) => $call,
        }
    };
}

impl Store {
    /// A store of `limit` bytes in up to `shards` parts, a power of two. `together`: several keys are often looked up at
    /// once. `None` if this build lacks the policy.
    pub(super) fn new(
        policy: Eviction,
        limit: u64,
        shards: u64,
        seed: &Seed,
        books: &Arc<Books>,
        together: bool,
    ) -> Option<Store> {
        match policy {
            Eviction::Auto if together => Some(Store::Parted(Parted::new(limit, shards, seed))),
            Eviction::Auto => Some(Store::Auto(Auto::new(limit, shards, seed))),
            #[cfg(feature = "foyer")]
            _ => Some(Store::Classic(Classic::new(policy, limit, shards, books.clone()))),
            #[cfg(not(feature = "foyer"))]
            _ => {
                let _ = books; // only the stores of that feature keep them
                None
            }
        }
    }

    /// The entry, and a note that it was asked for.
    #[inline(never)] // apart, so that the path of a hit on `auto` stays small
    pub(super) fn get(&self, key: &KeyRef<'_>) -> Option<Resident> {
        either!(self, store => store.get(key))
    }

    /// The same, on the path of a hit.
    #[inline(always)]
    pub(super) fn hit(&self, key: &Sought<'_>) -> Option<Resident> {
        match self {
            Store::Auto(store) => store.hit(key),
            _ => self.get(&key.key()),
        }
    }

    /// The entries of up to [`MANY`](super::parted::MANY) keys: `found` has a place for each.
    pub(super) fn get_many(&self, keys: &[KeyRef<'_>], found: &mut [Option<Resident>]) {
        match self {
            Store::Parted(store) => store.get_many(keys, found),
            _ => found.iter_mut().zip(keys).for_each(|(found, key)| *found = self.get(key)),
        }
    }

    /// The entry, unnoticed.
    pub(super) fn peek(&self, key: KeyRef<'_>) -> Option<Resident> {
        either!(self, store => store.peek(key))
    }

    /// Keeps `entry`; what is pushed out for it goes to the books.
    pub(super) fn insert(&self, key: &Key, entry: Resident, books: &Books) {
        match self {
            Store::Auto(store) => store.insert(key, entry, books),
            Store::Parted(store) => store.insert(key, entry, books),
            #[cfg(feature = "foyer")]
            Store::Classic(store) => store.insert(key, entry),
        }
    }

    pub(super) fn remove(&self, key: KeyRef<'_>) -> Option<Resident> {
        either!(self, store => store.remove(key))
    }

    /// The entry of this hash, if it was past its hard end, and its space: it is gone.
    pub(super) fn remove_due(&self, hash: u64, now: Tick) -> Option<(u32, Resident)> {
        either!(self, store => store.remove_due(hash, now))
    }

    /// The entry of this hash.
    pub(super) fn of_hash(&self, hash: u64) -> Option<Found> {
        either!(self, store => store.of_hash(hash))
    }

    pub(super) fn bytes(&self) -> u64 {
        either!(self, store => store.bytes())
    }

    pub(super) fn len(&self) -> usize {
        either!(self, store => store.len())
    }

    /// Bytes of an entry beyond its weight.
    pub(super) fn overhead(&self) -> u32 {
        match self {
            Store::Auto(_) => 0,
            Store::Parted(_) => PARTED_OVERHEAD,
            #[cfg(feature = "foyer")]
            Store::Classic(_) => RECORD_OVERHEAD as u32,
        }
    }

    /// The weight up to which an entry finds room, whatever else is there.
    pub(super) fn largest(&self) -> u64 {
        either!(self, store => store.largest())
    }
}
