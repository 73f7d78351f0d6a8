//! What does a reader hold? A shared value that knows where it came from.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use bellwether_core::fence::Fence;
use bellwether_core::time::{Span, Tick};
use bellwether_core::why::Why;

use crate::entry::{Resident, TierMark};

/// A value of the cache: derefs to `V`, clones for the price of a reference count, is never copied
/// or decoded. It stays valid after the entry has left the cache.
pub struct Cached<V> {
    entry: Resident,
    /// When it was handed out, and in the lowest [`WHY_BITS`] as what. In one word: two that were just written are read as one
    /// of sixteen bytes at every `?` and `.await` on the way out, and the processor waits for each such copy.
    handed_out: u64,
    of: PhantomData<fn() -> V>,
}

/// Bits of a [`Why`]. What is left of a word holds the milliseconds of two million years.
const WHY_BITS: u32 = 8;
const _: () = assert!(Why::COUNT <= 1 << WHY_BITS);

impl<V: Send + Sync + 'static> Cached<V> {
    /// `None` if the entry has no body of this type (a negative, a marker).
    #[inline]
    pub(crate) fn new(entry: Resident, why: Why, at: Tick) -> Option<Cached<V>> {
        entry.value::<V>()?;
        Some(Cached::of_value(entry, why, at))
    }
}

impl<V> Cached<V> {
    /// Of an entry whose kind is a value: its space saw to the type.
    #[inline]
    pub(crate) fn of_value(entry: Resident, why: Why, at: Tick) -> Cached<V> {
        Cached { entry, handed_out: at.0 << WHY_BITS | why as u64, of: PhantomData }
    }

    fn at(&self) -> Tick {
        Tick(self.handed_out >> WHY_BITS)
    }

    pub(crate) fn entry(&self) -> &Resident {
        &self.entry
    }

    /// Time from the start of the load to the moment this was handed out.
    pub fn age(&self) -> Span {
        self.entry.meta().age(self.at())
    }

    /// Freshness left at that moment; zero while stale.
    pub fn remaining(&self) -> Span {
        self.entry.fresh_until().since(self.at())
    }

    /// How it came to be answered: `hit`, `loaded`, `coalesced`, `stale_refreshing`…
    pub fn why(&self) -> Why {
        Why::ALL[self.handed_out as usize & ((1 << WHY_BITS) - 1)]
    }

    /// Whether it was past its ttl.
    pub fn is_stale(&self) -> bool {
        self.remaining() == Span::ZERO
    }

    /// The origin's own version, if the loader named one.
    pub fn version(&self) -> Option<u64> {
        self.entry.version()
    }

    /// Where it lives in a shared tier as well: its fence there, zero while that is not known.
    pub(crate) fn tier_fence(&self) -> Option<Fence> {
        self.entry.mark().map(TierMark::fence)
    }

    /// The fence of the load that made it.
    pub fn fence(&self) -> Fence {
        self.entry.fence()
    }
}

impl<V: Send + Sync + 'static> Deref for Cached<V> {
    type Target = V;
    #[inline]
    fn deref(&self) -> &V {
        self.entry.value().expect("the type was checked when this was made")
    }
}

impl<V> Clone for Cached<V> {
    fn clone(&self) -> Cached<V> {
        Cached { entry: self.entry.clone(), ..*self }
    }
}

impl<V: fmt::Debug + Send + Sync + 'static> fmt::Debug for Cached<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached").field("value", &**self).field("why", &self.why()).field("age", &self.age()).finish()
    }
}

impl<V: PartialEq + Send + Sync + 'static> PartialEq<V> for Cached<V> {
    fn eq(&self, other: &V) -> bool {
        **self == *other
    }
}
