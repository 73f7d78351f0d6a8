//! How does the shared tier hear of an invalidation? At once, or again and again until it does.

use std::sync::Arc;

use bellwether_core::cell::surely;
use bellwether_core::fence::{Fence, Floor, Invalidation};
use bellwether_core::heat::plan::Measure;
use bellwether_core::time::Span;
use futures_util::future::join_all;
use tokio::sync::Notify;

use crate::engine::Engine;
use crate::engine::tier::Offer;
use crate::entry::Resident;
use crate::events::Debt;
use crate::key::{Key, KeyRef};
use crate::observe::shared::add;
use crate::shared::{Raised, Tier, TierTrouble, Write, Wrote};
use crate::state::pending::{MOST_REFUSALS, Owed, Standing, Turn};
use crate::state::space::SpaceState;

/// The first pause before the tier is told again; it doubles up to the longest.
const FIRST_PAUSE: Span = Span::ms(100);
const LONGEST_PAUSE: Span = Span::secs(5);
/// Keys that are told at once.
const AT_ONCE: usize = 64;

/// What the shared tier said to an invalidation or a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// It holds there. False: it could not be told yet (why = `invalidation_queued`). It is told again, and its copy
    /// is not believed here until then.
    pub told: bool,
    /// A value was resident there; without a shared tier, one was on disk that could still have been served. False as well
    /// where several invalidations of a key were told at once, for all but one of them.
    pub was_resident: bool,
}

impl Acknowledged {
    fn of(raised: &Result<Raised, TierTrouble>) -> Acknowledged {
        Acknowledged { told: raised.is_ok(), was_resident: raised.as_ref().is_ok_and(|raised| raised.was_resident) }
    }
}

impl Engine {
    /// Tells the tier what it must know of `key`. Where it could not be told it is tried again in the background.
    pub(crate) async fn tell(self: Arc<Engine>, key: Key) -> Acknowledged {
        self.gather(&key).await;
        let told = self.try_to_tell(&key).await;
        if !told.told {
            self.try_again();
        }
        told
    }

    /// Waits for other writes of a key whose writes are gathered: the last of them goes to the tier for all. An
    /// invalidation waits for nobody, and takes along what was written before it.
    async fn gather(&self, key: &Key) {
        let now = self.clock.now();
        let gathering = self.plans.of(key, |planned| {
            let until = self.pending.gather(key, now, planned.reaction.coalesce?)?;
            self.plans.cost(&planned.toll, Measure::Coalesce, until.since(now).0);
            Some(until)
        });
        if let Some(until) = gathering {
            self.clock.sleep_until(until).await;
        }
    }

    /// Tries what is owed until none of it is left, unless somebody does.
    pub(crate) fn try_again(self: &Arc<Engine>) {
        if self.pending.begin_retrying() {
            self.runtime().spawn(retry(self.clone()));
        }
    }

    /// An invalidation that found too many pending: told once, for better or worse.
    pub(crate) async fn tell_once(self: Arc<Engine>, owed: Owed, key: Key) -> Acknowledged {
        let told = Acknowledged::of(&self.tell_owed(&key, &owed).await);
        if !told.told {
            add(&self.tally.forgotten);
            tracing::error!(
                space = &*owed.space.name,
                "too many invalidations wait for the shared tier: one is lost to it"
            );
        }
        told
    }

    /// One try, of whoever comes first; the others share what comes of it. What is owed only after it began is left to
    /// who owes it: under a stream of writes each is told of in its turn.
    pub(crate) async fn try_to_tell(&self, key: &Key) -> Acknowledged {
        let others = |told| Acknowledged { told, was_resident: false };
        // Of the moment this was called: what comes later is not waited for.
        let mut first = None;
        let owed = loop {
            match self.pending.turn(key) {
                Turn::Nobodys => {
                    self.spared(key);
                    return others(true);
                }
                Turn::Others(over, generation) => {
                    match self.wait_for(key, &over, *first.get_or_insert(generation)).await {
                        Standing::Told => {
                            self.spared(key);
                            return others(true);
                        }
                        Standing::Failed => return others(false),
                        Standing::BeingTold | Standing::Left => {}
                    }
                }
                Turn::Mine(owed) => break owed,
            }
        };
        let telling = Telling { engine: self, key, owed };
        let owed = &telling.owed;
        match self.tell_owed(key, owed).await {
            Ok(raised) => {
                let done = self.pending.told(key, owed, raised.fence);
                if let Some(ledger) = self.ledger.as_ref().filter(|_| done && owed.remembered) {
                    ledger.paid(&name(owed, key));
                }
                Acknowledged { told: true, was_resident: raised.was_resident }
            }
            Err(trouble) => {
                self.remember(key, trouble).await;
                others(false)
            }
        }
    }

