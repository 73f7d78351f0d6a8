//! What does this process know of the fleet's invalidations, and what is it telling? The engine's way to a backplane.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bellwether_core::backplane::floors::{Covered, Floors, Raised, Scope, adoptable};
use bellwether_core::fence::{Fence, Invalidation};
use bellwether_core::position::Position;
use bellwether_core::time::Span;
use bytes::Bytes;
use parking_lot::RwLock;

use crate::events::{Batch, Cause, Delivery, Heard, Message, Outbox};
use crate::port::clock::Clock;

/// Invalidations of tags and spaces that were told and not heard yet; beyond that one of everything stands for all.
const MOST_OWN: usize = 4_096;

/// One process among those that a backplane connects.
pub(crate) struct Fleet {
    pub(crate) outbox: Outbox,
    pub(crate) delivery: Delivery,
    pub(crate) counts: FleetCounts,
    /// Beside the cache: hears what it heard, once it holds.
    pub(crate) listener: Option<Listener>,
    known: RwLock<Known>,
    live: AtomicBool,
    resync: Span,
    clock: Clock,
}

/// Told of what others invalidated.
pub(crate) type Listener = Box<dyn Fn(&Heard) + Send + Sync>;

/// How far this process is.
#[derive(Default)]
struct Known {
    at: Position,
    floors: Floors,
    /// What this process itself has told and may not have heard yet.
    own: Vec<(Position, Raised)>,
}

/// What has happened.
#[derive(Default)]
pub(crate) struct FleetCounts {
    pub(crate) sent: AtomicU64,
    pub(crate) heard: AtomicU64,
    pub(crate) gaps: [AtomicU64; CAUSES.len()],
    /// Times that all copies became suspect.
    pub(crate) suspicions: AtomicU64,
    /// It was live before.
    pub(crate) followed: AtomicBool,
}

/// The backplane, as this process sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackplaneCounts {
    /// Nothing can be missing that is older than its delay.
    pub live: bool,
    /// Lost messages can't be read again.
    pub best_effort: bool,
    /// The last invalidation that was applied, and all before it.
    pub position: Position,
    /// Tags and spaces whose newest invalidation is remembered.
    pub floors: u64,
    /// Messages told.
    pub sent: u64,
    /// Messages heard, one's own included.
    pub heard: u64,
    /// Times that something might have been missing, by cause.
    pub gaps: Vec<(Cause, u64)>,
    /// Times that all copies in memory became suspect.
    pub suspicions: u64,
    /// How long the oldest message has been waiting to be told.
    pub waiting: Span,
}

/// Every cause of a gap.
pub(crate) const CAUSES: [Cause; 6] =
    [Cause::Missing, Cause::Unreadable, Cause::NewEpoch, Cause::Backwards, Cause::Silence, Cause::Jump];

impl Fleet {
    pub(crate) fn new(delivery: Delivery, resync: Span, clock: Clock, listener: Option<Listener>) -> Arc<Fleet> {
        Arc::new(Fleet {
            outbox: Outbox::new(fastrand::u64(1..)),
            delivery,
            counts: FleetCounts::default(),
            listener,
            known: RwLock::default(),
            live: AtomicBool::new(false),
            resync,
            clock,
        })
    }

    /// Whether nothing can be missing that is older than the backplane's delay.
    pub(crate) fn is_live(&self) -> bool {
        self.live.load(Ordering::Acquire)
    }

    pub(crate) fn set_live(&self, live: bool) {
        self.live.store(live, Ordering::Release);
    }

    /// What is told covers here from the moment it has a place: before it is heard again.
    pub(crate) fn placed(&self, batch: &Batch, at: Position) {
        self.counts.sent.fetch_add(batch.messages.len() as u64, Ordering::Relaxed);
        let mut known = self.known.write();
        if known.floors.epoch() != at.epoch {
            // Another epoch has begun: what was seen before is covered, and its floors are read in a moment.
            known.floors = Floors::read(at.epoch, []);
        }
        for raised in batch.raises(at.number) {
            known.floors.raise(raised.clone());
            known.own.push((at, raised));
        }
        if known.own.len() > MOST_OWN {
            known.own = vec![(at, Raised { scope: Scope::All, verb: Invalidation::Remove, number: at.number })];
        }
    }

