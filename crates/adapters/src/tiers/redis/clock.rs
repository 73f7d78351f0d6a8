//! What time is it at a node? Its clock decides; we keep how far ours is from it.

use std::time::Duration;

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};

/// A sample older than this counts as unknown.
pub(super) const TRUSTED: Duration = Duration::from_secs(15);
/// A sample whose answer took longer says too little, unless there is no other.
const SLOW_US: u64 = 1_000_000;

/// A clock that stands further back than it can by that was set back, in µs.
const SET_BACK_US: u64 = 10_000;
/// Two clocks differ by no more than one part in so many of what they measure.
const DRIFT: u64 = 1000;

/// A moment of this machine, in µs, suspended time included: a machine that slept must not find its samples young.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Local(pub(super) u64);

impl Local {
    /// Now.
    pub(super) fn now() -> Local {
        #[cfg(target_os = "linux")]
        let id = ClockId::Boottime;
        #[cfg(not(target_os = "linux"))]
        let id = ClockId::Monotonic;
        let now = clock_gettime(id);
        // Negative never: it counts from the machine's start.
        Local(now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000)
    }

    fn since(self, earlier: Local) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// One reading of the node's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sample {
    /// When it was asked.
    asked: Local,
    /// What the node said, in µs since 1970.
    told: u64,
    /// How long the answer took: the node's clock was read somewhere in between.
    took: u64,
}

impl Sample {
    /// What the node's time is at least at `now`: as if it had read its clock when the answer left, and that went more slowly
    /// than ours since.
    fn lowest(self, now: Local) -> u64 {
        let since = now.since(self.asked);
        (self.told + since).saturating_sub(self.took + since / DRIFT)
    }
}

/// What is known of a node's clock.
#[derive(Debug, Default)]
pub(super) struct NodeClock(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    sample: Option<Sample>,
    /// Since when it has ordered what happens to keys, by a clock that was not set back.
    steady: Option<Local>,
}

impl NodeClock {
    /// The node said `told` (µs) in an answer to what was asked at `asked`.
    pub(super) fn sample(&self, asked: Local, told: u64) {
        self.sample_at(asked, told, Local::now());
    }

    /// The same, by a script: nobody but it orders what happens to its keys.
    pub(super) fn ordered(&self, asked: Local, told: u64) {
        self.ordered_at(asked, told, Local::now());
    }

    fn ordered_at(&self, asked: Local, told: u64, now: Local) {
        self.sample_at(asked, told, now);
        self.0.lock().steady.get_or_insert(now);
    }

    fn sample_at(&self, asked: Local, told: u64, now: Local) {
        let mut known = self.0.lock();
        let took = now.since(asked);
        let held = known.sample;
        if held.is_some_and(|held| told + SET_BACK_US < held.lowest(asked)) {
            known.steady = None;
        }
        if took > SLOW_US && held.is_some_and(|held| now.since(held.asked) < TRUSTED.as_micros() as u64) {
            return;
        }
        known.sample = Some(Sample { asked, told, took });
    }

    /// Whether it has ordered what happens to keys for so long, by a clock that was not set back meanwhile.
    pub(super) fn is_steady_for(&self, ago: Duration) -> bool {
        self.is_steady_at(ago, Local::now())
    }

    fn is_steady_at(&self, ago: Duration, now: Local) -> bool {
        self.0.lock().steady.is_some_and(|since| u128::from(now.since(since)) >= ago.as_micros())
    }

    /// What the node's time is at least, in µs, however long ago it said so last.
    pub(super) fn lowest_us(&self) -> Option<u64> {
        Some(self.0.lock().sample?.lowest(Local::now()))
    }

    /// The node's time in ms, if it is known well enough.
    ///
    /// It is taken to have read its clock when the question left: if that is wrong, what is fresh seems stale, which
    /// costs a question and never shows anything too old.
    pub(super) fn now_ms(&self) -> Option<u64> {
        self.now_ms_at(Local::now())
    }

    fn now_ms_at(&self, now: Local) -> Option<u64> {
        let held = self.0.lock().sample?;
        let since = now.since(held.asked);
        (since < TRUSTED.as_micros() as u64).then(|| (held.told + since) / 1000)
    }

    /// What the node's time is at least, in µs: as if it had read its clock when the answer left.
    pub(super) fn earliest_us(&self) -> Option<u64> {
        let held = self.0.lock().sample?;
        let since = Local::now().since(held.asked);
        (since < TRUSTED.as_micros() as u64).then(|| (held.told + since).saturating_sub(held.took))
    }

    /// How wrong [`now_ms`](Self::now_ms) can be, and how far the node's clock is ahead of this machine's wall clock.
    pub(super) fn offset(&self, wall_us: u64) -> Option<(Duration, i64)> {
        let held = self.0.lock().sample?;
        let now = Local::now();
        let there = i64::try_from(held.told + now.since(held.asked)).unwrap_or(i64::MAX);
        Some((Duration::from_micros(held.took), there.saturating_sub(i64::try_from(wall_us).unwrap_or(i64::MAX))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nodes_time_is_never_taken_for_earlier_than_it_is() {
        let clock = NodeClock::default();
        assert_eq!(clock.now_ms_at(Local(5)), None);
        // Asked at 1,000; the node reads 9,000,000 somewhere before the answer at 4,000.
        clock.sample_at(Local(1_000), 9_000_000, Local(4_000));
        assert_eq!(clock.now_ms_at(Local(4_000)), Some(9_003), "as if it had been read at once");
    }

    #[test]
    fn what_was_heard_too_long_ago_counts_as_unknown_sleep_included() {
        let clock = NodeClock::default();
        clock.sample_at(Local(0), 9_000_000, Local(10));
        assert_eq!(clock.now_ms_at(Local(14_999_999)), Some(23_999));
        assert_eq!(clock.now_ms_at(Local(15_000_000)), None);
    }

    #[test]
    fn a_node_is_steady_from_its_first_script_on_until_its_clock_is_set_back() {
        let clock = NodeClock::default();
        let is_steady = |seconds, at| clock.is_steady_at(Duration::from_secs(seconds), Local(at));
        clock.sample_at(Local(0), 9_000_000, Local(10));
        assert!(!is_steady(0, 60_000_000), "a replica tells the time as well");
        clock.ordered_at(Local(1_000_000), 10_000_000, Local(1_000_010));
        assert!(is_steady(2, 3_000_010) && !is_steady(3, 3_000_010));
        // An hour without a word, by a clock that is a little slow, and then one that was set forth.
        clock.ordered_at(Local(3_601_000_000), 3_607_000_000, Local(3_601_000_010));
        clock.sample_at(Local(3_602_000_000), 9_607_000_000, Local(3_602_000_010));
        assert!(is_steady(3_600, 3_602_000_010), "whose moments may seem too late, and never too early");
        clock.ordered_at(Local(3_603_000_000), 9_607_900_000, Local(3_603_000_010));
        assert!(is_steady(0, 3_603_000_010) && !is_steady(1, 3_603_000_010), "set back by 100 ms");
    }

    #[test]
    fn a_slow_answer_does_not_replace_a_good_one() {
        let clock = NodeClock::default();
        clock.sample_at(Local(0), 1_000_000, Local(10));
        clock.sample_at(Local(1_000), 0, Local(3_000_000));
        assert_eq!(clock.now_ms_at(Local(3_000_000)), Some(4_000));
        clock.sample_at(Local(20_000_000), 50_000_000, Local(22_000_000));
        assert_eq!(clock.now_ms_at(Local(22_000_000)), Some(52_000), "but one that is too old");
    }
}
