//! What does the memory tier hold? A meta, a body of any type, and little more.

mod extra;
mod mark;
mod served;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bellwether_core::entry::{Kind, Meta, Packed};
use bellwether_core::fence::{Fence, Floor, Invalidation};
use bellwether_core::heat::past::Past;
use bellwether_core::heat::sample::{Sampling, phase};
use bellwether_core::time::{Span, Tick};

use crate::common::Common;
use crate::key::Key;
use crate::place::Place;
use crate::weigh::Value;
use extra::weight_of;
pub(crate) use extra::{Extra, Tag};
pub(crate) use mark::TierMark;
use served::Served;
pub(crate) use served::Touched;

/// An entry whose body's type is known to its space alone: the one place where types are erased,
/// so that one store and one limit serve every space. One allocation, body included. Its key is the
/// store's, which compares it beside the pointer that leads here.
pub(crate) struct Entry<B: ?Sized = dyn Content> {
    /// Since it was stored, counted from the entry's [`phase`]. In front, beside the count of references: what a hit writes.
    served: Served,
    /// The meta, with `EXPIRED` and `EXTRA`.
    packed: Packed,
    /// So long ahead of its end, in ms, readers look twice at it: for an early refresh, or, in a shared space, to
    /// compare it with the tier.
    calm_ms: AtomicU32,
    /// Bytes that count against the limit.
    pub(crate) weight: u32,
    /// Its place in the books of whoever stores it.
    place: AtomicU32,
    body: B,
}

/// Flag of an entry that was soft-invalidated: at most a rescue.
const EXPIRED: u32 = 0b01;
/// Flag of an entry whose body has an [`Extra`].
const EXTRA: u32 = 0b10;

/// What any body can be asked. Most answer neither: an [`Extra`] costs nothing where there is none.
pub(crate) trait Content: Any + Send + Sync {
    fn extra(&self) -> Option<&Extra> {
        None
    }
    /// What is known of it in the shared tier.
    fn mark(&self) -> Option<&TierMark> {
        None
    }
    /// The entry that holds the value in this one's place. Never another link.
    fn holder(&self) -> Option<&Resident> {
        None
    }
    /// The value, if it is of a common type.
    fn common(&self) -> Common<'_>;
    /// Of the entry's weight, the bytes that are neither its key's and [`ENTRY_OVERHEAD`] nor its value's. Reads nothing
    /// that serving the value does not.
    fn around(&self) -> usize;
}

/// A value.
struct Plain<V>(V);
impl<V: Value> Content for Plain<V> {
    fn common(&self) -> Common<'_> {
        Common::of(&self.0)
    }
    fn around(&self) -> usize {
        self.0.around()
    }
}

/// A value with what few have.
struct Tagged<V> {
    extra: Extra,
    value: V,
}
impl<V: Value> Content for Tagged<V> {
    fn common(&self) -> Common<'_> {
        Common::of(&self.value)
    }
    fn extra(&self) -> Option<&Extra> {
        Some(&self.extra)
    }
    fn around(&self) -> usize {
        self.extra.weight() + self.value.around()
    }
}

/// The body of an entry whose meta changed while its value did not.
struct Link {
    holder: Resident,
    extra: Option<Box<Extra>>,
}
impl Content for Link {
    fn common(&self) -> Common<'_> {
        self.holder.body.common()
    }
    fn extra(&self) -> Option<&Extra> {
        self.extra.as_deref()
    }
    fn holder(&self) -> Option<&Resident> {
        Some(&self.holder)
    }
    fn around(&self) -> usize {
        ENTRY_OVERHEAD + weight_of(self.extra.as_deref()) + self.holder.body.around()
    }
}