    /// Waits until the tier was told all that was owed by this generation, or whoever tells it stops.
    async fn wait_for(&self, key: &Key, over: &Notify, generation: u64) -> Standing {
        let over = over.notified();
        tokio::pin!(over);
        // Enabled before the look: it may have stopped before we listened.
        over.as_mut().enable();
        if self.pending.standing(key, generation) == Standing::BeingTold {
            over.await;
        }
        self.pending.standing(key, generation)
    }

    /// Another write told the tier what this one would have.
    fn spared(&self, key: &Key) {
        self.plans.of(key, |planned| {
            planned.reaction.coalesce?;
            self.plans.saved(&planned.toll, Measure::Coalesce, 1);
            Some(())
        });
    }

    /// A try failed: whoever is told that it will be tried again can count on it.
    async fn remember(&self, key: &Key, trouble: TierTrouble) {
        let Some(owed) = self.pending.failed(key, trouble, self.clock.now()) else { return };
        if owed.refusals == MOST_REFUSALS && trouble.is_refusal() {
            tracing::error!(
                space = &*owed.space.name,
                cause = trouble.as_str(),
                "the shared tier refuses an invalidation again and again: it is a dead letter now (`bellwether dlq`)"
            );
        }
        // Not each time: what is kept of it is that it is owed.
        if let Some(ledger) = self.ledger.as_ref().filter(|_| owed.tries.is_power_of_two()) {
            ledger.owe(Debt { name: name(&owed, key), verb: owed.verb, tries: owed.tries }).await;
        }
    }

    /// The fence that the tier has raised the key to. What was written takes the place of what was there, in one step.
    async fn tell_owed(&self, key: &Key, owed: &Owed) -> Result<Raised, TierTrouble> {
        let Some(tier) = &self.tier else {
            return Ok(Raised { fence: Fence::ZERO, was_resident: false, salts: Vec::new() });
        };
        let name = name(owed, key);
        // What others have done since whoever asked was answered is newer.
        let late = owed.since.map_or(Span::ZERO, |since| surely(self.clock.now().since(since)));
        let beside = match self.tell_written(tier, &name, key, owed, late).await {
            Ok(Some(raised)) => return Ok(raised),
            Ok(None) => false,
            // Another type of the engine lies there: it goes first.
            Err(TierTrouble::WrongType) => true,
            Err(trouble) => return Err(trouble),
        };
        let invalidate = tier.invalidate(&name, owed.verb, owed.at_least, late);
        let raised = match self.within_budget(&owed.space, invalidate).await {
            Ok(raised) => raised,
            // A key that the tier can't have, by its length: there is nothing to give up.
            Err(TierTrouble::Unfit) => {
                return Ok(Raised { fence: Fence::ZERO, was_resident: false, salts: Vec::new() });
            }
            Err(trouble) => return Err(trouble),
        };
        self.is_told(&name, owed, raised.fence);
        if beside {
            return match self.tell_written(tier, &name, key, owed, Span::ZERO).await {
                Ok(Some(written)) => Ok(Raised { was_resident: raised.was_resident, ..written }),
                // Somebody has put such a thing there again, and is newer.
                Ok(None) | Err(TierTrouble::WrongType) => Ok(raised),
                Err(trouble) => Err(trouble),
            };
        }
        Ok(raised)
    }

    /// Puts what was written in the place of what the tier has: no reader finds nothing in between. `None`: nothing was
    /// written that still holds, or it can't be there; then what is there goes, unless it came less than `late` ago.
    async fn tell_written(
        &self,
        tier: &Arc<dyn Tier>,
        name: &[u8],
        key: &Key,
        owed: &Owed,
        late: Span,
    ) -> Result<Option<Raised>, TierTrouble> {
        // Before the look at what covers it: what is invalidated from here on is past it.
        let seen = self.position();
        let Some(entry) = self.to_bring(key, owed) else { return Ok(None) };
        let Some(envelope) = self.outgoing(&owed.space, key, &entry, seen) else { return Ok(None) };
        let how = Write { late, at_least: owed.at_least, ..Write::default() };
        let fence = match self.within_budget(&owed.space, tier.write(name, how, envelope)).await {
            Ok(Wrote { stored: Some(fence), .. }) => fence,
            Ok(Wrote { stored: None, .. }) => {
                // Somebody wrote or removed it since: what was written here is over.
                self.overtaken(key, owed, entry.fence());
                return Ok(None);
            }
            Err(TierTrouble::Unfit) => return Ok(None),
            Err(trouble) => return Err(trouble),
        };
        add(&self.tally.published);
        self.is_told(name, owed, fence);
        if let Some(mark) = entry.mark() {
            mark.set(fence, self.clock.now() + self.resync);
            entry.watch();
        }
        self.shelve_written(&owed.space, key, entry.fence());
        Ok(Some(Raised { fence, was_resident: false, salts: Vec::new() }))
    }

