//! What must hold for all verdicts together.

use super::board::{Board, MOST_HOT, MOST_TRACKED, Seen, Sight};
use super::hot::{Rates, Stage};
use super::policy::{Bars, HotPolicy, WINDOW};
use super::sketch::Id;
use super::window::Counts;
use crate::draw::Draw;
use crate::time::{Span, Tick};
use proptest::prelude::*;

struct World {
    board: Board,
    policy: HotPolicy,
    bars: Bars,
    instances: u32,
    now: Tick,
}

impl World {
    /// A node bears 10,000 operations a second: 500 a window are half of it.
    fn new(instances: u32) -> World {
        let policy = HotPolicy { capacity: Some(10_000.0), ..HotPolicy::default() };
        World { board: Board::default(), bars: policy.bars(0.0), policy, instances, now: Tick(1_000_000) }
    }

    fn window(&mut self, seen: &[Seen]) {
        self.now = self.now + WINDOW;
        let World { board, policy, bars, instances, now } = self;
        board.judge(seen, &Sight { length: WINDOW, instances: *instances, bars, policy, now: *now });
    }

    fn now(&mut self, one: Seen) -> bool {
        let World { board, policy, bars, instances, now } = self;
        board.judge_now(&one, &Sight { length: WINDOW, instances: *instances, bars, policy, now: *now })
    }

    fn windows(&mut self, most: u64, seen: &[Seen]) -> u64 {
        let hot = |world: &World| seen.iter().any(|one| world.board.stage(one.id) == Some(Stage::Hot));
        (0..most)
            .take_while(|_| {
                self.window(seen);
                hot(self)
            })
            .count() as u64
    }
}

fn reads(id: u64, reads: u64) -> Seen {
    let here = Counts { reads, ..Counts::default() };
    Seen { id: Id(id), space: 1, here, elsewhere: Rates::default() }
}

#[test]
fn s4_a_key_that_turns_hot_inside_a_window_is_known_before_it_ends() {
    let mut world = World::new(50);
    // 50 processes, each sees 160 of 80,000 a second in a window; a tenth of the node's half is enough.
    assert_eq!(world.bars.local(50), 32);
    assert!(world.now(reads(7, 32)), "news");
    assert!(!world.now(reads(7, 64)), "no news");
    assert_eq!(world.board.stage(Id(7)), Some(Stage::Hot));
    // The control: in a process of its own the same count is nothing.
    let mut alone = World::new(1);
    assert!(!alone.now(reads(7, 32)));
    assert_eq!(alone.board.stage(Id(7)), None);
}

#[test]
fn what_others_see_counts_as_much_as_what_is_seen_here() {
    let mut world = World::new(1_000);
    let elsewhere = Rates { reads: 6_000.0, ..Rates::default() };
    world.window(&[Seen { elsewhere, ..reads(7, 0) }, reads(8, 1)]);
    assert_eq!((world.board.stage(Id(7)), world.board.stage(Id(8))), (Some(Stage::Hot), None));
    let hot = world.board.hot(Id(7), &world.bars).expect("hot");
    assert!(hot.here.reads == 0.0 && (hot.fleet.reads - 6_000.0).abs() < 1.0 && (hot.share - 0.6).abs() < 0.01);
}

#[test]
fn large_values_and_writes_heat_a_key_as_reads_do() {
    let mut world = World::new(1);
    let bytes = Counts { reads: 5, writes: 0, bytes: 600 * 1024 };
    let writes = Counts { reads: 0, writes: 500, bytes: 0 };
    world.window(&[Seen { here: bytes, ..reads(1, 0) }, Seen { here: writes, ..reads(2, 0) }, reads(3, 5)]);
    assert_eq!([1, 2, 3].map(|id| world.board.stage(Id(id))), [Some(Stage::Hot), Some(Stage::Hot), None]);
}

#[test]
fn a_hot_key_is_given_up_after_its_hold_and_held_longer_when_it_flaps() {
    let mut world = World::new(1);
    let mut held = Vec::new();
    for _ in 0..5 {
        world.window(&[reads(7, 600)]);
        held.push(world.windows(20_000, &[reads(7, 0)]) / 10);
        assert_eq!(world.board.stage(Id(7)), None);
    }
    // In seconds, the window in which it heats not counted.
    assert_eq!(held, [59, 119, 239, 479, 899]);
}

#[test]
fn a_million_fake_hot_keys_cost_bounded_memory_and_push_out_no_real_one() {
    let mut world = World::new(100);
    let real = [reads(1, 400), reads(2, 300)];
    (0..3).for_each(|_| world.window(&real));
    let mut fake = 1_000u64;
    for _ in 0..100 {
        // Each just enough to be taken for hot, and never asked for again.
        let burst: Vec<Seen> = (0..10_000).map(|n| reads(fake + n, 64)).chain(real).collect();
        fake += 10_000;
        world.window(&burst);
        assert!(world.board.ids().count() <= MOST_TRACKED && world.board.sizes().0 <= MOST_HOT);
        assert_eq!([1, 2].map(|id| world.board.stage(Id(id))), [Some(Stage::Hot); 2]);
    }
    // A real one that comes in the midst of it finds a place as well.
    (0..20).for_each(|_| world.window(&[reads(1, 400), reads(2, 300), reads(3, 350)]));
    assert_eq!(world.board.stage(Id(3)), Some(Stage::Hot));
    assert!(world.board.refused.quota > 0 && world.board.refused.full > 0, "{:?}", world.board.refused);
}

#[test]
fn a_space_s_quota_is_not_another_space_s() {
    let mut world = World::new(1);
    let full: Vec<Seen> = (0..2 * MOST_HOT as u64).map(|id| reads(id, 600)).collect();
    world.window(&full);
    assert_eq!(world.board.sizes().0, MOST_HOT);
    let other = Seen { space: 2, ..reads(9_999, 600) };
    world.window(&[full, vec![other]].concat());
    assert_eq!(world.board.stage(Id(9_999)), Some(Stage::Hot));
}

#[test]
fn keys_of_spaces_that_are_gone_are_forgotten() {
    let mut world = World::new(1);
    world.window(&[reads(1, 600), reads(2, 600)]);
    world.board.retain(|id| id == Id(2));
    assert_eq!((world.board.stage(Id(1)), world.board.stage(Id(2))), (None, Some(Stage::Hot)));
}

proptest! {
    #[test]
    fn whatever_is_seen_bounds_hold_and_the_same_windows_give_the_same_verdicts(
        windows in prop::collection::vec(prop::collection::vec((0u64..600, 0u64..900), 0..40), 1..30),
        seed: u64,
    ) {
        let run = || {
            let mut world = World::new(3);
            for (n, window) in windows.iter().enumerate() {
                // A window names a key once.
                let keys: std::collections::BTreeMap<u64, u64> = window.iter().copied().collect();
                let spread = |id: u64| Draw(seed).fork(id).0 % 600;
                let seen: Vec<Seen> = keys.iter().map(|(id, count)| reads(spread(*id) * 600 + *id, *count)).collect();
                world.window(&seen);
                world.now = world.now + Span(n as u64 * 1_000);
            }
            world
        };
        let (one, other) = (run(), run());
        prop_assert!(one.board.ids().count() <= MOST_TRACKED && one.board.sizes().0 <= MOST_HOT);
        prop_assert_eq!(one.board.hottest_first(), other.board.hottest_first());
        for id in one.board.ids() {
            prop_assert_eq!(one.board.hot(id, &one.bars), other.board.hot(id, &other.bars));
        }
    }
}
