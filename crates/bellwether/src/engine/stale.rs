//! What carries a tag that somebody made stale? Memory is walked for it, also where another process said so.

use std::collections::HashMap;
use std::sync::Arc;

use bellwether_core::fence::Fence;

use crate::engine::Engine;
use crate::entry::Entry;
use crate::key::KeyRef;
use crate::shared::tag_hash;

/// Tags of others that wait for a walk. What comes beyond is served to its end.
pub(crate) const MOST_WAITING: usize = 1 << 12;

/// Tags that others made stale.
#[derive(Default)]
pub(crate) struct Stale {
    /// Each with the fence under which it was heard of: what was loaded later is not stale.
    waiting: HashMap<u64, Fence>,
    walking: bool,
}

impl Engine {
    /// Makes stale here what carries `tag`, and tells the others. How many values that were here.
    pub(crate) fn refresh_tag(&self, tag: &str) -> usize {
        let hash = tag_hash(tag);
        // First: what others have loaded by the time these refreshes begin costs no load here.
        if let Some(fleet) = &self.fleet {
            fleet.tag_stale(hash);
        }
        self.make_stale_what(|entry| entry.tags().iter().any(|tag| tag.hash == hash))
    }

    /// Another process made what carries the tag of this hash stale. Memory is walked aside: whoever hears has more to
    /// hear.
    pub(crate) fn hear_stale(self: &Arc<Engine>, tag: u64) {
        let fence = self.next_fence();
        let mut stale = self.stale.lock();
        if stale.waiting.len() < MOST_WAITING || stale.waiting.contains_key(&tag) {
            stale.waiting.insert(tag, fence);
        } else {
            tracing::debug!(tag, "too many tags are stale at once: what carries this one is served to its end");
        }
        if !std::mem::replace(&mut stale.walking, true) {
            let engine = Arc::downgrade(self);
            drop(self.runtime().spawn_blocking(move || {
                while let Some(engine) = engine.upgrade()
                    && let Some(tags) = engine.next_walk()
                {
                    let carries = |entry: &Entry| {
                        let heard = entry.tags().iter().filter_map(|tag| tags.get(&tag.hash));
                        heard.max().is_some_and(|heard| entry.fence() < *heard)
                    };
                    engine.make_stale_what(carries);
                }
            }));
        }
    }

    /// The tags of the next walk; `None`: there is nothing to walk for, and the next who hears begins again.
    fn next_walk(&self) -> Option<HashMap<u64, Fence>> {
        let mut stale = self.stale.lock();
        let tags = std::mem::take(&mut stale.waiting);
        stale.walking = !tags.is_empty();
        stale.walking.then_some(tags)
    }

    /// Makes every value stale that `is_meant`. No lock is held between two of them.
    fn make_stale_what(&self, is_meant: impl Fn(&Entry) -> bool) -> usize {
        let spaces = self.spaces_by_id();
        let found = self.memory.entries().filter(|(_, _, entry)| is_meant(entry));
        let stale = found.filter(|(space, bytes, _)| {
            let key = KeyRef::new(*space, bytes, &self.seed).to_key();
            spaces.get(space).is_some_and(|space| self.make_stale(space, &key))
        });
        stale.count()
    }
}
