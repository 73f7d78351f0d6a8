//! Is it any use to ask this origin now? Once it is not, nobody waits to find out: a few probes go there, everybody
//! else is answered at once from what there is.

use crate::draw::Draw;
use crate::time::{Span, Tick};

/// How long a call counts.
const WINDOW_SECS: usize = 10;
const WINDOW: Span = Span::secs(WINDOW_SECS as u64);
/// Fewer calls within it prove nothing.
const LEAST: u32 = 20;
/// The first probe comes after so long, or up to a fifth later.
pub const FIRST_PAUSE: Span = Span::secs(1);
/// After each probe that failed the pause doubles, up to this: an origin that is back is used again soon.
pub const LONGEST_PAUSE: Span = Span::secs(5);
/// Share of a pause that may be added at random, so that a fleet does not probe in step.
const JITTER: f64 = 0.20;
/// Probes at once: 1, then 2, then so many; when all were answered, it closes.
const MOST_PROBES: u32 = 4;

/// What a call was, as the breaker sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The origin answered, if only to say that this one key can't be had.
    Good,
    /// The origin did not answer, turned us away or failed.
    Bad,
    /// It failed, as this key's load did before: that tells of the key and not of the origin, or one broken row that is
    /// asked for again and again could shut out all others. A probe has nothing else to go by: there it is as bad.
    KeyAgain,
    /// Nobody knows: the call was given up.
    Untold,
}

/// What another process's call was, as it is heard of here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rumour {
    /// [`Verdict::KeyAgain`] also where the key's failure was known before, however it failed.
    pub verdict: Verdict,
    /// When it ended; where that is not known, the earliest that it may have.
    pub at: Tick,
    /// It is certain that the origin was asked: what a client wrote looks like a load that took no time.
    pub sure: bool,
}

/// Which of its states a call began in: what began before a change proves nothing after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round(u32);

/// Whether calls go through, as everybody sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Position {
    /// All of them.
    #[default]
    Closed,
    /// None.
    Open,
    /// Probes.
    HalfOpen,
}

impl Position {
    /// Every position, the quiet one first.
    pub const ALL: [Position; 3] = [Position::Closed, Position::Open, Position::HalfOpen];

    /// The word in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Position::Closed => "closed",
            Position::Open => "open",
            Position::HalfOpen => "half_open",
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed,
    Open {
        /// Nothing that was before tells of how it is by now.
        since: Tick,
        until: Tick,
    },
    /// `started` of `allowed` probes are under way or were answered, `answered` of them well.
    HalfOpen {
        since: Tick,
        allowed: u32,
        started: u32,
        answered: u32,
    },
}

/// Calls that ended within one second.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    /// Which second of the clock.
    at: u64,
    own: Calls,
    /// Of other processes.
    heard: Calls,
}

/// Calls, and how many of them were bad.
#[derive(Clone, Copy, Debug, Default)]
struct Calls {
    all: u32,
    bad: u32,
}

impl Calls {
    fn add(&mut self, bad: bool) {
        self.all = self.all.saturating_add(1);
        self.bad = self.bad.saturating_add(u32::from(bad));
    }

    fn and(self, other: Calls) -> Calls {
        Calls { all: self.all.saturating_add(other.all), bad: self.bad.saturating_add(other.bad) }
    }

    fn half_are_bad(self) -> bool {
        u64::from(self.bad) * 2 >= u64::from(self.all)
    }

    fn prove_trouble(self) -> bool {
        self.all >= LEAST && self.half_are_bad()
    }
}

/// One origin's breaker.
#[derive(Clone, Debug)]
pub struct Breaker {
    state: State,
    round: u32,
    seconds: [Second; WINDOW_SECS],
    /// Times in a row that it opened without closing between.
    in_a_row: u32,
    /// Times that it opened, ever.
    opened: u64,
    draw: Draw,
}

impl Breaker {
    /// A closed one. `draw` spreads the probes of a fleet.
    pub fn new(draw: Draw) -> Breaker {
        Breaker {
            state: State::Closed,
            round: 0,
            seconds: [Second::default(); WINDOW_SECS],
            in_a_row: 0,
            opened: 0,
            draw,
        }
    }

    /// Whether a call would go through now.
    pub fn allows(&mut self, now: Tick) -> bool {
        match self.state {
            State::Closed => true,
            State::Open { until, .. } if now < until => false,
            State::Open { since, .. } => {
                self.turn(State::HalfOpen { since, allowed: 1, started: 0, answered: 0 });
                true
            }
            State::HalfOpen { allowed, started, .. } => started < allowed,
        }
    }

    /// A call goes through: to be asked for by [`Breaker::allows`] before, and to be told of by [`Breaker::ended`].
    pub fn start(&mut self) -> Round {
        if let State::HalfOpen { started, .. } = &mut self.state {
            *started += 1;
        }
        Round(self.round)
    }

