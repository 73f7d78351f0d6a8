//! Who may write or change a key, where others do as well and the answer depends on what is there? The shared tier decides,
//! in one step with the write.

use std::sync::Arc;

use bellwether_core::entry::Meta;
use bellwether_core::fence::{Fence, Invalidation};
use bellwether_core::time::Span;
use tokio::task::JoinHandle;

use crate::body::AnyBody;
use crate::engine::Engine;
use crate::engine::shelf::Gone;
use crate::engine::tier::{Asked, Link, Said};
use crate::entry::{Aside, Resident, TierMark, relabelled};
use crate::key::Key;
use crate::load::Loaded;
use crate::observe::shared::add;
use crate::shared::{Change, Found, Only, TierTrouble, When, Write, Wrote};
use crate::state::space::SpaceState;

/// What the tier decided.
pub(crate) struct Decided {
    pub(crate) stored: bool,
    /// What was there, if it was asked for and fresh.
    pub(crate) before: Option<Resident>,
}

impl Engine {
    /// Writes if `when` holds in the shared tier. An error: it did not decide.
    pub(crate) async fn write_if(
        self: Arc<Engine>,
        space: Arc<SpaceState>,
        key: Key,
        when: When,
        reads: bool,
        loaded: Loaded<AnyBody>,
    ) -> Result<Decided, TierTrouble> {
        let Some(mut link) = Link::of(&self, &space, &key) else { return Err(TierTrouble::Unfit) };
        let asked = link.ready(&key).await?;
        let entry = self.written(&space, &key, loaded, asked.fence, asked.at).ok_or(TierTrouble::Unfit)?;
        let envelope = self.outgoing(&space, &key, &entry, self.position()).ok_or(TierTrouble::Unfit)?;
        let at_least = self.pending.raised(&key).max(link.holds).above();
        let to = link.to.clone();
        let wrote = to.tier.write(&to.name, Write { when, reads, at_least, ..Write::default() }, envelope);
        let Wrote { stored, before } = self.within_budget(&space, wrote).await?;
        let before = self.former(&space, &key, &mut link, before, asked);
        let Some(fence) = stored else {
            add(&self.tally.refused);
            return Ok(Decided { stored: false, before });
        };
        add(&self.tally.published);
        if let Some(fleet) = &self.fleet {
            fleet.invalidated(&to.name, Invalidation::Remove, fence);
        }
        if let Some(mark) = entry.mark() {
            mark.set(fence, self.clock.now() + self.resync);
        }
        let (kept, gone) = self.take_in(&space, &key, &entry, asked);
        self.until_gone(&space, gone).await;
        if let Some(kept) = kept {
            self.shelve(&space, &key, &kept, self.position());
        }
        Ok(Decided { stored: true, before })
    }

    /// Does `change` to what the shared tier has. What got another end is kept here with it; all else that memory has of it
    /// goes, and the next read takes over what is there by then. An error: the tier did not decide.
    pub(crate) async fn change(
        self: Arc<Engine>,
        space: Arc<SpaceState>,
        key: Key,
        change: Change,
    ) -> Result<Decided, TierTrouble> {
        let Some(mut link) = Link::of(&self, &space, &key) else { return Err(TierTrouble::Unfit) };
        let asked = link.ready(&key).await?;
        let at_least = self.pending.raised(&key).max(link.holds).above();
        let to = link.to.clone();
        let changed = self.within_budget(&space, to.tier.change(&to.name, change, at_least, self.tier_budget)).await;
        let Wrote { stored, before } = match changed {
            // Another type of the engine, or too long for us: not ours to touch. What this process has beside it is its own.
            Err(TierTrouble::WrongType | TierTrouble::Unfit) => {
                return Ok(self.change_beside(&space, &key, change).await);
            }
            changed => changed?,
        };
        let nothing = matches!(before, Found::Nothing { .. });
        // What is covered by a tag or the space as a whole is not there, whatever the tier did to it.
        let before = self.former(&space, &key, &mut link, before, asked);
        let Some(fence) = stored else {
            add(&self.tally.refused);
            if nothing {
                self.give_up_copy(&key);
            }
            return Ok(Decided { stored: false, before });
        };
        if let Some(fleet) = &self.fleet {
            fleet.invalidated(&to.name, Invalidation::Remove, fence);
        }
        let ended = before.as_ref().and_then(|before| self.with_end(before, change, fence, asked));
        let (kept, gone) = match ended {
            Some(entry) => self.take_in(&space, &key, &entry, asked),
            None => (None, self.give_up_all(&space, &key)),
        };
        self.until_gone(&space, gone).await;
        if let Some(kept) = kept {
            self.shelve(&space, &key, &kept, self.position());
        }
        Ok(Decided { stored: before.is_some(), before })
    }

