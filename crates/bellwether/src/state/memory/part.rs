//! What is a part of the store that is there unless somebody chooses otherwise? A table of entries by key, and its books.

use std::sync::Arc;

use bellwether_core::evict::{Rings, Seen, Shape};
use bellwether_core::time::Tick;
use hashbrown::HashTable;

use super::moved::{Found, Left};
use super::slot::Slot;
use super::wheel::Wheel;
use crate::entry::Resident;
use crate::key::{KeyRef, Seed};
use crate::place::Place;

/// A table gives room back once it is that much larger than what it holds.
const TOO_LARGE: usize = 8;
/// A table of that size is not worth a thought.
const SMALL: usize = 256;

/// Entries by key; who of them goes first; when each ends. An entry's place is the same in both books.
// The table in front, beside the way to the locks: all that a hit reads.
#[repr(C)]
pub(super) struct Part {
    table: HashTable<Kept>,
    rings: Rings,
    wheel: Wheel,
    seed: Arc<Seed>,
}

/// An entry under its key.
pub(super) struct Kept {
    slot: Slot,
    pub(super) entry: Resident,
}

impl Part {
    pub(super) fn new(shape: Shape, now: Tick, seed: Arc<Seed>) -> Part {
        Part { table: HashTable::new(), rings: Rings::new(shape), wheel: Wheel::new(now), seed }
    }

    /// The entry of a hash whose slot is what is looked for.
    #[inline(always)]
    pub(super) fn find(&self, hash: u64, is: impl Fn(&Slot) -> bool) -> Option<&Kept> {
        self.table.find(hash, |kept| is(&kept.slot))
    }

    /// Keeps `entry`. It weighs no more than the hot ring may.
    pub(super) fn insert(&mut self, key: KeyRef<'_>, entry: Resident) -> Left {
        let mut left = Left::default();
        let old = self.find(key.hash, |slot| slot.is(key.bytes, &key.space)).map(|kept| &kept.entry);
        let mut more = entry.weight.saturating_sub(old.map_or(0, |old| old.weight));
        while let Some(place) = self.rings.victim(more, |place| seen(&self.table, &self.wheel, Place(place))) {
            let place = Place(place);
            let Some(Kept { slot, entry: gone }) = self.take(place) else { continue };
            if slot.is(key.bytes, &key.space) {
                // It was replaced, whatever for: all of the new one's room is to be made.
                (more, left.replaced) = (entry.weight, Some(gone));
            } else {
                left.pushed_out.push((slot.parts().0, gone));
            }
        }
        let end = entry.hard_until();
        match self.table.find_mut(key.hash, |kept| kept.slot.is(key.bytes, &key.space)) {
            Some(kept) => {
                let place = kept.entry.place();
                self.rings.change(place.0, known(key.hash, &kept.entry), known(key.hash, &entry));
                self.wheel.renew(place, end);
                // In this order: it may be the same one.
                kept.entry.set_place(Place::NONE);
                entry.set_place(place);
                left.replaced = Some(std::mem::replace(&mut kept.entry, entry));
            }
            None => {
                let place = self.wheel.add(key.hash, end);
                entry.set_place(place);
                self.rings.enter(place.0, known(key.hash, &entry));
                let rehash = |kept: &Kept| kept.slot.hash(&self.seed);
                self.table.insert_unique(key.hash, Kept { slot: Slot::new(key), entry }, rehash);
            }
        }
        left
    }

    pub(super) fn remove(&mut self, key: KeyRef<'_>) -> Option<Resident> {
        let kept = self.find(key.hash, |slot| slot.is(key.bytes, &key.space))?;
        let place = kept.entry.place();
        self.rings.leave(place.0, kept.entry.weight);
        self.take(place).map(|kept| kept.entry)
    }

    /// Takes out entries past their hard end, until `out` has `most`, each with its space's number; true if there are more.
    pub(super) fn due(&mut self, now: Tick, most: usize, out: &mut Vec<(u32, Resident)>) -> bool {
        let mut due = Vec::new();
        let more = self.wheel.turn(now, most - out.len(), &mut due);
        for (place, hash) in due {
            let Some(Kept { slot, entry }) = self.unfile(place, hash) else { continue };
            self.rings.leave(place.0, entry.weight);
            out.push((slot.parts().0, entry));
        }
        more
    }

    /// Entries of the next `most` places, in no order, and where to go on, if there are more.
    pub(super) fn walk(&self, from: Place, most: usize, out: &mut Vec<Found>) -> Option<Place> {
        let mut places = Vec::with_capacity(most);
        let next = self.wheel.walk(from, most, &mut places);
        let kept = places.into_iter().filter_map(|(place, hash)| at(&self.table, place, hash));
        out.extend(kept.map(|kept| {
            let (space, bytes) = kept.slot.parts();
            (space, bytes.into(), kept.entry.clone())
        }));
        next
    }

