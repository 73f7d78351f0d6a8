//! Who goes first when memory is full? Two rings and a list of ghosts: a variant of Clock-Pro.
//!
//! A newcomer joins the *cold* ring, or the *hot* one while that has room, or if its ghost says that it was pushed out a
//! short while ago. Who must go is looked for at the end of the cold ring: what was asked for there moves into the hot
//! one, what was not is pushed out and leaves a ghost. A hand goes round the hot ring once that is over its share: what
//! was asked for loses a chance and is passed by, what has none left is pushed out.
//!
//! Nothing is noted here when an entry is asked for: entries count that themselves, and a hand that comes by compares the
//! count with what it was the last time. So a hit writes nothing that others read.
//!
//! Rings that a hand goes round: Jiang, Chen, Zhang, "CLOCK-Pro: An Effective Improvement of the CLOCK Replacement"
//! (USENIX ATC 2005). More than one chance, and ghosts as marks in a table: Yang et al., "FIFO queues are all you need for
//! cache eviction" (SOSP 2023).
//!
//! ```
//! use bellwether_core::evict::{Rings, Seen, Shape};
//!
//! let mut rings = Rings::new(Shape { capacity: 150, hot: 50, ghosts: 10 });
//! let mut served = [0; 3];
//! for place in 0..3 {
//!     rings.enter(place, Seen { hash: u64::from(place), weight: 50, served: 0 });
//! }
//! served[1] = 1;
//! let of = |place: u32| Seen { hash: u64::from(place), weight: 50, served: served[place as usize] };
//! assert_eq!(rings.victim(50, of), Some(0), "1 was asked for, and takes its place in the hot ring");
//! assert_eq!(rings.victim(50, of), None, "there is room");
//! ```

mod ghosts;
mod links;
#[cfg(test)]
mod tests;

use ghosts::Ghosts;
use links::{Chances, Links, Ring};

/// A hand that passed by so many takes the next one, whatever it is: nobody waits for a walk round a whole ring in which
/// everything is in use.
const MOST_PASSED: u32 = 256;

/// What rings are made for.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The weight that all entries may have together.
    pub capacity: u64,
    /// Of it, what the hot ring may have.
    pub hot: u64,
    /// Ghosts that are remembered.
    pub ghosts: usize,
}

/// What is known of the entry at a place.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Of its key: its ghost is known by it.
    pub hash: u64,
    /// What it counts against the capacity.
    pub weight: u32,
    /// How often it was asked for, counted from anywhere; its lower 29 bits count.
    pub served: u32,
}

/// Which entries are here, by their places, and who goes first.
///
/// A place is a small number that its holder gives to an entry when it comes, and may give to another once it has gone.
pub struct Rings {
    links: Links,
    hot: Ring,
    cold: Ring,
    ghosts: Ghosts,
    shape: Shape,
}

impl Rings {
    /// Rings without entries.
    pub fn new(shape: Shape) -> Rings {
        let (hot, cold) = (Ring::default(), Ring::default());
        Rings { links: Links::default(), hot, cold, ghosts: Ghosts::new(shape.ghosts), shape }
    }

    /// What all entries weigh.
    pub fn weight(&self) -> u64 {
        self.hot.weight + self.cold.weight
    }

    /// An entry comes to `place`. Whoever must go for it has gone before: [`Rings::victim`].
    pub fn enter(&mut self, place: u32, entry: Seen) {
        let came_back = self.ghosts.take(entry.hash);
        let is_hot = came_back || self.hot.weight + u64::from(entry.weight) <= self.shape.hot;
        self.join(place, entry, Chances::new(is_hot, entry.served));
    }

    /// Another entry of the same key comes in place of the one that was here, as if that had been asked for once more.
    pub fn change(&mut self, place: u32, old: Seen, new: Seen) {
        let chances = self.links.at(place).chances;
        let ring = if chances.is_hot() { &mut self.hot } else { &mut self.cold };
        ring.weight = ring.weight - u64::from(old.weight) + u64::from(new.weight);
        self.links.at_mut(place).chances = chances.at(old.served).one_more().counted_from(new.served);
    }

    /// The entry at `place`, of this weight, has gone.
    pub fn leave(&mut self, place: u32, weight: u32) {
        let ring = if self.links.at(place).chances.is_hot() { &mut self.hot } else { &mut self.cold };
        ring.leave(&mut self.links, place, weight);
    }

    /// Who goes, so that `more` finds room: it has left the rings. To be called until nobody needs to go. `of` tells what is
    /// known of the entry at a place.
    pub fn victim(&mut self, more: u32, of: impl Fn(u32) -> Seen) -> Option<u32> {
        loop {
            if self.weight() + u64::from(more) <= self.shape.capacity {
                return None;
            }
            if self.hot.weight > self.shape.hot
                && let Some(place) = self.out_of_hot(&of)
            {
                return Some(place);
            }
            let Some(place) = self.cold.first() else { return self.out_of_hot(&of) };
            let entry = of(place);
            self.cold.leave(&mut self.links, place, entry.weight);
            let Some(chances) = self.links.at(place).chances.at(entry.served).one_less() else {
                self.ghosts.add(entry.hash);
                return Some(place);
            };
            self.join(place, entry, chances.hot());
        }
    }

    fn join(&mut self, place: u32, entry: Seen, chances: Chances) {
        let ring = if chances.is_hot() { &mut self.hot } else { &mut self.cold };
        ring.join(&mut self.links, place, entry.weight);
        self.links.at_mut(place).chances = chances;
    }

    /// The first of the hot ring that was not asked for since the hand came by, or for which it has come by too often.
    fn out_of_hot(&mut self, of: impl Fn(u32) -> Seen) -> Option<u32> {
        for passed in 0..=MOST_PASSED {
            let place = self.hot.first()?;
            let entry = of(place);
            match self.links.at(place).chances.at(entry.served).one_less() {
                Some(chances) if passed < MOST_PASSED => {
                    self.links.at_mut(place).chances = chances;
                    self.hot.pass(&self.links);
                }
                _ => {
                    self.hot.leave(&mut self.links, place, entry.weight);
                    return Some(place);
                }
            }
        }
        None
    }
}
