//! What was asked for in vain, because its origin was busy? It is loaded once there is room, so that the next who asks
//! finds it: after a start with nothing most keys are asked for seldom, and each would be missed once more.

use std::collections::{HashSet, VecDeque};

use crate::policy::Priority;
use crate::time::{Span, Tick};
use crate::why::Why;

/// Keys that are remembered; further ones are not.
pub const MOST: usize = 2_048;
/// Bytes of the keys that are remembered.
pub const MOST_BYTES: usize = 256 << 10;
/// Nobody waits for what was asked for so long ago.
pub const FORGOTTEN: Span = Span::secs(60);
/// Between two looks whether there is room.
pub const LOOK: Span = Span::ms(100);

/// Keys that were asked for in vain, the oldest first.
#[derive(Clone, Debug)]
pub struct Unmet<K> {
    keys: VecDeque<Noted<K>>,
    hashes: HashSet<u64>,
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Noted<K> {
    key: K,
    hash: u64,
    bytes: usize,
    since: Tick,
}

/// Whether a load that was turned away for this reason is worth another try that nobody asks for.
///
/// Not what was asked for by nobody, or by a client that asks too much: both are of the last class. And not while
/// the origin fails: whoever asks again probes it.
pub fn is_unmet(why: Why, class: Priority) -> bool {
    let busy = matches!(why, Why::ShedQueue | Why::ShedRate | Why::ShedPriority);
    busy && class != Priority::Background
}

impl<K> Default for Unmet<K> {
    fn default() -> Unmet<K> {
        Unmet { keys: VecDeque::new(), hashes: HashSet::new(), bytes: 0 }
    }
}

impl<K> Unmet<K> {
    /// A key of so many bytes was asked for in vain. `hash`: two of the same are the same key.
    pub fn note(&mut self, hash: u64, bytes: usize, now: Tick, key: impl FnOnce() -> K) {
        let fits = self.keys.len() < MOST && self.bytes + bytes <= MOST_BYTES;
        if fits && self.hashes.insert(hash) {
            self.bytes += bytes;
            self.keys.push_back(Noted { key: key(), hash, bytes, since: now });
        }
    }

    /// Up to `room` keys to be loaded now.
    pub fn due(&mut self, room: usize, now: Tick) -> Vec<K> {
        let mut due = Vec::new();
        while let Some(oldest) = self.keys.front() {
            let worth = now.since(oldest.since) < FORGOTTEN;
            if worth && due.len() >= room {
                break;
            }
            let Some(oldest) = self.keys.pop_front() else { break };
            self.hashes.remove(&oldest.hash);
            self.bytes -= oldest.bytes;
            due.extend(worth.then_some(oldest.key));
        }
        due
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Bytes of those.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(keys: std::ops::Range<u64>) -> Unmet<u64> {
        let mut unmet = Unmet::default();
        keys.for_each(|key| unmet.note(key, 8, Tick(1_000), || key));
        unmet
    }

    #[test]
    fn each_key_is_remembered_once_the_oldest_comes_first_and_no_more_than_there_is_room_for() {
        let mut unmet = noted(0..10);
        unmet.note(3, 8, Tick(1_001), || 99);
        assert_eq!(unmet.due(4, Tick(1_100)), [0, 1, 2, 3]);
        assert_eq!(unmet.due(0, Tick(1_100)), []);
        unmet.note(3, 8, Tick(1_200), || 3);
        assert_eq!(unmet.due(100, Tick(1_200)), [4, 5, 6, 7, 8, 9, 3], "once it was tried it may be asked for again");
        assert!(unmet.is_empty());
    }

    #[test]
    fn a_flood_of_keys_is_remembered_up_to_a_bound_and_forgotten_after_a_while() {
        let mut unmet = noted(0..10_000);
        assert_eq!(unmet.keys.len(), MOST);
        assert_eq!(unmet.due(usize::MAX, Tick(1_000) + FORGOTTEN), []);
        assert!(unmet.is_empty() && unmet.hashes.is_empty() && unmet.bytes() == 0);
    }

    #[test]
    fn long_keys_are_remembered_up_to_so_many_bytes() {
        let mut unmet = Unmet::default();
        (0..1_000).for_each(|key| unmet.note(key, 4_000, Tick(0), || key));
        assert_eq!((unmet.len(), unmet.bytes()), (65, 260_000));
        unmet.note(2_000, 2_145, Tick(0), || 2_000);
        assert_eq!(unmet.bytes(), 260_000, "one byte more than there is room for");
        unmet.note(2_000, 2_144, Tick(0), || 2_000);
        assert_eq!((unmet.due(2, Tick(1)), unmet.bytes()), (vec![0, 1], MOST_BYTES - 8_000), "control: one that fits");
    }

    #[test]
    fn only_what_somebody_asked_for_while_the_origin_was_busy_is_worth_another_try() {
        assert!(is_unmet(Why::ShedQueue, Priority::Normal) && is_unmet(Why::ShedRate, Priority::Low));
        assert!(!is_unmet(Why::ShedQueue, Priority::Background), "nobody, or a client that asks too much");
        assert!(!is_unmet(Why::BreakerOpen, Priority::Critical) && !is_unmet(Why::OriginFailed, Priority::Normal));
    }
}
