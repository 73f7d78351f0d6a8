//! What does the origin hold, and how does it answer? Versioned rows, and loads that go wrong.

use bellwether_core::failure::FailClass;
use bellwether_core::time::Span;

use crate::scenario::Scenario;
use crate::world::Dice;

/// A row: every write gives it a new version; a deleted row has one, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) version: u64,
    pub(crate) present: bool,
}

/// How one load will go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// From the begin of the load until the row is read.
    pub(crate) until_read: Span,
    /// From the begin of the load until the loader returns; `None`: never.
    pub(crate) until_end: Option<Span>,
    pub(crate) says: Says,
    pub(crate) ttl: Option<Span>,
    /// The task is aborted after this long.
    pub(crate) abort: Option<Span>,
    pub(crate) too_large: bool,
}

/// What a loader says in the end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Says {
    TheRow,
    Uncacheable { private: bool },
    Error(FailClass),
}

impl Plan {
    pub(crate) fn draw(dice: &mut Dice, scenario: &Scenario) -> Plan {
        let faults = &scenario.faults;
        let median = scenario.load.0;
        let mut service = dice.between(median / 2, median * 3 / 2);
        if dice.chance(faults.slow) {
            service *= 10;
        }
        let until_read = Span(dice.between(0, service));
        let hangs = dice.chance(faults.hang);
        let says = if dice.chance(faults.fail) {
            // A panic reaches the engine as `Failed`.
            Says::Error(dice.one_of(&[FailClass::Failed, FailClass::Refused, FailClass::Overloaded]))
        } else if dice.chance(faults.garbage) {
            Says::Error(FailClass::Rejected)
        } else if dice.chance(faults.uncacheable) {
            Says::Uncacheable { private: dice.chance(0.5) }
        } else {
            Says::TheRow
        };
        let own_ttl = dice.chance(0.05);
        Plan {
            until_read,
            until_end: (!hangs).then_some(Span(service)),
            says,
            ttl: own_ttl.then(|| Span(dice.one_of(&[0, 15, 300]))),
            abort: dice.chance(faults.abort).then(|| Span(dice.between(0, service))),
            too_large: dice.chance(faults.too_large),
        }
    }
}
