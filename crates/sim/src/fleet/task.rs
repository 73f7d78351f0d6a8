//! What does a load under way hold? A leader's task, or one request's own load where nobody coalesces.

use bellwether_core::entry::Meta;
use bellwether_core::fence::Fence;
use bellwether_core::guard::cooldown::Cooling;
use bellwether_core::guard::gate::Pass;
use bellwether_core::read::walk::{Sharing, Step, Walk};
use bellwether_core::time::Tick;

/// Leaders of one run; a run with more is cut short and says so.
pub const MOST_TASKS: usize = 30_000_000;

/// A leader.
pub(super) struct Task {
    pub(super) process: u32,
    pub(super) key: u32,
    pub(super) walk: Walk,
    /// The fence of the value that a refresher saw: only a newer one is news to it.
    pub(super) seen: Fence,
    /// Those who wait, by the moment they came.
    pub(super) waiters: Vec<(Tick, u64)>,
    pub(super) fence: Fence,
    pub(super) started: Tick,
    pub(super) holds_lease: bool,
    /// Its permit, while it holds one.
    pub(super) pass: Option<Pass>,
    pub(super) loads: bool,
    /// Times it found the lease held.
    pub(super) refused: u32,
    /// What a holder is about to tell the shared tier.
    pub(super) brings: Option<Meta>,
    /// ... or that its load failed.
    pub(super) cooling: Option<Cooling>,
}

impl Task {
    /// A leader and its first step.
    pub(super) fn new(process: u32, key: u32, tier: Option<Sharing>) -> (Task, Step) {
        let (walk, step) = Walk::start(false, tier);
        let task = Task {
            process,
            key,
            walk,
            seen: Fence::ZERO,
            waiters: Vec::new(),
            fence: Fence::ZERO,
            started: Tick(0),
            holds_lease: false,
            pass: None,
            loads: false,
            refused: 0,
            brings: None,
            cooling: None,
        };
        (task, step)
    }

    /// One more waits from now on.
    pub(super) fn waits(&mut self, now: Tick) {
        match self.waiters.last_mut() {
            Some((since, n)) if *since == now => *n += 1,
            _ => self.waiters.push((now, 1)),
        }
    }
}

/// What is due later, each for a task or a process by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// The shared tier has the leader's question.
    Tier(u64),
    /// The origin answers.
    Answer(u64),
    /// The load is given up.
    GiveUp(u64),
    /// What a leader brought reaches the shared tier.
    Publish(u64),
    /// The guard of a process has something to say.
    Guard(u32),
}
