//! What does the memory tier hold? A meta, a body of any type, and little more.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use bellwether_core::entry::Meta;
use bellwether_core::fence::{Floor, Invalidation};
use bellwether_core::read::decide;

use crate::key::{Key, KeyRef};
use crate::state::wheel::TimerId;

/// An entry whose body's type is known to its space alone: the one place where types are erased,
/// so that one store and one limit serve every space. One allocation, body included.
pub(crate) struct Entry<B: ?Sized = dyn Any + Send + Sync> {
    pub(crate) meta: Meta,
    /// The whole key: the store finds entries by hash, and a hash is no proof.
    pub(crate) key: Arc<[u8]>,
    pub(crate) extra: Option<Box<Extra>>,
    pub(crate) space: u32,
    /// Bytes that count against the limit.
    pub(crate) weight: u32,
    /// Served so often since stored. Written without a read-modify-write: approximate on purpose.
    hits: AtomicU32,
    /// Its place in the expiry wheel, known once it was stored.
    timer: AtomicU64,
    /// Soft-invalidated: at most a rescue.
    pub(crate) expired: bool,
    pub(crate) body: B,
}

/// The body of an entry whose meta changed while its value did not: it points to the entry that
/// holds the value. Never to another link.
struct Link(Resident);

/// What few entries have.
#[derive(Debug)]
pub(crate) struct Extra {
    pub(crate) version: Option<u64>,
    pub(crate) tags: Box<[Tag]>,
    /// The tag generation at which the tags were last found uncovered.
    pub(crate) checked: AtomicU64,
}

impl Extra {
    /// `None` where there is nothing extra: most entries.
    pub(crate) fn of(version: Option<u64>, tags: Box<[Tag]>) -> Option<Box<Extra>> {
        let extra = Extra { version, tags, checked: AtomicU64::new(0) };
        (extra.version.is_some() || !extra.tags.is_empty()).then(|| Box::new(extra))
    }

    /// The newer version and the tags of both.
    fn joined(held: Option<&Extra>, more: Option<Box<Extra>>) -> Option<Box<Extra>> {
        let Some(held) = held else { return more };
        let version = more.as_ref().and_then(|more| more.version).or(held.version);
        let new = more.as_deref().map_or(&[][..], |more| &more.tags);
        let new = new.iter().filter(|tag| held.tags.iter().all(|other| other.hash != tag.hash));
        Extra::of(version, held.tags.iter().chain(new).cloned().collect())
    }

    /// Heap bytes, its own block included. An `Arc<str>` has two counts before its text.
    fn weight(&self) -> usize {
        let tags = self.tags.iter().map(|tag| size_of::<Tag>() + 16 + tag.text.len());
        size_of::<Extra>() + tags.sum::<usize>()
    }
}

/// A tag as floors know it: hashed with the process's seed, its text kept for the tiers.
#[derive(Clone, Debug)]
pub(crate) struct Tag {
    pub(crate) hash: u64,
    pub(crate) text: Arc<str>,
}

/// A shared entry.
pub(crate) type Resident = Arc<Entry>;

impl<B: Send + Sync + 'static> Entry<B> {
    /// An entry for `key`; `heap` is what `body` owns beyond its own size.
    pub(crate) fn new(key: &Key, meta: Meta, extra: Option<Box<Extra>>, heap: usize, body: B) -> Resident {
        let extras = extra.as_ref().map_or(0, |extra| extra.weight());
        let weight = ENTRY_OVERHEAD + key.bytes.len() + size_of::<B>() + heap + extras;
        Arc::new(Entry {
            meta,
            key: key.bytes.clone(),
            extra,
            space: key.space,
            weight: u32::try_from(weight).unwrap_or(u32::MAX),
            hits: AtomicU32::new(0),
            timer: AtomicU64::new(TimerId::NONE.0),
            expired: false,
            body,
        })
    }
}

/// The same value under another meta, with what its origin has to add to version and tags.
pub(crate) fn relabelled(entry: &Resident, meta: Meta, more: Option<Box<Extra>>, expired: bool) -> Resident {
    let holder = entry.body.downcast_ref::<Link>().map_or(entry, |link| &link.0);
    let extra = Extra::joined(entry.extra.as_deref(), more);
    let own = ENTRY_OVERHEAD + extra.as_ref().map_or(0, |extra| extra.weight());
    Arc::new(Entry {
        meta,
        key: entry.key.clone(),
        extra,
        space: entry.space,
        weight: holder.weight.saturating_add(u32::try_from(own).unwrap_or(u32::MAX)),
        hits: AtomicU32::new(0),
        timer: AtomicU64::new(TimerId::NONE.0),
        expired,
        body: Link(holder.clone()),
    })
}

impl Entry {
    /// Whether this is `key`'s entry, not another's with the same hash.
    #[inline]
    pub(crate) fn is_of(&self, key: KeyRef<'_>) -> bool {
        self.space == key.space && *self.key == *key.bytes
    }

    /// The value, if this entry has one of this type.
    #[inline]
    pub(crate) fn value<V: 'static>(&self) -> Option<&V> {
        match self.body.downcast_ref() {
            Some(value) => Some(value),
            None => self.body.downcast_ref::<Link>().and_then(|link| link.0.body.downcast_ref()),
        }
    }

    #[inline]
    pub(crate) fn touch(&self) {
        self.hits.store(self.hits.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    pub(crate) fn hits(&self) -> u32 {
        self.hits.load(Ordering::Relaxed)
    }

    pub(crate) fn timer(&self) -> TimerId {
        TimerId(self.timer.load(Ordering::Relaxed))
    }

    pub(crate) fn set_timer(&self, timer: TimerId) {
        self.timer.store(timer.0, Ordering::Relaxed);
    }

    pub(crate) fn seen(&self) -> decide::Resident<'_> {
        decide::Resident { meta: &self.meta, hits: self.hits() }
    }

    /// This entry's own part of its floor: its fence if it was expired.
    #[inline]
    pub(crate) fn own_floor(&self) -> Floor {
        if self.expired { Floor::of(Invalidation::Expire, self.meta.fence) } else { Floor::NONE }
    }

    pub(crate) fn version(&self) -> Option<u64> {
        self.extra.as_ref().and_then(|extra| extra.version)
    }

    pub(crate) fn tags(&self) -> &[Tag] {
        self.extra.as_ref().map_or(&[], |extra| &extra.tags)
    }
}

/// Bytes an entry costs beyond its key's and its value's own: the entry's block, the key's block,
/// the store's slot and index, the wheel's node (measured: see BENCHMARKS.md).
pub(crate) const ENTRY_OVERHEAD: usize = 192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<Entry<()>>() <= 96, "{}", size_of::<Entry<()>>());
    }
}
