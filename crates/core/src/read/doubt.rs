//! May a copy be believed that others may have invalidated meanwhile? By when it was last in step with the shared tier.
//!
//! A copy's local fence says when that was. Two marks rise over it: what is *suspect* may miss an invalidation, because
//! messages were lost or the process stood still; what is *unconfirmed* was not compared with the tier for longer than
//! is promised. A tier that is silent can't clear a copy of suspicion, and excuses nobody from the promise: whoever is
//! cut off from everything serves what he has for that long, and then asks the origin.

use std::collections::VecDeque;

use crate::entry::Meta;
use crate::fence::Fence;
use crate::policy::Policy;
use crate::read::shelf::{OnRestart, after_restart};
use crate::time::{Span, Tick};

/// Steps of the rising mark within one `resync`: from its end on a copy that is read is compared.
const STEPS: u64 = 8;
/// A copy is unconfirmed when that end is past by this part of `resync`, or by so many budgets of the tier: one that
/// is compared in time is known to hold before.
const MARGIN: u64 = 4;
const BUDGETS: u64 = 3;
/// Steps that are remembered. A margin of many budgets spans more of them than its `resync` does: then the oldest is
/// given up, and copies are unconfirmed a little sooner.
const MOST_STEPS: usize = 256;

/// What is known of a space's copies as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Copies up to here may miss an invalidation.
    pub suspect: Fence,
    /// Copies up to here were confirmed too long ago.
    pub unconfirmed: Fence,
    /// Memory serves nothing of this space.
    pub braked: bool,
}

/// What a copy is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is known against it.
    #[default]
    Sound,
    /// It may miss an invalidation, and was confirmed within the time that is promised.
    Suspect,
    /// It was not confirmed for longer than that.
    Unconfirmed,
}

/// What is done with a copy that is fresh, or stale within its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Belief {
    /// It answers.
    Full,
    /// It answers, labelled.
    Labelled,
    /// It does not: the shared tier is asked in its place, and where that is silent the origin.
    None,
}

impl Marks {
    /// What a copy made under `fence` is worth.
    #[inline]
    pub fn standing(self, fence: Fence) -> Standing {
        if fence <= self.unconfirmed {
            Standing::Unconfirmed
        } else if fence <= self.suspect || self.braked {
            Standing::Suspect
        } else {
            Standing::Sound
        }
    }
}

impl Standing {
    /// Whether such a copy answers. `silent`: the shared tier does not, so that nobody could confirm it.
    #[inline]
    pub fn belief(self, silent: bool) -> Belief {
        match self {
            Standing::Sound => Belief::Full,
            Standing::Suspect if silent => Belief::Labelled,
            Standing::Suspect | Standing::Unconfirmed => Belief::None,
        }
    }
}

/// For how long a copy is believed that nobody confirms. `budget`: what a request may spend on the tier.
pub fn longest(resync: Span, budget: Span) -> Span {
    Span(resync.0 + (resync.0 / MARGIN).max(budget.0 * BUDGETS))
}

/// What lies on this machine's disk, as far as it may answer before the shared tier was asked. `live`: every
/// invalidation of the fleet is heard; `age`: since its load began, because nobody has confirmed it since.
///
/// What others may have invalidated is at most a rescue, where the policy has a time for failures: see
/// [`crate::read::rescue`]. `None`: it is as if it were not there.
pub fn from_disk(meta: Meta, live: bool, age: Span, resync: Span, policy: &Policy, now: Tick) -> Option<Meta> {
    match () {
        () if live || age <= resync => Some(meta),
        () if policy.stale_if_error > Span::ZERO => after_restart(meta, OnRestart::Revalidate, now),
        () => None,
    }
}

/// The mark that rises with time: a fence is drawn at every step, and what is as old as the promise is unconfirmed.
#[derive(Clone, Debug)]
pub struct Ageing {
    step: Span,
    most: Span,
    last: Tick,
    /// The oldest first, each with the moment of the step before it: what was made in between is as old as that, for all
    /// that is known, and may be much older than the step that came late.
    drawn: VecDeque<(Tick, Fence)>,
}

impl Ageing {
    /// Of copies that are to be compared after `resync`. There are none yet.
    pub fn new(resync: Span, budget: Span, now: Tick) -> Ageing {
        let step = Span((resync.0 / STEPS).max(1));
        Ageing { step, most: longest(resync, budget), last: now, drawn: VecDeque::new() }
    }

    /// How often [`Ageing::on`] is to be called.
    pub fn step(&self) -> Span {
        self.step
    }

