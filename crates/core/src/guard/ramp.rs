//! How much traffic is a process good for that has just begun? None while it warms up, then a weight that follows its
//! hit rate: a closed loop, not a schedule.

use crate::time::{Span, Tick};

/// The warm phase ends when so much of the hot list's mass is there.
pub const WARM_ENOUGH: f64 = 0.90;
/// Or after so long.
pub const WARM_LIMIT: Span = Span::secs(30);
/// The weight of a process that answers nothing from its cache.
const BASE: f64 = 0.1;
/// Below this hit rate the weight follows it.
const ENTER: f64 = 0.7;
/// Above it the process takes its whole share.
const LEAVE: f64 = 0.9;
/// Fewer reads in a window say nothing.
const LEAST_READS: u64 = 20;
/// While the origin answers slower than usual, a weight grows by this part of the way only.
const SLOWLY: f64 = 0.25;
/// A hit rate that has not grown for so long does not grow any more: some workloads never reach [`LEAVE`].
const PLATEAU: Span = Span::secs(60);
/// What counts as growth.
const GROWTH: f64 = 0.01;
/// A process that settled at a lower hit rate begins anew below this part of it.
const FALL: f64 = 0.75;

/// How a process takes on traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// By its hit rate.
    #[default]
    Auto,
    /// By its hit rate, and in a straight line over this time at the fastest.
    Within(Span),
}

/// What happened since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Reads that an origin could have had to answer.
    pub reads: u64,
    /// Of those, answered from a tier.
    pub hits: u64,
    /// An origin answers more than 1.5 times as slowly as it usually does.
    pub slow: bool,
}

/// Where a process stands.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// It loads its hot list, at most until then.
    Warming(Tick),
    /// Its weight follows its hit rate.
    Ramping { best: f64, since: Tick },
    /// It takes its share.
    Open,
}

/// How ready a process is.
#[derive(Clone, Debug)]
pub struct Ramp {
    mode: Mode,
    phase: Phase,
    weight: f64,
    /// When it became ready.
    ready: Tick,
    /// The hit rate at which it settled.
    usual: f64,
}

impl Ramp {
    /// A process that begins at `now`; `warms`: it has a hot list to load first.
    pub fn new(mode: Mode, warms: bool, now: Tick) -> Ramp {
        let phase = if warms { Phase::Warming(now + WARM_LIMIT) } else { Phase::Ramping { best: 0.0, since: now } };
        Ramp { mode, phase, weight: BASE, ready: now, usual: 1.0 }
    }

    /// So much of the hot list's mass was loaded, 1 being all of it. True once that is enough.
    pub fn warmed(&mut self, share: f64, now: Tick) -> bool {
        let Phase::Warming(until) = self.phase else { return true };
        // What was loaded is what most reads will ask for.
        self.weight = (BASE + share.clamp(0.0, 1.0)).min(1.0);
        if share < WARM_ENOUGH && now < until {
            return false;
        }
        self.ready = now;
        self.phase = Phase::Ramping { best: self.weight, since: now };
        true
    }

    /// All of the hot list was tried.
    pub fn end_warming(&mut self, now: Tick) {
        if let Phase::Warming(_) = self.phase {
            self.ready = now;
            self.phase = Phase::Ramping { best: self.weight, since: now };
        }
    }

    /// A window is over: a second or so.
    pub fn observe(&mut self, window: Window, now: Tick) {
        let enough = window.reads >= LEAST_READS;
        let rate = if enough { window.hits.min(window.reads) as f64 / window.reads as f64 } else { 0.0 };
        match self.phase {
            // Its limit holds even if nobody tells how far it is.
            Phase::Warming(until) if now >= until => self.end_warming(now),
            Phase::Warming(_) => {}
            Phase::Ramping { best, since } => {
                if enough {
                    let target = (BASE + rate).min(1.0);
                    let step = if window.slow && target > self.weight { SLOWLY } else { 1.0 };
                    self.weight += (target - self.weight) * step;
                }
                if enough && rate > LEAVE && !window.slow {
                    self.settle(1.0);
                } else if enough && self.weight > best + GROWTH {
                    self.phase = Phase::Ramping { best: self.weight, since: now };
                } else if now.since(since) >= PLATEAU {
                    self.settle(if enough { rate } else { 1.0 });
                }
            }
            Phase::Open if enough && rate < ENTER.min(self.usual * FALL) => {
                self.weight = BASE + rate;
                self.phase = Phase::Ramping { best: self.weight, since: now };
            }
            Phase::Open => {}
        }
    }

    fn settle(&mut self, usual: f64) {
        (self.phase, self.usual, self.weight) = (Phase::Open, usual, 1.0);
    }

    /// Whether it takes traffic.
    pub fn is_ready(&self) -> bool {
        !matches!(self.phase, Phase::Warming(_))
    }

