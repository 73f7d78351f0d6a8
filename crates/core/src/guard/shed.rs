//! Who is turned away first when the queue grows? The lowest class, a little more with each window, so that those above
//! it do not wait behind it.

use crate::policy::Priority;
use crate::time::{Span, Tick};

/// So often it is judged.
const WINDOW: Span = Span::ms(100);
/// A mean queue wait above this is too long.
const TOO_LONG_MS: u64 = 20;
/// What is taken off the share that may queue, after a window that was too long; and given back after another.
const DOWN: f64 = 0.05;
const UP: f64 = 0.01;
/// A class that has not asked for so long is not there: the next one below it is the highest then.
const PRESENT: Span = Span::secs(10);
/// Weight of the newest window in how often a class asks.
const NEWEST: f64 = 0.2;

const CLASSES: usize = Priority::ALL.len();

/// The classes from the first to be shed to the last.
const FROM_LOWEST: [Priority; CLASSES] = [Priority::Background, Priority::Low, Priority::Normal, Priority::Critical];

/// Decides which loads that can't start at once may queue. Whoever can start is never turned away here, and neither is
/// the highest class that is there: it has nobody to make room for. The queue's own limits are its judge.
#[derive(Clone, Debug)]
pub struct Shedder {
    /// Of those who ask and can't start at once, so many may queue: `0.0..=1.0`.
    share: f64,
    since: Option<Tick>,
    /// Waits that ended in this window: their sum and number.
    waited_ms: u64,
    waited: u32,
    /// In the last window the highest class waited too long, and there are others below it.
    pressed: bool,
    classes: [Class; CLASSES],
}

#[derive(Clone, Copy, Debug, Default)]
struct Class {
    /// Asked in this window and could not start at once.
    asked: u32,
    /// The same per window, smoothed.
    usual: f64,
    /// The last time that one of it asked, able to start or not.
    seen: Option<Tick>,
    /// Share of it that is turned away.
    shed: f64,
    /// What is owed of that: one is turned away when it reaches 1.
    owed: f64,
    /// Its waits that ended in this window: their sum and number.
    waited_ms: u64,
    waited: u32,
}

impl Default for Shedder {
    fn default() -> Shedder {
        Shedder {
            share: 1.0,
            since: None,
            waited_ms: 0,
            waited: 0,
            pressed: false,
            classes: [Class::default(); CLASSES],
        }
    }
}

impl Shedder {
    /// One of `class` asks.
    pub fn seen(&mut self, class: Priority, now: Tick) {
        self.classes[class as usize].seen = Some(now);
    }

    /// One of `class`, which can't start at once: may it queue?
    pub fn admits(&mut self, class: Priority, now: Tick) -> bool {
        self.judge(now);
        let class = &mut self.classes[class as usize];
        class.asked = class.asked.saturating_add(1);
        class.owed += class.shed;
        if class.owed < 1.0 {
            return true;
        }
        class.owed -= 1.0;
        false
    }

    /// One of `class` is done with waiting, after so long: it goes, or its time was up. What nobody waits for does
    /// not count: it may be held back by a rate of its own.
    pub fn waited(&mut self, class: Priority, wait: Span, now: Tick) {
        self.judge(now);
        if class > Priority::Background {
            self.waited_ms = self.waited_ms.saturating_add(wait.0);
            self.waited = self.waited.saturating_add(1);
            let class = &mut self.classes[class as usize];
            class.waited_ms = class.waited_ms.saturating_add(wait.0);
            class.waited = class.waited.saturating_add(1);
        }
    }

    /// Of those who ask and can't start at once, so many may queue.
    pub fn share(&self) -> f64 {
        self.share
    }

    /// Some class is being turned away, at least in part.
    pub fn is_shedding(&self) -> bool {
        self.classes.iter().any(|class| class.shed > 0.0)
    }

    /// The highest class waits too long although it comes first: there are too few permits for it alone, while callers of
    /// lower classes are there. Where all are of one class, and where refreshes alone are below it, nobody can say so.
    pub fn is_pressed(&self) -> bool {
        self.pressed
    }

    fn presses(&self, now: Tick) -> bool {
        let mut present = FROM_LOWEST.into_iter().rev().filter(|class| self.is_present(*class, now));
        let Some(highest) = present.next().map(|class| &self.classes[class as usize]) else { return false };
        let others = present.next().is_some_and(|class| class > Priority::Background);
        others && highest.waited > 0 && highest.waited_ms > u64::from(highest.waited) * TOO_LONG_MS
    }

