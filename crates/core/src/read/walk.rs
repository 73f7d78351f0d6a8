//! What does a leader do next? The miss path as a machine: events in, steps out, no I/O.
//!
//! ```text
//! AwaitTurn -> Probe -> Acquire -> Admit -> Load -> Keep | Mark | Fail
//!               ^  \________ \___ Wait -.           (each of these ends the walk,
//!               \____________________/             and so do Adopt and Leave)
//! ```
//! Without a shared tier the way is `AwaitTurn -> Admit -> Load`; with a disk `Look` comes before `Probe` or `Admit`. A load reads the origin with a lease in hand, alone
//! because the tier is gone, or beside others because the tier says that this key's answers are not kept: never
//! because somebody is slow.

use crate::draw::Draw;
use crate::entry::{Kind, Meta};
use crate::failure::FailClass;
use crate::fence::{Fence, Floor};
use crate::guard::cooldown::Cooling;
use crate::lease::Mode;
use crate::policy::Policy;
use crate::read::decide::{Decision, Demand, Resident, decide};
use crate::read::queue::Queue;
pub use crate::read::queue::Sharing;
use crate::read::shelf::Shelved;
use crate::time::{Span, Tick};
use crate::why::Why;
use crate::write::stamp::{Stamping, stamp};

/// How long a value is fresh that was loaded alone, or whose publishing was not answered; where copies are compared more
/// often than that, until it would be.
pub const LONE_FRESH: Span = Span::secs(1);
/// So often a lease is asked for in a row; then the leader pauses before it asks again.
const MOST_ASKED: u32 = 3;

/// What the shell performs next. All down to `Load` answer with an [`Event`]; the others are ends.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Wait until the older flight ends or may be overtaken, then say [`Event::Turn`].
    AwaitTurn,
    /// Look on this machine's disk, then say [`Event::Looked`].
    Look,
    /// Read the shared tier, then say [`Event::Heard`].
    Probe,
    /// Ask the shared tier for the right to load, then say [`Event::Heard`].
    Acquire(Mode),
    /// Somebody else loads: wait so long, or until the key changes, then say [`Event::Waited`].
    Wait(Span),
    /// Ask the guard for a permit.
    Admit,
    /// Draw the fence, begin to read, call the loader.
    Load,
    /// The shared tier's entry answers: install and deliver it.
    Adopt {
        /// Its meta.
        meta: Meta,
        /// What callers are told.
        why: Why,
        /// It is stale: start a refresh once it is delivered.
        refresh: bool,
    },
    /// Nothing to be done: what is resident will do, and the tier that could grant its refresh is gone.
    Leave,
    /// Store under this meta and deliver.
    Keep(Meta),
    /// Deliver without storing, and leave this marker: the next callers load side by side.
    Mark {
        /// The marker's meta.
        marker: Meta,
        /// The body's meta: what its readers see as age.
        body: Meta,
        /// No follower may share it.
        private: bool,
    },
    /// No value. A load that ran and failed leaves the key cooling.
    Fail {
        /// What callers see, unless something rescues them.
        why: Why,
        /// When another try makes sense.
        retry_after: Option<Span>,
        /// The key's failed state, if a load ran.
        cooling: Option<Cooling>,
    },
}

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// The flight may run.
    Turn,
    /// What the disk holds.
    Looked(Option<Shelved>),
    /// The shared tier answered, or did not.
    Heard(Heard),
    /// The wait is over, or the key has changed.
    Waited,
    /// The permit is ours.
    Admitted,
    /// The guard turned us away.
    Shed(Why, Option<Span>),
    /// The load ended well.
    Loaded(Report),
    /// The load failed; with the key's failed state before it.
    Failed(FailClass, Option<Cooling>),
}

/// What the shared tier said to a probe, or to somebody who asked for the right to load.
#[derive(Clone, Copy, Debug)]
pub enum Heard {
    /// Nothing that can be read. `lease`: somebody loads, at most so much longer.
    Nothing {
        /// What is left of that lease.
        lease: Option<Span>,
    },
    /// An entry, fresh or not.
    Entry(Seen),
    /// The right to load is ours.
    Granted,
    /// Somebody else loads, at most so much longer.
    Denied(Span),
    /// The last load failed; no other is tried for so long.
    Failed(Span, FailClass),
    /// The answer may not be kept: callers load side by side.
    HitForMiss,
    /// The key can't take part: it holds what is not ours to overwrite.
    Passing,
    /// No answer within the budget. `idle`: nobody waits, and what is resident is still fresh.
    Unreachable {
        /// Whether the load can be left undone.
        idle: bool,
    },
}

