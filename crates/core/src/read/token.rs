//! Who fills a key from outside, where other processes fill it as well? A client's way to the tier's lease, as data.
//!
//! ```text
//! ask -> Give | Serve | Cool
//!  ^ \__ Wait (another process's client holds it: the caller has a stale value, or waits, or is told so)
//!  \____ (something came that will not do)
//! ```
//! The lease is the tier's, so that whatever happens to the key anywhere voids it. It is not kept alive: its holder is
//! a program that nobody here can watch, and it ends when that said it would.

use crate::draw::Draw;
use crate::failure::FailClass;
use crate::policy::Policy;
use crate::read::decide::{Decision, Demand, Resident, decide};
use crate::read::queue::{BACKOFF, BLINK, jittered};
use crate::read::walk::{Right, Seen};
use crate::time::{Span, Tick};
use crate::why::Why;

/// So often the lease is asked for in a row; then others are at work on this key.
pub const MOST_ASKED: u32 = 3;

/// What the tier said to somebody who asked for the lease.
#[derive(Clone, Copy, Debug)]
pub enum Heard {
    /// It is theirs.
    Granted,
    /// An entry that is fresh there.
    Entry(Seen),
    /// Somebody else has it, at most so much longer.
    Denied(Span),
    /// Its last holder gave up, with a pause for everybody.
    Failed(Span, FailClass),
    /// The key can't take part.
    Passing,
    /// No answer within the budget.
    Unreachable,
}

/// What becomes of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It gets a token: the lease; or one of this process alone, because the tier is gone or the key can't be there.
    Give(Right),
    /// The tier's entry answers.
    Serve(Why),
    /// Ask again.
    Ask,
    /// Somebody else fills the key: ask again after so long, or when it has changed.
    Wait(Span),
    /// Nobody gets a token for so long.
    Cool(Span, FailClass),
}

/// One caller's dealings with the tier.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asking {
    /// How often in a row.
    asked: u32,
    pauses: u32,
    /// Since when the tier does not answer.
    silent_since: Option<Tick>,
}

impl Asking {
    /// Whether this caller has heard that another process fills the key.
    pub fn has_waited(&self) -> bool {
        self.pauses > 0
    }

    /// The next step.
    pub fn on(&mut self, heard: Heard, now: Tick, policy: &Policy, draw: Draw) -> Step {
        if !matches!(heard, Heard::Unreachable) {
            self.silent_since = None;
        }
        self.asked += 1;
        match heard {
            Heard::Granted => Step::Give(Right::Lease),
            Heard::Passing => Step::Give(Right::Beside),
            Heard::Failed(left, class) => Step::Cool(left, class),
            Heard::Denied(left) => self.pause(left, draw),
            Heard::Entry(seen) => match self.verdict(&seen, now, policy, draw) {
                Some(why) => Step::Serve(why),
                None if self.asked < MOST_ASKED => Step::Ask,
                None => self.pause(seen.lease.unwrap_or(BACKOFF[BACKOFF.len() - 1]), draw),
            },
            Heard::Unreachable => self.silent(now, draw),
        }
    }

    fn verdict(&self, seen: &Seen, now: Tick, policy: &Policy, draw: Draw) -> Option<Why> {
        let demand = match seen.demand {
            // What was published while this caller waited for it is what it would have filled in itself.
            Demand::Fresh if seen.newer && self.has_waited() => Demand::Any,
            demand => demand,
        };
        let found = Resident { meta: &seen.meta, hits: 0 };
        match decide(Some(found), seen.floor, demand, now, policy, draw) {
            Decision::Serve(Why::Hit) | Decision::ServeAndRefresh(Why::Hit) => {
                Some(if self.has_waited() { Why::Coalesced } else { Why::Hit })
            }
            Decision::Serve(why) | Decision::ServeAndRefresh(why) => Some(why),
            Decision::Load | Decision::LoadAlone | Decision::NotCached => None,
        }
    }

    fn pause(&mut self, left: Span, draw: Draw) -> Step {
        let pause = BACKOFF[(self.pauses as usize).min(BACKOFF.len() - 1)];
        (self.asked, self.pauses) = (0, self.pauses.saturating_add(1));
        // Not past the end of the lease by more than a moment.
        Step::Wait(jittered(pause, draw).at_most(Span(left.0.saturating_add(1))).max(Span(1)))
    }

