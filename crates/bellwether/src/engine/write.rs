//! What happens when somebody writes or invalidates? The floor is the truth; deleting bytes is tidying.

use std::collections::HashSet;
use std::sync::Arc;

use bellwether_core::cell::{Ending, Only};
use bellwether_core::entry::{Kind, Meta};
use bellwether_core::fence::{Fence, Floor, Invalidation};
use bellwether_core::policy::Policy;
use bellwether_core::time::{Span, Tick};
use bellwether_core::write::stamp::{Stamping, renewed, stamp};
use tokio::task::JoinHandle;

use crate::body::AnyBody;
use crate::engine::cell::FlightCell;
use crate::engine::shelf::Gone;
use crate::engine::{Engine, draw};
use crate::entry::{Aside, Entry, Extra, Resident, Tag, TierMark, relabelled};
use crate::key::{Key, KeyRef};
use crate::load::{Found, Keep, Loaded, Terms};
use crate::shared::tag_hash;
use crate::state::flights::Shard;
use crate::state::pending::Owed;
use crate::state::space::SpaceState;

/// More than stands beside a value's bytes in an entry.
const BESIDE_BYTES: usize = 4096;

/// An invalidation that holds here.
pub(crate) struct Invalidating {
    pub(crate) was_resident: bool,
    pub(crate) to_tell: ToTell,
    /// What the disk says to it.
    pub(crate) on_disk: Option<JoinHandle<Gone>>,
}

/// A write that holds here.
pub(crate) struct Writing {
    pub(crate) kept: bool,
    pub(crate) to_tell: ToTell,
    /// What the disk says to the end of the older value.
    pub(crate) on_disk: Option<JoinHandle<Gone>>,
}

/// Another end of a value that holds here.
pub(crate) struct Ended {
    /// False: there was none, or nothing to change.
    pub(crate) changed: bool,
    /// What the disk says: it has it as well then.
    pub(crate) on_disk: Option<JoinHandle<Gone>>,
}

/// Whom else an invalidation must be told.
pub(crate) enum ToTell {
    /// Nobody: the key lives here alone.
    Nobody,
    /// The shared tier; until it knows, its copy is not believed here.
    Tier,
    /// The shared tier, but it is not noted: too many are.
    Once(Owed),
}

/// What an invalidation of a key comes after.
enum Order {
    /// All that was begun here.
    Last,
    /// What was begun before this fence.
    Before(Fence),
    /// All that was begun here, as far as this process can tell: others did it, and raised the key to this fence of the tier,
    /// if they had come that far.
    Heard(Option<Fence>),
}

impl Engine {
    /// Invalidates one key: when this returns, no read that begins here gets the older value. The shared tier, if
    /// the key can be there, is to be told.
    pub(crate) fn invalidate(&self, space: &Arc<SpaceState>, key: &Key, verb: Invalidation) -> Invalidating {
        let telling = self.telling();
        let (was_resident, fence, to_tell) = self.flights.locked(key, |shard| {
            // Under the same lock as the floor: whoever reads after it knows that the tier's copy is not to be believed.
            let to_tell = self.owe(space, key, verb, None);
            let (was_resident, fence) = self.apply(shard, space, key, verb, Order::Last);
            (was_resident, fence, to_tell)
        });
        let on_disk = self.unshelve(space, key, fence);
        drop(telling);
        self.announce(space, key, verb, &to_tell);
        Invalidating { was_resident, to_tell, on_disk }
    }

