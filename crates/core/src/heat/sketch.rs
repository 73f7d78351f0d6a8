//! How often was a key asked for in this window? Approximately, in a fixed number of bytes, by many threads at once.
//!
//! A HeavyKeeper (Gong et al., ATC 2018) whose cells stand in buckets of one cache line: a key belongs to one bucket,
//! takes any of its eight cells, and where all are taken wears down the smallest with a probability that falls
//! exponentially with its count. So what is asked for often stays, and a flood of keys that are asked for once wears
//! down one another. Counts err downwards only: a key that is not hot is never taken for one, but for another's
//! fingerprint (1 in 4 billion per cell). `benches heat` stands it beside its rivals.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::draw::Draw;

/// A key, as the whole fleet knows it: a hash that is the same in every process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub u64);

/// Cells of a bucket: a cache line.
const CELLS: usize = 8;
/// A cell of count `c` is worn down with probability `DECAY^-c`: the paper's base.
const DECAY: f64 = 1.08;
/// From this count on a cell is never worn down: with probability 4e-9 it would be.
const SAFE: usize = 256;
/// Tries against other threads that change the same cell; then the access is not counted.
const TRIES: usize = 4;

/// Counts of one window.
pub struct Sketch {
    buckets: Box<[Bucket]>,
    /// Below this draw a cell of the count in this place is worn down.
    decay: Box<[u64; SAFE]>,
}

/// Each cell: the key's fingerprint in the upper half, its count in the lower. Zero: free.
#[repr(align(64))]
#[derive(Default)]
struct Bucket([AtomicU64; CELLS]);

impl Sketch {
    /// Room for `cells` keys, rounded up to a power of two: eight bytes each.
    pub fn new(cells: usize) -> Sketch {
        let buckets = cells.div_ceil(CELLS).next_power_of_two();
        let chance = |count: usize| DECAY.powi(-i32::try_from(count).unwrap_or(i32::MAX)) * u64::MAX as f64;
        Sketch {
            buckets: (0..buckets).map(|_| Bucket::default()).collect(),
            decay: Box::new(std::array::from_fn(|count| chance(count) as u64)),
        }
    }

    /// Adds `by` accesses of `id`; what is counted of it so far, 0 if it found no place.
    #[inline]
    pub fn add(&self, id: Id, by: u32, draw: Draw) -> u32 {
        let mark = fingerprint(id);
        let bucket = self.bucket(id);
        for _ in 0..TRIES {
            let (held, at) = find(bucket, mark);
            let count = match held {
                0 => by,
                held if held >> 32 == mark => count_of(held).saturating_add(by),
                _ => return self.wear(&bucket.0[at], held, mark, by, draw),
            };
            if swap(&bucket.0[at], held, mark << 32 | u64::from(count)) {
                return count;
            }
        }
        0
    }

    /// Wears a cell down, or takes it.
    fn wear(&self, cell: &AtomicU64, held: u64, mark: u64, by: u32, draw: Draw) -> u32 {
        let count = count_of(held);
        let chance = self.decay.get(count as usize).copied().unwrap_or(0);
        if draw.0 > chance {
            return 0;
        }
        let left = count.saturating_sub(by);
        let next = if left == 0 { mark << 32 | u64::from(by) } else { held & !COUNT | u64::from(left) };
        // Another thread was here: the key has lost this draw.
        if swap(cell, held, next) && left == 0 { by } else { 0 }
    }

    /// What is counted of `id`.
    pub fn count(&self, id: Id) -> u32 {
        let mark = fingerprint(id);
        let cells = self.bucket(id).0.iter().map(|cell| cell.load(Ordering::Relaxed));
        cells.into_iter().find(|held| held >> 32 == mark).map_or(0, count_of)
    }

    /// Forgets everything. What is added meanwhile may be forgotten as well.
    pub fn clear(&self) {
        for cell in self.buckets.iter().flat_map(|bucket| &bucket.0) {
            cell.store(0, Ordering::Relaxed);
        }
    }

    /// Bytes it takes.
    pub fn bytes(&self) -> usize {
        self.buckets.len() * size_of::<Bucket>() + size_of_val(&*self.decay)
    }

    #[inline]
    fn bucket(&self, id: Id) -> &Bucket {
        &self.buckets[id.0 as usize & (self.buckets.len() - 1)]
    }
}

