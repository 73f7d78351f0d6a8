//! What is asked for most? What memory knows of it: the hits of what is resident.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use bellwether_core::entry::Kind;
use bellwether_core::time::Span;

use crate::cache::Cache;
use crate::engine::space::SpaceState;

/// What was known before of how often a key is read counts as if it had been watched for so long: an entry that was
/// just refreshed has no hits yet.
const MEMORY: Span = Span::secs(60);

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
    /// `before` tells what was known of a key of a space, in reads a second. Walks the whole memory tier; not for a request's path.
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
            let before = before(&space.name, &key);
            let meta = entry.meta();
            let watched = now.since(meta.born + Span(u64::from(meta.cost_ms))).max(Span::secs(1));
            let rate = rate(entry.hits(), watched, before);
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

/// Reads a second of an entry that had so many hits in so long, given what was known before.
fn rate(hits: u32, watched: Span, before: Option<f64>) -> f64 {
    let (known, memory) = before.map_or((0.0, 0), |rate| (rate.max(0.0) * MEMORY.0 as f64, MEMORY.0));
    (f64::from(hits) * 1000.0 + known) / (watched.0 + memory) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_entry_is_as_popular_as_its_predecessor_was() {
        assert_eq!(rate(100, Span::secs(10), None), 10.0);
        assert!((rate(0, Span::secs(1), Some(10.0)) - 10.0 * 60.0 / 61.0).abs() < 1e-9);
        assert!(rate(0, Span::secs(6000), Some(10.0)) < 0.1, "and loses that when nobody asks");
        assert_eq!(rate(0, Span::secs(1), Some(f64::NEG_INFINITY)), 0.0);
    }
}
