//! Which access is counted for the detector of hot keys, and as whose?

use bellwether_core::heat::sample::{Drawn, SAMPLE, Sampling};
use bellwether_core::heat::sketch::Id;

use crate::engine::Engine;
use crate::engine::space::SpaceState;
use crate::entry::Entry;
use crate::state::heat::Access;

/// Where so few are looked at, threads that read a key by references of their own look at one in `RARELY` of those: a look
/// is then all that they fight over, and there are enough of them.
const BUSY: Sampling = Sampling(5);
const RARELY: u32 = 8;

impl Engine {
    /// A read that was drawn, of what memory or a load had. Never inlined: where there are many hits, most pass it by.
    #[cold]
    #[inline(never)]
    pub(crate) fn look_at_read(&self, space: &SpaceState, key: &[u8], entry: Option<&Entry>, drawn: Drawn) {
        let reference = entry.is_some_and(Entry::is_reference);
        let rarely = self.heat.sampling() >= BUSY && reference;
        let Some(drawn) = (if rarely { drawn.one_in(RARELY) } else { Some(drawn) }) else { return };
        let size = entry.map_or(0, |entry| entry.value_bytes(key.len()));
        // A thread's reference counts what this thread alone has read.
        let served = entry.filter(|_| !reference).map(Entry::hits);
        let access = Access::Read { size, served };
        self.heat.look(id(space, key), space.id, key, access, drawn);
    }

    /// A write or an invalidation by this process: every other one is looked at.
    pub(crate) fn look_at_write(&self, space: &SpaceState, key: &[u8]) {
        let draw = fastrand::u64(..);
        if draw < u64::MAX / SAMPLE {
            let drawn = Drawn { nth: draw, weight: SAMPLE as u32 };
            self.heat.look(id(space, key), space.id, key, Access::Write, drawn);
        }
    }
}

/// The key as the whole fleet knows it.
pub(crate) fn id(space: &SpaceState, key: &[u8]) -> Id {
    Id(xxhash_rust::xxh3::xxh3_64_with_seed(key, space.heat_seed))
}