    /// What `batch` covers is covered from now on; once it is applied here, say so by [`Fleet::applied`].
    pub(crate) fn raise(&self, batch: &Batch, at: Position) {
        let mut known = self.known.write();
        batch.raises(at.number).for_each(|raised| known.floors.raise(raised));
    }

    /// Everything up to `at` is applied.
    pub(crate) fn applied(&self, at: Position) {
        let mut known = self.known.write();
        known.at = at;
        known.own.retain(|(told, _)| !at.is_past(*told));
    }

    /// The floors as the fleet has them.
    pub(crate) fn replace(&self, at: Position, floors: Floors) {
        let mut known = self.known.write();
        known.floors = floors;
        let own = std::mem::take(&mut known.own);
        known.own = own.into_iter().filter(|(told, _)| !at.is_past(*told)).collect();
        let again: Vec<Raised> =
            known.own.iter().filter(|(told, _)| told.epoch == at.epoch).map(|(_, raised)| raised.clone()).collect();
        again.into_iter().for_each(|raised| known.floors.raise(raised));
        known.at = at;
    }

    /// Passes on what holds here by now.
    pub(crate) fn pass_on(&self, heard: &Heard) {
        if let Some(listener) = &self.listener {
            listener(heard);
        }
    }

    /// All counts at this moment.
    pub(crate) fn counted(&self) -> BackplaneCounts {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let known = self.known.read();
        BackplaneCounts {
            live: self.is_live(),
            best_effort: self.delivery == Delivery::BestEffort,
            position: known.at,
            floors: known.floors.len() as u64,
            sent: count(&self.counts.sent),
            heard: count(&self.counts.heard),
            gaps: CAUSES.iter().zip(&self.counts.gaps).map(|(cause, gaps)| (*cause, count(gaps))).collect(),
            suspicions: count(&self.counts.suspicions),
            waiting: self.outbox.waiting_since().map_or(Span::ZERO, |since| self.clock.now().since(since)),
        }
    }

    fn tell(&self, message: Message) {
        self.outbox.put(message, self.clock.now());
    }
}

/// What the engine asks and tells.
impl Fleet {
    /// The last invalidation that was applied here, and all before it.
    pub(crate) fn position(&self) -> Position {
        self.known.read().at
    }

    /// By which verb an entry of the shared tier is covered: it has these tags, and its loader had applied `seen`.
    /// `age`: since its load began, by the tier's clock; `by_key`: the space is never invalidated as a whole.
    pub(crate) fn covering(
        &self,
        space: &str,
        by_key: bool,
        tags: &[u64],
        seen: Position,
        age: Span,
    ) -> Option<Invalidation> {
        // First what has no place yet: it gets one before it leaves the outbox.
        let told = self.outbox.covering(space, tags);
        let covered = self.known.read().floors.covers(seen, space, tags);
        let by_key = by_key && tags.is_empty();
        if told.is_none() && adoptable(covered, self.is_live(), age, self.resync, by_key) {
            return None;
        }
        match (told, covered) {
            (None | Some(Invalidation::Expire), Covered::Expired) | (Some(Invalidation::Expire), Covered::No) => {
                Some(Invalidation::Expire)
            }
            _ => Some(Invalidation::Remove),
        }
    }

    /// A key is being invalidated by this process: it holds here, the tier is told next.
    pub(crate) fn invalidating(&self, name: &[u8], verb: Invalidation) {
        self.tell(Message::Key { name: Bytes::copy_from_slice(name), verb, fence: None });
    }

    /// The tier knows of it, under this fence.
    pub(crate) fn invalidated(&self, name: &[u8], verb: Invalidation, fence: Fence) {
        self.tell(Message::Key { name: Bytes::copy_from_slice(name), verb, fence: Some(fence) });
    }

    pub(crate) fn tag_invalidated(&self, tag: u64, verb: Invalidation) {
        self.tell(Message::Tag { hash: tag, verb });
    }

    /// What carries the tag is stale in this process, and is to be in all.
    pub(crate) fn tag_stale(&self, tag: u64) {
        self.tell(Message::Refresh { hash: tag });
    }

    pub(crate) fn space_invalidated(&self, space: &str, verb: Invalidation) {
        self.tell(Message::Space { name: space.into(), verb });
    }
}
