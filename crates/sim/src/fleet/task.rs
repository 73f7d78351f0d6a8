//! What does a load under way hold? A leader's task, or one request's own load where nobody coalesces.

use bellwether_core::entry::Meta;
use bellwether_core::failure::FailClass;
use bellwether_core::fence::Fence;
use bellwether_core::guard::gate::Pass;
use bellwether_core::read::walk::{Sharing, Step, Walk};
use bellwether_core::time::{Span, Tick};

/// Leaders of one run; a run with more is cut short and says so.
pub const MOST_TASKS: usize = 30_000_000;

/// A leader.
pub(super) struct Task {
    pub(super) process: u32,
    pub(super) key: u32,
    pub(super) walk: Walk,
    /// What it asks the shared tier, or does next.
    pub(super) step: Step,
    /// The fence of the value that a refresher saw: only a newer one is news to it.
    pub(super) seen: Fence,
    /// Those who wait, by the moment they came.
    pub(super) waiters: Vec<(Tick, u64)>,
    pub(super) fence: Fence,
    pub(super) started: Tick,
    /// The lease that it holds, and how long it lasts without a heartbeat.
    pub(super) claim: Option<(Fence, Span)>,
    /// Its permit, while it holds one.
    pub(super) pass: Option<Pass>,
    /// The pacer let it through.
    pub(super) paced: bool,
    /// Its process goes on with its hot list when it ends.
    pub(super) warms: bool,
    pub(super) loads: bool,
    /// What a holder is about to tell the shared tier.
    pub(super) brings: Option<Meta>,
    /// ... or that its load failed, and for how long the key is left alone.
    pub(super) failed: Option<(Span, FailClass)>,
}

impl Task {
    /// A leader and its first step.
    pub(super) fn new(process: u32, key: u32, tier: Option<Sharing>) -> Task {
        let (walk, step) = Walk::start(false, tier);
        Task {
            process,
            key,
            walk,
            step,
            seen: Fence::ZERO,
            waiters: Vec::new(),
            fence: Fence::ZERO,
            started: Tick(0),
            claim: None,
            pass: None,
            paced: false,
            warms: false,
            loads: false,
            brings: None,
            failed: None,
        }
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
    /// A pause before the next question is over.
    Waited(u64),
    /// A holder's heartbeat.
    Beat(u64),
    /// The origin answers.
    Answer(u64),
    /// The load is given up.
    GiveUp(u64),
    /// What a leader brought reaches the shared tier.
    Publish(u64),
    /// The guard of a process has something to say.
    Guard(u32),
    /// The pacer of a process has something to say.
    Pace(u32),
    /// A process goes on with its hot list.
    Warm(u32),
    /// A process looks whether it may load now what it could not.
    Unmet(u32),
    /// A process dies.
    Crash(u32),
}
