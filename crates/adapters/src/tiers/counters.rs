//! What do tiers count? Numbers that only grow.

use std::sync::atomic::{AtomicU64, Ordering};

use bellwether_envelope::Unreadable;

/// One number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How often stored bytes could not be read, by reason: each was a miss, or a foreign value handed out.
#[derive(Debug, Default)]
pub(crate) struct Misread([AtomicU64; Unreadable::ALL.len()]);

impl Misread {
    /// Counts one.
    pub(crate) fn count(&self, reason: Unreadable) {
        self.0[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// All reasons in words, with how often each was met.
    pub(crate) fn counts(&self) -> [(&'static str, u64); Unreadable::ALL.len()] {
        Unreadable::ALL.map(|reason| (reason.as_str(), self.0[reason as usize].load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_counter() {
        let misread = Misread::default();
        Unreadable::ALL.into_iter().for_each(|reason| misread.count(reason));
        assert!(misread.counts().iter().all(|(_, count)| *count == 1));
    }
}