/// An entry of the shared tier, as the walk sees it.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Its meta here, under a local fence that was drawn before the tier was asked.
    pub meta: Meta,
    /// What covers it.
    pub floor: Floor,
    /// It is covered by nothing but an invalidation that was heard of here after the tier was asked.
    pub crossed: bool,
    /// The strictest demand of those who wait for it.
    pub demand: Demand,
    /// It is newer than what this process held when it asked.
    pub newer: bool,
    /// Somebody loads, at most so much longer.
    pub lease: Option<Span>,
}

/// By what right a load reads the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// There is no tier to ask.
    Alone,
    /// None yet.
    None,
    /// A lease.
    Lease,
    /// The tier is gone.
    Lone,
    /// The tier keeps no answers of this key.
    Beside,
}

/// What the shared tier is told when a walk ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// Nothing.
    Silent,
    /// What was kept, or the marker, is published under the lease's token.
    Publish,
    /// The lease is given back; with a failed state where the load failed.
    Release(Option<(Span, FailClass)>),
}

/// A load that ended well.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// When it began to read.
    pub started: Tick,
    /// Drawn at that moment.
    pub fence: Fence,
    /// What it found.
    pub found: Found,
    /// The answer's own ttl.
    pub ttl: Option<Span>,
    /// p99 and mean of the load times so far.
    pub times: (Option<Span>, Option<Span>),
}

/// What a load found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A value that may be kept.
    Value,
    /// An answer that may not be kept; `private` ones are not even shared.
    Uncacheable {
        /// A value or "no such row".
        kind: Kind,
        /// For one caller alone.
        private: bool,
    },
    /// No such row.
    Missing,
    /// The body that the loader was shown is still right.
    NotModified,
    /// "Not modified" although the loader was shown nothing.
    NotModifiedOfNothing,
}

/// A leader's walk.
#[derive(Clone, Debug)]
pub struct Walk {
    sharing: Option<Sharing>,
    right: Right,
    queue: Queue,
    /// How often in a row the right to load was asked for.
    asked: u32,
    /// The tier was asked for the right to load: who comes newer has come after this flight's callers.
    joined: bool,
    /// How often in a row an answer crossed an invalidation.
    looked_again: u32,
    disk: OnDisk,
}

/// How far this machine's disk was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnDisk {
    /// Not to be looked at any more, or at all.
    Done,
    /// Not yet.
    Unseen,
    /// It holds something that an earlier life left: the shared tier, which has heard of invalidations meanwhile, is
    /// asked first.
    Behind,
    /// The tier is gone: what the disk holds is better than nothing.
    Last,
}

impl Walk {
    /// Begins. `parked`: an older flight of the key still runs; `sharing`: there is a shared tier to ask.
    pub fn start(parked: bool, sharing: Option<Sharing>) -> (Walk, Step) {
        let right = if sharing.is_some() { Right::None } else { Right::Alone };
        let (queue, disk) = (Queue::default(), OnDisk::Done);
        let walk = Walk { sharing, right, queue, asked: 0, joined: false, looked_again: 0, disk };
        let step = if parked { Step::AwaitTurn } else { walk.first() };
        (walk, step)
    }

    /// The same walk, which looks on this machine's disk before it goes any further.
    #[must_use]
    pub fn with_disk(self, step: Step) -> (Walk, Step) {
        let walk = Walk { disk: OnDisk::Unseen, ..self };
        let step = if step == Step::AwaitTurn { step } else { walk.first() };
        (walk, step)
    }

    fn first(&self) -> Step {
        if self.disk == OnDisk::Unseen { Step::Look } else { self.beyond_disk() }
    }

    fn beyond_disk(&self) -> Step {
        if self.sharing.is_some() { Step::Probe } else { Step::Admit }
    }

    /// By what right the load reads.
    pub fn right(&self) -> Right {
        self.right
    }

    /// The next step after `event`.
    pub fn on(&mut self, event: Event, now: Tick, policy: &Policy, draw: Draw) -> Step {
        match event {
            Event::Turn => self.first(),
            Event::Looked(found) => self.looked(found, now, policy, draw),
            Event::Heard(heard) => match self.sharing {
                Some(sharing) => self.heard(heard, &sharing, now, policy, draw),
                None => Step::Admit,
            },
            Event::Waited => Step::Probe,
            Event::Admitted => Step::Load,
            Event::Shed(why, retry_after) => Step::Fail { why, retry_after, cooling: None },
            Event::Loaded(report) => self.shortened(settle(&report, now, policy, draw)),
            Event::Failed(class, before) => failed(class, before.as_ref(), now, draw),
        }
    }