/// The cell of this fingerprint, or a free one, or the smallest: what it holds, and its place.
#[inline]
fn find(bucket: &Bucket, mark: u64) -> (u64, usize) {
    let mut best = (bucket.0[0].load(Ordering::Relaxed), 0);
    for (at, cell) in bucket.0.iter().enumerate() {
        let held = cell.load(Ordering::Relaxed);
        if held >> 32 == mark {
            return (held, at);
        }
        if count_of(held) < count_of(best.0) {
            best = (held, at);
        }
    }
    best
}

const COUNT: u64 = u32::MAX as u64;

#[inline]
fn count_of(held: u64) -> u32 {
    (held & COUNT) as u32
}

#[inline]
fn swap(cell: &AtomicU64, held: u64, next: u64) -> bool {
    cell.compare_exchange(held, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

/// Never zero, which is a free cell.
#[inline]
fn fingerprint(id: Id) -> u64 {
    (id.0 >> 32).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(key: u64) -> Id {
        Id(Draw(key).fork(1).0)
    }

    fn fill(sketch: &Sketch, keys: impl IntoIterator<Item = u64>) {
        for (n, key) in keys.into_iter().enumerate() {
            sketch.add(id(key), 1, Draw(9).fork(n as u64));
        }
    }

    #[test]
    fn a_million_keys_asked_for_once_wear_no_hot_key_down() {
        let sketch = Sketch::new(1024);
        let hot = 7_000_000;
        fill(&sketch, (0..1_000_000u64).map(|n| if n % 100 == 0 { hot } else { n }));
        let counted = f64::from(sketch.count(id(hot)));
        assert!((9_900.0..=10_000.0).contains(&counted), "{counted} of 10,000");
        // The control: keys of the flood are not taken for hot ones.
        let highest = (1..100_000u64).filter(|n| n % 100 != 0).map(|n| sketch.count(id(n))).max();
        assert!(highest < Some(40), "{highest:?}");
    }

    #[test]
    fn threads_count_together() {
        let sketch = Sketch::new(64);
        std::thread::scope(|scope| {
            for thread in 0..4u64 {
                let sketch = &sketch;
                scope.spawn(move || {
                    for n in 0..10_000 {
                        sketch.add(Id(u64::MAX), 2, Draw(thread ^ n));
                    }
                });
            }
        });
        // What four tries could not count is little.
        assert!((70_000..=80_000).contains(&sketch.count(Id(u64::MAX))), "{}", sketch.count(Id(u64::MAX)));
        sketch.clear();
        assert_eq!(sketch.count(Id(u64::MAX)), 0);
    }

    #[test]
    fn a_count_stops_at_its_end_and_spoils_no_fingerprint() {
        let sketch = Sketch::new(8);
        sketch.add(Id(5 << 32), u32::MAX - 1, Draw(0));
        assert_eq!(sketch.add(Id(5 << 32), 10, Draw(0)), u32::MAX);
        assert_eq!((sketch.count(Id(5 << 32)), sketch.count(Id(6 << 32))), (u32::MAX, 0));
    }

    #[test]
    fn its_size_is_eight_bytes_a_cell() {
        assert_eq!(Sketch::new(4096).bytes(), 4096 * 8 + 2048);
        assert_eq!(Sketch::new(1).bytes(), 64 + 2048);
    }

    proptest! {
        #[test]
        fn a_count_is_never_too_high(keys in prop::collection::vec(0u64..200, 0..2_000), seed: u64) {
            let sketch = Sketch::new(64);
            let mut exact = std::collections::HashMap::new();
            for (n, key) in keys.iter().enumerate() {
                *exact.entry(*key).or_insert(0u32) += 1;
                sketch.add(id(*key), 1, Draw(seed).fork(n as u64));
            }
            for (key, count) in exact {
                prop_assert!(sketch.count(id(key)) <= count);
            }
        }

        #[test]
        fn where_there_is_room_a_count_is_exact(keys in prop::collection::vec(0u64..8, 0..500)) {
            let sketch = Sketch::new(8);
            fill(&sketch, keys.iter().copied());
            for key in 0..8 {
                prop_assert_eq!(sketch.count(id(key)) as usize, keys.iter().filter(|k| **k == key).count());
            }
        }
    }
}