    /// What was written under `fence`, and is owed, came before what others have done in the tier.
    fn overtaken(&self, key: &Key, owed: &Owed, fence: Fence) {
        add(&self.tally.overtaken);
        self.pending.let_go(key, owed);
        self.forget(key, fence);
    }

    /// The tier knows of it, and the other processes are told.
    fn is_told(&self, name: &[u8], owed: &Owed, fence: Fence) {
        add(&self.tally.told);
        if let Some(fleet) = &self.fleet {
            fleet.invalidated(name, owed.verb, fence);
        }
        self.pending.heard(fence, self.clock.now());
    }

    /// The value that was written, if it still holds. Memory may have given it up since.
    fn to_bring(&self, key: &Key, owed: &Owed) -> Option<Resident> {
        let written = owed.written.as_ref()?;
        let here = self.memory.peek(key.by_ref()).filter(|entry| entry.fence() == written.fence);
        let Some(entry) = here.or_else(|| self.pending.kept(key, owed)) else {
            if written.kept.is_none() {
                tracing::error!(
                    space = &*owed.space.name,
                    "memory gave up a value before the shared tier could have it: the write is lost, and what was there is removed"
                );
            }
            return None;
        };
        let covered = self.floor_of(&owed.space, &entry).covers(entry.fence());
        (!covered && self.clock.now() < entry.hard_until()).then_some(entry)
    }

    /// A value that was written here and is owed to the tier, as memory had it before it gave it up.
    pub(crate) fn owed_value(&self, key: &Key) -> Option<Box<Offer>> {
        let owed = self.pending.owed(key)?;
        let entry = owed.written?.kept?;
        Some(Box::new(Offer { entry, floor: Floor::NONE, newer: false, lease: None, there: Fence::ZERO }))
    }

    /// Drops the entry made under exactly this fence.
    pub(crate) fn forget(&self, key: &Key, fence: Fence) {
        self.flights.locked(key, |_| {
            if self.memory.peek(key.by_ref()).is_some_and(|entry| entry.fence() == fence) {
                self.memory.remove(key.by_ref());
            }
        });
    }

    /// What other processes invalidated is dropped here, unless what is held is newer.
    pub(crate) fn hear_key(&self, name: &[u8], verb: Invalidation, fence: Option<Fence>) -> bool {
        let Some((space, key)) = self.of_name(name) else { return false };
        if let Some(fence) = fence {
            // A tier that has lost it in a failover is not believed.
            self.pending.raise(&key, fence);
        }
        // A replica may not know it yet.
        if let Some(spread) = &self.spread {
            spread.hear(name, fence);
        }
        let dropped = self.invalidate_heard(&space, &key, verb, fence);
        // Only now: how late it was heard of says nothing about itself.
        self.pending.heard(fence.unwrap_or_default(), self.clock.now());
        dropped
    }

    /// Whose key an entry of the tier is, by its name there. Of several prefixes that fit the longest is meant.
    pub(crate) fn of_name(&self, name: &[u8]) -> Option<(Arc<SpaceState>, Key)> {
        let spaces = self.spaces.read();
        let fits = spaces.values().filter_map(|space| Some((space, space.travel.as_ref()?.naming.key(name)?)));
        let (space, key) = fits.min_by_key(|(space, key)| (key.len(), space.id))?;
        Some((space.clone(), KeyRef::new(space.id, &key, &self.seed).to_key()))
    }
}

/// Somebody tells the tier of a key. Dropped: it stops, for whatever reason.
struct Telling<'a> {
    engine: &'a Engine,
    key: &'a Key,
    owed: Owed,
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.engine.pending.over(self.key, &self.owed);
    }
}

pub(crate) fn name(owed: &Owed, key: &Key) -> Vec<u8> {
    owed.space.travel.as_ref().map_or_else(Vec::new, |travel| travel.name(&key.bytes))
}

/// Tells the tier what it could not be told, until it knows all of it or the cache is gone.
async fn retry(engine: Arc<Engine>) {
    let (weak, clock) = (Arc::downgrade(&engine), engine.clock.clone());
    drop(engine);
    let mut pause = FIRST_PAUSE;
    loop {
        clock.sleep_until(clock.now() + pause).await;
        let Some(engine) = weak.upgrade() else { return };
        let Some(keys) = engine.pending.some(AT_ONCE, clock.now()) else { return };
        let told = join_all(keys.iter().map(|key| {
            add(&engine.tally.retried);
            engine.try_to_tell(key)
        }));
        // One that went through says that the tier is back.
        pause = if told.await.iter().any(|told| told.told) {
            FIRST_PAUSE
        } else {
            Span(pause.0 * 2).at_most(LONGEST_PAUSE)
        };
    }
}