/// A value of a shared space. A kind of body of its own, so that entries of other spaces are no larger for it.
struct Travelled<V> {
    extra: Option<Box<Extra>>,
    mark: TierMark,
    value: V,
}
impl<V: Value> Content for Travelled<V> {
    fn common(&self) -> Common<'_> {
        Common::of(&self.value)
    }
    fn extra(&self) -> Option<&Extra> {
        self.extra.as_deref()
    }
    fn mark(&self) -> Option<&TierMark> {
        Some(&self.mark)
    }
    fn around(&self) -> usize {
        size_of::<TierMark>() + weight_of(self.extra.as_deref()) + self.value.around()
    }
}

/// A [`Link`] of a shared space.
struct TravelledLink {
    link: Link,
    mark: TierMark,
}
impl Content for TravelledLink {
    fn common(&self) -> Common<'_> {
        self.link.common()
    }
    fn extra(&self) -> Option<&Extra> {
        self.link.extra()
    }
    fn mark(&self) -> Option<&TierMark> {
        Some(&self.mark)
    }
    fn holder(&self) -> Option<&Resident> {
        self.link.holder()
    }
    fn around(&self) -> usize {
        size_of::<TierMark>() + self.link.around()
    }
}

/// What an entry has beside its meta and its value.
#[derive(Default)]
pub(crate) struct Aside {
    pub(crate) extra: Option<Box<Extra>>,
    /// Only in shared spaces.
    pub(crate) mark: Option<TierMark>,
    /// How often the key was read before.
    pub(crate) past: Past,
}

impl From<Option<Box<Extra>>> for Aside {
    fn from(extra: Option<Box<Extra>>) -> Aside {
        Aside { extra, ..Aside::default() }
    }
}

/// A shared entry.
pub(crate) type Resident = Arc<Entry>;

impl<B: Content> Entry<B> {
    fn of(meta: Meta, (flags, past): (u32, Past), weight: usize, body: B) -> Resident {
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        Arc::new(Entry {
            served: Served::new(phase(meta.fence.0)),
            packed: Packed::new(meta, flags).with_past(past),
            calm_ms: AtomicU32::new(meta.early_ms),
            weight,
            place: AtomicU32::new(Place::NONE.0),
            body,
        })
    }

    fn watched(meta: Meta, rest: (u32, Past), weight: usize, body: B) -> Resident {
        let entry = Entry::of(meta, rest, weight + size_of::<TierMark>(), body);
        entry.watch();
        entry
    }
}

/// The same value under another meta, with what its origin has to add to version and tags.
pub(crate) fn relabelled(entry: &Resident, meta: Meta, more: impl Into<Aside>, expired: bool) -> Resident {
    let more = more.into();
    let holder = entry.body.holder().unwrap_or(entry).clone();
    let mark = more.mark.or_else(|| entry.mark().cloned());
    let extra = Extra::joined(entry.extra(), more.extra);
    let own = ENTRY_OVERHEAD + weight_of(extra.as_deref());
    let flags = if expired { EXPIRED } else { 0 } | if extra.is_some() { EXTRA } else { 0 };
    let (weight, link) = (holder.weight as usize + own, Link { holder, extra });
    // The same copy, or one that was found to be as good: what it was asked for so far is of the past.
    let past = if meta.born == entry.meta().born { entry.past() } else { entry.carried(meta.born) };
    let flags = (flags, past);
    match mark {
        None => Entry::of(meta, flags, weight, link),
        Some(mark) => {
            let mark = mark.refreshed_early(meta.early_ms);
            Entry::watched(meta, flags, weight, TravelledLink { link, mark })
        }
    }
}

impl Entry {
    /// An entry for `key`; `heap` is what `value` owns beyond its own size.
    pub(crate) fn new<V: Value>(key: &Key, meta: Meta, aside: impl Into<Aside>, heap: usize, value: V) -> Resident {
        let Aside { extra, mark, past } = aside.into();
        let weight = ENTRY_OVERHEAD + key.bytes.len() + size_of::<V>() + heap;
        let weight = weight + weight_of(extra.as_deref());
        let flags = (if extra.is_some() { EXTRA } else { 0 }, past);
        match (extra, mark) {
            (extra, Some(mark)) => {
                let mark = mark.refreshed_early(meta.early_ms);
                Entry::watched(meta, flags, weight, Travelled { extra, mark, value })
            }
            (None, None) => Entry::of(meta, flags, weight, Plain(value)),
            (Some(extra), None) => Entry::of(meta, flags, weight, Tagged { extra: *extra, value }),
        }
    }