    /// What all entries weigh.
    pub(super) fn weight(&self) -> u64 {
        self.rings.weight()
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    #[cfg(test)]
    pub(super) fn timers(&self) -> usize {
        self.wheel.len()
    }

    /// Takes out the entry at a place that has left the rings.
    fn take(&mut self, place: Place) -> Option<Kept> {
        let hash = self.wheel.hash(place);
        let kept = self.unfile(place, hash)?;
        self.wheel.cancel(place, hash, kept.entry.hard_until());
        Some(kept)
    }

    /// Takes the entry at a place out of the table. It has no place any more.
    fn unfile(&mut self, place: Place, hash: u64) -> Option<Kept> {
        let (kept, _) = self.table.find_entry(hash, |kept| kept.entry.place() == place).ok()?.remove();
        kept.entry.set_place(Place::NONE);
        let (holds, room) = (self.table.len(), self.table.capacity());
        if room > SMALL && holds < room / TOO_LARGE {
            self.table.shrink_to(2 * holds, |kept| kept.slot.hash(&self.seed));
        }
        Some(kept)
    }
}

/// What is kept at a place.
fn at(table: &HashTable<Kept>, place: Place, hash: u64) -> Option<&Kept> {
    table.find(hash, |kept| kept.entry.place() == place)
}

/// What the rings want to know of the entry at a place.
fn seen(table: &HashTable<Kept>, wheel: &Wheel, place: Place) -> Seen {
    let hash = wheel.hash(place);
    let kept = at(table, place, hash);
    kept.map_or(Seen { hash, weight: 0, served: 0 }, |kept| known(hash, &kept.entry))
}

fn known(hash: u64, entry: &Resident) -> Seen {
    Seen { hash, weight: entry.weight, served: entry.count() }
}

#[cfg(test)]
pub(super) mod tests {
    use bellwether_core::entry::{Kind, Meta};
    use bellwether_core::fence::Fence;
    use bellwether_core::time::Span;

    use super::*;
    use crate::entry::Entry;
    use crate::key::Key;

    #[test]
    fn a_slot_of_the_table_has_four_words() {
        assert_eq!(size_of::<Kept>(), 4 * size_of::<usize>());
    }

    const NOW: Tick = Tick(1_000);

    /// Of so many bytes beside its key and what each entry costs.
    pub(in crate::state::memory) fn entry(key: &Key, bytes: usize) -> Resident {
        let meta = Meta {
            fence: Fence(1),
            born: NOW,
            fresh_until: NOW + Span::secs(60),
            swr_ms: 0,
            hard_ms: 0,
            cost_ms: 1,
            early_ms: 0,
            kind: Kind::Value,
        };
        Entry::new(key, meta, None, bytes, ())
    }

    #[test]
    fn g6_a_part_stays_within_its_capacity_whatever_replaces_what() {
        let seed = Seed::fixed(1);
        let shape = Shape { capacity: 64 << 10, hot: 54 << 10, ghosts: 30 };
        let mut part = Part::new(shape, NOW, Arc::new(seed.clone()));
        let (mut rng, mut replaced, mut pushed_out) = (fastrand::Rng::with_seed(7), 0, 0);
        for _ in 0..10_000 {
            let key = KeyRef::new(0, &rng.u64(..60).to_be_bytes(), &seed).to_key();
            let left = part.insert(key.by_ref(), entry(&key, rng.usize(..4_000)));
            assert!(part.weight() <= shape.capacity, "{}", part.weight());
            replaced += usize::from(left.replaced.is_some());
            pushed_out += left.pushed_out.len();
        }
        assert!(part.weight() > shape.capacity / 2 && replaced > 1_000 && pushed_out > 1_000);
        assert_eq!(10_000 - replaced - pushed_out, part.len(), "each is there, or left for one reason");
    }

    #[test]
    fn a_table_gives_room_back_once_most_has_gone() {
        let seed = Seed::random();
        let shape = Shape { capacity: 1 << 30, hot: 1 << 30, ghosts: 0 };
        let mut part = Part::new(shape, NOW, Arc::new(seed.clone()));
        let key = |n: u64| KeyRef::new(0, &n.to_be_bytes(), &seed).to_key();
        for n in 0..10_000 {
            let key = key(n);
            part.insert(key.by_ref(), entry(&key, 0));
        }
        let full = part.table.capacity();
        for n in 10..10_000 {
            assert!(part.remove(key(n).by_ref()).is_some());
        }
        assert!(full >= 10_000 && part.table.capacity() <= SMALL, "{full}, {}", part.table.capacity());
        for n in 0..10 {
            let key = key(n);
            assert!(part.find(key.hash, |slot| slot.is(&key.bytes, &0)).is_some(), "what stays is found");
        }
    }
}
