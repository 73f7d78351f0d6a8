//! Is it any use to ask this origin now? Once it is not, nobody waits to find out: a few probes go there, everybody
//! else is answered at once from what there is.

use crate::draw::Draw;
use crate::time::{Span, Tick};

/// How long a call counts.
const WINDOW_SECS: usize = 10;
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
        until: Tick,
    },
    /// `started` of `allowed` probes are under way or were answered, `answered` of them well.
    HalfOpen {
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
    calls: u32,
    bad: u32,
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
            State::Open { until } if now < until => false,
            State::Open { .. } => {
                self.turn(State::HalfOpen { allowed: 1, started: 0, answered: 0 });
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
            (State::Closed, verdict) => self.count(verdict == Verdict::Bad, now),
            (State::HalfOpen { started, .. }, Verdict::Untold) => *started = started.saturating_sub(1),
            (State::HalfOpen { .. }, Verdict::Bad | Verdict::KeyAgain) => self.open(now),
            (State::HalfOpen { allowed, started, answered }, Verdict::Good) => {
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
            State::Open { until } => Some(until),
            State::Closed | State::HalfOpen { .. } => None,
        }
    }

    /// Times that it opened, ever.
    pub fn opened(&self) -> u64 {
        self.opened
    }

    fn count(&mut self, bad: bool, now: Tick) {
        let at = now.0 / 1000;
        let second = &mut self.seconds[(at % WINDOW_SECS as u64) as usize];
        if second.at != at {
            *second = Second { at, ..Second::default() };
        }
        second.calls = second.calls.saturating_add(1);
        second.bad = second.bad.saturating_add(u32::from(bad));
        if bad {
            let recent = self.seconds.iter().filter(|second| at.saturating_sub(second.at) < WINDOW_SECS as u64);
            let (calls, bad) = recent.fold((0u32, 0u32), |(calls, bad), second| {
                (calls.saturating_add(second.calls), bad.saturating_add(second.bad))
            });
            if calls >= LEAST && u64::from(bad) * 2 >= u64::from(calls) {
                self.open(now);
            }
        }
    }

    fn open(&mut self, now: Tick) {
        // Three doublings are past the longest pause already.
        let pause = Span(FIRST_PAUSE.0 << self.in_a_row.min(3)).at_most(LONGEST_PAUSE);
        let jitter = pause.scale(JITTER * self.draw.fork(self.opened).unit());
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.opened += 1;
        self.turn(State::Open { until: now + pause + jitter });
    }

    fn turn(&mut self, state: State) {
        self.state = state;
        self.round = self.round.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn call(breaker: &mut Breaker, verdict: Verdict, now: u64) -> bool {
        if !breaker.allows(Tick(now)) {
            return false;
        }
        let round = breaker.start();
        breaker.ended(round, verdict, Tick(now));
        true
    }

    fn opened() -> (Breaker, u64) {
        let mut breaker = Breaker::new(Draw(0));
        for n in 0..LEAST {
            assert_eq!(breaker.position(), Position::Closed, "{n}");
            call(&mut breaker, Verdict::Bad, 5);
        }
        let until = breaker.open_until().expect("it is open").0;
        (breaker, until)
    }

    #[test]
    fn it_opens_at_half_of_twenty_calls_and_not_before() {
        let (mut breaker, until) = opened();
        assert_eq!((breaker.position(), breaker.opened()), (Position::Open, 1));
        assert!((1005..=1205).contains(&until), "{until}");
        assert!(!call(&mut breaker, Verdict::Good, until - 1));
        let mut mixed = Breaker::new(Draw(0));
        for n in 0..200 {
            call(&mut mixed, if n % 5 < 2 { Verdict::Bad } else { Verdict::Good }, n * 20);
        }
        assert_eq!(mixed.position(), Position::Closed, "control: two in five are not enough");
    }

    #[test]
    fn what_is_older_than_ten_seconds_does_not_count() {
        let mut breaker = Breaker::new(Draw(0));
        for now in (0..100_000).step_by(600) {
            call(&mut breaker, Verdict::Bad, now);
        }
        assert_eq!(breaker.position(), Position::Closed, "never twenty within ten seconds");
        for now in (100_000..112_000).step_by(450) {
            call(&mut breaker, Verdict::Bad, now);
        }
        assert_eq!(breaker.position(), Position::Open);
    }

    #[test]
    fn one_two_four_probes_close_it() {
        let (mut breaker, until) = opened();
        let now = Tick(until);
        for step in [1, 2, 4] {
            let rounds: Vec<Round> = (0..step)
                .map(|_| {
                    assert!(breaker.allows(now));
                    breaker.start()
                })
                .collect();
            assert!(!breaker.allows(now), "no more than {step} at once");
            assert_eq!(breaker.position(), Position::HalfOpen);
            rounds.into_iter().for_each(|round| breaker.ended(round, Verdict::Good, now));
        }
        assert_eq!(breaker.position(), Position::Closed);
        call(&mut breaker, Verdict::Bad, until);
        assert_eq!(breaker.position(), Position::Closed, "the past is forgotten");
    }

    #[test]
    fn a_failed_probe_opens_it_for_longer_up_to_five_seconds() {
        let (mut breaker, mut until) = opened();
        let mut pauses = Vec::new();
        for _ in 0..5 {
            assert!(call(&mut breaker, Verdict::Bad, until));
            let next = breaker.open_until().expect("open again").0;
            pauses.push(next - until);
            until = next;
        }
        for (pause, least) in pauses.iter().zip([2000, 4000, 5000, 5000, 5000]) {
            assert!((least..=least + least / 5).contains(pause), "{pauses:?}");
        }
    }

    #[test]
    fn a_probe_that_was_given_up_makes_room_for_another() {
        let (mut breaker, until) = opened();
        assert!(breaker.allows(Tick(until)));
        let round = breaker.start();
        assert!(!breaker.allows(Tick(until)));
        breaker.ended(round, Verdict::Untold, Tick(until));
        assert!(breaker.allows(Tick(until)), "or it would never close again");
    }

    #[test]
    fn calls_that_began_before_it_opened_prove_nothing() {
        let mut breaker = Breaker::new(Draw(0));
        let early = breaker.start();
        (0..LEAST).for_each(|_| {
            call(&mut breaker, Verdict::Bad, 5);
        });
        let until = breaker.open_until().expect("open");
        assert!(breaker.allows(until));
        let probe = breaker.start();
        breaker.ended(early, Verdict::Bad, until);
        assert_eq!(breaker.position(), Position::HalfOpen, "the probe's word counts");
        breaker.ended(early, Verdict::Good, until);
        assert!(!breaker.allows(until), "the probe is still under way");
        breaker.ended(probe, Verdict::Good, until);
        assert!(breaker.allows(until));
    }

    #[test]
    fn one_broken_key_does_not_open_it_but_a_probe_that_fails_does() {
        let mut breaker = Breaker::new(Draw(0));
        for now in 0..100 {
            call(&mut breaker, Verdict::KeyAgain, now);
        }
        assert_eq!(breaker.position(), Position::Closed);
        let (mut breaker, until) = opened();
        call(&mut breaker, Verdict::KeyAgain, until);
        assert_eq!(breaker.position(), Position::Open);
    }

    proptest! {
        #[test]
        fn a_dead_origin_is_probed_at_most_once_a_second(seed in any::<u64>(), gaps in prop::collection::vec(0u64..400, 50..400)) {
            let mut breaker = Breaker::new(Draw(seed));
            let (mut now, mut probes) = (7, Vec::new());
            (0..LEAST).for_each(|_| { call(&mut breaker, Verdict::Bad, now); });
            for gap in gaps {
                now += gap;
                if call(&mut breaker, Verdict::Bad, now) {
                    probes.push(now);
                }
            }
            prop_assert!(probes.windows(2).all(|two| two[1] - two[0] >= 1000), "{probes:?}");
            let longest = LONGEST_PAUSE.0 + LONGEST_PAUSE.0 / 5;
            prop_assert!(probes.windows(2).all(|two| two[1] - two[0] <= longest + 400), "{probes:?}");
        }
    }
}