    /// The same for what another process invalidated: it has told the tier, which has raised the key to `fence`. Whether
    /// a value was dropped.
    pub(crate) fn invalidate_heard(
        &self,
        space: &SpaceState,
        key: &Key,
        verb: Invalidation,
        fence: Option<Fence>,
    ) -> bool {
        let _telling = self.telling();
        let done = self.flights.locked(key, |shard| {
            let held = self.memory.peek(key.by_ref()).and_then(|entry| Some(entry.mark()?.fence()));
            let newer = held.zip(fence).is_some_and(|(held, fence)| held >= fence);
            // Of two writes the tier says which came later: one of ours that it does not know yet is not dropped for one
            // that it did.
            let wall_ms = self.clock.wall_us() / 1000;
            if newer || self.pending.is_owed_after(key, fence, self.clock.now(), wall_ms) {
                return None;
            }
            self.pending.overtaken(key);
            // A load that began after it, by the tier's own order, has read nothing older: thrown away it would be made
            // once more by the whole fleet. What lies on disk has no part in that order.
            let order = match fence.and_then(|fence| shard.flights(key)?.reads_after(fence)) {
                _ if self.shelf_of(space).is_some() => Order::Last,
                Some(reading) => Order::Before(reading),
                None => Order::Heard(fence),
            };
            Some(self.apply(shard, space, key, verb, order))
        });
        let Some((was_resident, fence)) = done else { return false };
        // On disk too, while the caller goes on.
        drop(self.unshelve(space, key, fence));
        was_resident
    }

    /// Invalidates whatever carries `tag`, and tells the backplane.
    pub(crate) fn invalidate_tag(&self, tag: &str, verb: Invalidation) -> Option<JoinHandle<bool>> {
        let tag = tag_hash(tag);
        // First what judges entries of the shared tier, see `invalidate_space`.
        if let Some(fleet) = &self.fleet {
            fleet.tag_invalidated(tag, verb);
        }
        self.raise_tag(tag, verb)
    }

    /// Invalidates whatever carries the tag of this hash, here.
    pub(crate) fn raise_tag(&self, tag: u64, verb: Invalidation) -> Option<JoinHandle<bool>> {
        let _telling = self.telling();
        let mut fence = Fence::ZERO;
        self.tags.raise(tag, verb, || {
            fence = self.next_fence();
            fence
        });
        self.unshelve_tag(tag, fence)
    }

    /// Invalidates a whole space, and tells the backplane.
    pub(crate) fn invalidate_space(&self, space: &SpaceState, verb: Invalidation) -> Option<JoinHandle<bool>> {
        // First what judges entries of the shared tier: what is asked for after the floor is in place, and comes
        // before it is told, must not be taken over.
        if let Some(fleet) = self.fleet.as_ref().filter(|_| space.travel.is_some()) {
            fleet.space_invalidated(&space.name, verb);
        }
        self.raise_space(space, verb)
    }

    /// Invalidates a whole space, here.
    pub(crate) fn raise_space(&self, space: &SpaceState, verb: Invalidation) -> Option<JoinHandle<bool>> {
        let _telling = self.telling();
        let fence = self.next_fence();
        space.raise(verb, fence);
        self.unshelve_space(space, fence)
    }

    fn apply(
        &self,
        shard: &mut Shard<Arc<FlightCell>>,
        space: &SpaceState,
        key: &Key,
        verb: Invalidation,
        order: Order,
    ) -> (bool, Fence) {
        space.note_invalidation();
        let resident = self.live(space, key).is_some();
        let rescue = self.rescuing(space, key).filter(|_| verb == Invalidation::Expire);
        let fence = match order {
            Order::Before(reading) => shard.invalidate_before(key, verb, reading, self.clock.now()),
            Order::Heard(heard) => {
                let fence = self.next_fence();
                shard.invalidate_heard(key, Floor::of(verb, fence), heard, self.clock.now());
                self.release_void_leases(shard, key, fence);
                fence
            }
            Order::Last => self.overtake(shard, key, verb),
        };
        match rescue {
            // Expired before: it stays what it is, a rescue.
            Some(entry) if entry.expired() => {}
            Some(entry) => {
                let expired = relabelled(&entry, entry.meta(), None, true);
                expired.served_as(&entry);
                self.memory.put(key, expired);
            }
            None => drop(self.memory.remove(key.by_ref())),
        }
        (resident, fence)
    }

    /// Notes, under the key's lock, what the shared tier must be told.
    fn owe(&self, space: &Arc<SpaceState>, key: &Key, verb: Invalidation, written: Option<&Resident>) -> ToTell {
        self.owe_above(self.known_fence(key), space, key, verb, written)
    }

