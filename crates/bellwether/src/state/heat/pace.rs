//! How many of a window's accesses are looked at? Enough to tell its keys apart, however many there are.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use bellwether_core::heat::sample::Sampling;

/// Each time that looks stand for so many accesses more it is asked whether so many need to be looked at.
const ASKED_EVERY: u64 = 16_384;

/// What decides which accesses are looked at.
pub(super) struct Pace {
    /// A [`Sampling`]: read by every hit.
    sampling: AtomicU32,
    /// Accesses that a window may have: as many as the last one had, or half as many as were expected of that.
    expected: AtomicU64,
    /// From so many accesses in a window on a key matters.
    least: AtomicU64,
    stood_for: Apart,
}

/// Accesses that the looks of this window stand for so far. Away from what every hit reads: every look writes it.
#[repr(align(128))]
struct Apart(AtomicU64);

impl Pace {
    pub(super) fn new() -> Pace {
        Pace {
            sampling: AtomicU32::new(Sampling::FULL.bits()),
            expected: AtomicU64::new(0),
            least: AtomicU64::new(0),
            stood_for: Apart(AtomicU64::new(0)),
        }
    }

    #[inline]
    pub(super) fn sampling(&self) -> Sampling {
        Sampling::from_bits(self.sampling.load(Ordering::Relaxed))
    }

    /// A window begins after one that had so many accesses. It is looked at as closely as that one needed to be: a burst is
    /// not looked at closely because the window before it was a quiet one.
    pub(super) fn begin(&self, accesses: u64, least: u64) {
        let expected = accesses.max(self.expected.load(Ordering::Relaxed) / 2);
        self.expected.store(expected, Ordering::Relaxed);
        self.least.store(least, Ordering::Relaxed);
        self.stood_for.0.store(0, Ordering::Relaxed);
        self.sampling.store(Sampling::of(expected, least).bits(), Ordering::Relaxed);
    }

    /// An access was looked at that stands for so many.
    pub(super) fn looked(&self, weight: u32) {
        let before = self.stood_for.0.fetch_add(u64::from(weight), Ordering::Relaxed);
        let so_far = before + u64::from(weight);
        if before / ASKED_EVERY != so_far / ASKED_EVERY {
            self.thin_out(so_far);
        }
    }

    /// The window has had so many accesses. If those are more than it was expected to have, it may well have as many again:
    /// what bursts out after a quiet time is looked at closely while it begins, not all of it. An access counts for one
    /// on average all the same, whenever this happens.
    #[cold]
    fn thin_out(&self, so_far: u64) {
        if so_far <= self.expected.load(Ordering::Relaxed) {
            return;
        }
        let enough = Sampling::of(so_far * 2, self.least.load(Ordering::Relaxed));
        self.sampling.fetch_max(enough.bits(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at so many accesses of one window, one after the other; what they stood for together.
    fn window(pace: &Pace, accesses: u64) -> (u64, u64) {
        let (mut looks, mut told) = (0, 0);
        for nth in 0..accesses {
            let sampling = pace.sampling();
            if sampling.is_due(nth as u32) {
                looks += 1;
                told += u64::from(sampling.weight());
                pace.looked(sampling.weight());
            }
        }
        (looks, told)
    }

    #[test]
    fn a_burst_after_a_quiet_time_is_not_looked_at_as_a_whole_and_is_told_as_it_is() {
        let pace = Pace::new();
        pace.begin(0, u64::MAX);
        let (looks, told) = window(&pace, 1_000_000);
        assert!((32_768..150_000).contains(&looks), "{looks}");
        assert!(told.abs_diff(1_000_000) < 1_000, "{told}");
        // The next one is expected to be as large, and looked at as closely as one needs to be from its start.
        pace.begin(1_000_000, u64::MAX);
        let (looks, told) = window(&pace, 1_000_000);
        assert!((16_384..=32_768).contains(&looks), "{looks}");
        assert!(told.abs_diff(1_000_000) < 1_000, "{told}");
    }

    #[test]
    fn where_there_are_few_all_are_looked_at() {
        let pace = Pace::new();
        pace.begin(0, u64::MAX);
        assert_eq!(window(&pace, 30_000), (30_000, 30_000));
        pace.begin(30_000, u64::MAX);
        assert_eq!(window(&pace, 30_000), (30_000, 30_000), "a window's accesses are its own");
    }

    #[test]
    fn a_key_that_just_matters_is_still_looked_at() {
        let pace = Pace::new();
        pace.begin(0, 50);
        window(&pace, 4_000_000);
        assert_eq!(pace.sampling(), Sampling::of(4_000_000, 50));
        assert!(pace.sampling() < Sampling::of(4_000_000, u64::MAX), "the control");
    }
}
