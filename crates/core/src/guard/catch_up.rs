//! How many loads that nobody waits for may make up for what was asked for in vain? As many as turn no caller
//! away, and make loads hardly slower.
//!
//! Free permits don't say it: a limit may be far above what an origin bears without making anybody wait, and filling it
//! makes callers slow, then keeps them waiting, then turns them away, and each of those would be one more to catch up
//! with. So it begins with one load at once after a second in which no caller waited, goes on by one more with each second
//! in which loads took what they take without it, and goes back when they take longer.

use super::unmet::LOOK;
use crate::policy::Priority;
use crate::time::{Span, Tick};

/// No caller waited or was turned away for so long. It is also how long is measured before it is judged.
const QUIET: Span = Span::secs(1);
/// Fewer loads say little: they are judged together with those of the next second.
const LEAST: u32 = 10;
/// Loads may take so many percent of what they take while nothing is caught up.
const PUT_UP_WITH: u64 = 120;
/// After a step back it does not grow for so long: else callers would be slow every third second.
const HOLD: Span = Span::secs(5);
/// Never more at once.
const MOST: usize = 16;
/// Of the permits that nobody uses, one in so many at most.
const OF_UNUSED: usize = 4;
/// A measure moves what is usual by one part in so many.
const LEARNS: i64 = 4;

/// What an origin's gate knows about catching up.
#[derive(Clone, Copy, Debug, Default)]
pub struct CatchUp {
    /// So many at once now.
    level: usize,
    /// Since then is measured.
    since: Tick,
    /// There was something to catch up with since then.
    wanted: bool,
    /// It does not grow before.
    hold: Tick,
    /// What loads of callers take, and those of nobody. Not mixed: what is caught up may be slow by nature.
    times: [Times; 2],
    /// What the look under way has handed out, which may not be seen as running yet.
    given: usize,
    given_at: Tick,
}

#[derive(Clone, Copy, Debug, Default)]
struct Times {
    sum_us: u64,
    took: u32,
    /// On average while nothing is caught up.
    usual_us: Option<i64>,
}

/// What a gate is busy with.
#[derive(Clone, Copy, Debug)]
pub struct Busy {
    /// Permits in use.
    pub running: usize,
    /// Those of them that nobody waits for.
    pub unasked: usize,
    /// Tickets in the queue.
    pub waiting: usize,
    /// Loads that may run at once.
    pub limit: usize,
}

impl CatchUp {
    /// One of `class` waits for a permit, or is turned away. Where that is a caller, nothing is caught up.
    pub fn could_not_start(&mut self, class: Priority, now: Tick) {
        if class == Priority::Background {
            return;
        }
        self.level = 0;
        self.measure_from(now);
        for times in &mut self.times {
            (times.sum_us, times.took) = (0, 0);
        }
    }

    /// A load was answered after so many microseconds of service.
    pub fn took(&mut self, us: u64, unasked: bool, now: Tick) {
        let times = &mut self.times[usize::from(unasked)];
        times.sum_us = times.sum_us.saturating_add(us);
        times.took += 1;
        self.judge(now);
    }

    /// Of `wanted` loads so many may begin now. What is handed out counts as under way until the next look.
    pub fn room(&mut self, wanted: usize, busy: Busy, now: Tick) -> usize {
        self.wanted = true;
        self.judge(now);
        if now.since(self.given_at) >= LOOK {
            (self.given, self.given_at) = (0, now);
        }
        if busy.waiting > 0 {
            return 0;
        }
        let unused = busy.limit.saturating_sub(busy.running).saturating_sub(self.given);
        let left = self.level.saturating_sub(busy.unasked).saturating_sub(self.given);
        let room = wanted.min(left).min(unused.div_ceil(OF_UNUSED));
        self.given += room;
        room
    }

    fn measure_from(&mut self, now: Tick) {
        (self.since, self.wanted) = (now, false);
    }

    fn judge(&mut self, now: Tick) {
        if now.since(self.since) < QUIET {
            return;
        }
        let catching_up = self.level > 0;
        let (mut slower, mut known) = (false, false);
        for times in &mut self.times {
            if let Some(slow) = times.judge(catching_up) {
                (slower, known) = (slower || slow, true);
            }
        }
        self.level = match self.level {
            _ if !self.wanted => 0,
            level if slower => {
                self.hold = now + HOLD;
                level / 2
            }
            level if now < self.hold => level,
            0 => 1,
            level if known => (level + 1).min(MOST),
            level => level,
        };
        self.measure_from(now);
    }
}

