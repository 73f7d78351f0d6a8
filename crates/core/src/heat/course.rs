//! For how long does what is done about a hot key stay as it is? A plan that does not flutter where a rate wavers about a
//! bar.
//!
//! What is to be done begins as soon as its bar is passed: a key that needs more is not kept waiting. What is done ends
//! late: at once only where hardly anything speaks for it any more, and otherwise not before it was held for a while,
//! for twice as long each time that it comes and goes.

use crate::heat::plan::{Reaction, Situation, plan, plan_after};
use crate::heat::policy::LONGEST_HOLD;
use crate::time::{Span, Tick};

/// A change is held for so long; for a key's own hold where that is shorter.
pub const HELD: Span = Span::secs(10);
/// For a part of its hold it is held whatever happens, at most for so long.
const FIRM: u64 = 10;
const LONGEST_FIRM: Span = Span::secs(30);
/// Changed again within so many holds after something ended: it flaps, and the next hold is twice as long.
const FLAPS_WITHIN: u64 = 4;
/// The part of a bar below which what is done ends, while it is held and afterwards.
const WHILE_HELD: f64 = 0.4;
const STAYS: f64 = 0.8;

/// What is done about one key, from window to window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Course {
    reaction: Reaction,
    /// When it last became another, and for how long that is held. `None`: it is what was planned first. That was after
    /// a window or two, which say little, so nothing is held for its sake.
    changed: Option<(Tick, Span)>,
    /// When a part of it last ended.
    ended: Option<Tick>,
}

impl Course {
    /// What is done about a key that nothing is done about yet; `None`: nothing.
    pub fn begin(situation: &Situation) -> Option<Course> {
        Some(Course { reaction: plan(situation)?, changed: None, ended: None })
    }

    /// What is done.
    pub fn reaction(&self) -> Reaction {
        self.reaction
    }

    /// A window is over. `hold`: for how long the key itself is held. `None`: nothing is to be done any more.
    #[must_use]
    pub fn go_on(self, situation: &Situation, hold: Span, now: Tick) -> Option<Course> {
        let reaction = plan_after(situation, Some(&self.reaction), self.part(now))?;
        let (ends, begins) = (self.reaction.is_more_than(&reaction), reaction.is_more_than(&self.reaction));
        let base = HELD.at_most(hold);
        let held = self.changed.map_or(base, |(_, held)| held);
        let flaps = self.ended.is_some_and(|ended| now.since(ended) <= Span(held.0.saturating_mul(FLAPS_WITHIN)));
        let next = if flaps { Span(held.0 * 2).at_most(LONGEST_HOLD) } else { base };
        Some(Course {
            reaction,
            changed: if ends || begins { Some((now, next)) } else { self.changed },
            ended: if ends { Some(now) } else { self.ended },
        })
    }

    /// The part of its bar above which what is done stays.
    fn part(&self, now: Tick) -> f64 {
        match self.changed {
            Some((at, hold)) if now.since(at) < Span(hold.0 / FIRM).at_most(LONGEST_FIRM) => 0.0,
            Some((at, hold)) if now.since(at) < hold => WHILE_HELD,
            _ => STAYS,
        }
    }
}

#[cfg(test)]
#[path = "course_tests.rs"]
mod tests;