    fn judge(&mut self, now: Tick) {
        let since = *self.since.get_or_insert(now);
        let windows = now.since(since).0 / WINDOW.0;
        if windows == 0 {
            return;
        }
        let too_long = self.waited > 0 && self.waited_ms > u64::from(self.waited) * TOO_LONG_MS;
        // Windows in which nothing happened were calm ones.
        let calm = (windows - u64::from(too_long)) as f64;
        self.share = (self.share - if too_long { DOWN } else { 0.0 }).max(0.0);
        self.share = (self.share + UP * calm).min(1.0);
        self.pressed = self.presses(now);
        (self.since, self.waited_ms, self.waited) = (Some(now), 0, 0);
        for class in &mut self.classes {
            (class.waited_ms, class.waited) = (0, 0);
            class.usual += NEWEST * (f64::from(std::mem::take(&mut class.asked)) - class.usual);
        }
        self.spread(now);
    }

    /// What is too much is taken from the lowest class first.
    fn spread(&mut self, now: Tick) {
        let highest = FROM_LOWEST.into_iter().rev().find(|class| self.is_present(*class, now));
        let all: f64 = self.classes.iter().map(|class| class.usual).sum();
        let mut too_much = all * (1.0 - self.share);
        for priority in FROM_LOWEST {
            let spared = highest.is_none_or(|highest| priority >= highest);
            let class = &mut self.classes[priority as usize];
            class.shed = if spared || class.usual <= 0.0 { 0.0 } else { (too_much / class.usual).clamp(0.0, 1.0) };
            too_much = (too_much - class.shed * class.usual).max(0.0);
        }
    }

    fn is_present(&self, class: Priority, now: Tick) -> bool {
        self.classes[class as usize].seen.is_some_and(|seen| now.since(seen) < PRESENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks of each class per window that can't start, and what each of those that queue waits.
    fn windows(shedder: &mut Shedder, from: u64, n: u64, asks: [u32; CLASSES], wait: u64) -> [u32; CLASSES] {
        let mut shed = [0; CLASSES];
        for window in from..from + n {
            let now = Tick(window * WINDOW.0);
            for (class, asks) in FROM_LOWEST.into_iter().zip(asks) {
                for _ in 0..asks {
                    shedder.seen(class, now);
                    if shedder.admits(class, now) {
                        shedder.waited(class, Span(wait), now);
                    } else {
                        shed[class as usize] += 1;
                    }
                }
            }
        }
        shed
    }

    #[test]
    fn the_lowest_goes_first_and_the_highest_never() {
        let mut shedder = Shedder::default();
        let first = windows(&mut shedder, 0, 6, [10, 10, 10, 10], 300);
        assert!(first[0] > 0 && first[1..] == [0, 0, 0], "{first:?}");
        let all = windows(&mut shedder, 6, 60, [10, 10, 10, 10], 300);
        assert!(all[0] > 500 && all[1] > 400 && all[2] > 300 && all[3] == 0, "{all:?}");
        assert!(all[0] > all[1] && all[1] > all[2], "{all:?}");
    }

    #[test]
    fn who_has_nobody_above_is_not_shed_for_nobody() {
        let mut shedder = Shedder::default();
        assert_eq!(windows(&mut shedder, 0, 50, [0, 0, 40, 0], 400), [0; 4]);
        let shed = windows(&mut shedder, 50, 50, [0, 0, 40, 1], 400);
        assert!(shed[2] > 1000 && shed[3] == 0, "control: one critical ask is enough to make room for: {shed:?}");
    }

    #[test]
    fn only_the_highest_of_several_classes_can_be_pressed() {
        let pressed = |asks, wait| {
            let mut shedder = Shedder::default();
            windows(&mut shedder, 0, 200, asks, wait);
            shedder.is_pressed()
        };
        assert!(pressed([0, 10, 10, 10], 21) && !pressed([0, 10, 10, 10], 20));
        assert!(!pressed([0, 0, 0, 10], 300) && !pressed([10, 0, 10, 0], 300), "nobody below it, or refreshes alone");
        // It comes first and does not wait; others do.
        let mut shedder = Shedder::default();
        for window in 0..50 {
            let now = Tick(window * WINDOW.0);
            for (class, wait) in [(Priority::Critical, 0), (Priority::Normal, 400)] {
                shedder.seen(class, now);
                shedder.waited(class, Span(wait), now);
            }
        }
        assert!(!shedder.is_pressed());
    }

    #[test]
    fn what_only_background_waits_is_not_too_long() {
        let mut shedder = Shedder::default();
        assert_eq!(windows(&mut shedder, 0, 50, [40, 0, 0, 0], 400), [0; 4]);
        assert_eq!(shedder.share(), 1.0);
    }

    #[test]
    fn it_falls_by_five_percent_a_window_and_rises_by_one() {
        let mut shedder = Shedder::default();
        windows(&mut shedder, 0, 11, [0, 10, 10, 0], 21);
        assert!((shedder.share() - 0.5).abs() < 1e-9, "{}", shedder.share());
        windows(&mut shedder, 11, 20, [0, 10, 10, 0], 20);
        assert!((shedder.share() - 0.64).abs() < 1e-9, "{}", shedder.share());
        // A quiet minute.
        shedder.waited(Priority::Normal, Span::ZERO, Tick(100_000));
        assert_eq!(shedder.share(), 1.0);
    }
}
