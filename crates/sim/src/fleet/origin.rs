//! How long does the origin take? A queue before a number of workers, with a time of trouble.

use std::collections::VecDeque;

use bellwether_core::draw::Draw;
use bellwether_core::time::{Span, Tick};

use super::case::{Case, Trouble};

/// Purpose of the seed.
const SERVICE: u64 = 0x0517;

/// The origin. It knows loads by number and does not know that somebody gave one up: it works on.
pub(super) struct Origin {
    draws: Draw,
    mean: f64,
    spread: f64,
    capacity: usize,
    trouble: Option<(Tick, Tick, Trouble)>,
    busy: usize,
    /// At most as long as the run's tasks are many.
    queue: VecDeque<u64>,
    begun: u64,
}

impl Origin {
    pub(super) fn new(case: &Case, seed: u64, start: Tick) -> Origin {
        Origin {
            draws: Draw(seed).fork(SERVICE),
            mean: case.load.0 as f64,
            spread: case.spread,
            capacity: case.capacity.map_or(usize::MAX, |n| n as usize),
            trouble: case.fault.map(|fault| (start + fault.from, start + fault.until, fault.trouble)),
            busy: 0,
            queue: VecDeque::new(),
            begun: 0,
        }
    }

    /// A load arrives. `Some`: it is worked on and ends after so long. `None`: it waits, or is lost.
    pub(super) fn arrive(&mut self, load: u64, now: Tick) -> Option<Span> {
        if self.busy < self.capacity {
            return self.work(now);
        }
        self.queue.push_back(load);
        None
    }

    /// A load has ended: the next that is worked on, and for how long.
    pub(super) fn end(&mut self, now: Tick) -> Option<(u64, Span)> {
        self.busy = self.busy.saturating_sub(1);
        while let Some(load) = self.queue.pop_front() {
            if let Some(span) = self.work(now) {
                return Some((load, span));
            }
        }
        None
    }

    /// Loads that are worked on or wait.
    pub(super) fn present(&self) -> usize {
        self.busy + self.queue.len()
    }

    /// Takes a worker, unless nobody answers at all.
    fn work(&mut self, now: Tick) -> Option<Span> {
        self.begun += 1;
        let times = match self.trouble.filter(|(from, until, _)| (*from..*until).contains(&now)) {
            Some((_, _, Trouble::Dead)) => return None,
            Some((_, _, Trouble::Slow(times))) => times,
            None => 1,
        };
        self.busy += 1;
        Some(Span(self.service() * times))
    }

    /// Lognormal around the mean: loads are never negative, and a few take much longer.
    fn service(&self) -> u64 {
        let draw = self.draws.fork(self.begun);
        // Box and Muller (1958); 1 - u is never zero.
        let radius = (-2.0 * (1.0 - draw.fork(1).unit()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * draw.fork(2).unit()).cos();
        let scaled = self.mean * (self.spread * normal - self.spread * self.spread / 2.0).exp();
        (scaled.round() as u64).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenarios::{Scenario, ladder};

    fn origin(case: &Case) -> Origin {
        Origin::new(case, 3, Tick(0))
    }

    #[test]
    fn loads_take_the_mean_that_was_asked_for() {
        let mut origin = origin(&ladder(Scenario::S2)[0]);
        let n = 20_000;
        let sum: u64 = (0..n).filter_map(|load| origin.arrive(load, Tick(0))).map(|span| span.0).sum();
        let mean = sum as f64 / n as f64;
        assert!((mean / 200.0 - 1.0).abs() < 0.01, "{mean}");
    }

    #[test]
    fn what_exceeds_the_workers_waits_its_turn_and_what_meets_a_dead_origin_is_lost() {
        let mut case = ladder(Scenario::S10).remove(1);
        case.capacity = Some(1);
        let mut origin = origin(&case);
        assert!(origin.arrive(1, Tick(0)).is_some());
        assert!(origin.arrive(2, Tick(1)).is_none() && origin.present() == 2);
        assert_eq!(origin.end(Tick(50)).map(|(load, _)| load), Some(2));
        assert!(origin.end(Tick(90)).is_none());
        assert!(origin.arrive(3, Tick(60_000)).is_none() && origin.present() == 0, "dead: not even a queue");
        assert!(origin.arrive(4, Tick(120_000)).is_some());
    }
}
