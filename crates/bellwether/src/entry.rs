//! What does the memory tier hold? A meta, a body of any type, and little more.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use bellwether_core::entry::{Kind, Meta, Packed};
use bellwether_core::fence::{Fence, Floor, Invalidation};
use bellwether_core::time::Tick;

use crate::key::Key;
use crate::state::wheel::TimerId;

/// An entry whose body's type is known to its space alone: the one place where types are erased,
/// so that one store and one limit serve every space. One allocation, body included. Its key is the
/// store's, which compares it beside the pointer that leads here.
pub(crate) struct Entry<B: ?Sized = dyn Any + Send + Sync> {
    /// The meta; its flag: soft-invalidated, at most a rescue.
    packed: Packed,
    /// Bytes that count against the limit.
    pub(crate) weight: u32,
    /// Served so often since stored. Written without a read-modify-write: approximate on purpose.
    hits: AtomicU32,
    /// Its place in the expiry wheel, known once it was stored.
    timer: AtomicU32,
    pub(crate) extra: Option<Box<Extra>>,
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
            packed: Packed::new(meta, false),
            weight: u32::try_from(weight).unwrap_or(u32::MAX),
            hits: AtomicU32::new(0),
            timer: AtomicU32::new(TimerId::NONE.0),
            extra,
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
        packed: Packed::new(meta, expired),
        weight: holder.weight.saturating_add(u32::try_from(own).unwrap_or(u32::MAX)),
        hits: AtomicU32::new(0),
        timer: AtomicU32::new(TimerId::NONE.0),
        extra,
        body: Link(holder.clone()),
    })
}

impl Entry {
    /// All that is known of the value without looking at it.
    pub(crate) fn meta(&self) -> Meta {
        self.packed.meta()
    }

    #[inline]
    pub(crate) fn fence(&self) -> Fence {
        self.packed.fence()
    }

    #[inline]
    pub(crate) fn kind(&self) -> Kind {
        self.packed.kind()
    }

    #[inline]
    pub(crate) fn fresh_until(&self) -> Tick {
        self.packed.fresh_until()
    }

    #[inline]
    pub(crate) fn calm_until(&self) -> Tick {
        self.packed.calm_until()
    }

    #[inline]
    pub(crate) fn hard_until(&self) -> Tick {
        self.packed.hard_until()
    }

    /// Soft-invalidated: at most a rescue.
    pub(crate) fn expired(&self) -> bool {
        self.packed.flag()
    }

    /// A value that may be served as it is, as far as the entry itself can tell.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.packed.is_plain_value() && self.extra.is_none()
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

    /// This entry's own part of its floor: its fence if it was expired.
    #[inline]
    pub(crate) fn own_floor(&self) -> Floor {
        if self.expired() { Floor::of(Invalidation::Expire, self.fence()) } else { Floor::NONE }
    }

    pub(crate) fn version(&self) -> Option<u64> {
        self.extra.as_ref().and_then(|extra| extra.version)
    }

    pub(crate) fn tags(&self) -> &[Tag] {
        self.extra.as_ref().map_or(&[], |extra| &extra.tags)
    }
}

/// Bytes an entry costs beyond its key's and its value's own: the entry's block, the store's slot and
/// index, the wheel's node, and room for tables that grow (measured: see BENCHMARKS.md).
pub(crate) const ENTRY_OVERHEAD: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_small() {
        assert_eq!(size_of::<Entry<()>>(), 56);
    }
}
