//! What is asked for most? What memory knows of it: the hits of what is resident.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use bellwether_core::entry::Kind;
use bellwether_core::heat::past::rate;

use crate::cache::Cache;
use crate::state::space::SpaceState;

/// A key, and how often it is read.
#[derive(Clone, Debug, PartialEq)]
pub struct Popular {
    /// The name of its space.
    pub space: Arc<str>,
    /// Its bytes in that space.
    pub key: Box<[u8]>,
    /// Reads a second.
    pub rate: f64,
}

/// Ordered by rate, then by name, so that one list always comes out in one order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Ranked(u64, Reverse<(Arc<str>, Box<[u8]>)>);

impl Cache {
    /// The values of the spaces that are `wanted` which are read most often, at most `most`, the most popular first.
    /// `before` tells what was known of a key of a space, in reads a second, where memory itself knows nothing from before
    /// its entry was loaded. Walks the whole memory tier; not for a request's path.
    pub fn popular(
        &self,
        most: usize,
        wanted: impl Fn(&str) -> bool,
        before: impl Fn(&str, &[u8]) -> Option<f64>,
    ) -> Vec<Popular> {
        let engine = &self.engine;
        let spaces: HashMap<u32, Arc<SpaceState>> =
            engine.spaces.read().values().map(|space| (space.id, space.clone())).collect();
        let spaces: HashMap<_, _> = spaces.into_iter().filter(|(_, space)| wanted(&space.name)).collect();
        let now = engine.clock.now();
        // The least popular of those kept is on top.
        let mut ranked: BinaryHeap<Reverse<Ranked>> = BinaryHeap::new();
        for (space, key, entry) in engine.memory.entries() {
            let Some(space) = spaces.get(&space).filter(|_| entry.kind() == Kind::Value) else { continue };
            let before = entry.past().rate().or_else(|| before(&space.name, &key));
            let rate = rate(entry.hits(), entry.watched_for(now), before);
            if rate <= 0.0 || !engine.is_live(space, &entry) {
                continue;
            }
            // The bits of positive numbers are in the order of the numbers.
            let bits = rate.to_bits();
            if ranked.len() < most || ranked.peek().is_some_and(|Reverse(least)| least.0 < bits) {
                ranked.push(Reverse(Ranked(bits, Reverse((space.name.clone(), key)))));
            }
            if ranked.len() > most {
                ranked.pop();
            }
        }
        let sorted = ranked.into_sorted_vec();
        let popular = |Reverse(Ranked(bits, Reverse((space, key))))| Popular { space, key, rate: f64::from_bits(bits) };
        sorted.into_iter().map(popular).collect()
    }
}
