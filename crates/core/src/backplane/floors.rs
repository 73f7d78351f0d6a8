//! Which tags and spaces were invalidated where in the fleet's order, and is an entry of the shared tier covered?
//!
//! An entry says which position its loader had applied before it asked for the lease: it is covered by whatever
//! invalidates it after that. A loader that lagged behind is covered too often, never too rarely.

use std::collections::HashMap;

use crate::fence::Invalidation;
use crate::position::Position;
use crate::time::Span;

/// Tag floors of a process, and of the fleet; when there are more, those that are dropped raise the floor of all:
/// more loads, never older values.
pub const MOST_TAGS: usize = 1 << 18;
/// The same for spaces.
pub const MOST_SPACES: usize = 1 << 16;

/// The newest invalidations of something, by verb, in one epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FloorAt {
    removed: Position,
    expired: Position,
}

impl FloorAt {
    fn raise(&mut self, verb: Invalidation, at: Position) {
        let floor = match verb {
            Invalidation::Remove => &mut self.removed,
            Invalidation::Expire => &mut self.expired,
        };
        *floor = later(*floor, at);
    }

    /// The newest of both verbs.
    fn newest(self) -> Position {
        later(self.removed, self.expired)
    }
}

/// The later of two positions of one epoch, of which either may be none.
fn later(one: Position, other: Position) -> Position {
    one.max(other)
}

/// What is invalidated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Whatever carries a tag, by its hash.
    Tag(u64),
    /// A whole space, by its name in the shared tier.
    Space(Box<str>),
    /// Everything: what covers it in particular was dropped.
    All,
}

/// One invalidation that is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raised {
    /// What of.
    pub scope: Scope,
    /// Hard or soft.
    pub verb: Invalidation,
    /// Its number in the epoch.
    pub number: u64,
}

/// Whether an invalidation covers an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Covered {
    /// None does.
    No,
    /// It must be loaded anew; its body may be a rescue where the policy says so.
    Expired,
    /// It does not exist any more.
    Removed,
}

/// The floors of tags and spaces as the fleet has them.
#[derive(Clone, Debug, Default)]
pub struct Floors {
    /// Of this epoch; what was seen in another is covered.
    epoch: u64,
    tags: HashMap<u64, FloorAt>,
    spaces: HashMap<Box<str>, FloorAt>,
    all: Position,
}

impl Floors {
    /// Before a backplane was heard of: of what others invalidated nothing is known.
    pub fn new() -> Floors {
        Floors::default()
    }

    /// Those of an epoch, as they were read.
    pub fn read(epoch: u64, raised: impl IntoIterator<Item = Raised>) -> Floors {
        // What was seen in another epoch is past no position of this one.
        let mut floors = Floors { epoch, all: Position { epoch, number: 0 }, ..Floors::default() };
        for raised in raised {
            floors.raise(raised);
        }
        floors
    }

    /// Takes note of an invalidation.
    pub fn raise(&mut self, raised: Raised) {
        let at = Position { epoch: self.epoch, number: raised.number };
        match raised.scope {
            Scope::Tag(tag) => {
                if self.tags.len() >= MOST_TAGS && !self.tags.contains_key(&tag) {
                    self.all = self.tags.drain().map(|(_, floor)| floor.newest()).fold(self.all, later);
                }
                self.tags.entry(tag).or_default().raise(raised.verb, at);
            }
            Scope::Space(space) => {
                if self.spaces.len() >= MOST_SPACES && !self.spaces.contains_key(&space) {
                    self.all = self.spaces.drain().map(|(_, floor)| floor.newest()).fold(self.all, later);
                }
                self.spaces.entry(space).or_default().raise(raised.verb, at);
            }
            Scope::All => self.all = later(self.all, at),
        }
    }

    /// Whether an entry of `space` with `tags` is covered, whose loader had applied `seen`.
    pub fn covers(&self, seen: Position, space: &str, tags: &[u64]) -> Covered {
        let tags = tags.iter().filter_map(|tag| self.tags.get(tag));
        let floor = tags.chain(self.spaces.get(space)).fold(FloorAt::default(), |floor, more| FloorAt {
            removed: later(floor.removed, more.removed),
            expired: later(floor.expired, more.expired),
        });
        // Of which verb what was dropped had been is not known any more.
        if !seen.is_past(floor.removed) || !seen.is_past(self.all) {
            Covered::Removed
        } else if !seen.is_past(floor.expired) {
            Covered::Expired
        } else {
            Covered::No
        }
    }

