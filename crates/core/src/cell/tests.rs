//! What must hold of a cell, whoever changes it in whatever order?

use proptest::prelude::*;

use super::*;
use crate::draw::Draw;
use crate::fence::Invalidation;
use crate::lease::Mode;

const NOW: Now = Now(5_000_000_000);
/// A draw that adds nothing.
const PLAIN: Draw = Draw(0);
const LEASE: Span = Span(900);

fn later(ms: u64) -> Now {
    Now(NOW.0 + ms * 1000)
}

fn ask(mode: Mode) -> Ask {
    Ask { lease: LEASE, mode, holds: Fence::ZERO, at_least: Fence::ZERO, draw: PLAIN }
}

fn value(at: Now) -> Cell {
    let now = at.tick();
    Cell {
        what: What::Value,
        created: now,
        fresh_until: now + Span(1000),
        swr_until: now + Span(2000),
        hard_until: now + Span(5000),
        ..Cell::empty()
    }
}

fn granted(cell: Option<Cell>, ask: Ask, at: Now) -> (Fence, Option<Cell>) {
    match Cell::acquire(cell, ask, at) {
        (Reply::Granted { token, .. }, next) => (token, next),
        (other, _) => panic!("{other:?}"),
    }
}

fn published() -> (Fence, Option<Cell>) {
    let (token, cell) = granted(None, ask(Mode::Miss), NOW);
    (token, Cell::publish(cell, token, value(NOW), NOW.tick()))
}

#[test]
fn one_of_many_gets_the_lease_and_its_value_is_fresh_for_the_others() {
    let (token, cell) = granted(None, ask(Mode::Miss), NOW);
    assert_eq!(Cell::acquire(cell, ask(Mode::Miss), NOW).0, Reply::Denied { left: LEASE, stale: false });
    let stored = Cell::publish(cell, token, value(NOW), NOW.tick());
    assert_eq!(Cell::acquire(stored, ask(Mode::Miss), later(1)).0, Reply::Fresh);
    assert_eq!(stored.map(|cell| (cell.fence, cell.token)), Some((token, None)));
}

#[test]
fn who_holds_what_is_there_gets_the_lease_and_who_does_not_gets_the_entry() {
    let (fence, stored) = published();
    let early = Ask { holds: fence, ..ask(Mode::Early) };
    let (token, leased) = granted(stored, early, later(10));
    assert!(token > fence);
    assert_eq!(Cell::acquire(stored, ask(Mode::Early), later(10)).0, Reply::Fresh);
    assert!(matches!(Cell::acquire(leased, early, later(20)).0, Reply::Denied { stale: true, .. }));
}

#[test]
fn a_backup_is_let_in_after_two_heartbeats_and_the_late_holder_is_refused() {
    let (first, cell) = granted(None, ask(Mode::Miss), NOW);
    assert!(matches!(Cell::acquire(cell, ask(Mode::Backup), later(599)).0, Reply::Denied { .. }));
    assert!(matches!(Cell::acquire(cell, ask(Mode::Miss), later(600)).0, Reply::Denied { .. }));
    let beating = Cell::renew(cell, first, LEASE, later(300).tick());
    assert!(matches!(Cell::acquire(beating, ask(Mode::Backup), later(600)).0, Reply::Denied { .. }));
    let (second, cell) = granted(cell, ask(Mode::Backup), later(600));
    assert_eq!(Cell::publish(cell, first, value(NOW), later(601).tick()), None);
    assert_eq!(Cell::renew(cell, first, LEASE, later(601).tick()), None);
    assert!(Cell::release(cell, first, None, later(601).tick()).is_err());
    assert!(Cell::publish(cell, second, value(NOW), later(602).tick()).is_some());
}

#[test]
fn whatever_takes_the_cell_away_voids_the_lease() {
    let (token, cell) = granted(None, ask(Mode::Miss), NOW);
    let now = NOW.tick();
    assert_eq!(Cell::publish(None, token, value(NOW), now), None, "deleted, evicted or flushed by somebody else");
    assert_eq!(Cell::publish(Some(Cell::foreign()), token, value(NOW), now), None);
    for verb in [Invalidation::Remove, Invalidation::Expire] {
        let (raised, cell) = Cell::invalidate(cell, verb, Fence::ZERO, NOW);
        assert!(raised.fence > token);
        assert_eq!(Cell::publish(Some(cell), token, value(NOW), now), None);
    }
}

