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
/// Between two looks no more is served than so many times what a look stands for: three times in ten thousand it is.
/// More means that another entry has taken the place of the one that was seen, and counts anew.
const USUAL: u32 = 8;
/// From so many accesses of a window on a look counts what it stands for: that is exact enough then, and threads that
/// serve a key at once lose counts.
const CERTAIN: u32 = 4_096;

/// Counts of one window.
pub struct Sketch {
    buckets: Box<[Bucket]>,
    /// Below this draw a cell of the count in this place is worn down.
    decay: Box<[u64; SAFE]>,
}

/// Each cell, from above: the key's fingerprint, the last digits of its own count at the last look, what was counted.
/// Zero: free.
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
    /// How often the key was served so far by what it was served from, which counts that itself.
    pub served: Option<u32>,
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
    /// What it adds where nothing better is known.
    fn by(self) -> u32 {
        self.weight.saturating_mul(self.cost).clamp(1, COUNT as u32)
    }

    /// What it adds to a cell of its key.
    ///
    /// What was served before the first look and after the last is not seen: each is what a look stands for, less
    /// itself, on average. The first look adds the one, the second the other, as there is no other where there is but
    /// one. So the sum is right on average however often a key is looked at, and keys that are looked at more than once
    /// differ by what was served between their looks alone.
    fn adds(self, held: u64) -> u32 {
        let count = count_of(held);
        match self.served.map(|served| served.wrapping_sub((held >> AT_SHIFT) as u32) & AT) {
            Some(gap) if self.is_usual(gap) && count < CERTAIN.saturating_mul(self.cost) => {
                let unseen = if count == self.by() { self.weight - 1 } else { 0 };
                gap.saturating_add(unseen).saturating_mul(self.cost).min(COUNT as u32)
            }
            _ => self.by(),
        }
    }

    /// Whether so much may have been served between two looks.
    fn is_usual(self, gap: u32) -> bool {
        (1..=self.weight.saturating_mul(USUAL)).contains(&gap)
    }

    /// The cell of its key with that count.
    fn cell(self, mark: u64, held: u64, count: u32) -> u64 {
        let at = self.served.map_or(held >> AT_SHIFT, u64::from) & u64::from(AT);
        mark << MARK_SHIFT | at << AT_SHIFT | u64::from(count)
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

    /// Adds `by` accesses of `id`; what is counted of it so far, 0 if it found no place.
    #[inline]
    pub fn add(&self, id: Id, by: u32, draw: Draw) -> u32 {
        self.look(id, Look { weight: by, cost: 1, served: None }, draw).now
    }

    /// Adds what a look at `id` stands for.
    #[inline]
    pub fn look(&self, id: Id, look: Look, draw: Draw) -> Counted {
        let mark = fingerprint(id);
        let bucket = self.bucket(id);
        for _ in 0..TRIES {
            let (held, at) = find(bucket, mark);
            let (before, by) = match held {
                0 => (0, look.by()),
                held if held >> MARK_SHIFT == mark => (count_of(held), look.adds(held)),
                _ => return self.wear(&bucket.0[at], held, mark, look, draw),
            };
            let now = before.saturating_add(by).min(COUNT as u32);
            if swap(&bucket.0[at], held, look.cell(mark, held, now)) {
                return Counted { now, before };
            }
        }
        Counted::default()
    }

    /// Wears a cell down, or takes it.
    fn wear(&self, cell: &AtomicU64, held: u64, mark: u64, look: Look, draw: Draw) -> Counted {
        let (count, by) = (count_of(held), look.by());
        // In looks like this one.
        let chance = self.decay.get((count / by) as usize).copied().unwrap_or(0);
        if draw.0 > chance {
            return Counted::default();
        }
        let left = count.saturating_sub(by);
        let next = if left == 0 { look.cell(mark, 0, by) } else { held & !COUNT | u64::from(left) };
        // Another thread was here: the key has lost this draw.
        if swap(cell, held, next) && left == 0 { Counted { now: by, before: 0 } } else { Counted::default() }
    }

    /// What is counted of `id`.
    pub fn count(&self, id: Id) -> u32 {
        let mark = fingerprint(id);
        let cells = self.bucket(id).0.iter().map(|cell| cell.load(Ordering::Relaxed));
        cells.into_iter().find(|held| held >> MARK_SHIFT == mark).map_or(0, count_of)
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
    let held: [u64; CELLS] = std::array::from_fn(|at| bucket.0[at].load(Ordering::Relaxed));
    if let Some(at) = held.iter().position(|held| held >> MARK_SHIFT == mark) {
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

/// The bits of a count: 268 million.
const COUNT: u64 = (1 << AT_SHIFT) - 1;
const AT_SHIFT: u32 = 28;
/// Twelve digits of a key's own count: twice what may lie between two looks where fewest are looked at.
const AT: u32 = (1 << (MARK_SHIFT - AT_SHIFT)) - 1;
const MARK_SHIFT: u32 = 40;

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
    (id.0 >> MARK_SHIFT).max(1)
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
        let (one, other, most) = (Id(5 << 40), Id(6 << 40), (1 << 28) - 1);
        sketch.add(one, most - 1, Draw(0));
        assert_eq!(sketch.add(one, 10, Draw(0)), most);
        sketch.add(one, u32::MAX, Draw(0));
        sketch.look(one, Look { weight: u32::MAX, cost: u32::MAX, served: Some(u32::MAX) }, Draw(0));
        assert_eq!((sketch.count(one), sketch.count(other)), (most, 0));
    }

    #[test]
    fn what_was_served_between_two_looks_is_counted_exactly() {
        let (sketch, id) = (Sketch::new(8), Id(5 << 40));
        let look = |served| sketch.look(id, Look { weight: 8, cost: 1, served }, Draw(0));
        assert_eq!(look(Some(4_090)), Counted { now: 8, before: 0 }, "nothing is known before the first look");
        assert_eq!(look(Some(4_093)), Counted { now: 18, before: 8 }, "three, and seven after the last look");
        assert_eq!(look(Some(4_100)).now, 25, "the digits begin anew");
        assert_eq!(look(Some(4_100)).now, 33, "it was served by something that doesn't count");
        assert_eq!(look(None).now, 41);
        assert_eq!(look(Some(4_164)).now, 105);
        assert_eq!(look(Some(4_229)).now, 113, "so much was not served since: another entry counts");
        // Of large values each access costs more, and as many of them are told apart.
        let large = |served| sketch.look(Id(6 << 40), Look { weight: 8, cost: 64, served: Some(served) }, Draw(0)).now;
        assert_eq!((large(1), large(3), large(6)), (8 * 64, 17 * 64, 20 * 64));
        // What is counted often enough is counted by what looks stand for.
        let busy = Id(7 << 40);
        sketch.add(busy, CERTAIN, Draw(0));
        (1..=10).for_each(|nth| _ = sketch.look(busy, Look { weight: 8, cost: 1, served: Some(nth) }, Draw(0)));
        assert_eq!(sketch.count(busy), CERTAIN + 80);
    }

    #[test]
    fn what_is_counted_is_right_on_average_however_seldom_a_key_is_asked_for() {
        for times in [1u32, 2, 5, 20, 200] {
            let rounds = 40_000 / u64::from(times) + 4_000;
            let mut sum = 0;
            for round in 0..rounds {
                let (sketch, draws) = (Sketch::new(8), Draw(round).fork(u64::from(times)));
                for nth in (1..=times).filter(|nth| draws.fork(u64::from(*nth)).unit() < 1.0 / 8.0) {
                    let look = Look { weight: 8, cost: 1, served: Some(nth) };
                    sketch.look(Id(1 << 40), look, Draw(0));
                }
                sum += u64::from(sketch.count(Id(1 << 40)));
            }
            let off = sum as f64 / rounds as f64 / f64::from(times);
            assert!((0.95..1.05).contains(&off), "of {times}: {off}");
        }
    }

    #[test]
    fn keys_that_differ_by_little_are_told_apart() {
        // Forty keys, each asked for 3 % more often than the next, in random order; every fourth access is looked at.
        let (mut order, mut served) = (Vec::new(), [0u32; 40]);
        for key in 0..40u64 {
            let times = (400.0 * 1.03f64.powi(-(key as i32))) as u64;
            order.extend((0..times).map(|nth| (Draw(key << 32 | nth).fork(3).0, key)));
        }
        order.sort_unstable();
        let (exact, sampled) = (Sketch::new(1024), Sketch::new(1024));
        for (nth, (draw, key)) in order.iter().enumerate() {
            served[*key as usize] += 1;
            if nth.is_multiple_of(4) {
                let look = Look { weight: 4, cost: 1, served: Some(served[*key as usize]) };
                exact.look(id(*key), look, Draw(*draw));
                sampled.look(id(*key), Look { served: None, ..look }, Draw(*draw));
            }
        }
        let off = |sketch: &Sketch| {
            let counted = |key: usize| f64::from(sketch.count(id(key as u64)));
            (0..40).map(|key| (counted(key) - f64::from(served[key])).abs()).fold(0.0, f64::max)
        };
        // The control: what looks alone say of them.
        assert!(off(&exact) < 30.0 && off(&sampled) > 40.0, "{} {}", off(&exact), off(&sampled));
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
