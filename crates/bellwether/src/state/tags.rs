//! Which tags were invalidated, and is this entry covered by one of them?

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use bellwether_core::fence::{Fence, Floor, Invalidation};
use parking_lot::RwLock;

use crate::entry::{Entry, Tag};

/// Tag floors of a process; beyond that all tags share one: more loads, never older values.
const MOST_TAGS: usize = 1 << 18;

/// The floors of all tags.
pub(crate) struct TagFloors {
    /// Rises with every invalidation, after its floor is in place: an entry that was looked at in
    /// this generation needs no second look.
    generation: AtomicU64,
    floors: RwLock<Floors>,
}

struct Floors {
    /// Seeded: whoever names tags must not choose which of them collide here.
    by_tag: HashMap<u64, Floor, ahash::RandomState>,
    /// What covers every tag.
    all: Floor,
}

impl TagFloors {
    pub(crate) fn new() -> TagFloors {
        let floors = Floors { by_tag: HashMap::default(), all: Floor::NONE };
        // Entries start unchecked, at zero.
        TagFloors { generation: AtomicU64::new(1), floors: RwLock::new(floors) }
    }

    /// Raises the floor of `tag`. `fence` is drawn under the lock, so that floors and fences rise together.
    pub(crate) fn raise(&self, tag: u64, verb: Invalidation, fence: impl FnOnce() -> Fence) {
        let mut floors = self.floors.write();
        let floor = Floor::of(verb, fence());
        if floors.by_tag.len() >= MOST_TAGS && !floors.by_tag.contains_key(&tag) {
            let dropped = floors.by_tag.drain().map(|(_, floor)| floor).fold(Floor::NONE, Floor::merge);
            floors.all = floors.all.merge(dropped);
        }
        let held = floors.by_tag.entry(tag).or_default();
        *held = held.merge(floor);
        drop(floors);
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// The newest invalidations of the entry's tags.
    #[inline]
    pub(crate) fn floor_of(&self, entry: &Entry) -> Floor {
        match entry.extra() {
            None => Floor::NONE,
            Some(extra) if extra.tags.is_empty() => Floor::NONE,
            Some(extra) => {
                let generation = self.generation.load(Ordering::SeqCst);
                if extra.checked.load(Ordering::Relaxed) == generation {
                    return Floor::NONE;
                }
                let floor = self.floor(&extra.tags);
                if !floor.covers(entry.fence()) {
                    extra.checked.store(generation, Ordering::Relaxed);
                }
                floor
            }
        }
    }

    /// The newest invalidations of any of `tags`.
    pub(crate) fn floor(&self, tags: &[Tag]) -> Floor {
        let floors = self.floors.read();
        let of = |hash| floors.by_tag.get(&hash).copied().unwrap_or_default();
        tags.iter().fold(Floor::NONE, |floor, tag| floor.merge(of(tag.hash)).merge(floors.all))
    }
}
