//! Which rows are covered by an invalidation? Floors of tags and spaces, durable; of keys, while orders are under way.

use std::collections::HashMap;

use bellwether::Fence;
use bellwether::disk::Scope;

/// Tags and spaces that may have a floor; past it everything older than the newest is given up.
pub(super) const MOST_SCOPES: usize = 100_000;
/// Removed keys that are remembered, so that an older entry that comes late is not stored.
const MOST_KEYS: usize = 65_536;

/// The order of everything in the file: which life of the process, and the fence it drew. Fences of different lives
/// are not compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seq {
    pub(super) life: u64,
    pub(super) fence: u64,
}

/// A floor as it stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Floor {
    pub(super) at: Seq,
    /// From here on nothing that it covers can be there any more, in ms of the file's clock.
    pub(super) until_ms: u64,
}

/// The floors of tags and spaces.
#[derive(Debug, Default)]
pub(super) struct Floors {
    scopes: HashMap<Scope, Floor>,
    /// Covers every row.
    all: Seq,
}

impl Floors {
    pub(super) fn new(scopes: HashMap<Scope, Floor>, all: Seq) -> Floors {
        Floors { scopes, all }
    }

    /// Raises one; false if there are too many already.
    pub(super) fn raise(&mut self, scope: Scope, floor: Floor) -> bool {
        if self.scopes.len() >= MOST_SCOPES && !self.scopes.contains_key(&scope) {
            return false;
        }
        let held = self.scopes.entry(scope).or_insert(floor);
        if held.at <= floor.at {
            *held = floor;
        }
        true
    }

    /// Gives up everything at or below `at`: then no other floor below it is needed.
    pub(super) fn raise_all(&mut self, at: Seq) {
        self.all = self.all.max(at);
        self.scopes.retain(|_, floor| floor.at > self.all);
    }

    /// Whether some cover nothing any more.
    pub(super) fn any_before(&self, now_ms: u64) -> bool {
        self.scopes.values().any(|floor| floor.until_ms <= now_ms)
    }

    /// Lets go of those.
    pub(super) fn forget_before(&mut self, now_ms: u64) {
        self.scopes.retain(|_, floor| floor.until_ms > now_ms);
    }

    /// Whether a row made at `at` is covered.
    pub(super) fn cover(&self, at: Seq, space: u64, tags: &[u64]) -> bool {
        let covers = |scope| self.scopes.get(&scope).is_some_and(|floor| at <= floor.at);
        at <= self.all || covers(Scope::Space(space)) || tags.iter().any(|tag| covers(Scope::Tag(*tag)))
    }
}

/// Removed keys of this life, by hash: an entry that was under way when its key was removed comes too late. Keys that
/// share a hash share a floor: at worst something is not stored.
#[derive(Debug, Default)]
pub(super) struct KeyFloors {
    floors: HashMap<i64, Fence>,
    /// The newest of those that were let go.
    forgotten: Fence,
}

impl KeyFloors {
    pub(super) fn raise(&mut self, key: i64, fence: Fence) {
        if self.floors.len() >= MOST_KEYS {
            let newest = self.floors.drain().map(|(_, fence)| fence).max();
            self.forgotten = self.forgotten.max(newest.unwrap_or_default());
        }
        let held = self.floors.entry(key).or_default();
        *held = (*held).max(fence);
    }

    pub(super) fn covers(&self, key: i64, fence: Fence) -> bool {
        fence <= self.forgotten || self.floors.get(&key).is_some_and(|floor| fence <= *floor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(life: u64, fence: u64) -> Seq {
        Seq { life, fence }
    }

    fn floor(life: u64, fence: u64) -> Floor {
        Floor { at: at(life, fence), until_ms: 1_000 }
    }

    #[test]
    fn a_floor_covers_what_was_made_at_or_before_it_in_this_life_or_an_earlier() {
        let mut floors = Floors::default();
        assert!(floors.raise(Scope::Tag(7), floor(2, 50)));
        for (row, covered) in [(at(2, 50), true), (at(2, 51), false), (at(1, 999), true), (at(3, 1), false)] {
            assert_eq!(floors.cover(row, 1, &[3, 7]), covered, "{row:?}");
        }
        assert!(!floors.cover(at(2, 1), 7, &[3]), "a space of the same number is another scope");
        assert!(floors.raise(Scope::Tag(7), floor(2, 40)));
        assert!(floors.cover(at(2, 50), 1, &[7]), "a late, older one lowers nothing");
    }

    #[test]
    fn floors_leave_when_nothing_they_cover_can_be_there() {
        let mut floors = Floors::default();
        floors.raise(Scope::Space(1), floor(1, 5));
        assert!(!floors.any_before(999) && floors.any_before(1_000));
        floors.forget_before(999);
        assert!(floors.cover(at(1, 1), 1, &[]));
        floors.forget_before(1_000);
        assert!(!floors.cover(at(1, 1), 1, &[]));
    }

    #[test]
    fn one_floor_for_everything_takes_the_place_of_those_below() {
        let mut floors = Floors::default();
        floors.raise(Scope::Tag(1), floor(1, 5));
        floors.raise(Scope::Tag(2), floor(1, 9));
        floors.raise_all(at(1, 7));
        assert!(floors.cover(at(1, 7), 0, &[]) && !floors.cover(at(1, 8), 0, &[1]) && floors.cover(at(1, 8), 0, &[2]));
        assert_eq!(floors.scopes.len(), 1);
    }

    #[test]
    fn keys_that_are_let_go_still_refuse_what_is_older() {
        let mut keys = KeyFloors::default();
        for key in 0..=MOST_KEYS as i64 {
            keys.raise(key, Fence(1_000 + key as u64));
        }
        assert!(keys.covers(0, Fence(1_000)), "let go, and still covered");
        assert!(keys.floors.len() <= MOST_KEYS);
        assert!(!keys.covers(5, Fence(10_000_000)));
    }
}