    /// The epoch they are of; zero: none was heard of.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How many tags and spaces have a floor.
    pub fn len(&self) -> usize {
        self.tags.len() + self.spaces.len()
    }

    /// Whether none has.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Whether an entry that nothing known covers may be taken from the shared tier.
///
/// While the feed is not live an invalidation may be unknown: then only what is younger than `resync`, by the tier's
/// clock, so that no value is older than that. The herd stays together: one load per key and `resync`. `by_key`: nothing but
/// an invalidation of its own key ever covers it, and the tier is told of those; what lies there is what there is.
pub fn adoptable(covered: Covered, live: bool, age: Span, resync: Span, by_key: bool) -> bool {
    covered == Covered::No && (live || by_key || age <= resync)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: u64 = 7;

    fn at(number: u64) -> Position {
        Position { epoch: EPOCH, number }
    }

    fn raised(scope: Scope, verb: Invalidation, number: u64) -> Raised {
        Raised { scope, verb, number }
    }

    #[test]
    fn an_entry_is_covered_by_what_its_loader_had_not_applied() {
        let mut floors = Floors::read(EPOCH, []);
        floors.raise(raised(Scope::Tag(1), Invalidation::Remove, 10));
        floors.raise(raised(Scope::Space("user".into()), Invalidation::Expire, 12));
        assert_eq!(floors.covers(at(9), "shop", &[1]), Covered::Removed);
        assert_eq!(floors.covers(at(10), "shop", &[1]), Covered::No, "the loader read after the invalidation");
        assert_eq!(floors.covers(at(9), "shop", &[2]), Covered::No, "another tag");
        assert_eq!(floors.covers(at(11), "user", &[1]), Covered::Expired);
        assert_eq!(floors.covers(at(9), "user", &[1]), Covered::Removed, "the harder verb wins");
        assert_eq!(floors.covers(at(12), "user", &[1]), Covered::No);
    }

    #[test]
    fn what_was_seen_in_another_epoch_or_in_none_is_covered() {
        let floors = Floors::read(EPOCH, []);
        assert_eq!(floors.covers(at(1), "user", &[]), Covered::No);
        assert_eq!(floors.covers(Position { epoch: EPOCH - 1, number: 99 }, "user", &[]), Covered::Removed);
        assert_eq!(floors.covers(Position::NONE, "user", &[]), Covered::Removed);
        assert_eq!(Floors::new().covers(Position::NONE, "user", &[1]), Covered::No, "no backplane was heard of");
    }

    #[test]
    fn an_older_invalidation_that_comes_late_changes_nothing() {
        let mut floors = Floors::read(EPOCH, []);
        floors.raise(raised(Scope::Tag(1), Invalidation::Remove, 10));
        floors.raise(raised(Scope::Tag(1), Invalidation::Remove, 4));
        assert_eq!(floors.covers(at(9), "user", &[1]), Covered::Removed);
    }

    #[test]
    fn floors_beyond_the_bound_cover_everything_they_covered() {
        let mut floors = Floors::read(EPOCH, []);
        let most = MOST_TAGS as u64;
        for tag in 0..=most {
            floors.raise(raised(Scope::Tag(tag), Invalidation::Expire, tag + 1));
        }
        assert!(floors.len() <= MOST_TAGS);
        assert_eq!(floors.covers(at(0), "user", &[0]), Covered::Removed, "dropped, and yet covered");
        assert_eq!(floors.covers(at(most), "user", &[0]), Covered::No, "read after the last that was dropped");
        assert_eq!(floors.covers(at(most), "user", &[most]), Covered::Expired);
    }

    #[test]
    fn while_the_feed_is_not_live_only_what_is_young_is_taken() {
        let resync = Span::secs(5);
        let takes = |covered, live, age| adoptable(covered, live, age, resync, false);
        assert!(takes(Covered::No, true, Span::secs(60)));
        assert!(!takes(Covered::No, false, Span::secs(60)));
        assert!(takes(Covered::No, false, Span::secs(5)));
        assert!(!takes(Covered::Expired, true, Span::ZERO));
    }

    #[test]
    fn what_only_its_key_invalidates_is_taken_however_old_unless_something_known_covers_it() {
        let (old, resync) = (Span::secs(60), Span::secs(5));
        assert!(adoptable(Covered::No, false, old, resync, true));
        assert!(!adoptable(Covered::Removed, false, old, resync, true));
        assert!(!adoptable(Covered::Expired, true, old, resync, true));
    }
}
