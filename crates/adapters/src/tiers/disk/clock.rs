//! What time is it in the file? A clock that goes on where the process before left it.
//!
//! The file remembers an anchor: a reading of the wall clock beside one of the clock that counts since the machine's
//! start, suspended time included. While the machine runs, every process that opens the file counts on from that
//! anchor, so that a wall clock that is set makes nothing younger or older. After another start of the machine a new
//! anchor is made, and a wall clock that stands before the file's last moment is told as such.

use std::time::{SystemTime, UNIX_EPOCH};

use bellwether::Clock;

/// Where Linux says which start of the machine this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The machine as it is when the file is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Machine {
    /// Which start of the machine this is; empty if it does not say.
    pub(super) boot: String,
    /// The wall clock, in ms since 1970.
    pub(super) wall_ms: u64,
}

impl Machine {
    pub(super) fn now() -> Machine {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // A machine that does not say is another one each time: its files are believed after a clean end only.
        let boot = std::fs::read_to_string(BOOT_ID).unwrap_or_default();
        Machine { boot: boot.trim().to_owned(), wall_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) }
    }
}

/// A reading of both clocks at one moment, in ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Anchor {
    pub(super) wall_ms: u64,
    pub(super) ticks: u64,
}

/// Tells the file's time.
#[derive(Clone, Debug)]
pub(super) struct FileClock {
    clock: Clock,
    anchor: Anchor,
}

impl FileClock {
    pub(super) fn new(clock: Clock, anchor: Anchor) -> FileClock {
        FileClock { clock, anchor }
    }

    /// What it counts from.
    pub(super) fn since(&self) -> Anchor {
        self.anchor
    }

    /// The anchor that is made now.
    pub(super) fn anchor(clock: &Clock, wall_ms: u64) -> Anchor {
        Anchor { wall_ms, ticks: clock.now().0 }
    }

    /// In ms, close to the wall clock's since 1970.
    pub(super) fn now_ms(&self) -> u64 {
        self.anchor.wall_ms + self.clock.now().0.saturating_sub(self.anchor.ticks)
    }
}

/// What the file knows of its last process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) boot: String,
    pub(super) anchor: Anchor,
    /// The latest moment that was noted.
    pub(super) latest_ms: u64,
    /// It ended in order, and all it wrote is on the platter.
    pub(super) clean: bool,
}

/// Whether what the file says can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Continuity {
    /// Its clock goes on from this anchor.
    Kept(Anchor),
    /// Another start of the machine after an end without order: the last removals may be lost.
    Lost,
    /// Time runs backwards: ages mean nothing.
    Backwards,
}

impl Continuity {
    pub(super) fn of(left: &Left, machine: &Machine, clock: &Clock) -> Continuity {
        let same_start = !machine.boot.is_empty() && machine.boot == left.boot;
        if !same_start && !left.clean {
            return Continuity::Lost;
        }
        let anchor = if same_start { left.anchor } else { FileClock::anchor(clock, machine.wall_ms) };
        let now = FileClock::new(clock.clone(), anchor).now_ms();
        if clock.now().0 < anchor.ticks || now < left.latest_ms {
            return Continuity::Backwards;
        }
        Continuity::Kept(anchor)
    }
}

#[cfg(test)]
mod tests {
    use bellwether::Span;

    use super::*;

    fn machine(boot: &str, wall_ms: u64) -> Machine {
        Machine { boot: boot.to_owned(), wall_ms }
    }

    fn left(boot: &str, clock: &Clock, clean: bool) -> Left {
        let anchor = FileClock::anchor(clock, 1_000_000_000);
        Left { boot: boot.to_owned(), anchor, latest_ms: 1_000_060_000, clean }
    }

    #[test]
    fn a_wall_clock_that_is_set_changes_no_age_while_the_machine_runs() {
        let clock = Clock::manual();
        let left = left("a", &clock, false);
        clock.advance(Span::secs(90));
        for wall_ms in [5, 1_000_090_000, 9_000_000_000] {
            let Continuity::Kept(anchor) = Continuity::of(&left, &machine("a", wall_ms), &clock) else {
                panic!("the same start of the machine");
            };
            assert_eq!(FileClock::new(clock.clone(), anchor).now_ms(), 1_000_090_000);
        }
    }

    #[test]
    fn another_start_of_the_machine_is_believed_after_an_end_in_order_only() {
        let clock = Clock::manual();
        let after = machine("b", 2_000_000_000);
        assert_eq!(Continuity::of(&left("a", &clock, false), &after, &clock), Continuity::Lost);
        assert!(matches!(Continuity::of(&left("a", &clock, true), &after, &clock), Continuity::Kept(_)));
        let unnamed = machine("", 2_000_000_000);
        assert_eq!(Continuity::of(&left("", &clock, false), &unnamed, &clock), Continuity::Lost);
    }

    #[test]
    fn a_wall_clock_that_stands_before_the_last_moment_is_told() {
        let clock = Clock::manual();
        let after = machine("b", 1_000_059_999);
        assert_eq!(Continuity::of(&left("a", &clock, true), &after, &clock), Continuity::Backwards);
    }

    #[test]
    fn a_counter_of_the_same_start_that_stands_before_its_anchor_is_told() {
        let (later, clock) = (Clock::manual(), Clock::manual());
        later.advance(Span::secs(90));
        let left = left("a", &later, false);
        assert_eq!(Continuity::of(&left, &machine("a", 1_000_090_000), &clock), Continuity::Backwards);
    }
}
