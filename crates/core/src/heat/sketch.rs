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

/// Each cell: the key's fingerprint, and below it what was counted. Zero: free.
#[repr(align(64))]
#[derive(Default)]
struct Bucket([AtomicU64; CELLS]);

/// A look at a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// It stands for so many accesses.
    pub weight: u32,
    /// What each of them costs.
    pub cost: u32,
}

/// What is counted of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// So much, in this window; 0 if it found no place.
    pub now: u32,
    /// Of that, before this look.
    pub before: u32,
}

impl Look {
    /// What it adds.
    #[inline]
    fn by(self) -> u32 {
        self.weight.saturating_mul(self.cost).max(1)
    }
}

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

    /// Adds `by` accesses of the key with this hash; what is counted of it so far, 0 if it found no place.
    #[inline]
    pub fn add(&self, hash: u64, by: u32, draw: Draw) -> u32 {
        self.look(hash, Look { weight: by, cost: 1 }, draw).now
    }

    /// Adds what a look at a key stands for.
    #[inline]
    pub fn look(&self, hash: u64, look: Look, draw: Draw) -> Counted {
        let (mark, bucket, by) = (fingerprint(hash), self.bucket(hash), look.by());
        for _ in 0..TRIES {
            let (held, at) = find(bucket, mark);
            if held != 0 && mark_of(held) != mark {
                return wear(&bucket.0[at], held, mark, by, self.chance(held, by), draw);
            }
            let before = count_of(held);
            let now = before.saturating_add(by);
            if swap(&bucket.0[at], held, cell(mark, now)) {
                return Counted { now, before };
            }
        }
        Counted::default()
    }

    /// Below this draw a cell is worn down by a look that adds so much: in looks like this one.
    fn chance(&self, held: u64, by: u32) -> u64 {
        self.decay.get((count_of(held) / by) as usize).copied().unwrap_or(0)
    }

    /// What is counted of the key with this hash.
    pub fn count(&self, hash: u64) -> u32 {
        let mark = fingerprint(hash);
        let cells = self.bucket(hash).0.iter().map(|cell| cell.load(Ordering::Relaxed));
        cells.into_iter().find(|held| mark_of(*held) == mark).map_or(0, count_of)
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
    fn bucket(&self, hash: u64) -> &Bucket {
        &self.buckets[hash as usize & (self.buckets.len() - 1)]
    }
}

/// Wears a cell of another key down, or takes it.
#[cold]
fn wear(cell: &AtomicU64, held: u64, mark: u32, by: u32, chance: u64, draw: Draw) -> Counted {
    if draw.0 > chance {
        return Counted::default();
    }
    let left = count_of(held).saturating_sub(by);
    let next = if left == 0 { self::cell(mark, by) } else { self::cell(mark_of(held), left) };
    // Another thread was here: the key has lost this draw.
    if swap(cell, held, next) && left == 0 { Counted { now: by, before: 0 } } else { Counted::default() }
}

/// The cell of this fingerprint, or a free one, or the smallest: what it holds, and its place.
#[inline]
fn find(bucket: &Bucket, mark: u32) -> (u64, usize) {
    let held: [u64; CELLS] = std::array::from_fn(|at| bucket.0[at].load(Ordering::Relaxed));
    if let Some(at) = held.iter().position(|held| mark_of(*held) == mark) {
        return (held[at], at);
    }
    let mut best = (held[0], 0);
    for (at, held) in held.into_iter().enumerate() {
        if count_of(held) < count_of(best.0) {
            best = (held, at);
        }
    }
    best
}

const MARK_SHIFT: u32 = 32;

#[inline]
fn cell(mark: u32, count: u32) -> u64 {
    u64::from(mark) << MARK_SHIFT | u64::from(count)
}

#[inline]
fn count_of(held: u64) -> u32 {
    held as u32
}

#[inline]
fn mark_of(held: u64) -> u32 {
    (held >> MARK_SHIFT) as u32
}

