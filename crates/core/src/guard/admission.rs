//! What is a load told that asks for a permit? Its ticket, and how that ends.

use super::breaker::Round;
use super::limiter::Era;
use crate::time::Span;
use crate::why::Why;

/// One load that asks for a permit; numbers are the caller's and never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// The right to run one load, to be given back by [`Gate::end`](super::gate::Gate::end) once. It knows in which of the
/// breaker's states the load began, in which era of the limit, and whether nobody waited for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    pub(super) round: Round,
    pub(super) era: Era,
    pub(super) unasked: bool,
}

/// What becomes of a ticket. Each ends exactly once: `Go`, `Shed`, or withdrawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It holds a permit.
    Go(Pass),
    /// It is in the queue; [`Gate::advance`](super::gate::Gate::advance) will tell.
    Wait,
    /// Turned away, why, and after which time another try makes sense: time to the next token,
    /// plus the time in which those ahead of it are gone (by the pace of late releases and by
    /// the rate, never longer than `queue_wait`, after which they are shed themselves).
    Shed(Why, Option<Span>),
}
