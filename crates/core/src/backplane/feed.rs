//! Has this process heard every invalidation of the fleet? A machine that says so only while it can be proven.
//!
//! ```text
//!            has reached a head that was asked for since, within `SILENCE`
//!   Gap ------------------------------------------------------------------> Live
//!    ^  \                                                                  /  |
//!    |   `--> Reconciling (follows without a gap, not yet up to a head) ---   |
//!    `------------------------------------------------------------------------'
//!      a number missing · unreadable · another epoch or source · back in time · silence · a clock that jumped
//! ```
//!
//! Positions of an epoch are dense, so a missing one shows. What is not there to be seen shows by asking: every
//! heartbeat the reader asks over another connection how far the fleet is, and it is live only while it has reached
//! what it was told a moment ago. So what it does not know of is younger than [`SILENCE`] and a heartbeat.

use std::collections::VecDeque;

use crate::position::Position;
use crate::time::{Span, Tick};

/// How often the fleet's head is asked for; then somebody in the fleet writes a heartbeat, so that the way of
/// messages is tried as well.
pub const HEARTBEAT: Span = Span::secs(1);
/// So long without a proof and nothing is proven any more: a half-open connection is silent for ever.
pub const SILENCE: Span = Span::secs(3);
/// Heads that were told and are not reached yet; while there are so many, further ones are not remembered.
const MOST_AHEAD: usize = 8;

/// How far a process has followed the fleet's invalidations, and whether that is all of them.
#[derive(Clone, Debug)]
pub struct Feed {
    /// Everything up to here was applied, or is in floors that were read.
    applied: Position,
    /// Which server of the backplane that was.
    source: u64,
    state: State,
    /// Invalidations of keys may have been missed for good since the feed was last live.
    lost: bool,
    /// Everything published up to this moment is known.
    proven: Tick,
    /// Heads beyond `applied`, and when they were asked for; in order.
    ahead: VecDeque<(u64, Tick)>,
    /// Gaps so far: what was asked before the newest one proves nothing after it.
    gaps: u64,
}

/// What is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Live,
    /// `floors`: what was missed is gone, only the floors can tell.
    Gap {
        floors: bool,
    },
    /// Follows without a gap, and has not yet reached a head that was asked for since.
    Reconciling,
}

/// Something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A connection stands. The backplane is at `head`, and `source` names its server in its present life.
    Connected {
        /// The newest position there is.
        head: Position,
        /// Differs from server to server, and after each restart.
        source: u64,
    },
    /// Something at this place in the order came: invalidations, or a heartbeat.
    Message(Position),
    /// What came can't be read: a newer process wrote it, or it is broken.
    Unreadable,
    /// An answer to the question how far the fleet is.
    Head(Question, Position),
    /// The floors that were asked for were read as of a position; `None`: they could not be.
    Floors(Question, Option<Position>),
    /// Time passed.
    Tick,
    /// A clock jumped, or the machine slept.
    Jump,
}

/// When, and knowing what, something was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    applied: Position,
    gaps: u64,
    at: Tick,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Nothing.
    Nothing,
    /// The message is the next one: apply it.
    Apply,
    /// It was applied before.
    Ignore,
    /// Read what comes after the position that was applied.
    Resume,
    /// Read the floors, and hand their position in: what was missed can't be had any more.
    ReadFloors,
}

/// What changed in what is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// From here on an invalidation may be missing.
    Gap(Cause),
    /// Everything is known again. `lost`: invalidations of keys were missed for good, so what was read before is
    /// suspect.
    Live {
        /// See above.
        lost: bool,
    },
}

/// Why nothing is proven any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A number was skipped.
    Missing,
    /// A message could not be read.
    Unreadable,
    /// The backplane began anew, or another server took over.
    NewEpoch,
    /// It forgot what it had told.
    Backwards,
    /// Nothing new was heard for too long.
    Silence,
    /// A clock jumped, or the machine slept.
    Jump,
}

impl Cause {
    /// For logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Missing => "missing",
            Cause::Unreadable => "unreadable",
            Cause::NewEpoch => "new_epoch",
            Cause::Backwards => "backwards",
            Cause::Silence => "silence",
            Cause::Jump => "jump",
        }
    }
}

impl Feed {
    /// Has heard nothing yet.
    pub fn new(now: Tick) -> Feed {
        Feed {
            applied: Position::NONE,
            source: 0,
            state: State::Gap { floors: true },
            lost: true,
            proven: now,
            ahead: VecDeque::new(),
            gaps: 0,
        }
    }

    /// Everything up to here was applied.
    pub fn applied(&self) -> Position {
        self.applied
    }

    /// Whether every invalidation is known that is older than [`SILENCE`] and a heartbeat.
    pub fn is_live(&self) -> bool {
        self.state == State::Live
    }

