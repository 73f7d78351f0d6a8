//! How important is a request? Some cases tell keys apart, as a shop does its checkout and its recommendations.

use bellwether_core::draw::Draw;
use bellwether_core::policy::Priority;
use bellwether_core::time::{Span, Tick};

use super::record::Ending;
use super::world::Fleet;

/// Purpose of the seed.
const CLASSES: u64 = 0xC1;
/// Shares of the keys.
const CRITICAL: f64 = 0.2;
const NORMAL: f64 = 0.5;

impl Fleet<'_> {
    /// A key's class.
    pub(super) fn class(&self, key: u32) -> Priority {
        if self.case.classes.is_none() {
            return Priority::Normal;
        }
        match Draw(self.seed).fork(CLASSES).fork(u64::from(key)).unit() {
            unit if unit < CRITICAL => Priority::Critical,
            unit if unit < CRITICAL + NORMAL => Priority::Normal,
            _ => Priority::Low,
        }
    }

    /// `n` requests for a key ended alike at `at` after `wait`.
    pub(super) fn told(&mut self, key: u32, n: u64, ending: Ending, wait: Span, at: Tick) {
        self.record.ended(n, ending, wait, at);
        if self.case.classes.is_some() {
            let critical = self.class(key) == Priority::Critical;
            self.record.of_class(critical, n, ending != Ending::Failed, at - wait);
        }
    }
}