    /// It is `now`, and `fence` was drawn just now. The newest fence that is too old by now, if another one is.
    pub fn on(&mut self, now: Tick, fence: Fence) -> Option<Fence> {
        let mut unconfirmed = None;
        if self.drawn.len() == MOST_STEPS {
            unconfirmed = self.drawn.pop_front().map(|(_, fence)| fence);
        }
        self.drawn.push_back((std::mem::replace(&mut self.last, now), fence));
        while let Some((at, fence)) = self.drawn.front().copied()
            && now.since(at) >= self.most
        {
            unconfirmed = Some(fence);
            self.drawn.pop_front();
        }
        unconfirmed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RESYNC: Span = Span::secs(5);
    const BUDGET: Span = Span::ms(50);

    fn marks(suspect: u64, unconfirmed: u64) -> Marks {
        Marks { suspect: Fence(suspect), unconfirmed: Fence(unconfirmed), braked: false }
    }

    #[test]
    fn a_copy_stands_where_the_marks_leave_it() {
        let marks = marks(20, 10);
        let stands = |fence| marks.standing(Fence(fence));
        assert_eq!([10, 11, 20, 21].map(stands), {
            use Standing::{Sound, Suspect, Unconfirmed};
            [Unconfirmed, Suspect, Suspect, Sound]
        });
        let braked = Marks { braked: true, ..marks };
        assert_eq!(braked.standing(Fence(21)), Standing::Suspect);
        assert_eq!(braked.standing(Fence(10)), Standing::Unconfirmed);
    }

    #[test]
    fn g2_a_silent_tier_excuses_what_is_suspect_and_never_what_is_unconfirmed() {
        assert_eq!([true, false].map(|silent| Standing::Sound.belief(silent)), [Belief::Full; 2]);
        assert_eq!(Standing::Suspect.belief(true), Belief::Labelled);
        assert_eq!(Standing::Suspect.belief(false), Belief::None);
        assert_eq!([true, false].map(|silent| Standing::Unconfirmed.belief(silent)), [Belief::None; 2]);
    }

    #[test]
    fn a_comparison_in_time_is_known_to_hold_before_the_copy_is_unconfirmed() {
        assert_eq!(longest(RESYNC, BUDGET), Span(6_250));
        // A short `resync` leaves room for the tier's budget all the same.
        assert_eq!(longest(Span(100), BUDGET), Span(250));
    }

    #[test]
    fn what_lies_on_disk_answers_while_all_is_heard_or_while_it_is_young() {
        let now = Tick(3_600_000);
        let meta = Meta {
            fence: Fence(1),
            born: Tick(1_000),
            fresh_until: now + Span::secs(60),
            swr_ms: 1_000,
            hard_ms: 5_000,
            cost_ms: 5,
            early_ms: 0,
            kind: crate::entry::Kind::Value,
        };
        let (plain, saves) = (Policy::ttl(Span::secs(7_200)), Span::secs(5));
        let graceful = Policy { stale_if_error: saves, ..plain.clone() };
        let found = |live, age, policy: &Policy| from_disk(meta, live, age, RESYNC, policy, now);
        assert_eq!(found(true, Span::secs(3_600), &plain), Some(meta));
        assert_eq!(found(false, RESYNC, &plain), Some(meta));
        let old = Span(RESYNC.0 + 1);
        assert_eq!(found(false, old, &plain), None, "others may have removed it");
        let rescue = found(false, old, &graceful).expect("a rescue");
        assert!(rescue.fresh_until <= now && rescue.swr_until() <= now && rescue.hard_until() > now);
    }

    #[test]
    fn a_process_that_stood_still_is_as_far_as_one_that_did_not() {
        let mut ageing = Ageing::new(RESYNC, BUDGET, Tick(375));
        assert_eq!(ageing.on(Tick(1_000), Fence(10)), None);
        assert_eq!(ageing.on(Tick(1_625), Fence(20)), None);
        assert_eq!(ageing.on(Tick(60_000), Fence(30)), Some(Fence(30)), "all that was made before the pause");
        assert_eq!(ageing.on(Tick(60_625), Fence(40)), None);
    }

    proptest! {
        #[test]
        fn g2_a_copy_is_unconfirmed_after_the_longest_and_hardly_before_resync(
            resync in 1u64..20_000,
            budget in 1u64..500,
            late in proptest::collection::vec(0u64..3_000, 1..400),
            punctual in any::<bool>(),
        ) {
            let mut now = Tick(1);
            let mut ageing = Ageing::new(Span(resync), Span(budget), now);
            let (step, most) = (ageing.step(), longest(Span(resync), Span(budget)));
            let (mut copies, mut mark) = (Vec::new(), Fence::ZERO);
            for (n, late) in late.into_iter().enumerate() {
                // One right after the last step, one right before this, which is late at times.
                let (first, late) = (now, if n % 7 == 0 && !punctual { late } else { 0 });
                now = now + step + Span(late);
                let fence = |k| Fence(3 * n as u64 + k);
                copies.extend([(first, fence(1)), (now, fence(2))]);
                mark = ageing.on(now, fence(3)).map_or(mark, |raised| raised.max(mark));
                for (made, fence) in &copies {
                    let age = now.since(*made);
                    prop_assert!(age < most || *fence <= mark, "{age} old and believed");
                    let early = age.0 + step.0 < resync && *fence <= mark;
                    prop_assert!(!(punctual && early), "{age} old and not believed");
                }
                copies.retain(|(_, fence)| *fence > mark);
            }
            prop_assert!(ageing.drawn.len() <= MOST_STEPS);
        }
    }
}