#[test]
fn an_expiry_keeps_the_body_as_a_rescue_alone_and_a_removal_keeps_nothing() {
    let (_, stored) = published();
    let (raised, expired) = Cell::invalidate(stored, Invalidation::Expire, Fence::ZERO, later(10));
    assert!(raised.was_resident);
    assert!(expired.fresh_until <= later(10).tick() && expired.swr_until <= later(10).tick());
    assert!(matches!(Cell::acquire(Some(expired), ask(Mode::Miss), later(11)).0, Reply::Granted { stale: true, .. }));
    let (_, removed) = Cell::invalidate(stored, Invalidation::Remove, Fence::ZERO, later(10));
    assert!(matches!(Cell::acquire(Some(removed), ask(Mode::Miss), later(11)).0, Reply::Granted { stale: false, .. }));
}

#[test]
fn fences_are_above_what_the_asker_knows_even_if_its_clock_was_ahead() {
    let ahead = Now(NOW.0 * 2).fence();
    let (token, cell) = granted(None, Ask { at_least: ahead, ..ask(Mode::Miss) }, NOW);
    assert_eq!(token, ahead);
    let (raised, _) = Cell::invalidate(cell, Invalidation::Remove, Fence::ZERO, NOW);
    assert_eq!(raised.fence, Fence(ahead.0 + 1), "above the token, whatever the clock says");
}

#[test]
fn a_tier_that_has_forgotten_a_token_does_not_give_it_out_again() {
    let known = Now(NOW.0 * 2).fence();
    let forgetful = |draw| granted(None, Ask { at_least: known.above(), draw, ..ask(Mode::Miss) }, NOW).0;
    let drawn: Vec<_> = (0..10_000).map(|n| forgetful(Draw(0).fork(n))).collect();
    let again = drawn.windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert_eq!(again, 0, "of two who know the same, one after the other");
    assert!(drawn.iter().all(|token| *token > known && token.0 - known.0 <= TOKEN_STEP), "and hardly ahead of that");
    assert!(drawn.iter().max().is_some_and(|most| most.0 - known.0 > TOKEN_STEP / 2), "all of the step is used");
    assert_eq!(forgetful(PLAIN), forgetful(PLAIN), "control: without a draw they are the same");
}

#[test]
fn a_fence_says_when_it_was_drawn() {
    for us in [0, 1, NOW.0, 1_790_000_000_000_000, 1 << 51] {
        assert_eq!(Now::of(Now(us).fence()), Now(us));
        assert_eq!(Now::of(Fence(Now(us).fence().0 + FENCES_PER_US - 1)), Now(us));
    }
    let last = Fence(u64::MAX);
    let (raised, cell) = Cell::invalidate(None, Invalidation::Remove, last, NOW);
    let (token, _) = granted(Some(cell), Ask { draw: Draw(u64::MAX), ..ask(Mode::Miss) }, NOW);
    assert_eq!((raised.fence, token), (last, last), "nothing wraps around");
}

#[test]
fn a_failed_load_is_seen_by_all_until_it_has_cooled_down() {
    let (token, cell) = granted(None, ask(Mode::Miss), NOW);
    let cool = Some((Span(500), FailClass::Refused));
    let failed = Cell::release(cell, token, cool, NOW.tick()).expect("its holder's");
    let failing = Reply::Failed { left: Span(500), class: FailClass::Refused, stale: false };
    assert_eq!(Cell::acquire(failed, ask(Mode::Miss), NOW).0, failing);
    let (next, _) = granted(failed, ask(Mode::Miss), later(500));
    assert!(next > token);
    // Where there is a body, it stays, and the key is left alone all the same.
    let (_, stored) = published();
    let (token, leased) = granted(stored, ask(Mode::Miss), later(1500));
    let failed = Cell::release(leased, token, cool, later(1500).tick()).expect("its holder's");
    assert!(matches!(Cell::acquire(failed, ask(Mode::Miss), later(1501)).0, Reply::Failed { stale: true, .. }));
}

#[test]
fn giving_back_a_lease_never_shortens_a_tombstone() {
    let (_, removed) = Cell::invalidate(None, Invalidation::Remove, Fence::ZERO, NOW);
    let (token, leased) = granted(Some(removed), ask(Mode::Miss), later(1));
    for failed in [None, Some((Span(10), FailClass::Failed))] {
        let free = Cell::release(leased, token, failed, later(2).tick()).expect("its holder's").expect("a tombstone");
        assert_eq!((free.what, free.hard_until, free.fence), (What::Tombstone, removed.hard_until, removed.fence));
    }
}

