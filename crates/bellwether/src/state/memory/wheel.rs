//! Which entries end now? A hierarchical timing wheel (Varghese, Lauck, SOSP 1987, scheme 7):
//! constant time to add and to take back, no walk over what is not due.

use bellwether_core::time::Tick;

use crate::place::Place;

const LEVELS: usize = 5;
const SLOTS: usize = 64;
const SLOT_BITS: u32 = SLOTS.trailing_zeros();
/// The finest step: 2^7 = 128 ms. Expiry on read is exact; this only frees memory.
const STEP_BITS: u32 = 7;

/// A timer: which hash, when, and its neighbours in the slot's list. 20 bytes.
#[derive(Clone, Copy)]
#[repr(C, packed(4))]
struct Node {
    hash: u64,
    /// In steps.
    due: u32,
    /// The next in the list, of a slot's timers or of unused nodes; or `NONE`.
    next: u32,
    /// The one before; the slot itself, from `HEAD` on, of the first; or `FREE` while unused.
    prev: u32,
}

const NONE: u32 = Place::NONE.0;
const FREE: u32 = u32::MAX;
/// From here on numbers stand for slots.
const HEAD: u32 = FREE - (LEVELS * SLOTS) as u32;

/// Timers by place. Five levels of 64 slots reach 2^30 steps of 128 ms, over four years.
pub(crate) struct Wheel {
    nodes: Nodes,
    free: u32,
    heads: [u32; LEVELS * SLOTS],
    /// The step up to which everything due has been handed out.
    now: u32,
    len: usize,
}

fn step_of(tick: Tick) -> u32 {
    u32::try_from(tick.0 >> STEP_BITS).unwrap_or(u32::MAX - 1)
}

/// The step after which what ends then is handed out.
fn due_step(end: Tick) -> u32 {
    step_of(end).saturating_add(1)
}

impl Wheel {
    pub(crate) fn new(now: Tick) -> Wheel {
        Wheel { nodes: Nodes::default(), free: NONE, heads: [NONE; LEVELS * SLOTS], now: step_of(now), len: 0 }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds a timer that is handed out by the first [`Wheel::turn`] after `end`; its name takes it back.
    pub(crate) fn add(&mut self, hash: u64, end: Tick) -> Place {
        let due = due_step(end).max(self.now + 1);
        let node = Node { hash, due, next: NONE, prev: FREE };
        let index = if self.free == NONE {
            self.nodes.push(node)
        } else {
            let index = self.free;
            self.free = self.nodes.get(index).next;
            *self.nodes.at(index) = node;
            index
        };
        self.link(index);
        self.len += 1;
        Place(index)
    }

    /// The hash of the timer at a place that is in use.
    pub(crate) fn hash(&self, place: Place) -> u64 {
        self.nodes.get(place.0).hash
    }

    /// The timer at a place that is in use fires after `end` instead.
    pub(crate) fn renew(&mut self, place: Place, end: Tick) {
        self.unlink(place.0);
        self.nodes.at(place.0).due = due_step(end).max(self.now + 1);
        self.link(place.0);
    }

    /// A step of a walk: the timers at the next `most` places, in no order, and where to go on, if there are more. A timer that
    /// is taken back and added anew in one go keeps its place, so a walk does not lose it.
    pub(crate) fn walk(&self, from: Place, most: usize, out: &mut Vec<(Place, u64)>) -> Option<Place> {
        let to = from.0.saturating_add(u32::try_from(most).unwrap_or(u32::MAX)).min(self.nodes.len);
        let all = (from.0..to).map(|index| (Place(index), self.nodes.get(index)));
        out.extend(all.filter(|(_, node)| node.prev != FREE).map(|(place, node)| (place, node.hash)));
        (to < self.nodes.len).then_some(Place(to))
    }

    /// Takes back the timer that was added under this name. Free of harm if it has fired, as under foyer's policies it may
    /// have: its place may be another's by now, which has another hash, or is due later.
    pub(crate) fn cancel(&mut self, id: Place, hash: u64, end: Tick) {
        if id.0 >= self.nodes.len {
            return;
        }
        let node = self.nodes.get(id.0);
        let due = due_step(end);
        // One that was added after its end is due later than that.
        let its_own = node.due == due || (node.due > due && due <= self.now);
        if node.prev != FREE && { node.hash } == hash && its_own {
            self.unlink(id.0);
            self.release(id.0);
        }
    }

    /// Hands out the timers due by `now`, until `out` has `most`; true if more are due. Their places are free.
    pub(crate) fn turn(&mut self, now: Tick, most: usize, out: &mut Vec<(Place, u64)>) -> bool {
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
                    self.spread(slot_of(level, step), step);
                }
            }
            let slot = slot_of(0, step);
            while self.heads[slot] != NONE {
                if out.len() >= most {
                    return true;
                }
                let index = self.heads[slot];
                out.push((Place(index), self.nodes.get(index).hash));
                self.unlink(index);
                self.release(index);
            }
            self.now = step;
        }
        false
    }

    /// Moves a slot's timers to where they belong as of `step`.
    fn spread(&mut self, slot: usize, step: u32) {
        let mut index = std::mem::replace(&mut self.heads[slot], NONE);
        // Placed relative to this step, all of them land in finer levels: those due now in the slot that is emptied next.
        let before = std::mem::replace(&mut self.now, step);
        while index != NONE {
            let next = self.nodes.get(index).next;
            self.link(index);
            index = next;
        }
        self.now = before;
    }

    fn link(&mut self, index: u32) {
        let due = self.nodes.get(index).due;
        let ahead = due - self.now.min(due);
        let level = (0..LEVELS - 1).find(|level| ahead < 1 << (SLOT_BITS * (*level as u32 + 1))).unwrap_or(LEVELS - 1);
        let slot = slot_of(level, due);
        let head = std::mem::replace(&mut self.heads[slot], index);
        let node = self.nodes.at(index);
        node.prev = HEAD + slot as u32;
        node.next = head;
        if head != NONE {
            self.nodes.at(head).prev = index;
        }
    }

    fn unlink(&mut self, index: u32) {
        let Node { next, prev, .. } = self.nodes.get(index);
        if next != NONE {
            self.nodes.at(next).prev = prev;
        }
        match prev.checked_sub(HEAD) {
            Some(slot) => self.heads[slot as usize] = next,
            None => self.nodes.at(prev).next = next,
        }
    }

    fn release(&mut self, index: u32) {
        let free = std::mem::replace(&mut self.free, index);
        let node = self.nodes.at(index);
        node.prev = FREE;
        node.next = free;
        self.len -= 1;
    }
}