    /// The tier's fence of what memory holds.
    fn known_fence(&self, key: &Key) -> Fence {
        self.memory.peek(key.by_ref()).and_then(|entry| Some(entry.mark()?.fence())).unwrap_or_default()
    }

    fn owe_above(
        &self,
        held: Fence,
        space: &Arc<SpaceState>,
        key: &Key,
        verb: Invalidation,
        written: Option<&Resident>,
    ) -> ToTell {
        if !self.is_in_fleet(space) || space.is_retired() {
            return ToTell::Nobody;
        }
        match self.pending.owe(space, key, verb, held, written) {
            Ok(()) => ToTell::Tier,
            Err(owed) => ToTell::Once(*owed),
        }
    }

    /// The tier can't hold what was loaded in place of its value: nobody else must go on with that one. The value here
    /// stays.
    pub(crate) async fn outgrown(self: &Arc<Engine>, space: &Arc<SpaceState>, key: &Key) {
        let verb = Invalidation::Remove;
        let to_tell = self.flights.locked(key, |_| self.owe(space, key, verb, None));
        self.announce(space, key, verb, &to_tell);
        match to_tell {
            ToTell::Nobody => {}
            ToTell::Tier => drop(self.clone().tell(key.clone()).await),
            ToTell::Once(owed) => drop(self.clone().tell_once(owed, key.clone()).await),
        }
    }

    fn announce(&self, space: &SpaceState, key: &Key, verb: Invalidation, to_tell: &ToTell) {
        if let (Some(fleet), Some(travel)) = (&self.fleet, &space.travel)
            && !matches!(to_tell, ToTell::Nobody)
        {
            fleet.invalidating(&travel.name(&key.bytes), verb);
        }
    }

    /// Takes out what spaces that are gone left behind. Nothing of it was served any more.
    pub(crate) fn drop_spaces(&self, gone: &HashSet<u32>) {
        if gone.is_empty() {
            return;
        }
        // Whoever waits for a token of theirs would wait for its end.
        self.flights.each_shard(|shard| {
            for key in shard.keys_of(gone) {
                self.release_void_leases(shard, &key, Fence(u64::MAX));
            }
        });
        // No lock is held between two entries, and what lands late for such a space is refused.
        for (space, bytes, _) in self.memory.entries().filter(|(space, ..)| gone.contains(space)) {
            let key = KeyRef::new(space, &bytes, &self.seed).to_key();
            self.flights.locked(&key, |_| drop(self.memory.remove(key.by_ref())));
        }
    }

    /// Raises the key's floor under its lock, and lets go of clients that hold a token for it.
    pub(crate) fn overtake(&self, shard: &mut Shard<Arc<FlightCell>>, key: &Key, verb: Invalidation) -> Fence {
        let fence = self.next_fence();
        shard.invalidate(key, Floor::of(verb, fence), self.clock.now());
        self.release_void_leases(shard, key, fence);
        fence
    }

    /// The key's value, if one is resident that could still be served or rescue.
    pub(crate) fn live(&self, space: &SpaceState, key: &Key) -> Option<Resident> {
        self.memory.peek(key.by_ref()).filter(|entry| self.is_live(space, entry))
    }

    /// Whether an entry is a value that could still be served or rescue.
    pub(crate) fn is_live(&self, space: &SpaceState, entry: &Entry) -> bool {
        let covered = self.floor_of(space, entry).covers(entry.fence());
        entry.kind() == Kind::Value && self.clock.now() < entry.hard_until() && !covered
    }

    /// The key's value, if it may serve as a rescue after an expiry.
    fn rescuing(&self, space: &SpaceState, key: &Key) -> Option<Resident> {
        let now = self.clock.now();
        self.memory.peek(key.by_ref()).filter(|entry| {
            let removed = self.floor_of(space, entry).removed;
            let value = entry.kind() == Kind::Value && now < entry.hard_until();
            space.policy.rescue_invalidated && value && entry.fence() > removed
        })
    }