    /// What the tier had, with the end that it has given it in the step that raised it to `fence`. `None`: it is gone.
    fn with_end(&self, before: &Resident, change: Change, fence: Fence, asked: Asked) -> Option<Resident> {
        let Change::End(ending) = change else { return None };
        let short = |span: Span| u32::try_from(span.0).unwrap_or(u32::MAX);
        // At the latest: the tier counted from when it was reached.
        let fresh_until = asked.at + ending.fresh;
        let (swr_ms, hard_ms) = (short(ending.swr), short(ending.hard.max(ending.swr)));
        let meta = Meta { fresh_until, swr_ms, hard_ms, early_ms: 0, ..before.meta() };
        let mark = Some(TierMark::of(fence, self.clock.now() + self.resync));
        (ending.fresh > Span::ZERO).then(|| relabelled(before, meta, Aside { mark, ..Aside::default() }, false))
    }

    /// What memory and the disk have of a key is older than what the tier did to it.
    fn give_up_all(&self, space: &SpaceState, key: &Key) -> Option<JoinHandle<Gone>> {
        let _telling = self.telling();
        let floor = self.flights.locked(key, |shard| {
            let floor = self.overtake(shard, key, Invalidation::Remove);
            self.memory.remove(key.by_ref());
            floor
        });
        self.unshelve(space, key, floor)
    }

    /// Does `change` to what this process alone has of a key. Nobody can confirm it, so it only ever ends sooner.
    async fn change_beside(&self, space: &SpaceState, key: &Key, change: Change) -> Decided {
        let now = self.clock.now();
        let Some(before) = self.live(space, key).filter(|entry| now < entry.fresh_until()) else {
            return Decided { stored: false, before: None };
        };
        let left = before.fresh_until().since(now);
        let (fresh, only) = match change {
            Change::Take => (Span::ZERO, Only::Always),
            Change::End(ending) => (ending.fresh, ending.only),
        };
        let stored = match () {
            () if !only.allows(left, fresh) => false,
            () if fresh == Span::ZERO => {
                self.forget(key, before.fence());
                true
            }
            () => {
                let ended = self.end_at(space, key, now + fresh.at_most(left));
                self.until_gone(space, ended.on_disk).await;
                ended.changed
            }
        };
        Decided { stored, before: Some(before) }
    }

    /// The tier has nothing of what this is a copy of.
    fn give_up_copy(&self, key: &Key) {
        self.flights.locked(key, |_| {
            let held = self.memory.peek(key.by_ref());
            if held.is_some_and(|entry| entry.mark().is_some_and(|mark| mark.fence() != Fence::ZERO)) {
                self.memory.remove(key.by_ref());
            }
        });
    }

    async fn until_gone(&self, space: &SpaceState, gone: Option<JoinHandle<Gone>>) {
        if let Some(gone) = gone
            && !gone.await.unwrap_or_default().done
        {
            tracing::warn!(space = &*space.name, "an older value may be found on disk after a restart");
        }
    }

    /// Takes the place of whatever memory has, as a write does. What was invalidated since the tier was asked may be
    /// newer than this write: then nothing is kept, and the next read asks the tier.
    fn take_in(
        &self,
        space: &SpaceState,
        key: &Key,
        entry: &Resident,
        asked: Asked,
    ) -> (Option<Resident>, Option<JoinHandle<Gone>>) {
        let telling = self.telling();
        let (kept, floor) = self.flights.locked(key, |shard| {
            let crossed = shard.floor(key).merge(self.floor_of(space, entry)).covers(asked.fence);
            let lost = entry.mark().map(TierMark::fence).unwrap_or_default() < self.pending.raised(key);
            let floor = self.overtake(shard, key, Invalidation::Remove);
            if crossed || lost || space.is_retired() {
                self.memory.remove(key.by_ref());
                return (None, floor);
            }
            let now = relabelled(entry, Meta { fence: self.next_fence(), ..entry.meta() }, None, false);
            (self.memory.put(key, now.clone()).then_some(now), floor)
        });
        let gone = self.unshelve(space, key, floor);
        drop(telling);
        (kept, gone)
    }

    /// What was there when the tier decided stays what was there, whoever has written since.
    fn former(&self, space: &SpaceState, key: &Key, link: &mut Link, before: Found, asked: Asked) -> Option<Resident> {
        let Said::Offer(offer) = link.found(key, before, asked) else { return None };
        let covered = offer.floor.merge(space.floor()).covers(offer.entry.fence());
        (!covered && self.clock.now() < offer.entry.fresh_until()).then_some(offer.entry)
    }
}
