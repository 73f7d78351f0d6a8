//! Is a space asked for far more of what it does not have than usual? An alarm that neither flickers nor gets used to
//! an attack.
//!
//! Both must have risen: how many such requests there are a second, and what part of all requests they are. A process
//! that has just begun misses everything, and one that gets traffic misses more than one without: neither is a surge.

use crate::time::Span;

/// A window of so long is one observation.
pub const WINDOW: Span = Span::secs(1);
/// Fewer a second are nobody's concern.
const LEAST: f64 = 50.0;
/// More than so many times what is usual, a second.
const TIMES: f64 = 4.0;
/// And a part of all requests that lies so much higher.
const SHARE: f64 = 0.2;
/// What is recent follows so many windows, what is usual so many, and while the alarm lasts so many.
const RECENT: f64 = 5.0;
const USUAL: f64 = 600.0;
const USUAL_IN_ALARM: f64 = 7_200.0;
/// Windows with requests that must have been seen before anything is unusual.
const LEARNS: u32 = 60;
/// For so many windows in a row it must be over.
const CALM: u32 = 30;

/// What happened in one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Requests.
    pub requests: u64,
    /// Those of the kind that is watched.
    pub such: u64,
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It has begun.
    Began,
    /// It is over.
    Ended,
}

/// A mean that follows: of so many a second, and of their part.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Mean {
    rate: f64,
    share: f64,
}

impl Mean {
    fn follow(&mut self, rate: f64, share: f64, windows: f64) {
        self.rate += (rate - self.rate) / windows;
        self.share += (share - self.share) / windows;
    }
}

/// One kind of request of one space, as it goes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Surge {
    usual: Mean,
    recent: Mean,
    /// Windows with requests so far.
    windows: u32,
    /// Since the alarm began: windows in a row that were calm.
    alarm: Option<u32>,
}

impl Surge {
    /// Takes in one window.
    pub fn observe(&mut self, seen: Seen) -> Option<Turn> {
        // A window without requests says nothing of how they are made up.
        let share = if seen.requests == 0 { self.recent.share } else { seen.such as f64 / seen.requests as f64 };
        let rate = seen.such as f64 * 1000.0 / WINDOW.0 as f64;
        self.recent.follow(rate, share, RECENT);
        let turn = self.turn();
        if seen.requests > 0 {
            self.windows = self.windows.saturating_add(1);
        }
        let learnt = f64::from(self.windows.max(1)).min(USUAL);
        self.usual.follow(rate, share, if self.alarm.is_some() { USUAL_IN_ALARM } else { learnt });
        turn
    }

    fn turn(&mut self) -> Option<Turn> {
        let unusual = self.is_unusual(1.0);
        match self.alarm {
            None if unusual && self.windows >= LEARNS => {
                self.alarm = Some(0);
                Some(Turn::Began)
            }
            None => None,
            // Half of what began it keeps it up.
            Some(_) if self.is_unusual(0.5) => {
                self.alarm = Some(0);
                None
            }
            Some(calm) if calm + 1 >= CALM => {
                self.alarm = None;
                Some(Turn::Ended)
            }
            Some(calm) => {
                self.alarm = Some(calm + 1);
                None
            }
        }
    }

    fn is_unusual(&self, part: f64) -> bool {
        let (usual, recent) = (self.usual, self.recent);
        recent.rate >= LEAST * part
            && recent.rate >= usual.rate * TIMES * part
            && recent.share >= (usual.share + SHARE * part).min(1.0 - SHARE / 4.0)
    }

    /// Whether it lasts.
    pub fn is_on(&self) -> bool {
        self.alarm.is_some()
    }

    /// How many a second there are now, and how many usually.
    pub fn rates(&self) -> (f64, f64) {
        (self.recent.rate, self.usual.rate)
    }

    /// What part of all requests they are now, and usually.
    pub fn shares(&self) -> (f64, f64) {
        (self.recent.share, self.usual.share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(surge: &mut Surge, seconds: u32, seen: Seen) -> Vec<Turn> {
        (0..seconds).filter_map(|_| surge.observe(seen)).collect()
    }

    const DAILY: Seen = Seen { requests: 1_000, such: 50 };
    const ATTACK: Seen = Seen { requests: 3_000, such: 2_050 };

    #[test]
    fn an_attack_is_told_within_seconds_once_and_its_end_once() {
        let mut surge = Surge::default();
        assert_eq!(run(&mut surge, 300, DAILY), []);
        assert_eq!(run(&mut surge, 3, ATTACK), [Turn::Began]);
        assert_eq!(run(&mut surge, 600, ATTACK), [], "ten minutes of it are still no habit");
        assert!(surge.is_on());
        assert_eq!(run(&mut surge, 29, DAILY), [], "it may go on");
        assert_eq!(run(&mut surge, 60, DAILY), [Turn::Ended]);
    }

    #[test]
    fn an_attack_with_pauses_is_one_alarm() {
        let mut surge = Surge::default();
        run(&mut surge, 300, DAILY);
        let turns: Vec<Turn> =
            (0..20).flat_map(|_| [run(&mut surge, 10, ATTACK), run(&mut surge, 10, DAILY)].concat()).collect();
        assert_eq!(turns, [Turn::Began]);
    }

    #[test]
    fn neither_a_cold_start_nor_more_traffic_nor_a_quiet_space_is_a_surge() {
        let mut cold = Surge::default();
        assert_eq!(run(&mut cold, 30, Seen { requests: 1_000, such: 1_000 }), []);
        assert_eq!(run(&mut cold, 600, DAILY), []);
        let mut grows = Surge::default();
        run(&mut grows, 300, Seen { requests: 100, such: 5 });
        assert_eq!(run(&mut grows, 300, Seen { requests: 10_000, such: 500 }), [], "the same part of more");
        let mut quiet = Surge::default();
        run(&mut quiet, 300, Seen { requests: 10, such: 0 });
        assert_eq!(run(&mut quiet, 300, Seen { requests: 40, such: 40 }), [], "few");
        let mut idle = Surge::default();
        assert_eq!(run(&mut idle, 3_600, Seen::default()), []);
        assert_eq!(run(&mut idle, 59, ATTACK), [], "nothing is usual yet");
    }

    #[test]
    fn what_lasts_for_hours_becomes_usual() {
        let mut surge = Surge::default();
        run(&mut surge, 300, DAILY);
        assert_eq!(run(&mut surge, 8 * 3_600, ATTACK), [Turn::Began, Turn::Ended]);
    }
}
