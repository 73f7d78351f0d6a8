//! What happens next? A queue of events over virtual milliseconds, and the seed's dice.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use bellwether_core::draw::Draw;
use bellwether_core::time::{Span, Tick};

/// The seed's dice: the n-th throw depends on the seed and on n alone.
pub(crate) struct Dice {
    seed: Draw,
    thrown: u64,
}

impl Dice {
    pub(crate) fn of(seed: u64) -> Dice {
        // Neighbouring seeds must not share throws.
        Dice { seed: Draw(seed).fork(0x5EED), thrown: 0 }
    }

    pub(crate) fn draw(&mut self) -> Draw {
        self.thrown += 1;
        self.seed.fork(self.thrown)
    }

    /// Uniform in `0..n`, 0 if `n` is.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        if n == 0 { 0 } else { self.draw().0 % n }
    }

    /// Uniform in `low..=high`.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.draw().unit() < probability
    }

    pub(crate) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

/// Virtual time and what is due when. Events of one millisecond happen in an order that the dice draw.
pub(crate) struct World<E> {
    now: Tick,
    queue: BinaryHeap<Reverse<Due<E>>>,
    pub(crate) dice: Dice,
    scheduled: u64,
}

struct Due<E> {
    at: Tick,
    tie: u64,
    /// Unique: the order is total without looking at the event.
    number: u64,
    event: E,
}

impl<E> World<E> {
    pub(crate) fn new(start: Tick, seed: u64) -> World<E> {
        World { now: start, queue: BinaryHeap::new(), dice: Dice::of(seed), scheduled: 0 }
    }

    pub(crate) fn now(&self) -> Tick {
        self.now
    }

    pub(crate) fn at(&mut self, at: Tick, event: E) {
        self.scheduled += 1;
        let due = Due { at: at.max(self.now), tie: self.dice.draw().0, number: self.scheduled, event };
        self.queue.push(Reverse(due));
    }

    pub(crate) fn after(&mut self, span: Span, event: E) {
        self.at(self.now + span, event);
    }

    /// The next event; time moves to it.
    pub(crate) fn next(&mut self) -> Option<E> {
        let Reverse(due) = self.queue.pop()?;
        self.now = due.at;
        Some(due.event)
    }

    /// The clock jumps ahead: whatever came due meanwhile is due now, in any order.
    pub(crate) fn jump(&mut self, by: Span) {
        self.now = self.now + by;
        while self.queue.peek().is_some_and(|Reverse(due)| due.at < self.now) {
            if let Some(Reverse(late)) = self.queue.pop() {
                self.at(self.now, late.event);
            }
        }
    }
}

impl<E> Ord for Due<E> {
    fn cmp(&self, other: &Due<E>) -> std::cmp::Ordering {
        (self.at, self.tie, self.number).cmp(&(other.at, other.tie, other.number))
    }
}
impl<E> PartialOrd for Due<E> {
    fn partial_cmp(&self, other: &Due<E>) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<E> PartialEq for Due<E> {
    fn eq(&self, other: &Due<E>) -> bool {
        self.number == other.number
    }
}
impl<E> Eq for Due<E> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_order_of_time_and_a_jump_makes_the_late_ones_due_at_once() {
        let mut world = World::new(Tick(100), 1);
        for (span, event) in [(30, 3), (10, 1), (20, 2), (90, 9)] {
            world.after(Span(span), event);
        }
        assert_eq!((world.next(), world.now()), (Some(1), Tick(110)));
        world.jump(Span(50));
        let mut late = [world.next(), world.next()];
        late.sort_unstable();
        assert_eq!((late, world.now()), ([Some(2), Some(3)], Tick(160)));
        assert_eq!((world.next(), world.now(), world.next()), (Some(9), Tick(190), None));
    }
}
