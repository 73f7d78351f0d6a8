//! How does an instance notice that a key is hot? The core's sketch, board and fleet view, fed as the engine feeds them.

use std::collections::BTreeSet;

use bellwether_core::draw::Draw;
use bellwether_core::heat::board::{Board, Seen, Sight};
use bellwether_core::heat::fleet::{FleetView, Told, tells_every, top};
use bellwether_core::heat::hot::{Hot, Stage};
use bellwether_core::heat::policy::{Bars, HotPolicy, LEAST, WINDOW};
use bellwether_core::heat::sketch::{Id, Sketch};
use bellwether_core::heat::window::Counts;
use bellwether_core::time::Tick;

/// As the engine's.
const CELLS: usize = 8_192;
/// A key is looked at from so many accesses on.
const NOTED_FROM: u64 = LEAST / 2;

/// One instance's detector.
pub(super) struct Watcher {
    sketch: Sketch,
    board: Board,
    view: FleetView,
    policy: HotPolicy,
    bars: Bars,
    instances: u32,
    noted: BTreeSet<Id>,
    began: Tick,
    told: Tick,
}

impl Watcher {
    /// Of a fleet of so many instances, whose nodes bear `capacity` operations a second each.
    pub(super) fn new(instances: u32, capacity: f64, now: Tick) -> Watcher {
        let policy = HotPolicy { capacity: Some(capacity), ..HotPolicy::default() };
        let bars = policy.bars(capacity);
        Watcher {
            sketch: Sketch::new(CELLS),
            board: Board::default(),
            view: FleetView::default(),
            policy,
            bars,
            instances,
            noted: BTreeSet::new(),
            began: now,
            told: now,
        }
    }

    /// A read of a key. True: the key has just become hot, inside the window.
    pub(super) fn read(&mut self, id: Id, draw: Draw, now: Tick) -> bool {
        // An instance sees so few that it looks at all of them.
        let count = u64::from(self.sketch.add(id.0, 1, draw));
        if count >= NOTED_FROM {
            self.noted.insert(id);
        }
        if count < self.bars.local(self.instances) || self.board.stage(id) == Some(Stage::Hot) {
            return false;
        }
        // Of a whole window, whatever is still to come.
        let one = Seen { id, space: 0, here: reads(count), elsewhere: self.view.rates(id) };
        let sight = Sight { length: WINDOW, instances: self.instances, bars: &self.bars, policy: &self.policy, now };
        self.board.judge_now(&one, &sight)
    }

    /// A window is over: what others are told, if it is time.
    pub(super) fn turn(&mut self, now: Tick, draw: Draw) -> Vec<Told> {
        self.view.turn(now);
        let others: Vec<Id> = self.view.above(self.bars.watch).map(|(id, _)| id).collect();
        let ids: BTreeSet<Id> = self.noted.iter().copied().chain(self.board.ids()).chain(others).collect();
        let seen = |id: &Id| {
            let here = reads(u64::from(self.sketch.count(id.0)));
            Seen { id: *id, space: 0, here, elsewhere: self.view.rates(*id) }
        };
        let seen: Vec<Seen> = ids.iter().map(seen).collect();
        let sight = Sight {
            length: now.since(self.began),
            instances: self.instances,
            bars: &self.bars,
            policy: &self.policy,
            now,
        };
        self.board.judge(&seen, &sight);
        self.sketch.clear();
        self.noted.clear();
        self.began = now;
        if now.since(self.told) < tells_every(self.instances) {
            return Vec::new();
        }
        self.told = now;
        top(seen.iter().map(|one| Told { id: one.id, counts: one.here }).collect(), draw)
    }

    /// Another instance has told.
    pub(super) fn hear(&mut self, sender: u64, told: &[Told], now: Tick) {
        self.view.hear(sender, told, now);
    }

    /// What is said of a key.
    pub(super) fn hot(&self, id: Id) -> Option<Hot> {
        self.board.hot(id, &self.bars)
    }

    /// Keys that are hot.
    pub(super) fn all_hot(&self) -> impl Iterator<Item = Id> + '_ {
        self.board.ids().filter(|id| self.board.stage(*id) == Some(Stage::Hot))
    }
}

fn reads(count: u64) -> Counts {
    Counts { reads: count, writes: 0, bytes: 0 }
}