impl Times {
    /// Whether they were slower than usual; `None`: too few to tell.
    fn judge(&mut self, catching_up: bool) -> Option<bool> {
        if self.took < LEAST {
            return None;
        }
        let mean = i64::try_from(self.sum_us / u64::from(self.took)).unwrap_or(i64::MAX / 128);
        (self.sum_us, self.took) = (0, 0);
        let usual = *self.usual_us.get_or_insert(mean);
        // What we make slow ourselves must not become usual.
        if !catching_up || mean < usual {
            self.usual_us = Some(usual + (mean - usual) / LEARNS);
        }
        Some(mean.saturating_mul(100) > usual.saturating_mul(PUT_UP_WITH as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Busy = Busy { running: 0, unasked: 0, waiting: 0, limit: 64 };

    /// Each 100 ms: what there is room for, with so many loads of callers that take so long.
    fn looks(catch_up: &mut CatchUp, from: u64, seconds: u64, us: u64) -> Vec<usize> {
        let mut most = Vec::new();
        for second in 0..seconds {
            let mut room = 0;
            for look in 0..10 {
                let now = Tick(from + second * 1000 + look * 100);
                (0..3).for_each(|_| catch_up.took(us, false, now));
                room = room.max(catch_up.room(100, IDLE, now));
            }
            most.push(room);
        }
        most
    }

    #[test]
    fn it_begins_with_one_after_a_second_in_which_nobody_waited_and_grows_by_one() {
        let mut catch_up = CatchUp::default();
        catch_up.could_not_start(Priority::Low, Tick(10_000));
        assert_eq!(looks(&mut catch_up, 10_000, 5, 100), [0, 1, 2, 3, 4]);
        catch_up.could_not_start(Priority::Low, Tick(15_000));
        assert_eq!(looks(&mut catch_up, 15_000, 3, 100), [0, 1, 2], "one who waits is enough to begin anew");
        assert_eq!(looks(&mut catch_up, 18_000, 40, 100)[39], MOST);
        catch_up.could_not_start(Priority::Background, Tick(58_000));
        assert_eq!(looks(&mut catch_up, 58_000, 1, 100), [MOST], "control: nobody's load may wait");
    }

    #[test]
    fn it_goes_back_and_stays_there_for_a_while_when_loads_take_longer() {
        let mut catch_up = CatchUp::default();
        catch_up.could_not_start(Priority::Low, Tick(10_000));
        looks(&mut catch_up, 10_000, 5, 100);
        let mut control = catch_up;
        assert_eq!(looks(&mut catch_up, 15_000, 5, 130)[1..], [2, 1, 0, 0]);
        assert_eq!(looks(&mut control, 15_000, 5, 119)[1..], [6, 7, 8, 9], "control: nearly as long as usual");
    }

    #[test]
    fn what_is_slow_with_nothing_caught_up_becomes_usual() {
        let mut catch_up = CatchUp::default();
        catch_up.could_not_start(Priority::Low, Tick(10_000));
        looks(&mut catch_up, 10_000, 5, 100);
        let rooms = looks(&mut catch_up, 15_000, 25, 1000);
        assert!(rooms[4..8] == [0; 4] && rooms[24] > 0, "{rooms:?}");
    }

    #[test]
    fn what_runs_already_and_what_this_look_has_handed_out_count() {
        let mut catch_up = CatchUp::default();
        catch_up.could_not_start(Priority::Low, Tick(10_000));
        looks(&mut catch_up, 10_000, 7, 100);
        let mut room = |wanted, busy, now| catch_up.room(wanted, busy, Tick(now));
        assert_eq!([room(2, IDLE, 17_000), room(9, IDLE, 17_000), room(9, IDLE, 17_001)], [2, 5, 0]);
        assert_eq!(room(9, Busy { unasked: 5, running: 5, ..IDLE }, 17_100), 2);
        assert_eq!(room(9, Busy { waiting: 1, ..IDLE }, 17_200), 0, "somebody waits");
        assert_eq!(room(9, Busy { running: 60, ..IDLE }, 17_300), 1, "far fewer than nobody uses");
        assert_eq!(room(9, Busy { running: 64, ..IDLE }, 17_400), 0);
    }

    #[test]
    fn with_nothing_to_catch_up_with_it_begins_anew() {
        let mut catch_up = CatchUp::default();
        catch_up.could_not_start(Priority::Low, Tick(10_000));
        looks(&mut catch_up, 10_000, 5, 100);
        (0..30).for_each(|load| catch_up.took(100, false, Tick(15_000 + load * 100)));
        assert!(catch_up.room(100, IDLE, Tick(18_000)) <= 1);
    }
}