    /// A plain write: newer than whatever was there, than every load under way, and than every token.
    pub(crate) fn put(&self, space: &Arc<SpaceState>, key: &Key, loaded: Loaded<AnyBody>) -> Writing {
        let telling = self.telling();
        let (kept, to_tell, floor, written) = self.flights.locked(key, |shard| {
            let now = self.clock.now();
            let floor = self.overtake(shard, key, Invalidation::Remove);
            let written = self.next_fence();
            let held = self.known_fence(key);
            let entry = self.written(space, key, loaded, written, now).filter(|_| !space.is_retired());
            let kept = match &entry {
                Some(entry) => self.memory.put(key, entry.clone()),
                None => {
                    self.memory.remove(key.by_ref());
                    false
                }
            };
            // What is too large to be kept was not written: the tier gives up what it has, and no more.
            let to_tell = self.owe_above(held, space, key, Invalidation::Remove, entry.as_ref().filter(|_| kept));
            (kept, to_tell, floor, written)
        });
        let on_disk = self.unshelve(space, key, floor);
        drop(telling);
        // What goes to the shared tier is stored once that has it.
        if kept && matches!(to_tell, ToTell::Nobody) {
            self.shelve_written(space, key, written);
        }
        self.announce(space, key, Invalidation::Remove, &to_tell);
        Writing { kept, to_tell, on_disk }
    }

    /// Whether a plain write of these bytes would be kept, and not be too large: what `loaded` makes of them is made only
    /// where that is in doubt.
    pub(crate) fn fits(
        &self,
        space: &SpaceState,
        key: &Key,
        bytes: usize,
        loaded: impl FnOnce() -> Loaded<AnyBody>,
    ) -> bool {
        let largest = self.memory.largest();
        let most = (key.bytes.len() + bytes + BESIDE_BYTES) as u64;
        // What may not be kept at all is not too large.
        let made = || self.written(space, key, loaded(), Fence::ZERO, self.clock.now());
        most <= largest || made().is_none_or(|entry| u64::from(entry.weight) <= largest)
    }

    /// Whether the shared tier may hold keys of this space.
    pub(crate) fn is_in_fleet(&self, space: &SpaceState) -> bool {
        self.tier.is_some() && space.travel.as_ref().is_some_and(|travel| travel.on_shared)
    }

    /// The entry of a value that somebody wrote under `fence`, having begun to read it at `started`;
    /// `None` if it must not be kept.
    pub(crate) fn written(
        &self,
        space: &SpaceState,
        key: &Key,
        loaded: Loaded<AnyBody>,
        fence: Fence,
        started: Tick,
    ) -> Option<Resident> {
        let Terms { ttl, tags, version, keep } = loaded.terms;
        let now = self.clock.now();
        // A writer that names a ttl means it; jitter is for values that were loaded together.
        let jitter = if ttl.is_some() { 0.0 } else { space.policy.jitter };
        let policy = Policy { jitter, ..space.policy.clone() };
        let meta = |kind| {
            let stamping = Stamping { kind, started, finished: now, fence, ttl, p99: None, ewma: None };
            stamp(stamping, &policy, draw())
        };
        if keep != Keep::Yes || ttl == Some(Span::ZERO) {
            return None;
        }
        let extra = Extra::of(version, tags.iter().map(Tag::named).collect());
        // Its fence in the tier is known once it is there.
        let mark = space.travel.as_ref().filter(|_| self.tier.is_some()).map(|_| TierMark::default());
        let aside = Aside { extra, mark, past: self.past(key) };
        match loaded.found {
            Found::Value(body) => Some(body.into_entry(key, meta(Kind::Value), aside)),
            Found::Missing => Some(Entry::new(key, meta(Kind::Negative), aside, 0, ())),
            Found::NotModified => None,
        }
    }