    /// What to hand in with the answer to a question that is put now.
    pub fn question(&self, now: Tick) -> Question {
        Question { applied: self.applied, gaps: self.gaps, at: now }
    }

    /// Takes note of `event`.
    pub fn on(&mut self, event: Event, now: Tick) -> (Act, Option<Turn>) {
        match event {
            Event::Connected { head, source } => self.connected(head, source),
            Event::Message(at) => self.message(at, now),
            Event::Unreadable => (Act::ReadFloors, self.gap(Cause::Unreadable, true)),
            Event::Head(question, head) => self.head(question, head, now),
            Event::Floors(question, at) => self.floors(question, at),
            Event::Tick => self.tick(now),
            Event::Jump => (Act::Nothing, self.gap(Cause::Jump, false)),
        }
    }

    /// That proves no more than that reading may go on: how far the fleet is has to be asked since.
    fn connected(&mut self, head: Position, source: u64) -> (Act, Option<Turn>) {
        let cause = if self.applied.epoch != head.epoch || self.source != source {
            Some(Cause::NewEpoch)
        } else if head.number < self.applied.number {
            Some(Cause::Backwards)
        } else {
            None
        };
        self.source = source;
        if let Some(cause) = cause {
            return (Act::ReadFloors, self.gap(cause, true));
        }
        (if self.needs_floors() { Act::ReadFloors } else { Act::Resume }, None)
    }

    fn message(&mut self, at: Position, now: Tick) -> (Act, Option<Turn>) {
        if self.needs_floors() {
            return (Act::ReadFloors, None);
        }
        if at.epoch != self.applied.epoch {
            return (Act::ReadFloors, self.gap(Cause::NewEpoch, true));
        }
        if at.number <= self.applied.number {
            return (Act::Ignore, None);
        }
        if at.number - 1 != self.applied.number {
            return (Act::ReadFloors, self.gap(Cause::Missing, true));
        }
        self.applied = at;
        let mut reached = None;
        while let Some((head, asked)) = self.ahead.front().copied()
            && head <= at.number
        {
            self.ahead.pop_front();
            reached = Some(asked);
        }
        (Act::Apply, reached.and_then(|asked| self.prove(asked, now)))
    }

    fn head(&mut self, question: Question, head: Position, now: Tick) -> (Act, Option<Turn>) {
        // Of another epoch than the one that is followed by now, or asked before a gap: no news.
        if question.applied.epoch != self.applied.epoch || question.gaps != self.gaps || self.needs_floors() {
            return (Act::Nothing, None);
        }
        if head.epoch != self.applied.epoch {
            return (Act::ReadFloors, self.gap(Cause::NewEpoch, true));
        }
        if head.number < question.applied.number {
            return (Act::ReadFloors, self.gap(Cause::Backwards, true));
        }
        if head.number <= self.applied.number {
            return (Act::Nothing, self.prove(question.at, now));
        }
        if self.ahead.len() < MOST_AHEAD {
            self.ahead.push_back((head.number, question.at));
        }
        if !self.is_live() {
            self.state = State::Reconciling;
        }
        (Act::Nothing, None)
    }

    fn floors(&mut self, question: Question, at: Option<Position>) -> (Act, Option<Turn>) {
        let Some(at) = at.filter(|_| question.gaps == self.gaps) else {
            return (Act::ReadFloors, self.gap(Cause::Missing, true));
        };
        self.applied = at;
        self.state = State::Reconciling;
        (Act::Resume, None)
    }

    fn tick(&mut self, now: Tick) -> (Act, Option<Turn>) {
        let silent = self.is_live() && now.since(self.proven) >= SILENCE;
        (Act::Nothing, silent.then(|| self.gap(Cause::Silence, false)).flatten())
    }

    fn needs_floors(&self) -> bool {
        self.state == State::Gap { floors: true }
    }

    /// Nothing is proven any more. `floors`: and what was missed is gone.
    fn gap(&mut self, cause: Cause, floors: bool) -> Option<Turn> {
        let was_live = self.is_live();
        let floors = floors || self.needs_floors();
        self.state = State::Gap { floors };
        self.lost |= floors;
        self.ahead.clear();
        self.gaps += 1;
        was_live.then_some(Turn::Gap(cause))
    }

    /// Whatever was published before `asked` is known.
    fn prove(&mut self, asked: Tick, now: Tick) -> Option<Turn> {
        self.proven = self.proven.max(asked);
        // A head that took too long to reach says little of the fleet as it is now.
        if self.is_live() || now.since(self.proven) >= SILENCE {
            return None;
        }
        self.state = State::Live;
        Some(Turn::Live { lost: std::mem::take(&mut self.lost) })
    }
}