    fn heard(&mut self, heard: Heard, sharing: &Sharing, now: Tick, policy: &Policy, draw: Draw) -> Step {
        if !matches!(heard, Heard::Unreachable { .. }) {
            self.queue.answered();
        }
        match heard {
            Heard::Entry(seen) => match self.verdict(&seen, sharing, now, policy, draw) {
                Some(adopted) => adopted,
                // An invalidation was heard of while the answer was on its way: which of the two is older, another
                // look will tell.
                None if self.looked_again < MOST_ASKED && seen.crossed && now < seen.meta.fresh_until => {
                    self.looked_again += 1;
                    Step::Probe
                }
                None => self.proceed(seen.lease, Mode::Early, sharing, now, draw),
            },
            Heard::Nothing { lease } => self.proceed(lease, Mode::Miss, sharing, now, draw),
            Heard::Denied(left) => self.pause(left, sharing, now, draw),
            Heard::Granted => self.admit(Right::Lease),
            Heard::HitForMiss | Heard::Passing => self.admit(Right::Beside),
            Heard::Failed(left, class) => {
                let cooling = Cooling::heard(left, class, now);
                Step::Fail { why: Why::Cooling, retry_after: Some(left), cooling: Some(cooling) }
            }
            Heard::Unreachable { idle: true } => Step::Leave,
            // Who waits for a holder has heard from the tier: a blink of it is no reason to load beside that holder.
            Heard::Unreachable { idle: false } => match self.queue.silent(now, draw) {
                Some(pause) => Step::Wait(pause),
                None if self.disk == OnDisk::Behind => {
                    self.disk = OnDisk::Last;
                    Step::Look
                }
                None => self.admit(Right::Lone),
            },
        }
    }

    /// Whether what the disk holds answers.
    fn looked(&mut self, found: Option<Shelved>, now: Tick, policy: &Policy, draw: Draw) -> Step {
        let last = self.disk == OnDisk::Last;
        self.disk = OnDisk::Done;
        match found {
            Some(found) if found.earlier && self.sharing.is_some() && !last => self.disk = OnDisk::Behind,
            Some(found) => {
                let resident = Resident { meta: &found.meta, hits: 0 };
                if let Some(adopted) = adopted(resident, found.floor, found.demand, Why::Hit, now, policy, draw) {
                    return adopted;
                }
            }
            None => {}
        }
        if last { self.admit(Right::Lone) } else { self.beyond_disk() }
    }

    fn admit(&mut self, right: Right) -> Step {
        self.right = right;
        Step::Admit
    }

    /// Whether the tier's entry answers, and how.
    fn verdict(&self, seen: &Seen, sharing: &Sharing, now: Tick, policy: &Policy, draw: Draw) -> Option<Step> {
        if sharing.refresh && !seen.newer {
            return None;
        }
        // What was published after we asked to load is what a load of ours would be to those who joined it.
        let demand = match seen.demand {
            Demand::Fresh if seen.newer && self.joined => Demand::Any,
            demand => demand,
        };
        let found = Resident { meta: &seen.meta, hits: 0 };
        let fresh = if self.queue.has_waited() { Why::Coalesced } else { Why::Hit };
        adopted(found, seen.floor, demand, fresh, now, policy, draw)
    }

    /// Nothing there that will do: ask for the right to load, or wait for who has it.
    fn proceed(&mut self, lease: Option<Span>, mode: Mode, sharing: &Sharing, now: Tick, draw: Draw) -> Step {
        match lease {
            Some(left) if !self.queue.presumes_gone(left, sharing.lease) => self.pause(left, sharing, now, draw),
            Some(left) if self.asked >= MOST_ASKED => self.pause(left, sharing, now, draw),
            Some(_) => self.acquire(Mode::Backup),
            // Something newer came each time, and would not do: others are at work on this key.
            None if self.asked >= MOST_ASKED => self.pause(sharing.lease, sharing, now, draw),
            None => self.acquire(mode),
        }
    }

    fn acquire(&mut self, mode: Mode) -> Step {
        self.asked += 1;
        self.looked_again = 0;
        self.joined = true;
        Step::Acquire(mode)
    }

