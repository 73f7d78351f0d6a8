//! What carries a tag that somebody made stale? Memory is walked for it, also where another process said so.

use std::sync::Arc;

use crate::engine::Engine;
use crate::entry::Entry;
use crate::key::KeyRef;
use crate::shared::tag_hash;

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
        if self.stale.hear(tag, self.next_fence()) {
            let engine = Arc::downgrade(self);
            drop(self.runtime().spawn_blocking(move || {
                while let Some(engine) = engine.upgrade()
                    && let Some(tags) = engine.stale.next()
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
