//! What came out of a run? Counts, violations, and the last events before the first of them.

use std::fmt;

use bellwether_core::time::Tick;
use bellwether_core::why::Why;

use crate::guarantee::Guarantee;

/// Events shown ahead of the first violation.
pub(crate) const SHOWN: usize = 30;

/// The outcome of one run. The same seed, scenario and rules give the same report.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Requests that came.
    pub requests: u64,
    /// How they were answered.
    pub answered: Vec<(Why, u64)>,
    /// Requests whose caller gave up before an answer.
    pub gave_up: u64,
    /// Loads that began to read, by the origin's own count.
    pub loads: u64,
    /// Of those, the ones that ended without an answer.
    pub failed: u64,
    /// The most loads that read at once: of one key in flights, of all.
    pub most_at_once: (usize, usize),
    /// Flights that waited for an older one.
    pub successors: u64,
    /// Invalidations of which the tier heard late, and that left alone what had come since.
    pub spared: u64,
    /// Events of the run.
    pub events: u64,
    /// When it ended.
    pub ended: Tick,
    /// What must not be.
    pub violations: Vec<Violation>,
    /// The last events before the first violation; empty without one.
    pub trace: Vec<String>,
}

/// A guarantee that did not hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// Which.
    pub guarantee: Guarantee,
    /// When.
    pub at: Tick,
    /// What happened.
    pub what: String,
}

impl Report {
    /// Requests answered so.
    pub fn count(&self, why: Why) -> u64 {
        self.answered.iter().find(|(other, _)| *other == why).map_or(0, |(_, n)| *n)
    }
}

impl fmt::Display for Report {
    /// What one needs to see a violation: the seed, the first of them, and how it came to it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {}: {} requests, {} loads, {} violations",
            self.seed,
            self.requests,
            self.loads,
            self.violations.len()
        )?;
        for line in &self.trace {
            writeln!(f, "  {line}")?;
        }
        for Violation { guarantee, at, what } in self.violations.iter().take(3) {
            writeln!(f, "! {} {guarantee:?}: {what}", at.0)?;
        }
        Ok(())
    }
}
