//! What came of compressing an entry as well as can be? Bytes that are not sent, and the time it takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// An entry is to be compressed as well as can be; whoever does it says here what came of it. All clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Packed(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// Bytes that the newest entry is shorter than it would be as others are.
    once: AtomicU64,
    spared: AtomicU64,
    took_us: AtomicU64,
    /// Of all keys, those of former times included.
    all: Option<Packed>,
}

/// Who counts makes no difference between two entries.
impl PartialEq for Packed {
    fn eq(&self, _: &Packed) -> bool {
        true
    }
}

impl Eq for Packed {}

impl Packed {
    /// One whose counts are among those of `all`.
    pub(crate) fn among(all: &Packed) -> Packed {
        Packed(Arc::new(Counts { all: Some(all.clone()), ..Counts::default() }))
    }

    /// An entry goes out with `tight` bytes in place of `usual` ones, and that took so long.
    pub fn done(&self, usual: usize, tight: usize, took: Duration) {
        let once = usual.saturating_sub(tight) as u64;
        self.0.once.store(once, Ordering::Relaxed);
        self.add(once, u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// The entry came over the network once more.
    pub(crate) fn read(&self) {
        self.add(self.0.once.load(Ordering::Relaxed), 0);
    }

    fn add(&self, spared: u64, took_us: u64) {
        self.0.spared.fetch_add(spared, Ordering::Relaxed);
        self.0.took_us.fetch_add(took_us, Ordering::Relaxed);
        if let Some(all) = &self.0.all {
            all.add(spared, took_us);
        }
    }

    /// Bytes that were not sent so far.
    pub(crate) fn spared(&self) -> u64 {
        self.0.spared.load(Ordering::Relaxed)
    }

    /// Microseconds that it took.
    pub(crate) fn took_us(&self) -> u64 {
        self.0.took_us.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spared_counts_once_for_each_way_over_the_network_and_among_all() {
        let all = Packed::default();
        let (one, other) = (Packed::among(&all), Packed::among(&all));
        one.read();
        assert_eq!(one.spared(), 0, "nothing was stored yet");
        one.done(1_000, 400, Duration::from_micros(70));
        one.read();
        other.done(100, 120, Duration::from_micros(5));
        other.read();
        assert_eq!((one.spared(), one.took_us()), (1_200, 70));
        assert_eq!((other.spared(), other.took_us()), (0, 5), "longer than usual spares nothing");
        assert_eq!((all.spared(), all.took_us()), (1_200, 75));
    }
}