#[test]
fn a_write_is_above_all_that_the_key_has_had_and_all_that_its_writer_knows() {
    let (raised, cell) = Cell::invalidate(None, Invalidation::Remove, Fence::ZERO, NOW);
    let first = Cell::may_write(Some(cell), When::Always, Span::ZERO, Fence::ZERO, NOW).expect("without a condition");
    assert!(first > raised.fence, "a tombstone beats older writes, and this one is newer");
    let known = Fence(first.0 + (1 << 40));
    assert!(Cell::may_write(Some(cell), When::Always, Span::ZERO, known, later(5)).is_some_and(|fence| fence >= known));
    assert!(
        Cell::may_write(None, When::Always, Span::ZERO, known, later(5)).is_some_and(|fence| fence >= known),
        "it was forgotten"
    );
    assert!(
        Cell::may_write(Some(Cell::foreign()), When::Always, Span::ZERO, Fence::ZERO, later(5)).is_some(),
        "as a SET of Redis"
    );
}

#[test]
fn a_condition_is_about_what_is_fresh_there_and_a_write_voids_every_token() {
    let may = |cell, when, at| Cell::may_write(cell, when, Span::ZERO, Fence::ZERO, at);
    let (token, leased) = granted(None, ask(Mode::Miss), NOW);
    for nothing in [None, leased, Some(Cell::invalidate(None, Invalidation::Remove, Fence::ZERO, NOW).1)] {
        assert_eq!(may(nothing, When::Present, later(1)), None, "{nothing:?}");
        let fence = may(nothing, When::Absent, later(1)).expect("nothing is there");
        assert!(fence > token, "{nothing:?}");
    }
    let (fence, stored) = published();
    assert_eq!(may(stored, When::Absent, later(1)), None);
    assert!(may(stored, When::Present, later(1)).is_some_and(|next| next > fence));
    assert!(may(stored, When::Absent, later(1500)).is_some(), "what is stale is kept for who renews it");
    let foreign = Some(Cell::foreign());
    assert!(may(foreign, When::Absent, NOW).is_none() && may(foreign, When::Always, NOW).is_some());
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Acquire(Mode, bool, u64),
    Publish(usize),
    Renew(usize),
    Release(usize, bool),
    Invalidate(bool),
    Write(When),
    Gone,
    Overwritten,
    Pass(u64),
    /// A server that knows nothing takes over; its clock stands behind.
    Behind(u64),
}

fn acts() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (prop_oneof![Just(Mode::Miss), Just(Mode::Early), Just(Mode::Backup)], any::<bool>(), any::<u64>())
            .prop_map(|(mode, holds, draw)| Act::Acquire(mode, holds, draw)),
        3 => (0usize..4).prop_map(Act::Publish),
        1 => (0usize..4).prop_map(Act::Renew),
        1 => (0usize..4, any::<bool>()).prop_map(|(n, failed)| Act::Release(n, failed)),
        2 => any::<bool>().prop_map(Act::Invalidate),
        1 => prop_oneof![Just(When::Always), Just(When::Absent), Just(When::Present)].prop_map(Act::Write),
        1 => Just(Act::Gone),
        1 => Just(Act::Overwritten),
        3 => (0u64..1500).prop_map(Act::Pass),
        1 => (0u64..3000).prop_map(Act::Behind),
    ]
}

