//! Which entries end now? A hierarchical timing wheel (Varghese, Lauck, SOSP 1987, scheme 7):
//! constant time to add and to take back, no walk over what is not due.

use bellwether_core::time::Tick;

const LEVELS: usize = 5;
const SLOTS: usize = 64;
const SLOT_BITS: u32 = SLOTS.trailing_zeros();
/// The finest step: 2^7 = 128 ms. Expiry on read is exact; this only frees memory.
const STEP_BITS: u32 = 7;
const NONE: u32 = u32::MAX;

/// A timer: which hash, when, and its neighbours in the slot's list. 24 bytes.
#[derive(Clone, Copy)]
struct Node {
    hash: u64,
    /// In steps.
    due: u32,
    next: u32,
    prev: u32,
    /// Level and slot; `FREE` while unused.
    place: u16,
    /// Told apart from the timers that had this place before.
    generation: u16,
}

const FREE: u16 = u16::MAX;

/// Names one timer, once: its place and the generation of that place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerId(pub(crate) u64);

impl TimerId {
    /// No timer.
    pub(crate) const NONE: TimerId = TimerId(u64::MAX);

    fn new(index: u32, generation: u16) -> TimerId {
        TimerId(u64::from(generation) << 32 | u64::from(index))
    }

    fn index(self) -> usize {
        (self.0 & u64::from(u32::MAX)) as usize
    }

    fn generation(self) -> u64 {
        self.0 >> 32
    }
}

/// Timers by hash. Five levels of 64 slots reach 2^30 steps of 128 ms, over four years.
pub(crate) struct Wheel {
    nodes: Vec<Node>,
    free: u32,
    heads: [[u32; SLOTS]; LEVELS],
    /// The step up to which everything due has been handed out.
    now: u32,
    len: usize,
}

fn step_of(tick: Tick) -> u32 {
    u32::try_from(tick.0 >> STEP_BITS).unwrap_or(u32::MAX - 1)
}