#[inline]
fn swap(cell: &AtomicU64, held: u64, next: u64) -> bool {
    cell.compare_exchange(held, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

/// Never zero, which is a free cell.
#[inline]
fn fingerprint(hash: u64) -> u32 {
    ((hash >> MARK_SHIFT) as u32).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heat::sample::{Sampling, phase};
    use proptest::prelude::*;

    fn hash(key: u64) -> u64 {
        Draw(key).fork(1).0
    }

    fn fill(sketch: &Sketch, keys: impl IntoIterator<Item = u64>) {
        for (n, key) in keys.into_iter().enumerate() {
            sketch.add(hash(key), 1, Draw(9).fork(n as u64));
        }
    }

    #[test]
    fn a_million_keys_asked_for_once_wear_no_hot_key_down() {
        let sketch = Sketch::new(1024);
        let hot = 7_000_000;
        fill(&sketch, (0..1_000_000u64).map(|n| if n % 100 == 0 { hot } else { n }));
        let counted = f64::from(sketch.count(hash(hot)));
        assert!((9_900.0..=10_000.0).contains(&counted), "{counted} of 10,000");
        // The control: keys of the flood are not taken for hot ones.
        let highest = (1..100_000u64).filter(|n| n % 100 != 0).map(|n| sketch.count(hash(n))).max();
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
                        sketch.add(u64::MAX, 2, Draw(thread ^ n));
                    }
                });
            }
        });
        // What four tries could not count is little.
        assert!((70_000..=80_000).contains(&sketch.count(u64::MAX)), "{}", sketch.count(u64::MAX));
        sketch.clear();
        assert_eq!(sketch.count(u64::MAX), 0);
    }

    #[test]
    fn a_count_stops_at_its_end_and_spoils_no_fingerprint() {
        let sketch = Sketch::new(8);
        let (one, other, most) = (5 << 40, 6 << 40, u32::MAX);
        sketch.add(one, most - 1, Draw(0));
        assert_eq!(sketch.add(one, 10, Draw(0)), most);
        sketch.add(one, u32::MAX, Draw(0));
        sketch.look(one, Look { weight: u32::MAX, cost: u32::MAX }, Draw(0));
        assert_eq!((sketch.count(one), sketch.count(other)), (most, 0));
    }

    #[test]
    fn looks_at_what_costs_more_add_more() {
        let sketch = Sketch::new(8);
        let look = |cost| sketch.look(1 << 40, Look { weight: 8, cost }, Draw(0));
        assert_eq!(look(1), Counted { now: 8, before: 0 });
        assert_eq!(look(64), Counted { now: 8 + 8 * 64, before: 8 });
    }

    #[test]
    fn keys_that_differ_by_little_are_told_apart_by_what_their_entries_count() {
        // Forty keys, each asked for 3 % more often than the next, in random order; one access in four is looked at.
        let (mut order, mut served) = (Vec::new(), [0u32; 40]);
        for key in 0..40u64 {
            let times = (400.0 * 1.03f64.powi(-(key as i32))) as u64;
            order.extend((0..times).map(|nth| (Draw(key << 32 | nth).fork(3).0, key)));
        }
        order.sort_unstable();
        let (counted, drawn, sampling) = (Sketch::new(1024), Sketch::new(1024), Sampling::one_in(2));
        for (nth, (draw, key)) in (0..).zip(&order) {
            let served = &mut served[*key as usize];
            *served += 1;
            if sampling.is_due(*served + phase(*key)) {
                counted.add(hash(*key), sampling.weight(), Draw(*draw));
            }
            if sampling.draw(nth).is_some() {
                drawn.add(hash(*key), sampling.weight(), Draw(*draw));
            }
        }
        let off = |sketch: &Sketch| {
            let counted = |key: usize| f64::from(sketch.count(hash(key as u64)));
            (0..40).map(|key| (counted(key) - f64::from(served[key])).abs()).fold(0.0, f64::max)
        };
        // The control: what looks say that are drawn.
        assert!(off(&counted) < 4.0 && off(&drawn) > 40.0, "{} {}", off(&counted), off(&drawn));
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
                sketch.add(hash(*key), 1, Draw(seed).fork(n as u64));
            }
            for (key, count) in exact {
                prop_assert!(sketch.count(hash(key)) <= count);
            }
        }

        #[test]
        fn where_there_is_room_a_count_is_exact(keys in prop::collection::vec(0u64..8, 0..500)) {
            let sketch = Sketch::new(8);
            fill(&sketch, keys.iter().copied());
            for key in 0..8 {
                prop_assert_eq!(sketch.count(hash(key)) as usize, keys.iter().filter(|k| **k == key).count());
            }
        }
    }
}