proptest! {
    /// G3, whatever happens in whatever order: only the newest token is ever stored, and fences of a cell only grow.
    #[test]
    fn g3_what_was_asked_for_before_an_invalidation_is_never_stored_after_it(acts in prop::collection::vec(acts(), 1..60)) {
        let mut at = NOW;
        let mut cell: Option<Cell> = None;
        let mut tokens: Vec<Fence> = Vec::new();
        // What an asker knows: a newer fence than this was never told to anybody.
        let mut known = Fence::ZERO;
        let mut behind = false;
        // Nothing drawn before this may be stored. A cell that others take away is forgotten, and its fences with it:
        // what was granted before must be refused all the same.
        let mut void = 0;
        for act in acts {
            // A step takes longer than the microsecond in which a server tells the time.
            at = Now(at.0 + 1);
            let now = at.tick();
            match act {
                Act::Acquire(mode, holds, draw) => {
                    let holds = if holds { cell.map_or(Fence::ZERO, |cell| cell.fence) } else { Fence::ZERO };
                    let asked = Ask { holds, at_least: known.above(), draw: Draw(draw), ..ask(mode) };
                    let (reply, next) = Cell::acquire(cell, asked, at);
                    if let Reply::Granted { token, .. } = reply {
                        // Fences that are ahead of the clock outlive the cell that could tell of them.
                        let forgotten = behind && cell.is_none();
                        prop_assert!(
                            tokens.last().is_none_or(|last| token > *last || void == tokens.len() || forgotten)
                        );
                        prop_assert!(!tokens.contains(&token), "a token of its own");
                        tokens.push(token);
                    }
                    cell = next;
                }
                Act::Publish(back) => {
                    let Some(n) = tokens.len().checked_sub(back + 1) else { continue };
                    if let Some(next) = Cell::publish(cell, tokens[n], value(at), now) {
                        prop_assert!(n + 1 == tokens.len() && n >= void, "token {n} of {}, void below {void}", tokens.len());
                        void = tokens.len();
                        cell = Some(next);
                    }
                }
                Act::Renew(back) => {
                    let Some(n) = tokens.len().checked_sub(back + 1) else { continue };
                    if let Some(next) = Cell::renew(cell, tokens[n], LEASE, now) {
                        prop_assert!(n >= void);
                        cell = Some(next);
                    }
                }
                Act::Release(back, failed) => {
                    let Some(n) = tokens.len().checked_sub(back + 1) else { continue };
                    if let Ok(next) = Cell::release(cell, tokens[n], failed.then_some((Span(300), FailClass::Failed)), now) {
                        prop_assert!(n >= void);
                        void = tokens.len();
                        cell = next;
                    }
                }
                Act::Invalidate(remove) => {
                    let verb = if remove { Invalidation::Remove } else { Invalidation::Expire };
                    let (raised, next) = Cell::invalidate(cell, verb, Fence::ZERO, at);
                    prop_assert!(cell.is_none_or(|cell| raised.fence > cell.fence));
                    void = tokens.len();
                    known = known.max(raised.fence);
                    cell = Some(next);
                }
                Act::Write(when) => {
                    if let Some(fence) = Cell::may_write(cell, when, Span::ZERO, known.above(), at) {
                        prop_assert!(cell.is_none_or(|cell| fence > cell.fence) && fence > known);
                        void = tokens.len();
                        known = fence;
                        cell = Some(Cell { fence, token: None, lease_until: Tick(0), lease: Span::ZERO, ..value(at) });
                    }
                }
                Act::Gone => {
                    void = tokens.len();
                    cell = None;
                }
                Act::Overwritten => {
                    void = tokens.len();
                    cell = Some(Cell::foreign());
                }
                Act::Pass(ms) => at = Now(at.0 + ms * 1000),
                Act::Behind(ms) => {
                    (void, behind) = (tokens.len(), true);
                    cell = None;
                    at = Now(at.0 - ms * 1000);
                }
            }
            cell = alive(cell, at.tick());
            if let Some(cell) = cell {
                prop_assert!(cell.fresh_until <= cell.swr_until && cell.swr_until <= cell.hard_until);
            }
        }
    }
}

#[test]
fn what_is_taken_is_handed_out_once_and_nothing_below_its_fence_is_stored() {
    let cell = Cell { fence: Fence(9), ..value(NOW) };
    let (fence, left) = Cell::change(Some(cell), Change::Take, Fence::ZERO, later(5)).expect("it is there");
    assert_eq!((left.what, left.token), (What::Tombstone, None));
    assert!(fence > cell.fence);
    assert_eq!(Cell::change(Some(left), Change::Take, Fence::ZERO, later(6)), None, "somebody has it");
    assert_eq!(Cell::change(None, Change::Take, Fence::ZERO, NOW), None);
    assert_eq!(Cell::change(Some(cell), Change::Take, Fence::ZERO, later(1_500)), None, "what is stale is not there");
    assert!(Cell::change(Some(Cell::foreign()), Change::Take, Fence::ZERO, NOW).is_some());
}

#[test]
fn another_end_is_a_write_of_the_same_value() {
    let cell = Cell { fence: Fence(9), token: Some(Fence(12)), ..value(NOW) };
    let end = |only, fresh| {
        let ending = Ending { fresh: Span(fresh), swr: Span(70), hard: Span(60), only };
        Cell::change(Some(cell), Change::End(ending), Fence::ZERO, later(400))
    };
    let (fence, next) = end(Only::Always, 5_000).expect("it is there");
    assert_eq!((next.what, next.fence, next.token, next.created), (What::Value, fence, None, cell.created));
    assert!(fence > Fence(12), "whoever loads may not publish over it");
    let now = later(400).tick();
    assert_eq!(next.fresh_until, now + Span(5_000));
    assert_eq!((next.swr_until, next.hard_until), (now + Span(5_070), now + Span(5_070)));
    // 600 ms are left.
    assert_eq!([599, 600, 601].map(|fresh| end(Only::Later, fresh).is_some()), [false, false, true]);
    assert_eq!([599, 600, 601].map(|fresh| end(Only::Sooner, fresh).is_some()), [true, false, false]);
    assert_eq!(end(Only::Sooner, 0).expect("it is there").1.what, What::Tombstone);
    let ending = Ending { fresh: Span(5), swr: Span::ZERO, hard: Span::ZERO, only: Only::Always };
    assert_eq!(Cell::change(Some(Cell::foreign()), Change::End(ending), Fence::ZERO, NOW), None);
}
