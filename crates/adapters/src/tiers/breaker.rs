//! Is it any use to ask this node now? A breaker: once open, callers are answered at once, and only probes go there.
//!
//! No caller ever probes: the node's keeper does, with a fresh connection, so nobody waits to find out.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// So many failures without a success between them open it.
const FAILURES: u32 = 3;
/// The first probe comes after about so long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Probes are never further apart: a node that is back is used again within this and one connection.
const LONGEST_PAUSE: Duration = Duration::from_millis(1000);

/// One node's breaker.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    failures: AtomicU32,
    open: AtomicBool,
}

impl Breaker {
    /// Whether callers are turned away.
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// A call was answered. An answer that comes when the breaker is open already changes nothing.
    pub(crate) fn answered(&self) {
        // Read first: on a healthy node nobody writes to what all share.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// A call was not answered in time. True: the breaker has opened just now.
    pub(crate) fn failed(&self) -> bool {
        self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES && self.open()
    }

    /// No connection can be had. True: it was not open before.
    pub(crate) fn open(&self) -> bool {
        !self.open.swap(true, Ordering::AcqRel)
    }

    /// A probe was answered. True: it was open before.
    pub(crate) fn close(&self) -> bool {
        self.failures.store(0, Ordering::Relaxed);
        self.open.swap(false, Ordering::AcqRel)
    }
}

/// How long to wait before probe number `attempt` (from 0): doubling, and between half and all of it by `draw` (0 to
/// 1), so that a fleet does not probe in step.
pub(crate) fn pause(attempt: u32, draw: f64) -> Duration {
    let full = FIRST_PAUSE.saturating_mul(1 << attempt.min(16)).min(LONGEST_PAUSE);
    full.mul_f64(0.5 + 0.5 * draw.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_by_a_probe_alone() {
        let breaker = Breaker::default();
        assert!(!breaker.failed() && !breaker.failed());
        breaker.answered();
        assert!(!breaker.failed() && !breaker.failed(), "an answer between them starts the count anew");
        assert!(breaker.failed() && breaker.is_open());
        assert!(!breaker.failed(), "it opens once");
        breaker.answered();
        assert!(breaker.is_open(), "an answer that was under way proves nothing");
        assert!(breaker.close() && !breaker.is_open() && !breaker.close());
        assert!(breaker.open() && !breaker.open());
    }

    #[test]
    fn probes_come_less_and_less_often_but_at_least_every_second() {
        let pauses: Vec<Duration> = (0..40).map(|attempt| pause(attempt, 1.0)).collect();
        assert_eq!(pauses[0], FIRST_PAUSE);
        assert!(pauses.windows(2).all(|two| two[0] <= two[1]) && pauses[39] == LONGEST_PAUSE);
        assert_eq!(pause(3, 0.0) * 2, pause(3, 1.0));
    }
}