    /// The ends of a value that is as if it had been written now: after `left`, or when the space says. After nothing it
    /// has none.
    pub(crate) fn ending(&self, space: &SpaceState, left: Option<Span>, only: Only) -> Ending {
        let now = self.clock.now();
        let jitter = if left.is_some() { 0.0 } else { space.policy.jitter };
        let policy = Policy { jitter, ..space.policy.clone() };
        let (kind, fence, p99, ewma) = (Kind::Value, Fence::ZERO, None, None);
        let meta = stamp(Stamping { kind, started: now, finished: now, fence, ttl: left, p99, ewma }, &policy, draw());
        let fresh = if left == Some(Span::ZERO) { Span::ZERO } else { meta.fresh_until.since(now) };
        Ending { fresh, swr: Span(meta.swr_ms.into()), hard: Span(meta.hard_ms.into()), only }
    }

    /// Changes the moments of a resident value, under its key's lock. `stale`: by them it is, whatever the tier says of
    /// the same value. False if there is none, or nothing to change.
    fn relabel(
        &self,
        space: &SpaceState,
        key: &Key,
        stale: bool,
        change: impl FnOnce(Meta, Tick) -> Option<Meta>,
    ) -> bool {
        self.flights.locked(key, |_| {
            let Some(entry) = self.live(space, key) else { return false };
            let Some(meta) = change(entry.meta(), self.clock.now()) else { return false };
            let mark = entry.mark().map(|mark| mark.clone().made(stale));
            let changed = relabelled(&entry, meta, Aside { mark, ..Aside::default() }, entry.expired());
            changed.served_as(&entry);
            self.pending.relabelled(key, &changed);
            self.memory.put(key, changed)
        })
    }

    /// Makes a value stale: it may be served while one refresh runs, until it would have been
    /// refused anyway. No invalidation. Also ends the cool-down of a failed load.
    pub(crate) fn make_stale(&self, space: &SpaceState, key: &Key) -> bool {
        self.flights.locked(key, |shard| shard.forgive(key, self.clock.now()));
        self.relabel(space, key, true, |meta, now| Some(meta.stale_from(now)))
    }

    /// Gives a fresh value its space's whole time again, with the windows behind it.
    pub(crate) fn renew(&self, space: &SpaceState, key: &Key) -> Ended {
        self.another_end(space, key, |meta, now| renewed(meta, now, &space.policy))
    }

    /// Gives a value another end: fresh until `until`, then gone.
    pub(crate) fn end_at(&self, space: &SpaceState, key: &Key, until: Tick) -> Ended {
        self.another_end(space, key, |meta, _| {
            Some(Meta { fresh_until: until, swr_ms: 0, hard_ms: 0, early_ms: 0, ..meta })
        })
    }

    /// Changes when a value ends, in memory and on disk: a copy there that kept its old end would be taken for it later.
    fn another_end(&self, space: &SpaceState, key: &Key, change: impl FnOnce(Meta, Tick) -> Option<Meta>) -> Ended {
        if self.shelf_of(space).is_none() {
            return Ended { changed: self.relabel(space, key, false, change), on_disk: None };
        }
        let telling = self.telling();
        if self.is_in_fleet(space) {
            // What memory lets go of is asked for at the shared tier.
            let changed = self.relabel(space, key, false, change);
            let on_disk = changed.then(|| self.unshelve(space, key, self.next_fence())).flatten();
            return Ended { changed, on_disk };
        }
        let changed = self.flights.locked(key, |shard| {
            let entry = self.live(space, key)?;
            let meta = change(entry.meta(), self.clock.now())?;
            // As a write: what is being fetched from the disk at this moment has the old end.
            let floor = self.overtake(shard, key, Invalidation::Remove);
            let meta = Meta { fence: self.next_fence(), ..meta };
            let changed = relabelled(&entry, meta, None, entry.expired());
            changed.served_as(&entry);
            self.memory.put(key, changed.clone());
            Some((changed, floor))
        });
        let Some((entry, floor)) = changed else { return Ended { changed: false, on_disk: None } };
        // In this order: whoever ends this process in between leaves the old end or the new one, and the value.
        self.shelve(space, key, &entry, self.position());
        let on_disk = self.unshelve(space, key, floor);
        drop(telling);
        Ended { changed: true, on_disk }
    }
}
