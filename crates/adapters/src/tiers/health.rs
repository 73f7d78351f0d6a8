//! Does a server take what it is given? An operator hears of it once when that changes, and can ask at any time.
//!
//! One that is full, has become a replica or takes rights away answers every call: its breaker stays closed, and reads
//! work. Only what comes of writes tells, so that is kept here.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bellwether::shared::TierTrouble;
use parking_lot::Mutex;

/// Writes that go through end the trouble once none has been refused for so long: a server at its limit takes one, and
/// refuses the next.
const SETTLED: Duration = Duration::from_secs(1);

/// One server's.
#[derive(Debug, Default)]
pub(crate) struct Health {
    ill: Mutex<Option<Ill>>,
    /// The same, to be looked at without a lock.
    is_ill: AtomicBool,
}

#[derive(Clone, Copy, Debug)]
struct Ill {
    cause: TierTrouble,
    last: Instant,
}

impl Health {
    /// What keeps the server from taking writes, as far as it is known.
    pub(crate) fn trouble(&self) -> Option<TierTrouble> {
        self.is_ill.load(Ordering::Acquire).then(|| self.ill.lock().map(|ill| ill.cause)).flatten()
    }

    /// It has stored something.
    pub(crate) fn wrote(&self, node: &str) {
        // The usual case: nobody writes to what all share.
        if !self.is_ill.load(Ordering::Relaxed) {
            return;
        }
        let mut ill = self.ill.lock();
        if let Some(Ill { cause, .. }) = ill.filter(|ill| ill.last.elapsed() >= SETTLED) {
            *ill = None;
            self.is_ill.store(false, Ordering::Release);
            tracing::info!(node, cause = cause.as_str(), "the shared tier takes writes again");
        }
    }

    /// It has refused to. What is of one key or value alone, or of the way to it, says nothing of the server.
    pub(crate) fn refused(&self, node: &str, cause: TierTrouble, why: &str) {
        if cause.is_of_the_key() || matches!(cause, TierTrouble::Unreachable) {
            return;
        }
        let mut ill = self.ill.lock();
        let before = ill.replace(Ill { cause, last: Instant::now() });
        self.is_ill.store(true, Ordering::Release);
        if before.is_none_or(|before| before.cause != cause) {
            tracing::warn!(
                node,
                cause = cause.as_str(),
                why,
                "the shared tier takes no writes: nobody stores there, each process loads for itself"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_ill_from_the_first_refusal_until_it_has_settled() {
        let health = Health::default();
        health.wrote("n");
        assert_eq!(health.trouble(), None);
        for of_others in [TierTrouble::Unfit, TierTrouble::WrongType, TierTrouble::Unreachable] {
            health.refused("n", of_others, "");
        }
        assert_eq!(
            health.trouble(),
            None,
            "a long value, a list, or a broken connection is no illness of the server's"
        );
        health.refused("n", TierTrouble::Full, "");
        assert_eq!(health.trouble(), Some(TierTrouble::Full));
        health.wrote("n");
        assert_eq!(health.trouble(), Some(TierTrouble::Full), "one that went through between two refusals");
        health.refused("n", TierTrouble::Denied, "");
        assert_eq!(health.trouble(), Some(TierTrouble::Denied));
        std::thread::sleep(SETTLED);
        health.wrote("n");
        assert_eq!(health.trouble(), None);
    }
}