/// The slot of a level in which `due` lies.
fn slot_of(level: usize, due: u32) -> usize {
    level * SLOTS + (due >> (SLOT_BITS * level as u32)) as usize % SLOTS
}

/// Nodes by number, in blocks: a table that doubles would leave up to half of itself unused, and
/// stop everybody while it is copied.
#[derive(Default)]
struct Nodes {
    blocks: Vec<Box<[Node; BLOCK]>>,
    len: u32,
}

/// Nodes of one block: 5 KiB.
const BLOCK: usize = 256;

impl Nodes {
    fn push(&mut self, node: Node) -> u32 {
        let index = self.len;
        assert!(index < HEAD, "the memory limit keeps entries far below 2^32");
        if index as usize == self.blocks.len() * BLOCK {
            self.blocks.push(Box::new([node; BLOCK]));
        }
        *self.at(index) = node;
        self.len += 1;
        index
    }

    fn get(&self, index: u32) -> Node {
        self.blocks[index as usize / BLOCK][index as usize % BLOCK]
    }

    fn at(&mut self, index: u32) -> &mut Node {
        &mut self.blocks[index as usize / BLOCK][index as usize % BLOCK]
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
        Renew(usize, u64),
        Wait(u64),
    }

    fn any_op() -> impl Strategy<Value = Op> {
        let far = prop_oneof![5 => 0u64..100 * STEP, 3 => 0u64..10_000 * STEP, 1 => 0u64..300_000 * STEP];
        prop_oneof![4 => far.clone().prop_map(Op::Add), 2 => any::<usize>().prop_map(Op::Cancel),
            2 => (any::<usize>(), far.clone()).prop_map(|(n, ahead)| Op::Renew(n, ahead)), 3 => far.prop_map(Op::Wait)]
    }

    #[test]
    fn a_walk_in_steps_meets_each_timer_once_also_one_that_is_renewed_meanwhile() {
        let mut wheel = Wheel::new(Tick(0));
        let mut ids: Vec<Place> = (0..5_000).map(|hash| wheel.add(hash, Tick(60_000))).collect();
        for gone in (0..5_000).step_by(7) {
            wheel.cancel(ids[gone], gone as u64, Tick(60_000));
        }
        let (mut met, mut next) = (Vec::new(), Some(Place::FIRST));
        while let Some(from) = next {
            next = wheel.walk(from, 100, &mut met);
            // Written anew, before and behind the walk.
            for hash in [1, 2_500, 4_988] {
                wheel.cancel(ids[hash], hash as u64, Tick(60_000));
                ids[hash] = wheel.add(hash as u64, Tick(60_000));
                wheel.renew(ids[hash + 1], Tick(70_000));
            }
        }
        let mut met: Vec<u64> = met
            .into_iter()
            .map(|(place, hash)| {
                assert_eq!((wheel.hash(place), ids[hash as usize]), (hash, place));
                hash
            })
            .collect();
        met.sort_unstable();
        assert_eq!(met, (0..5_000).filter(|hash| hash % 7 != 0).collect::<Vec<u64>>());
        assert_eq!(Wheel::new(Tick(0)).walk(Place::FIRST, 100, &mut Vec::new()), None);
    }

    proptest! {
        #[test]
        fn every_timer_fires_once_on_time_unless_taken_back(ops in prop::collection::vec(any_op(), 1..60)) {
            let mut now = 5_000_000u64;
            let mut wheel = Wheel::new(Tick(now));
            let mut model: BTreeMap<u64, (Place, u64)> = BTreeMap::new();
            let mut hash = 0;
            for op in ops {
                match op {
                    Op::Add(ahead) => {
                        hash += 1;
                        model.insert(hash, (wheel.add(hash, Tick(now + ahead)), now + ahead));
                    }
                    Op::Cancel(n) => if !model.is_empty() {
                        let key = *model.keys().nth(n % model.len()).expect("not empty");
                        let (index, due) = model.remove(&key).expect("present");
                        wheel.cancel(index, key, Tick(due));
                        wheel.cancel(index, key, Tick(due));
                    },
                    Op::Renew(n, ahead) => if !model.is_empty() {
                        let key = *model.keys().nth(n % model.len()).expect("not empty");
                        let (place, due) = model.get_mut(&key).expect("present");
                        *due = now + ahead;
                        wheel.renew(*place, Tick(*due));
                    },
                    Op::Wait(by) => {
                        now += by;
                        let mut out = Vec::new();
                        while wheel.turn(Tick(now), 7, &mut out) {
                            for (_, fired) in out.drain(..) {
                                prop_assert!(model.remove(&fired).is_some_and(|(_, due)| due <= now));
                            }
                        }
                        for (_, fired) in out {
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