    /// Its share of what others like it get, from 0 to 1.
    pub fn weight(&self, now: Tick) -> f64 {
        if !self.is_ready() {
            return 0.0;
        }
        let most = match self.mode {
            Mode::Within(span) if now.since(self.ready) < span => {
                BASE + (1.0 - BASE) * now.since(self.ready).0 as f64 / span.0 as f64
            }
            Mode::Auto | Mode::Within(_) => 1.0,
        };
        self.weight.min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(hits: u64, slow: bool) -> Window {
        Window { reads: 100, hits, slow }
    }

    fn at(seconds: u64) -> Tick {
        Tick(1_000_000) + Span::secs(seconds)
    }

    #[test]
    fn it_is_ready_when_nine_tenths_are_there_or_the_limit_has_passed() {
        let mut ramp = Ramp::new(Mode::Auto, true, at(0));
        assert!(!ramp.is_ready() && ramp.weight(at(0)) == 0.0);
        assert!(!ramp.warmed(0.89, at(29)));
        assert!(ramp.warmed(0.9, at(29)) && ramp.is_ready() && ramp.weight(at(29)) == 1.0);
        let mut slow = Ramp::new(Mode::Auto, true, at(0));
        slow.observe(Window::default(), at(29));
        assert!(!slow.is_ready());
        slow.observe(Window::default(), at(30));
        assert!(slow.is_ready() && slow.weight(at(30)) == BASE, "its limit passed and nothing is known to be there");
        let mut half = Ramp::new(Mode::Auto, true, at(0));
        assert!(half.warmed(0.5, at(30)));
        assert_eq!(half.weight(at(30)), 0.6);
    }

    #[test]
    fn the_weight_follows_the_hit_rate_and_is_whole_above_nine_tenths() {
        let mut ramp = Ramp::new(Mode::Auto, false, at(0));
        assert_eq!(ramp.weight(at(0)), BASE);
        for (second, hits) in [(1, 20), (2, 50), (3, 30), (4, 85), (5, 90)] {
            ramp.observe(window(hits, false), at(second));
            assert_eq!(ramp.weight(at(second)), (BASE + hits as f64 / 100.0).min(1.0));
        }
        ramp.observe(window(91, false), at(6));
        ramp.observe(window(70, false), at(7));
        assert_eq!(ramp.weight(at(7)), 1.0, "between the two thresholds it stays open");
        ramp.observe(window(69, false), at(8));
        assert!((ramp.weight(at(8)) - 0.79).abs() < 1e-9);
    }

    #[test]
    fn it_grows_more_slowly_while_the_origin_suffers_and_falls_at_once() {
        let mut ramp = Ramp::new(Mode::Auto, false, at(0));
        ramp.observe(window(50, true), at(1));
        assert_eq!(ramp.weight(at(1)), 0.1 + 0.5 / 4.0);
        ramp.observe(window(95, true), at(2));
        assert!(ramp.weight(at(2)) < 0.5, "not open either");
        ramp.observe(window(0, true), at(3));
        assert!((ramp.weight(at(3)) - BASE).abs() < 1e-9);
    }

    #[test]
    fn a_workload_that_never_hits_much_takes_its_whole_share_in_the_end_and_keeps_it() {
        let mut ramp = Ramp::new(Mode::Auto, false, at(0));
        for second in 1..=61 {
            ramp.observe(window(40, false), at(second));
        }
        assert_eq!(ramp.weight(at(61)), 1.0);
        ramp.observe(window(35, false), at(62));
        assert_eq!(ramp.weight(at(62)), 1.0, "that is how it is");
        ramp.observe(window(20, false), at(63));
        assert!(ramp.weight(at(63)) < 0.5, "that is a loss");
    }

    #[test]
    fn a_process_that_nobody_asks_is_open_after_a_while() {
        let mut ramp = Ramp::new(Mode::Auto, false, at(0));
        for second in 1..=60 {
            ramp.observe(Window { reads: 19, hits: 0, slow: false }, at(second));
        }
        assert_eq!(ramp.weight(at(60)), 1.0);
    }

    #[test]
    fn a_fixed_ramp_is_an_upper_bound() {
        let mut ramp = Ramp::new(Mode::Within(Span::secs(300)), false, at(0));
        ramp.observe(window(99, false), at(1));
        assert!(ramp.weight(at(1)) < 0.11);
        assert!((ramp.weight(at(150)) - 0.55).abs() < 1e-9);
        assert_eq!(ramp.weight(at(300)), 1.0);
        let mut cold = Ramp::new(Mode::Within(Span::secs(10)), false, at(0));
        cold.observe(window(30, false), at(11));
        assert_eq!(cold.weight(at(11)), 0.4, "the hit rate is one as well");
    }
}
