//! Does what comes late leave alone what came after it, and nothing else?

use proptest::prelude::*;

use super::*;
use crate::fence::Invalidation;

const BEGIN: u64 = 5_000_000;

fn at(ms: u64) -> Now {
    Now((BEGIN + ms) * 1000)
}

fn stored(made: u64, fence: Fence) -> Cell {
    let made = at(made).tick();
    let [fresh_until, swr_until, hard_until] = [60, 70, 80].map(|seconds| made + Span::secs(seconds));
    Cell { what: What::Value, fence, created: made, fresh_until, swr_until, hard_until, ..Cell::empty() }
}

/// A removal that was answered at this moment, and comes at that one.
fn removed(cell: Option<Cell>, answered: u64, comes: u64) -> (Raised, Option<Cell>) {
    Cell::invalidate_late(cell, Invalidation::Remove, Fence::ZERO, Span(comes - answered), at(comes))
}

#[test]
fn a_removal_that_comes_late_takes_what_was_there_and_leaves_what_came_since() {
    let token = Some(Fence(90));
    let cell = Cell { token, lease_until: at(900).tick(), lease: Span(500), ..stored(100, Fence(80)) };
    assert_eq!(removed(Some(cell), 99, 500), (Raised { fence: Fence(80), was_resident: false }, None));
    for (answered, ago_is_known) in [(100, true), (101, true), (99, false)] {
        let (raised, next) = match ago_is_known {
            true => removed(Some(cell), answered, 500),
            false => Cell::invalidate_late(Some(cell), Invalidation::Remove, Fence::ZERO, Span::ZERO, at(500)),
        };
        assert!(raised.was_resident && raised.fence > Fence(90), "{answered}: the lease is void as well");
        let next = next.expect("it goes");
        assert_eq!((next.what, next.token), (What::Tombstone, None));
    }
}

#[test]
fn a_moment_that_can_not_be_compared_protects_nothing() {
    let goes = |cell, at_least| {
        let late = Cell::invalidate_late(Some(cell), Invalidation::Remove, at_least, Span(400), at(500));
        late.1.is_some()
    };
    let cell = stored(200, Fence(80));
    assert!(!goes(cell, Fence(80)), "control");
    assert!(goes(stored(501, Fence(80)), Fence::ZERO), "the clock was set back");
    assert!(goes(cell, Fence(81)), "a tier that has forgotten what the asker knows");
    assert!(goes(Cell::foreign(), Fence::ZERO), "somebody else's bytes have no moment");
    let leased = Cell { token: Some(Fence(9)), lease_until: at(900).tick(), ..Cell::empty() };
    assert!(goes(leased, Fence::ZERO), "whoever loads may have begun before");
    // An older value whose end somebody changed since is as old as it was.
    let renewed = Change::End(Ending { fresh: Span::secs(90), swr: Span::ZERO, hard: Span::ZERO, only: Only::Always });
    let (_, old) = Cell::change(Some(stored(50, Fence(80))), renewed, Fence::ZERO, at(300)).expect("it is there");
    assert!(goes(old, Fence::ZERO));
}

#[test]
fn how_long_ago_something_was_is_never_taken_for_longer_than_it_was() {
    assert_eq!([0, 25, 26, 27].map(|ms| surely(Span(ms)).0), [0, 0, 0, 1]);
    assert_eq!(surely(Span::secs(3600)), Span(3_600_000 - 3_516 - 25), "clocks differ");
}

#[derive(Clone, Copy, Debug)]
struct Did {
    writes: bool,
    /// How long the tier did not hear of it; zero: it heard it at once.
    late: u64,
}

proptest! {
    /// Whoever writes or removes, and whenever the tier hears of it: once it has heard all, it has what was done last.
    #[test]
    fn g3_the_last_to_be_answered_has_its_way_in_whatever_order_the_tier_hears_them(
        did in prop::collection::vec((any::<bool>(), prop_oneof![Just(0u64), 1u64..4_000]), 1..12),
    ) {
        let did: Vec<Did> = did.into_iter().map(|(writes, late)| Did { writes, late }).collect();
        // One every hundred ms; none is heard at another's moment.
        let mut heard: Vec<(u64, u64, Did)> =
            did.iter().enumerate().map(|(n, did)| (100 * n as u64 + did.late, 100 * n as u64, *did)).collect();
        heard.sort_by_key(|(heard, done, _)| (*heard, *done));
        let mut cell: Option<Cell> = None;
        for (now, done, Did { writes, late }) in heard {
            let before = cell.map_or(Fence::ZERO, |cell| cell.fence);
            if writes {
                let fence = Cell::may_write(cell, When::Always, Span(late), Fence::ZERO, at(now));
                cell = fence.map(|fence| stored(done, fence)).or(cell);
            } else if late == 0 {
                cell = Some(Cell::invalidate(cell, Invalidation::Remove, Fence::ZERO, at(now)).1);
            } else {
                cell = removed(cell, done, now).1.or(cell);
            }
            prop_assert!(cell.is_none_or(|cell| cell.fence >= before));
        }
        let last = did.last().expect("one at least");
        let held = cell.filter(|cell| cell.what == What::Value);
        prop_assert_eq!(held.map(|cell| cell.created), last.writes.then(|| at(100 * (did.len() as u64 - 1)).tick()));
    }
}
