//! Which access is counted for the detector of hot keys, and as whose?

use bellwether_core::heat::sample::{Drawn, Sampling};

use crate::engine::Engine;
use crate::engine::hit::Closely;
use crate::entry::{Entry, Resident};
use crate::key::KeyRef;
use crate::state::heat::{Access, Asked};
use crate::state::space::SpaceState;

/// How many of the writes are looked at.
const WRITES: Sampling = Sampling::one_in(1);

impl Engine {
    /// A hit that is due to be looked at, or at whose entry this thread met another.
    ///
    /// The entry goes in and comes back in registers: to be looked at by reference, those of all other hits would have to be
    /// written to memory as well, in two words that are read back as one, which takes as long as half of a lookup.
    #[cold]
    #[inline(never)]
    pub(crate) fn look_at_hit(
        &self,
        space: &SpaceState,
        key: &KeyRef<'_>,
        entry: Resident,
        closely: Closely,
    ) -> Resident {
        if closely.due {
            let drawn = Drawn { nth: u64::from(entry.hits()), weight: entry.sampled(self.heat.sampling()).weight() };
            self.look_at_read(space, key, Some(&entry), drawn);
        }
        let at = self.clock.coarse();
        if closely.met
            && let Some(spot) = self.memory.references.met(key, &entry, at)
        {
            self.new_own(space, key, spot, at);
        }
        entry
    }

    /// A read that was drawn, of what memory or a load had.
    #[cold]
    pub(crate) fn look_at_read(&self, space: &SpaceState, key: &KeyRef<'_>, entry: Option<&Entry>, drawn: Drawn) {
        let size = entry.map_or(0, |entry| entry.value_bytes(key.bytes.len()));
        self.heat.look(asked(space, key), Access::Read { size }, drawn);
    }

    /// A write or an invalidation by this process: every other one is looked at.
    pub(crate) fn look_at_write(&self, space: &SpaceState, key: &KeyRef<'_>) {
        if let Some(drawn) = WRITES.draw(fastrand::u64(..)) {
            self.heat.look(asked(space, key), Access::Write, drawn);
        }
    }
}

fn asked<'a>(space: &SpaceState, key: &KeyRef<'a>) -> Asked<'a> {
    Asked { key: *key, seed: space.heat_seed }
}
