//! In which order are keys loaded that come in none? The most popular first, as many as there is room for.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Keys that are ordered at once, at most.
const MOST_KEYS: usize = 2_000_000;
/// Bytes of them, at most.
const MOST_BYTES: usize = 256 << 20;

/// Keys by how popular they are, the least popular of those kept on top; those that are equally popular in the order in
/// which they came.
pub(super) struct Ranking {
    most: usize,
    most_bytes: usize,
    bytes: usize,
    seen: u64,
    heap: BinaryHeap<Reverse<(u64, Reverse<u64>, String)>>,
}

impl Ranking {
    /// For the `most` most popular keys.
    pub(super) fn new(most: Option<u64>) -> Ranking {
        let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(MOST_KEYS).min(MOST_KEYS);
        Ranking { most, most_bytes: MOST_BYTES, bytes: 0, seen: 0, heap: BinaryHeap::new() }
    }

    /// A key; the higher its score, the more popular.
    pub(super) fn add(&mut self, score: u64, key: String) {
        self.bytes += key.len();
        self.heap.push(Reverse((score, Reverse(self.seen), key)));
        self.seen += 1;
        while self.heap.len() > self.most || self.bytes > self.most_bytes {
            let Some(Reverse((.., key))) = self.heap.pop() else { return };
            self.bytes -= key.len();
        }
    }

    /// Keys that were seen so far.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// The most popular first, and how many had no room.
    pub(super) fn into_keys(self) -> (Vec<String>, u64) {
        let left_out = self.seen - self.heap.len() as u64;
        let keys = self.heap.into_sorted_vec().into_iter().map(|Reverse((.., key))| key).collect();
        (keys, left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranked(most: Option<u64>, bytes: usize, scores: &[(u64, &str)]) -> (Vec<String>, u64) {
        let mut ranking = Ranking { most_bytes: bytes, ..Ranking::new(most) };
        scores.iter().for_each(|(score, key)| ranking.add(*score, (*key).to_owned()));
        ranking.into_keys()
    }

    #[test]
    fn the_most_popular_come_first_and_those_without_room_are_counted() {
        let scores = [(1, "cold"), (9, "hot"), (5, "b"), (5, "a"), (0, "gone")];
        assert_eq!(ranked(None, 99, &scores).0, ["hot", "b", "a", "cold", "gone"], "equals in the order they came");
        let (keys, left_out) = ranked(Some(2), 99, &scores);
        assert_eq!((keys, left_out), (vec!["hot".to_owned(), "b".to_owned()], 3));
        let (keys, left_out) = ranked(None, 5, &scores);
        assert_eq!((keys.len(), left_out, &*keys[0]), (3, 2, "hot"), "bytes are bounded as well");
    }
}