    /// All that is known of the value without looking at it.
    pub(crate) fn meta(&self) -> Meta {
        let early_ms = self.mark().map_or_else(|| self.calm_ms.load(Ordering::Relaxed), TierMark::early_ms);
        self.packed.meta(early_ms)
    }

    /// Lets readers look twice once it is to be compared with the tier, or to be refreshed early.
    pub(crate) fn watch(&self) {
        let Some(mark) = self.mark() else { return };
        let ahead = self.fresh_until().since(mark.due()).as_u32();
        self.calm_ms.store(ahead.max(mark.early_ms()), Ordering::Relaxed);
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
        self.packed.calm_until(self.calm_ms.load(Ordering::Relaxed))
    }

    #[inline]
    pub(crate) fn hard_until(&self) -> Tick {
        self.packed.hard_until()
    }

    /// Soft-invalidated: at most a rescue.
    pub(crate) fn expired(&self) -> bool {
        self.packed.flags() & EXPIRED != 0
    }

    /// A value that may be served as it is, as far as the entry itself can tell.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.packed.is_plain_value()
    }

    /// The value, if this entry has one of this type.
    #[inline]
    pub(crate) fn value<V: 'static>(&self) -> Option<&V> {
        if Common::has::<V>() { self.body.common().value() } else { self.value_of_any() }
    }

    /// In a frame of its own: a type's number comes back by memory, and where that held other things before, the
    /// processor takes those for it and begins anew.
    #[inline(never)]
    fn value_of_any<V: 'static>(&self) -> Option<&V> {
        let body: &dyn Any = &self.body;
        match body.downcast_ref() {
            Some(Plain(value)) => Some(value),
            None => self.value_elsewhere(),
        }
    }

    #[cold]
    fn value_elsewhere<V: 'static>(&self) -> Option<&V> {
        // The commonest first: a thread's own reference is a link where its value is of no common type.
        if let Some(holder) = self.body.holder() {
            return holder.value();
        }
        let body: &dyn Any = &self.body;
        if let Some(travelled) = body.downcast_ref::<Travelled<V>>() {
            return Some(&travelled.value);
        }
        body.downcast_ref::<Tagged<V>>().map(|tagged| &tagged.value)
    }

    /// Bytes of the value itself, under a key of so many bytes.
    pub(crate) fn value_bytes(&self, key: usize) -> u32 {
        let around = ENTRY_OVERHEAD + key + self.body.around();
        self.weight.saturating_sub(u32::try_from(around).unwrap_or(u32::MAX))
    }

    /// What is known of it in the shared tier.
    pub(crate) fn mark(&self) -> Option<&TierMark> {
        self.body.mark()
    }

    /// What few entries have.
    #[inline]
    pub(crate) fn extra(&self) -> Option<&Extra> {
        if self.packed.flags() & EXTRA == 0 { None } else { self.body.extra() }
    }

    /// Something of its block's first bytes, which count its references, and of its last before the body: by the time it is
    /// there, so is all that a hit reads.
    #[inline]
    pub(crate) fn ahead(of: &Resident) -> u64 {
        Arc::strong_count(of) as u64 ^ u64::from(of.place.load(Ordering::Relaxed))
    }

    /// It is served once more: so often by now, counted from its phase, and whether another thread served it last.
    #[inline]
    pub(crate) fn touch(&self) -> Touched {
        self.served.touch()
    }

    /// What [`Entry::touch`] counted last, for whomever.
    #[inline]
    pub(crate) fn count(&self) -> u32 {
        self.served.count()
    }

    /// Whether another thread served it last.
    pub(crate) fn is_met(&self) -> bool {
        self.served.is_met()
    }

    /// It was served `times` more, by way of references to it: none of this thread's.
    pub(crate) fn served(&self, times: u32) {
        self.served.add(times);
    }

    /// A thread's own reference to it: the same value, counted for itself. What is shared anyway is in it as it is in the
    /// entry, so that there is nothing else to look at.
    pub(crate) fn twin(self: &Resident) -> Resident {
        let is_bare = self.is_plain() && self.mark().is_none();
        let twin = match self.body.common() {
            Common::Bytes(value) if is_bare => self.with_body(Plain(value.clone())),
            Common::SharedText(value) if is_bare => self.with_body(Plain(value.clone())),
            _ => relabelled(self, self.meta(), None, false),
        };
        twin.set_place(Place::OWN);
        twin
    }

    fn with_body(&self, body: impl Content) -> Resident {
        Entry::of(self.meta(), (0, self.past()), self.weight as usize, body)
    }

    /// Whether it is a thread's own reference. Nobody needs to look at each use: whoever has it counts them.
    #[inline]
    pub(crate) fn is_twin(&self) -> bool {
        self.place() == Place::OWN
    }

    /// Whether the detector of hot keys looks at the hit for which [`Entry::touch`] gave this.
    #[inline]
    pub(crate) fn is_due(&self, sampling: Sampling, served: u32) -> bool {
        self.sampled(sampling).is_due(served)
    }

    /// How many of its hits are looked at.
    #[inline]
    pub(crate) fn sampled(&self, sampling: Sampling) -> Sampling {
        sampling.of_size(self.weight)
    }

    /// It is the same copy as `other`, and was served as often.
    pub(crate) fn served_as(&self, other: &Entry) {
        self.served.set(phase(self.fence().0).wrapping_add(other.hits()));
    }

    pub(crate) fn hits(&self) -> u32 {
        self.count().wrapping_sub(phase(self.fence().0)) & served::COUNT
    }

    /// How many there are since there were so many.
    pub(crate) fn hits_since(&self, before: u32) -> u32 {
        self.hits().wrapping_sub(before) & served::COUNT
    }

    /// It leads to another, which holds the value: another meta of the same.
    pub(crate) fn is_link(&self) -> bool {
        self.body.holder().is_some()
    }

    /// How often its key was read before.
    pub(crate) fn past(&self) -> Past {
        self.packed.past()
    }

    /// How long it has been asked for.
    pub(crate) fn watched_for(&self, now: Tick) -> Span {
        let meta = self.meta();
        now.since(meta.born + Span(u64::from(meta.cost_ms)))
    }

    /// What its successor remembers of how often the key was read.
    pub(crate) fn carried(&self, now: Tick) -> Past {
        self.past().carried(self.hits(), self.watched_for(now))
    }

    pub(crate) fn place(&self) -> Place {
        Place(self.place.load(Ordering::Relaxed))
    }

    /// Whoever stores it has given it this place, or has let go of it. Under the store's lock.
    pub(crate) fn set_place(&self, place: Place) {
        self.place.store(place.0, Ordering::Relaxed);
    }

    /// This entry's own part of its floor: its fence if it was expired.
    #[inline]
    pub(crate) fn own_floor(&self) -> Floor {
        if self.expired() { Floor::of(Invalidation::Expire, self.fence()) } else { Floor::NONE }
    }

    pub(crate) fn version(&self) -> Option<u64> {
        self.extra().and_then(|extra| extra.version)
    }

    pub(crate) fn tags(&self) -> &[Tag] {
        self.extra().map_or(&[], |extra| &extra.tags)
    }
}

/// Bytes an entry costs beyond its key's and its value's own: the entry's block, the table's slot, the wheel's node, the
/// rings' link, and room for tables that grow (measured: see BENCHMARKS.md).
pub(crate) const ENTRY_OVERHEAD: usize = 160;