    /// A call that began in `round` ended.
    pub fn ended(&mut self, round: Round, verdict: Verdict, now: Tick) {
        if round.0 != self.round {
            return;
        }
        match (&mut self.state, verdict) {
            (State::Closed, Verdict::Untold | Verdict::KeyAgain) | (State::Open { .. }, _) => {}
            (State::Closed, verdict) => {
                let bad = verdict == Verdict::Bad;
                self.second(now).own.add(bad);
                self.judge(bad, now);
            }
            (State::HalfOpen { started, .. }, Verdict::Untold) => *started = started.saturating_sub(1),
            (State::HalfOpen { .. }, Verdict::Bad | Verdict::KeyAgain) => self.open(now, now),
            (State::HalfOpen { .. }, Verdict::Good) => self.answered(),
        }
    }

    /// Another process's call to this origin ended. Behind a lease a process makes few calls itself: a fleet of fifty
    /// whose origin is dead sees hundreds fail, each process a handful.
    ///
    /// What was heard opens it only where its own calls don't speak against it: it may be the others who can't reach the
    /// origin. While it is open, a probe that another made stands for its own, if it was made since.
    pub fn heard(&mut self, rumour: Rumour, now: Tick) {
        let Rumour { verdict, at, sure } = rumour;
        match (&mut self.state, verdict) {
            (_, Verdict::Untold) => {}
            (State::Closed, Verdict::KeyAgain) => {}
            (State::Closed, verdict) => {
                if now.since(at) < WINDOW {
                    let bad = verdict == Verdict::Bad;
                    self.second(now).heard.add(bad);
                    self.judge(bad, now);
                }
            }
            (State::Open { since, .. } | State::HalfOpen { since, .. }, _) if !sure || at <= *since => {}
            (State::Open { since, .. }, Verdict::Good) => {
                let since = *since;
                self.turn(State::HalfOpen { since, allowed: 1, started: 1, answered: 0 });
                self.answered();
            }
            (State::Open { .. }, Verdict::Bad | Verdict::KeyAgain) => {}
            // Whoever probes itself waits for its own answer.
            (State::HalfOpen { started, answered, .. }, _) if started != answered => {}
            (State::HalfOpen { started, .. }, Verdict::Good) => {
                *started += 1;
                self.answered();
            }
            (State::HalfOpen { .. }, Verdict::Bad | Verdict::KeyAgain) => {
                if at + self.pause() > now {
                    self.open(at, now);
                }
            }
        }
    }

    /// Where it is.
    pub fn position(&self) -> Position {
        match self.state {
            State::Closed => Position::Closed,
            State::Open { .. } => Position::Open,
            State::HalfOpen { .. } => Position::HalfOpen,
        }
    }

    /// No call goes through before this moment, whatever happens; `None`: that depends.
    pub fn open_until(&self) -> Option<Tick> {
        match self.state {
            State::Open { until, .. } => Some(until),
            State::Closed | State::HalfOpen { .. } => None,
        }
    }

    /// Times that it opened, ever.
    pub fn opened(&self) -> u64 {
        self.opened
    }

    /// A probe was answered well.
    fn answered(&mut self) {
        let State::HalfOpen { allowed, started, answered, .. } = &mut self.state else { return };
        *answered += 1;
        if answered < allowed {
            return;
        }
        if *allowed < MOST_PROBES {
            (*allowed, *started, *answered) = (*allowed * 2, 0, 0);
            return;
        }
        self.in_a_row = 0;
        self.seconds = Default::default();
        self.turn(State::Closed);
    }

    /// What ended in this second.
    fn second(&mut self, now: Tick) -> &mut Second {
        let at = now.0 / 1000;
        let second = &mut self.seconds[(at % WINDOW_SECS as u64) as usize];
        if second.at != at {
            *second = Second { at, ..Second::default() };
        }
        second
    }

    /// Opens it if the calls of the window say so. Only one that went badly can bring that about.
    fn judge(&mut self, bad: bool, now: Tick) {
        if !bad {
            return;
        }
        let at = now.0 / 1000;
        let recent = self.seconds.iter().filter(|second| at.saturating_sub(second.at) < WINDOW_SECS as u64);
        let none = (Calls::default(), Calls::default());
        let (own, heard) = recent.fold(none, |(own, heard), second| (own.and(second.own), heard.and(second.heard)));
        if own.prove_trouble() || (own.and(heard).prove_trouble() && own.half_are_bad()) {
            self.open(now, now);
        }
    }

    /// How long nobody probes after a failure, without what is added at random.
    fn pause(&self) -> Span {
        // Three doublings are past the longest pause already.
        Span(FIRST_PAUSE.0 << self.in_a_row.min(3)).at_most(LONGEST_PAUSE)
    }

    /// Opens it at `now`, for a pause that counts from the failure `at`.
    fn open(&mut self, at: Tick, now: Tick) {
        let pause = self.pause();
        let jitter = pause.scale(JITTER * self.draw.fork(self.opened).unit());
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.opened += 1;
        self.turn(State::Open { since: now, until: at + pause + jitter });
    }

    fn turn(&mut self, state: State) {
        self.state = state;
        self.round = self.round.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests;
