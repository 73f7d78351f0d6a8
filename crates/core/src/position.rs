//! How far has a process followed the fleet's invalidations? A place in the backplane's order.

/// A place in the backplane: of one epoch, positions are dense, so that a gap can be proven.
///
/// Positions of different epochs say nothing of each other: what was seen before another epoch began is suspect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Which life of the backplane. Zero: none was ever heard of.
    pub epoch: u64,
    /// The invalidation's number in it, counted from one.
    pub number: u64,
}

impl Position {
    /// Before everything: nothing was applied yet.
    pub const NONE: Position = Position { epoch: 0, number: 0 };

    /// Whether something read at `self` is certainly newer than an invalidation at `floor`.
    pub fn is_past(self, floor: Position) -> bool {
        floor == Position::NONE || (self.epoch == floor.epoch && self.number >= floor.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_of_another_epoch_prove_nothing() {
        let at = |epoch, number| Position { epoch, number };
        assert!(at(1, 5).is_past(at(1, 5)), "it was applied before the read");
        assert!(!at(1, 4).is_past(at(1, 5)));
        assert!(!at(2, 9).is_past(at(1, 5)));
        assert!(!at(1, 9).is_past(at(2, 1)));
        assert!(at(3, 0).is_past(Position::NONE), "no invalidation covers it");
    }
}
