//! What does a leader do next? The miss path as a machine: events in, steps out, no I/O.
//!
//! ```text
//! AwaitTurn -> [Probe ->] Admit -> Load -> Keep | Deliver | Mark | Fail
//!                 \-> Adopt                  (each of these ends the walk)
//! ```

use crate::draw::Draw;
use crate::entry::{Kind, Meta};
use crate::failure::FailClass;
use crate::fence::{Fence, Floor};
use crate::guard::cooldown::Cooling;
use crate::policy::Policy;
use crate::read::decide::{Decision, Demand, Resident, decide};
use crate::time::{Span, Tick};
use crate::why::Why;
use crate::write::stamp::{Stamping, stamp};

/// What the shell performs next. The first four answer with an [`Event`]; the others are ends.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Wait until the older flight ends or may be overtaken, then say [`Event::Turn`].
    AwaitTurn,
    /// Ask the shared tier.
    Probe,
    /// Ask the guard for a permit.
    Admit,
    /// Draw the fence, begin to read, call the loader.
    Load,
    /// The shared tier's entry answers: install and deliver it.
    Adopt(Meta),
    /// Store under this meta and deliver.
    Keep(Meta),
    /// Deliver without storing, and leave this marker: the next callers load side by side.
    Mark {
        /// The marker's meta.
        marker: Meta,
        /// The body's meta: what its readers see as age.
        body: Meta,
        /// No follower may share it.
        private: bool,
    },
    /// No value. A load that ran and failed leaves the key cooling.
    Fail {
        /// What callers see, unless something rescues them.
        why: Why,
        /// When another try makes sense.
        retry_after: Option<Span>,
        /// The key's failed state, if a load ran.
        cooling: Option<Cooling>,
    },
}

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// The flight may run.
    Turn,
    /// The shared tier answered; an error or a time-out of the tier is `None`: it never hides the loader.
    /// With what covers the entry, and the strictest demand of those who wait for it.
    Probed(Option<(Meta, Floor, Demand)>),
    /// The permit is ours.
    Admitted,
    /// The guard turned us away.
    Shed(Why, Option<Span>),
    /// The load ended well.
    Loaded(Report),
    /// The load failed; with the key's failed state before it.
    Failed(FailClass, Option<Cooling>),
}

/// A load that ended well.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// When it began to read.
    pub started: Tick,
    /// Drawn at that moment.
    pub fence: Fence,
    /// What it found.
    pub found: Found,
    /// The answer's own ttl.
    pub ttl: Option<Span>,
    /// p99 and mean of the load times so far.
    pub times: (Option<Span>, Option<Span>),
}

/// What a load found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A value that may be kept.
    Value,
    /// An answer that may not be kept; `private` ones are not even shared.
    Uncacheable {
        /// A value or "no such row".
        kind: Kind,
        /// For one caller alone.
        private: bool,
    },
    /// No such row.
    Missing,
    /// The body that the loader was shown is still right.
    NotModified,
    /// "Not modified" although the loader was shown nothing.
    NotModifiedOfNothing,
}

/// A leader's walk.
#[derive(Clone, Debug)]
pub struct Walk {
    tier: bool,
}

impl Walk {
    /// Begins. `parked`: an older flight of the key still runs; `tier`: there is a shared tier to ask.
    pub fn start(parked: bool, tier: bool) -> (Walk, Step) {
        let walk = Walk { tier };
        let step = if parked { Step::AwaitTurn } else { walk.first() };
        (walk, step)
    }

    fn first(&self) -> Step {
        if self.tier { Step::Probe } else { Step::Admit }
    }

    /// The next step after `event`.
    pub fn on(&mut self, event: Event, now: Tick, policy: &Policy, draw: Draw) -> Step {
        match event {
            Event::Turn => self.first(),
            Event::Probed(found) => match found {
                Some((meta, floor, demand)) if adoptable(&meta, floor, demand, now, policy, draw) => Step::Adopt(meta),
                Some(_) | None => Step::Admit,
            },
            Event::Admitted => Step::Load,
            Event::Shed(why, retry_after) => Step::Fail { why, retry_after, cooling: None },
            Event::Loaded(report) => settle(&report, now, policy, draw),
            Event::Failed(class, before) => failed(class, before.as_ref(), now, draw),
        }
    }
}

