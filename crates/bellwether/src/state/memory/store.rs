//! Where do entries lie? The one seam between what the memory tier promises and who stores.

use std::sync::Arc;

use bellwether_core::time::Tick;

use super::auto::Auto;
use super::books::Books;
#[cfg(feature = "foyer")]
use super::classic::{Classic, LINKS_OVERHEAD};
use super::moved::{Found, Left};
use crate::entry::Resident;
use crate::eviction::Eviction;
use crate::key::{Key, KeyRef, Seed, Sought};

/// A store under a policy. An enum and no trait object: a hit on `auto` pays one comparison for the choice.
pub(super) enum Store {
    Auto(Auto),
    #[cfg(feature = "foyer")]
    Classic(Classic),
}

/// The same call to whichever it is.
macro_rules! either {
    ($store:expr, $held:ident => $call:expr) => {
        match $store {
            Store::Auto($held) => $call,
            #[cfg(feature = "foyer")]
            Store::Classic($held) => $call,
        }
    };
}

impl Store {
    /// A store of `limit` bytes in up to `parts` parts. `None` if this build lacks the policy.
    pub(super) fn new(
        policy: Eviction,
        limit: u64,
        parts: u64,
        now: Tick,
        seed: &Seed,
        books: &Arc<Books>,
    ) -> Option<Store> {
        match policy {
            Eviction::Auto => Some(Store::Auto(Auto::new(limit, parts, now, seed))),
            #[cfg(feature = "foyer")]
            _ => Some(Store::Classic(Classic::new(policy, limit, parts, now, books.clone()))),
            #[cfg(not(feature = "foyer"))]
            _ => {
                let _ = books; // only the stores of that feature keep them
                None
            }
        }
    }

    /// The entry, and a note that it was asked for, where the store keeps such notes.
    #[inline(never)] // apart, so that the path of a hit on `auto` stays small
    pub(super) fn get(&self, key: KeyRef<'_>) -> Option<Resident> {
        either!(self, store => store.get(key))
    }

    /// The same, on the path of a hit.
    #[inline(always)]
    pub(super) fn hit(&self, key: &Sought<'_>) -> Option<Resident> {
        match self {
            Store::Auto(store) => store.hit(key),
            #[cfg(feature = "foyer")]
            Store::Classic(_) => self.get(key.key()),
        }
    }

    /// The entries of up to [`MANY`](super::auto::MANY) keys: `found` has a place for each.
    pub(super) fn get_many(&self, keys: &[KeyRef<'_>], found: &mut [Option<Resident>]) {
        match self {
            Store::Auto(store) => store.get_many(keys, found),
            #[cfg(feature = "foyer")]
            Store::Classic(_) => found.iter_mut().zip(keys).for_each(|(found, key)| *found = self.get(*key)),
        }
    }

    /// The entry, unnoticed.
    pub(super) fn peek(&self, key: KeyRef<'_>) -> Option<Resident> {
        match self {
            Store::Auto(store) => store.get(key),
            #[cfg(feature = "foyer")]
            Store::Classic(store) => store.peek(key),
        }
    }

    /// Keeps `entry`.
    pub(super) fn insert(&self, key: &Key, entry: Resident) -> Left {
        either!(self, store => store.insert(key, entry))
    }

    pub(super) fn remove(&self, key: KeyRef<'_>) -> Option<Resident> {
        either!(self, store => store.remove(key))
    }

    /// Takes out entries past their hard end, until `out` has `most`, each with its space's number; true if there are more.
    pub(super) fn due(&self, now: Tick, most: usize, out: &mut Vec<(u32, Resident)>) -> bool {
        either!(self, store => store.due(now, most, out))
    }

    /// All entries, in no order, in steps of at most `most`, so that nobody waits long: those that are there from the first
    /// step to the last, each once.
    pub(super) fn walk(&self, most: usize) -> Box<dyn Iterator<Item = Found> + '_> {
        either!(self, store => Box::new(store.walk(most)))
    }

    pub(super) fn bytes(&self) -> u64 {
        either!(self, store => store.bytes())
    }

    pub(super) fn len(&self) -> usize {
        either!(self, store => store.len())
    }

    #[cfg(test)]
    pub(super) fn timers(&self) -> usize {
        either!(self, store => store.timers())
    }

    /// Bytes of an entry beyond its weight.
    pub(super) fn overhead(&self) -> u32 {
        match self {
            Store::Auto(_) => 0,
            #[cfg(feature = "foyer")]
            Store::Classic(_) => LINKS_OVERHEAD as u32,
        }
    }

    /// The weight up to which an entry finds room, whatever else is there.
    pub(super) fn largest(&self) -> u64 {
        either!(self, store => store.largest())
    }
}
