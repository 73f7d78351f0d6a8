//! May what was loaded be stored? Unless an invalidation covers it, or what is there is newer (G3).

use crate::fence::{Fence, Floor};

/// What is known of how new something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Newness {
    /// Drawn before its load read the origin.
    pub fence: Fence,
    /// The origin's own version of the row, if its loader named it.
    pub version: Option<u64>,
}

/// What lies where something is to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resident {
    /// How new it is.
    pub newness: Newness,
    /// The newest invalidation that covers it: of its tags and its space.
    pub floor: Floor,
}

/// Whether what landed may be stored: `floor` is of its key, its tags and its space. Asked under the lock under which it is
/// then stored, and under which invalidations raise the key's floor.
pub fn may_keep(floor: Floor, resident: Option<Resident>, landed: Newness) -> bool {
    // What an invalidation covers is no rival any more.
    let rival = resident.filter(|resident| !resident.floor.covers(resident.newness.fence));
    !floor.covers(landed.fence) && rival.is_none_or(|rival| supersedes(rival.newness, landed))
}

/// The newer fence wins; where both name the origin's own version, the greater version wins, because of two loads side by
/// side the later fence may have read the older row.
fn supersedes(resident: Newness, landed: Newness) -> bool {
    match (resident.version, landed.version) {
        (Some(old), Some(new)) if new != old => new > old,
        _ => landed.fence > resident.fence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fence::Invalidation;
    use proptest::prelude::*;

    fn new(fence: u64, version: Option<u64>) -> Newness {
        Newness { fence: Fence(fence), version }
    }

    fn beside(fence: u64, version: Option<u64>) -> Option<Resident> {
        Some(Resident { newness: new(fence, version), floor: Floor::NONE })
    }

    #[test]
    fn of_two_loads_side_by_side_the_greater_version_stays() {
        let beats = |resident, landed| may_keep(Floor::NONE, resident, landed);
        assert!(beats(beside(1, None), new(2, None)));
        assert!(!beats(beside(2, None), new(1, None)));
        assert!(!beats(beside(1, Some(9)), new(2, Some(8))), "the later fence read the older row");
        assert!(beats(beside(2, Some(8)), new(1, Some(9))));
        assert!(beats(beside(1, Some(9)), new(2, Some(9))));
        assert!(!beats(beside(2, Some(9)), new(1, Some(9))));
        assert!(beats(beside(1, Some(9)), new(2, None)));
        assert!(beats(None, new(1, None)));
    }

    #[test]
    fn what_an_invalidation_covers_is_not_stored_and_is_no_rival() {
        for verb in [Invalidation::Remove, Invalidation::Expire] {
            let floor = Floor::of(verb, Fence(5));
            assert!(!may_keep(floor, None, new(5, None)), "{verb:?}");
            assert!(may_keep(floor, None, new(6, None)), "control");
            let covered = |fence| Some(Resident { newness: new(fence, Some(9)), floor });
            assert!(may_keep(Floor::NONE, covered(5), new(6, Some(8))), "{verb:?}: the greater version is over");
            assert!(!may_keep(Floor::NONE, covered(6), new(7, Some(8))), "control: it still holds");
        }
    }

    proptest! {
        /// Whatever lies there, and in whatever order loads land: what is covered is never stored, and without versions the
        /// newest fence is what stays.
        #[test]
        fn g3_the_newest_load_that_no_invalidation_covers_stays(fences in prop::collection::vec(1u64..50, 1..12), floor in 0u64..50) {
            let floor = Floor::of(Invalidation::Remove, Fence(floor));
            let mut held: Option<Resident> = None;
            for fence in &fences {
                if may_keep(floor, held, new(*fence, None)) {
                    held = Some(Resident { newness: new(*fence, None), floor: Floor::NONE });
                }
            }
            let newest = fences.iter().copied().filter(|fence| !floor.covers(Fence(*fence))).max();
            prop_assert_eq!(held.map(|held| held.newness.fence.0), newest);
        }
    }
}
