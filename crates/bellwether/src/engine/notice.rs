//! Which access is counted for the detector of hot keys, and as whose?

use bellwether_core::heat::sample::{Drawn, SAMPLE, Sampling};
use bellwether_core::heat::sketch::Id;

use crate::engine::Engine;
use crate::engine::space::SpaceState;
use crate::entry::Entry;
use crate::state::heat::Access;

/// Where so few are looked at, threads that read a key by references of their own look at one in `RARELY` of those: a look
/// is then all that they fight over, and there are enough of them.
const BUSY: Sampling = Sampling(3);
const RARELY: u32 = 8;

impl Engine {
    /// A read that was drawn, of what memory or a load had. Never inlined: seven of eight hits pass it by.
    #[cold]
    #[inline(never)]
    pub(crate) fn look_at_read(&self, space: &SpaceState, key: &[u8], entry: Option<&Entry>, drawn: Drawn) {
        let rarely = self.heat.sampling() >= BUSY && entry.is_some_and(Entry::is_reference);
        let Some(drawn) = (if rarely { drawn.one_in(RARELY) } else { Some(drawn) }) else { return };
        let size = entry.map_or(0, |entry| entry.value_bytes(key.len()));
        self.heat.look(id(space, key), space.id, key, Access::Read(size), drawn);
    }

    /// A write or an invalidation by this process: one in eight is looked at.
    pub(crate) fn look_at_write(&self, space: &SpaceState, key: &[u8]) {
        let draw = fastrand::u64(..);
        if draw < u64::MAX / SAMPLE {
            self.heat.look(id(space, key), space.id, key, Access::Write, Drawn { nth: draw, weight: 1 });
        }
    }
}

/// The key as the whole fleet knows it.
pub(crate) fn id(space: &SpaceState, key: &[u8]) -> Id {
    Id(xxhash_rust::xxh3::xxh3_64_with_seed(key, space.heat_seed))
}