impl Wheel {
    pub(crate) fn new(now: Tick) -> Wheel {
        Wheel { nodes: Vec::new(), free: NONE, heads: [[NONE; SLOTS]; LEVELS], now: step_of(now), len: 0 }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds a timer that is handed out by the first [`Wheel::turn`] after `due`; its name takes it back.
    pub(crate) fn add(&mut self, hash: u64, due: Tick) -> TimerId {
        let due = step_of(due).saturating_add(1).max(self.now + 1);
        let mut node = Node { hash, due, next: NONE, prev: NONE, place: FREE, generation: 0 };
        let index = if self.free == NONE {
            self.nodes.push(node);
            u32::try_from(self.nodes.len() - 1).expect("the memory limit keeps entries far below 2^32")
        } else {
            let index = self.free;
            let old = self.nodes[index as usize];
            self.free = old.next;
            node.generation = old.generation.wrapping_add(1);
            self.nodes[index as usize] = node;
            index
        };
        self.link(index);
        self.len += 1;
        TimerId::new(index, node.generation)
    }

    /// The hashes of all timers, in no order: a copy of a word each.
    pub(crate) fn hashes(&self) -> Vec<u64> {
        self.nodes.iter().filter(|node| node.place != FREE).map(|node| node.hash).collect()
    }

    /// Takes a timer back. Free of harm if it fired, or was taken back, before.
    pub(crate) fn cancel(&mut self, id: TimerId) {
        let Some(node) = self.nodes.get(id.index()) else { return };
        if node.place != FREE && u64::from(node.generation) == id.generation() {
            let index = id.index() as u32;
            self.unlink(index);
            self.release(index);
        }
    }

    /// Hands out the hashes due by `now`, at most `most`; true if more are due.
    pub(crate) fn turn(&mut self, now: Tick, most: usize, out: &mut Vec<u64>) -> bool {
        let target = step_of(now);
        if self.len == 0 {
            self.now = self.now.max(target);
            return false;
        }
        while self.now < target {
            let step = self.now + 1;
            // Coarser slots whose span begins at this step are spread over the finer levels first.
            for level in (1..LEVELS).rev() {
                let shift = SLOT_BITS * level as u32;
                if step & ((1 << shift) - 1) == 0 {
                    self.spread(level, ((step >> shift) as usize) % SLOTS, step);
                }
            }
            let slot = (step as usize) % SLOTS;
            while self.heads[0][slot] != NONE {
                if out.len() >= most {
                    return true;
                }
                let index = self.heads[0][slot];
                out.push(self.nodes[index as usize].hash);
                self.unlink(index);
                self.release(index);
            }
            self.now = step;
        }
        false
    }

    /// Moves a slot's timers to where they belong as of `step`.
    fn spread(&mut self, level: usize, slot: usize, step: u32) {
        let mut index = std::mem::replace(&mut self.heads[level][slot], NONE);
        // Placed relative to this step, all of them land in finer levels: those due now in the slot that is emptied next.
        let before = std::mem::replace(&mut self.now, step);
        while index != NONE {
            let next = self.nodes[index as usize].next;
            self.link(index);
            index = next;
        }
        self.now = before;
    }

    fn link(&mut self, index: u32) {
        let due = self.nodes[index as usize].due;
        let ahead = due - self.now.min(due);
        let level = (0..LEVELS - 1).find(|level| ahead < 1 << (SLOT_BITS * (*level as u32 + 1))).unwrap_or(LEVELS - 1);
        let slot = ((due >> (SLOT_BITS * level as u32)) as usize) % SLOTS;
        let head = self.heads[level][slot];
        let node = &mut self.nodes[index as usize];
        node.place = (level * SLOTS + slot) as u16;
        node.prev = NONE;
        node.next = head;
        if head != NONE {
            self.nodes[head as usize].prev = index;
        }
        self.heads[level][slot] = index;
    }

    fn unlink(&mut self, index: u32) {
        let Node { next, prev, place, .. } = self.nodes[index as usize];
        if next != NONE {
            self.nodes[next as usize].prev = prev;
        }
        if prev == NONE {
            self.heads[place as usize / SLOTS][place as usize % SLOTS] = next;
        } else {
            self.nodes[prev as usize].next = next;
        }
    }

    fn release(&mut self, index: u32) {
        let node = &mut self.nodes[index as usize];
        node.place = FREE;
        node.next = self.free;
        self.free = index;
        self.len -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const STEP: u64 = 1 << STEP_BITS;

    #[derive(Clone, Debug)]
    enum Op {
        Add(u64),
        Cancel(usize),
        Wait(u64),
    }

    fn any_op() -> impl Strategy<Value = Op> {
        let far = prop_oneof![5 => 0u64..100 * STEP, 3 => 0u64..10_000 * STEP, 1 => 0u64..300_000 * STEP];
        prop_oneof![4 => far.clone().prop_map(Op::Add), 2 => any::<usize>().prop_map(Op::Cancel), 3 => far.prop_map(Op::Wait)]
    }

    proptest! {
        #[test]
        fn every_timer_fires_once_on_time_unless_taken_back(ops in prop::collection::vec(any_op(), 1..60)) {
            let mut now = 5_000_000u64;
            let mut wheel = Wheel::new(Tick(now));
            let mut model: BTreeMap<u64, (TimerId, u64)> = BTreeMap::new();
            let mut hash = 0;
            for op in ops {
                match op {
                    Op::Add(ahead) => {
                        hash += 1;
                        model.insert(hash, (wheel.add(hash, Tick(now + ahead)), now + ahead));
                    }
                    Op::Cancel(n) => if !model.is_empty() {
                        let key = *model.keys().nth(n % model.len()).expect("not empty");
                        let (index, _) = model.remove(&key).expect("present");
                        wheel.cancel(index);
                        wheel.cancel(index);
                    },
                    Op::Wait(by) => {
                        now += by;
                        let mut out = Vec::new();
                        while wheel.turn(Tick(now), 7, &mut out) {
                            for fired in out.drain(..) {
                                prop_assert!(model.remove(&fired).is_some_and(|(_, due)| due <= now));
                            }
                        }
                        for fired in out {
                            prop_assert!(model.remove(&fired).is_some_and(|(_, due)| due <= now), "early, twice or cancelled");
                        }
                        let late = model.values().find(|(_, due)| due + 2 * STEP <= now);
                        prop_assert!(late.is_none(), "late: {late:?} at {now}");
                    }
                }
                prop_assert_eq!(wheel.len(), model.len());
            }
        }
    }
}
