//! Is it still at work? A line on a terminal that says where, once a run takes longer than a moment.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// What is over sooner says nothing of itself.
const MOMENT: Duration = Duration::from_secs(2);

/// Where a run is. Only for people: what is not a terminal hears nothing.
pub(super) struct Progress {
    since: Instant,
    cases: usize,
    shown: bool,
}

impl Progress {
    /// Of a run of so many cases.
    pub(super) fn of(cases: usize) -> Progress {
        Progress { since: Instant::now(), cases, shown: false }
    }

    /// The case of this number (from 0) begins.
    pub(super) fn begins(&mut self, number: usize, name: &str) {
        let taken = self.since.elapsed();
        if taken >= MOMENT && std::io::stderr().is_terminal() {
            self.shown = true;
            let (number, cases, seconds) = (number + 1, self.cases, taken.as_secs());
            // Who can't be told goes without.
            let _ = write!(std::io::stderr(), "\r\x1b[K  {number} of {cases}: {name} … {seconds} s");
            let _ = std::io::stderr().flush();
        }
    }

    /// Takes the line away: something else is to be read.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            // As above.
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
