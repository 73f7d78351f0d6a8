//! Which keys are hot in total, though perhaps nowhere in particular? Each process tells what it saw most of; here it is
//! summed up.

use std::collections::HashMap;

use crate::draw::Draw;
use crate::heat::board::table;
use crate::heat::hot::Rates;
use crate::heat::policy::WINDOW;
use crate::heat::sketch::Id;
use crate::heat::window::{Counts, cost};
use crate::time::{Span, Tick};

/// Keys that a process tells of in one message.
pub const MOST_TOLD: usize = 32;
/// Keys that are summed up at a time. Beyond it the least is given up, and all others lose as much (Misra and Gries,
/// 1982): sums err downwards only, by at most the total over half of this number.
const MOST_SUMS: usize = 896;
/// Whoever was not heard of for so long is gone.
pub const GONE_AFTER: Span = Span::secs(3);
/// Bits in which the processes that were heard of are marked: up to a few thousand are told apart within 3 %.
const MARKS: usize = 4_096;
/// Messages that the fleet's backplane delivers in a second, all processes together: whoever carries them is no faster.
const DELIVERED: u64 = 100_000;
/// Nobody tells less often.
const SELDOM: Span = Span::secs(1);

/// What a process counted of one key since its last message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The key.
    pub id: Id,
    /// What was counted.
    pub counts: Counts,
}

/// Which of `counted` are told: those that cost most. Of those that cost the same some are drawn and stand for the
/// others, so that what many processes saw once adds up to what it is.
pub fn top(mut counted: Vec<Told>, draw: Draw) -> Vec<Told> {
    counted.retain(|told| told.counts.cost() > 0 || told.counts.bytes > 0);
    counted.sort_by_key(|told| (std::cmp::Reverse(told.counts.cost()), told.id));
    let Some(last) = counted.get(MOST_TOLD - 1).map(|told| told.counts.cost()) else { return counted };
    let from = counted.partition_point(|told| told.counts.cost() > last);
    let to = counted.partition_point(|told| told.counts.cost() >= last);
    let mut tied = counted.drain(from..).take(to - from).collect::<Vec<_>>();
    let (places, all) = ((MOST_TOLD - from) as u64, tied.len() as u64);
    tied.sort_by_key(|told| draw.fork(told.id.0).0);
    let scaled = |count: u64| (count.saturating_mul(all) + places / 2) / places;
    let stand_in = |told: Told| {
        let Counts { reads, writes, bytes } = told.counts;
        Told { counts: Counts { reads: scaled(reads), writes: scaled(writes), bytes: scaled(bytes) }, ..told }
    };
    counted.extend(tied.into_iter().take(MOST_TOLD - from).map(stand_in));
    counted
}

/// How often a process tells what it saw, in a fleet of so many.
pub fn tells_every(instances: u32) -> Span {
    // Everybody hears everybody: the number of deliveries grows with its square.
    let deliveries = u64::from(instances).saturating_mul(u64::from(instances));
    Span((deliveries.saturating_mul(1000) / DELIVERED).clamp(WINDOW.0, SELDOM.0))
}

/// What the other processes say they see.
#[derive(Debug, Default)]
pub struct FleetView {
    /// What is being heard, and what was heard in the round before, each with its length.
    open: Sums,
    closed: Sums,
    length: Span,
    began: Option<Tick>,
    marks: Marks,
}

impl FleetView {
    /// A process, which is not this one, has told.
    pub fn hear(&mut self, sender: u64, told: &[Told], now: Tick) {
        self.marks.mark(sender, now);
        for one in told.iter().take(MOST_TOLD) {
            self.open.add(one.id, one.counts);
        }
    }

    /// A window is over. A round ends with it if each process has had the time to tell once, and once more.
    pub fn turn(&mut self, now: Tick) {
        let round = Span(tells_every(self.instances(now)).0 * 2);
        let began = *self.began.get_or_insert(now);
        if now.since(began) >= round {
            self.length = now.since(began);
            self.began = Some(now);
            self.closed = std::mem::take(&mut self.open);
        }
    }

    /// What all others together ask of a key, as of the last round.
    pub fn rates(&self, id: Id) -> Rates {
        self.closed.of.get(&id).map_or_else(Rates::default, |sum| sum.counts().over(self.length))
    }