/// Only what needs no refresh is adopted; anything else is loaded, as if the tier had nothing.
fn adoptable(meta: &Meta, floor: Floor, demand: Demand, now: Tick, policy: &Policy, draw: Draw) -> bool {
    let found = Resident { meta, hits: 0 };
    matches!(decide(Some(found), floor, demand, now, policy, draw), Decision::Serve(_))
}

fn settle(report: &Report, now: Tick, policy: &Policy, draw: Draw) -> Step {
    let (p99, ewma) = report.times;
    let stamp_as = |kind| {
        let Report { started, fence, ttl, .. } = *report;
        stamp(Stamping { kind, started, finished: now, fence, ttl, p99, ewma }, policy, draw)
    };
    match report.found {
        Found::Missing if report.ttl == Some(Span::ZERO) => {
            mark(stamp_as(Kind::HitForMiss), Kind::Negative, now, false)
        }
        Found::Missing => Step::Keep(stamp_as(Kind::Negative)),
        Found::Uncacheable { kind, private } => mark(stamp_as(Kind::HitForMiss), kind, now, private),
        Found::Value | Found::NotModified if report.ttl == Some(Span::ZERO) => {
            mark(stamp_as(Kind::HitForMiss), Kind::Value, now, false)
        }
        Found::Value | Found::NotModified => Step::Keep(stamp_as(Kind::Value)),
        Found::NotModifiedOfNothing => failed(FailClass::Rejected, None, now, draw),
    }
}

/// The body of an answer that is not kept is no longer fresh the moment it is handed out.
fn mark(marker: Meta, kind: Kind, now: Tick, private: bool) -> Step {
    Step::Mark { body: Meta { kind, fresh_until: now, early_ms: 0, ..marker }, marker, private }
}

fn failed(class: FailClass, before: Option<&Cooling>, now: Tick, draw: Draw) -> Step {
    let cooling = Cooling::after(before, class, now, draw);
    Step::Fail { why: class.why(), retry_after: cooling.remaining(now), cooling: Some(cooling) }
}