    fn pause(&mut self, left: Span, sharing: &Sharing, now: Tick, draw: Draw) -> Step {
        self.asked = 0;
        self.joined = true;
        match self.queue.pause(left, sharing, now, draw) {
            Some(pause) => Step::Wait(pause),
            None => Step::Fail { why: Why::Timeout, retry_after: Some(left), cooling: None },
        }
    }

    /// A value that no tier knows of is not fresh for long: nobody could take it back.
    fn shortened(&self, end: Step) -> Step {
        match end {
            Step::Keep(meta) if self.right == Right::Lone => {
                let most = self.sharing.map_or(LONE_FRESH, |sharing| LONE_FRESH.at_most(sharing.unwatched));
                Step::Keep(unproven(meta, most))
            }
            Step::Keep(meta) if self.right == Right::Beside => {
                Step::Keep(unproven(meta, self.sharing.map_or(LONE_FRESH, |sharing| sharing.unwatched)))
            }
            end => end,
        }
    }

    /// What the tier is told at this end of the walk.
    pub fn parting(&self, end: &Step, now: Tick) -> Parting {
        if self.right != Right::Lease {
            return Parting::Silent;
        }
        match end {
            Step::Keep(_) | Step::Mark { .. } => Parting::Publish,
            Step::Fail { cooling, .. } => {
                Parting::Release(cooling.and_then(|cooling| Some((cooling.remaining(now)?, cooling.class))))
            }
            _ => Parting::Release(None),
        }
    }
}

/// Whether an entry of another tier answers, and how. `fresh`: what callers are told of a fresh one.
fn adopted(
    found: Resident<'_>,
    floor: Floor,
    demand: Demand,
    fresh: Why,
    now: Tick,
    policy: &Policy,
    draw: Draw,
) -> Option<Step> {
    let meta = *found.meta;
    match decide(Some(found), floor, demand, now, policy, draw) {
        Decision::Serve(Why::Hit) | Decision::ServeAndRefresh(Why::Hit) => {
            Some(Step::Adopt { meta, why: fresh, refresh: false })
        }
        Decision::Serve(why) => Some(Step::Adopt { meta, why, refresh: false }),
        Decision::ServeAndRefresh(why) => Some(Step::Adopt { meta, why, refresh: true }),
        Decision::LoadAlone | Decision::Load | Decision::NotCached => None,
    }
}

/// The meta of a value that the tier may know nothing of: fresh for `most`, then at most a rescue.
pub fn unproven(meta: Meta, most: Span) -> Meta {
    let loaded = meta.born + Span(u64::from(meta.cost_ms));
    let fresh_until = meta.fresh_until.min(loaded + most);
    let early_ms = 0;
    if meta.kind == Kind::Value {
        Meta { fresh_until, swr_ms: 0, early_ms, ..meta }
    } else {
        Meta { fresh_until, ..meta }
    }
}

fn settle(report: &Report, now: Tick, policy: &Policy, draw: Draw) -> Step {
    let (p99, ewma) = report.times;
    let stamp_as = |kind| {
        let Report { started, fence, ttl, .. } = *report;
        stamp(Stamping { kind, started, finished: now, fence, ttl, p99, ewma }, policy, draw)
    };
    match report.found {
        Found::Missing if report.ttl == Some(Span::ZERO) => {
            mark(stamp_as(Kind::HitForMiss), Kind::Negative, now, false)
        }
        Found::Missing => Step::Keep(stamp_as(Kind::Negative)),
        Found::Uncacheable { kind, private } => mark(stamp_as(Kind::HitForMiss), kind, now, private),
        Found::Value | Found::NotModified if report.ttl == Some(Span::ZERO) => {
            mark(stamp_as(Kind::HitForMiss), Kind::Value, now, false)
        }
        Found::Value | Found::NotModified => Step::Keep(stamp_as(Kind::Value)),
        Found::NotModifiedOfNothing => failed(FailClass::Rejected, None, now, draw),
    }
}

/// The body of an answer that is not kept is no longer fresh the moment it is handed out.
fn mark(marker: Meta, kind: Kind, now: Tick, private: bool) -> Step {
    Step::Mark { body: Meta { kind, fresh_until: now, early_ms: 0, ..marker }, marker, private }
}

fn failed(class: FailClass, before: Option<&Cooling>, now: Tick, draw: Draw) -> Step {
    let cooling = Cooling::after(before, class, now, draw);
    Step::Fail { why: class.why(), retry_after: cooling.remaining(now), cooling: Some(cooling) }
}

#[cfg(test)]
mod tests;