    /// Keys that cost at least so much a second, by what others say.
    pub fn above(&self, rate: f64) -> impl Iterator<Item = (Id, Rates)> + '_ {
        let rates = self.closed.of.iter().map(|(id, sum)| (*id, sum.counts().over(self.length)));
        rates.filter(move |(_, rates)| cost(*rates) >= rate)
    }

    /// Bytes it takes.
    pub fn bytes(&self) -> usize {
        let sums = |sums: &Sums| table(sums.of.capacity(), size_of::<(Id, Sum)>());
        sums(&self.open) + sums(&self.closed) + self.marks.slots.len() * size_of::<[u64; MARKS / 64]>()
    }

    /// Where the process that tells as `own` comes among all of them, from 0 to below 1: each has a place of its own, but
    /// for a few of thousands, and all see the same order.
    pub fn place(&self, own: u64, now: Tick) -> f64 {
        self.marks.place(own, now)
    }

    /// How many processes there are, this one included: an estimate.
    pub fn instances(&self, now: Tick) -> u32 {
        self.marks.count(now) + 1
    }
}

/// Sums by key.
#[derive(Debug, Default)]
struct Sums {
    of: HashMap<Id, Sum>,
}

/// Counts in fewer bytes: of a round of some hundred milliseconds there are no more.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    reads: u32,
    writes: u32,
    bytes: u64,
}

impl Sum {
    fn of(counts: Counts) -> Sum {
        let short = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        Sum { reads: short(counts.reads), writes: short(counts.writes), bytes: counts.bytes }
    }

    fn counts(self) -> Counts {
        Counts { reads: self.reads.into(), writes: self.writes.into(), bytes: self.bytes }
    }
}

impl Sums {
    fn add(&mut self, id: Id, counts: Counts) {
        // Before it is full: a table that grows for one more is twice as large.
        if self.of.len() >= MOST_SUMS && !self.of.contains_key(&id) {
            self.thin();
        }
        let sum = self.of.entry(id).or_default();
        *sum = Sum::of(sum.counts().plus(counts));
    }

    /// The lesser half goes, and those that stay lose what the largest of it had.
    fn thin(&mut self) {
        let mut costs: Vec<u64> = self.of.values().map(|sum| sum.counts().cost()).collect();
        let (_, median, _) = costs.select_nth_unstable(MOST_SUMS / 2);
        let (median, most) = (*median, MOST_SUMS / 2);
        self.of.retain(|_, sum| {
            let counts = sum.counts();
            let cost = counts.cost();
            let left = |count: u64| (count as u128 * u128::from(cost - median) / u128::from(cost.max(1))) as u64;
            if cost <= median {
                return false;
            }
            *sum =
                Sum::of(Counts { reads: left(counts.reads), writes: left(counts.writes), bytes: left(counts.bytes) });
            true
        });
        debug_assert!(self.of.len() <= most);
        // What went leaves gaps, for which the table would grow.
        self.of.shrink_to(MOST_SUMS);
    }
}

/// Processes by marks in time slots: counted without remembering them (linear counting; Whang et al., 1990).
#[derive(Debug)]
struct Marks {
    slots: [(u64, Box<[u64; MARKS / 64]>); 3],
}

impl Default for Marks {
    fn default() -> Marks {
        Marks { slots: std::array::from_fn(|_| (u64::MAX, Box::new([0; MARKS / 64]))) }
    }
}

fn bit_of(sender: u64) -> usize {
    (Draw(sender).fork(0).0 % MARKS as u64) as usize
}

/// A slot's length: all of them together are [`GONE_AFTER`].
const SLOT: Span = Span(GONE_AFTER.0 / 3);

impl Marks {
    fn mark(&mut self, sender: u64, now: Tick) {
        let number = now.0 / SLOT.0;
        let slot = &mut self.slots[(number % 3) as usize];
        if slot.0 != number {
            *slot = (number, Box::new([0; MARKS / 64]));
        }
        let bit = bit_of(sender);
        slot.1[bit / 64] |= 1 << (bit % 64);
    }

    fn recent(&self, now: Tick) -> [u64; MARKS / 64] {
        let number = now.0 / SLOT.0;
        let recent = |slot: &&(u64, Box<[u64; MARKS / 64]>)| slot.0 <= number && number - slot.0 < 3;
        let mut all = [0u64; MARKS / 64];
        for (_, marks) in self.slots.iter().filter(recent) {
            all.iter_mut().zip(marks.iter()).for_each(|(all, marks)| *all |= marks);
        }
        all
    }

    fn place(&self, own: u64, now: Tick) -> f64 {
        let (mut all, bit) = (self.recent(now), bit_of(own));
        all[bit / 64] |= 1 << (bit % 64);
        let ones = |words: &[u64]| words.iter().map(|word| word.count_ones()).sum::<u32>();
        let before = ones(&all[..bit / 64]) + (all[bit / 64] & ((1 << (bit % 64)) - 1)).count_ones();
        f64::from(before) / f64::from(ones(&all))
    }

    fn count(&self, now: Tick) -> u32 {
        let all = self.recent(now);
        let set: u32 = all.iter().map(|word| word.count_ones()).sum();
        let free = (MARKS as f64 - f64::from(set)).max(1.0);
        (MARKS as f64 * (MARKS as f64 / free).ln()).round() as u32
    }
}
