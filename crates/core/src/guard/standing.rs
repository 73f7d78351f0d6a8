//! What can be seen of an origin's guard? Plain data, for snapshots, metrics and the simulator.

use super::breaker::Position;
use crate::policy::Priority;
use crate::time::Span;
use crate::why::Why;

/// An origin's guard at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// Permits in use.
    pub running: usize,
    /// Tickets in the queue.
    pub waiting: usize,
    /// The most loads that may ever run at once.
    pub max_concurrency: usize,
    /// Loads that may run at once now.
    pub limit: usize,
    /// The limit follows the origin.
    pub adaptive: bool,
    /// What loads usually take, in microseconds of service; `None` while unknown.
    pub usual_us: Option<u64>,
    /// What they took lately.
    pub recent_us: Option<u64>,
    /// Loads wait at the origin, by more than is put up with.
    pub slow: bool,
    /// Of loads that can't start at once, this share may queue: 1 unless lower classes are being shed.
    pub share: f64,
    /// Whether loads go through.
    pub breaker: Position,
    /// Times that the breaker opened, ever.
    pub opened: u64,
    /// The next probe goes after so long; `None` unless the breaker is open.
    pub probes_in: Option<Span>,
    /// Who was turned away, ever.
    pub sheds: Sheds,
    /// Retries that the budget had nothing left for, ever.
    pub retries_denied: u64,
}

/// How many were turned away, by class and reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sheds([[u64; Sheds::WHYS.len()]; Priority::ALL.len()]);

impl Sheds {
    /// For what the guard turns loads away.
    pub const WHYS: [Why; 4] = [Why::ShedQueue, Why::ShedRate, Why::ShedPriority, Why::BreakerOpen];

    pub(super) fn count(&mut self, class: Priority, why: Why) {
        if let Some(at) = Sheds::WHYS.iter().position(|known| *known == why) {
            self.0[class as usize][at] += 1;
        }
    }

    /// Of `class` for `why`.
    pub fn of(&self, class: Priority, why: Why) -> u64 {
        Sheds::WHYS.iter().position(|known| *known == why).map_or(0, |at| self.0[class as usize][at])
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.0.iter().flatten().sum()
    }
}
