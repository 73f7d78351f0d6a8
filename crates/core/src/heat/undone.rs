//! In which order is a reaction undone?

use crate::heat::plan::Reaction;
use crate::time::{Span, Tick};

/// How far a reaction is undone: in the reverse of the order in which it came into force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Undone {
    /// Nothing yet.
    #[default]
    Nothing,
    /// No worker, no gathering of writes.
    Worker,
    /// Entries get their usual times.
    Extension,
    /// Nobody is sent to a copy any more; what was sent there may still be under way until then.
    Routing(Tick),
    /// The copies are deleted.
    Copies,
    /// Replicas are not read.
    Replicas,
    /// Nothing is left of it.
    All,
}

impl Undone {
    /// The next step. A request takes `longest_request` at the most.
    #[must_use]
    pub fn next(self, reaction: &Reaction, now: Tick, longest_request: Span) -> Undone {
        match self {
            Undone::Nothing => Undone::Worker,
            Undone::Worker => Undone::Extension,
            Undone::Extension if reaction.copies > 1 => Undone::Routing(now + Span(longest_request.0 * 2)),
            Undone::Routing(until) if now < until => self,
            Undone::Routing(_) => Undone::Copies,
            Undone::Extension | Undone::Copies => Undone::Replicas,
            Undone::Replicas | Undone::All => Undone::All,
        }
    }

    /// What is left of `reaction`.
    #[must_use]
    pub fn of(self, reaction: Reaction) -> Reaction {
        let Reaction { reason, own_copies, promote, compress, replicas, copies, extend, worker, coalesce, .. } =
            reaction;
        let past = |step: Undone| self >= step;
        let routed = self < Undone::Routing(Tick(0));
        Reaction {
            reason,
            worker: worker && !past(Undone::Worker),
            coalesce: coalesce.filter(|_| !past(Undone::Worker)),
            extend: extend.filter(|_| !past(Undone::Extension)),
            copies: if routed { copies } else { 1 },
            leaving: if matches!(self, Undone::Routing(_)) { copies } else { 0 },
            replicas: replicas.filter(|_| !past(Undone::Replicas)),
            compress: compress && !past(Undone::All),
            promote: promote.filter(|_| !past(Undone::All)),
            own_copies: own_copies && !past(Undone::All),
        }
    }
}