    /// Who waits for a holder has heard from the tier: a blink of it is no reason to fill the key beside that one.
    fn silent(&mut self, now: Tick, draw: Draw) -> Step {
        let since = *self.silent_since.get_or_insert(now);
        if self.has_waited() && now.since(since) < BLINK {
            return Step::Wait(jittered(BACKOFF[2], draw).max(Span(1)));
        }
        Step::Give(Right::Lone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Kind, Meta};
    use crate::fence::{Fence, Floor, Invalidation};
    use proptest::prelude::*;

    const NOW: Tick = Tick(1_000);

    fn entry(fresh: u64) -> Seen {
        let meta = Meta {
            fence: Fence(10),
            born: Tick(900),
            fresh_until: Tick(fresh),
            swr_ms: 0,
            hard_ms: 0,
            cost_ms: 0,
            early_ms: 0,
            kind: Kind::Value,
        };
        Seen { meta, floor: Floor::NONE, crossed: false, demand: Demand::Any, newer: true, lease: None }
    }

    fn step(asking: &mut Asking, heard: Heard) -> Step {
        asking.on(heard, NOW, &Policy::ttl(Span(500)), Draw(1))
    }

    #[test]
    fn what_the_tier_has_is_served_and_what_it_grants_is_given() {
        let mut asking = Asking::default();
        assert_eq!(step(&mut asking, Heard::Entry(entry(1_100))), Step::Serve(Why::Hit));
        assert_eq!(step(&mut asking, Heard::Granted), Step::Give(Right::Lease));
        assert_eq!(step(&mut asking, Heard::Passing), Step::Give(Right::Beside));
        assert_eq!(
            step(&mut asking, Heard::Failed(Span(7), FailClass::Failed)),
            Step::Cool(Span(7), FailClass::Failed)
        );
    }

    #[test]
    fn g2_what_an_invalidation_covers_is_asked_for_again_and_not_for_ever() {
        let covered = || Seen { floor: Floor::of(Invalidation::Remove, Fence(10)), ..entry(1_100) };
        let mut asking = Asking::default();
        let steps: Vec<_> = (0..MOST_ASKED).map(|_| step(&mut asking, Heard::Entry(covered()))).collect();
        assert_eq!(steps[..2], [Step::Ask, Step::Ask]);
        assert!(matches!(steps[2], Step::Wait(_)), "{steps:?}");
    }

    #[test]
    fn who_insists_on_a_fresh_value_takes_the_one_it_has_waited_for() {
        let fresh = |newer| Heard::Entry(Seen { demand: Demand::Fresh, newer, ..entry(1_100) });
        let mut asking = Asking::default();
        assert_eq!(step(&mut asking, fresh(true)), Step::Ask, "it was there before");
        assert!(matches!(step(&mut asking, Heard::Denied(Span(400))), Step::Wait(_)));
        assert_eq!(step(&mut asking, fresh(true)), Step::Serve(Why::Coalesced));
        assert_eq!(step(&mut asking, fresh(false)), Step::Ask, "control: the same as before");
    }

    #[test]
    fn g1_a_blink_of_the_tier_gives_nobody_a_token_beside_the_holder() {
        let mut asking = Asking::default();
        assert_eq!(step(&mut asking, Heard::Unreachable), Step::Give(Right::Lone), "nothing is known of a holder");
        step(&mut asking, Heard::Denied(Span(400)));
        assert!(matches!(step(&mut asking, Heard::Unreachable), Step::Wait(_)));
        let later = asking.on(Heard::Unreachable, NOW + BLINK, &Policy::ttl(Span(500)), Draw(1));
        assert_eq!(later, Step::Give(Right::Lone), "it is gone");
    }

    proptest! {
        #[test]
        fn a_pause_is_short_and_ends_with_the_lease(lefts in prop::collection::vec(0u64..500, 1..20), draw in any::<u64>()) {
            let mut asking = Asking::default();
            for left in lefts {
                let Step::Wait(pause) = asking.on(Heard::Denied(Span(left)), NOW, &Policy::ttl(Span(500)), Draw(draw)) else {
                    return Err(TestCaseError::fail("it waits"));
                };
                prop_assert!(pause >= Span(1) && pause <= BACKOFF[3] && pause.0 <= left + 1);
            }
        }
    }
}