/// Whether a landed load may take the place of what is resident.
///
/// The newer fence wins; where both name the origin's own version, the greater version wins,
/// because of two loads side by side the later fence may have read the older row.
pub fn supersedes(resident: Option<(Fence, Option<u64>)>, landed: (Fence, Option<u64>)) -> bool {
    match resident {
        None => true,
        Some((_, Some(old))) if landed.1.is_some_and(|new| new < old) => false,
        Some((_, Some(old))) if landed.1.is_some_and(|new| new > old) => true,
        Some((fence, _)) => landed.0 > fence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Tick = Tick(10_000);

    fn policy() -> Policy {
        Policy { jitter: 0.0, ..Policy::ttl(Span::secs(60)).grace(Span::secs(600)) }
    }

    fn after(event: Event) -> Step {
        let (mut walk, _) = Walk::start(false, true);
        walk.on(event, NOW, &policy(), Draw(0))
    }

    fn loaded(found: Found, ttl: Option<Span>) -> Step {
        after(Event::Loaded(Report { started: Tick(9_900), fence: Fence(5), found, ttl, times: (None, None) }))
    }

    #[test]
    fn the_way_of_a_plain_miss() {
        let (mut walk, step) = Walk::start(false, false);
        assert_eq!(step, Step::Admit);
        assert_eq!(walk.on(Event::Admitted, NOW, &policy(), Draw(0)), Step::Load);
        let report =
            Report { started: Tick(9_900), fence: Fence(5), found: Found::Value, ttl: None, times: (None, None) };
        let Step::Keep(meta) = walk.on(Event::Loaded(report), NOW, &policy(), Draw(0)) else { panic!("kept") };
        assert_eq!((meta.born, meta.fence, meta.cost_ms), (Tick(9_900), Fence(5), 100));
        assert_eq!(meta.fresh_until, NOW + Span::secs(60), "freshness counts from the end of the load");
    }

    #[test]
    fn a_successor_waits_for_its_turn_then_asks_the_tier_first() {
        let (mut walk, step) = Walk::start(true, true);
        assert_eq!(step, Step::AwaitTurn);
        assert_eq!(walk.on(Event::Turn, NOW, &policy(), Draw(0)), Step::Probe);
        assert_eq!(walk.on(Event::Probed(None), NOW, &policy(), Draw(0)), Step::Admit);
    }

    #[test]
    fn a_tiers_entry_is_adopted_only_while_fresh_and_uncovered() {
        let Step::Keep(fresh) = loaded(Found::Value, None) else { panic!("kept") };
        let probed = |meta, floor, demand| after(Event::Probed(Some((meta, floor, demand))));
        assert_eq!(probed(fresh, Floor::NONE, Demand::Any), Step::Adopt(fresh));
        let removed = Floor { removed: Fence(5), expired: Fence::ZERO };
        assert_eq!(probed(fresh, removed, Demand::Any), Step::Admit);
        let stale = Meta { fresh_until: NOW, ..fresh };
        assert_eq!(probed(stale, Floor::NONE, Demand::Any), Step::Admit);
        assert_eq!(probed(fresh, Floor::NONE, Demand::MaxAge(Span(100))), Step::Adopt(fresh));
        assert_eq!(probed(fresh, Floor::NONE, Demand::MaxAge(Span(99))), Step::Admit, "older than somebody asked for");
        assert_eq!(probed(fresh, Floor::NONE, Demand::Fresh), Step::Admit);
    }

    #[test]
    fn uncacheable_answers_are_delivered_and_leave_a_marker() {
        let shared = |ttl, found| match loaded(found, ttl) {
            Step::Mark { marker, body, private } => {
                assert_eq!(marker.kind, Kind::HitForMiss);
                assert_eq!(body.fresh_until, NOW);
                Some((body.kind, private))
            }
            _ => None,
        };
        assert_eq!(shared(None, Found::Uncacheable { kind: Kind::Value, private: true }), Some((Kind::Value, true)));
        assert_eq!(
            shared(None, Found::Uncacheable { kind: Kind::Negative, private: false }),
            Some((Kind::Negative, false))
        );
        assert_eq!(shared(Some(Span::ZERO), Found::Value), Some((Kind::Value, false)));
        assert_eq!(shared(Some(Span::ZERO), Found::Missing), Some((Kind::Negative, false)));
        assert_eq!(shared(None, Found::Value), None);
    }

    #[test]
    fn a_failure_cools_the_key_and_a_shed_load_does_not() {
        let Step::Fail { why, retry_after, cooling: Some(first) } = after(Event::Failed(FailClass::Refused, None))
        else {
            panic!("cooling")
        };
        assert_eq!((why, retry_after), (Why::OriginRefused, first.remaining(NOW)));
        let Step::Fail { cooling: Some(second), .. } = after(Event::Failed(FailClass::Refused, Some(first))) else {
            panic!("cooling")
        };
        assert!(second.until > first.until && second.attempts == 2);
        let shed = after(Event::Shed(Why::ShedQueue, Some(Span(7))));
        assert_eq!(shed, Step::Fail { why: Why::ShedQueue, retry_after: Some(Span(7)), cooling: None });
    }

    #[test]
    fn not_modified_revives_only_a_body_that_the_loader_was_shown() {
        assert!(matches!(loaded(Found::NotModified, None), Step::Keep(meta) if meta.kind == Kind::Value));
        assert!(matches!(loaded(Found::NotModifiedOfNothing, None), Step::Fail { why: Why::Rejected, .. }));
    }

    #[test]
    fn of_two_loads_side_by_side_the_greater_version_stays() {
        let beats = |resident, landed| supersedes(Some(resident), landed);
        assert!(beats((Fence(1), None), (Fence(2), None)));
        assert!(!beats((Fence(2), None), (Fence(1), None)));
        assert!(!beats((Fence(1), Some(9)), (Fence(2), Some(8))), "the later fence read the older row");
        assert!(beats((Fence(2), Some(8)), (Fence(1), Some(9))));
        assert!(beats((Fence(1), Some(9)), (Fence(2), Some(9))));
        assert!(beats((Fence(1), Some(9)), (Fence(2), None)));
        assert!(supersedes(None, (Fence(1), None)));
    }
}
