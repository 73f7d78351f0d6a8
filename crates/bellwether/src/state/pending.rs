//! Of which invalidations does the shared tier not know yet? Its copies of those keys are not believed.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bellwether_core::fence::{Fence, Invalidation};
use bellwether_core::time::{Span, Tick};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::engine::space::SpaceState;
use crate::key::{ByCarriedHash, Key};
use crate::shared::TierTrouble;

/// Keys that may be pending; an invalidation beyond that is tried once.
pub(crate) const MOST_PENDING: usize = 100_000;
/// An invalidation that the tier has refused so often is a dead letter: somebody should look at it. A tier that does not
/// answer, is full, a replica or not ready refuses nothing: it is tried for ever.
pub(crate) const MOST_REFUSALS: u32 = 10;
/// A dead letter is tried again so often all the same: rights that were given back must not wait for people.
const DEAD_PAUSE: Span = Span::secs(60);
/// Keys whose last fence in the tier is remembered.
const MOST_RAISED: usize = 10_000;

/// The invalidations that the tier is being told, and its answers of late.
#[derive(Default)]
pub(crate) struct Pending(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    owed: HashMap<Key, Owed, ByCarriedHash>,
    raised: HashMap<Key, Fence, ByCarriedHash>,
    /// Keys of `raised` in the order of their first mention.
    order: VecDeque<Key>,
    /// The last generation that was given out.
    generation: u64,
    /// Somebody tries those again that failed.
    retrying: bool,
}

/// What the tier must be told of one key.
#[derive(Clone)]
pub(crate) struct Owed {
    pub(crate) space: Arc<SpaceState>,
    pub(crate) verb: Invalidation,
    /// Above every fence of the tier that this process knows of the key.
    pub(crate) at_least: Fence,
    /// The local fence of the value that was written: it goes to the tier as well.
    pub(crate) written: Option<Fence>,
    /// Tries that failed.
    pub(crate) tries: u32,
    /// Of them: refusals.
    pub(crate) refusals: u32,
    /// What kept the tier from being told at the last try, and when that was.
    pub(crate) failed: Option<(TierTrouble, Tick)>,
    /// It stands in the ledger, if there is one.
    pub(crate) remembered: bool,
    /// Rises with each invalidation of any key: one that comes while the tier is told is told after it.
    generation: u64,
    /// Writes are gathered until then, and go to the tier as one.
    gathering: Option<Tick>,
    /// The tier knows of generations below this one.
    told: u64,
    /// Somebody tells the tier right now.
    telling: bool,
    /// Notified when whoever did stops.
    over: Arc<Notify>,
}

impl Owed {
    /// A dead letter.
    pub(crate) fn is_dead(&self) -> bool {
        self.refusals >= MOST_REFUSALS
    }

    /// Whether it is to be tried again now.
    fn is_due(&self, now: Tick) -> bool {
        !self.is_dead() || self.failed.is_none_or(|(_, when)| now.since(when) >= DEAD_PAUSE)
    }
}

/// Whose turn it is to tell the tier of a key.
pub(crate) enum Turn {
    /// Nothing is to be told.
    Nobodys,
    /// Ours, until [`Pending::over`].
    Mine(Owed),
    /// Somebody does; this is notified when it stops. What is to be told by then is of this generation.
    Others(Arc<Notify>, u64),
}

/// How far it is with what the tier must be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It knows.
    Told,
    /// Somebody tells it.
    BeingTold,
    /// The last try failed.
    Failed,
    /// Whoever told it was content with less: it is somebody's turn.
    Left,
}

impl Pending {
    /// The tier must be told. Call it under the key's lock, so that no read comes between floor and mention. What is
    /// to be told comes back if too many are pending.
    pub(crate) fn owe(
        &self,
        space: &Arc<SpaceState>,
        key: &Key,
        verb: Invalidation,
        knows: Fence,
        written: Option<Fence>,
    ) -> Result<(), Owed> {
        let mut inner = self.0.lock();
        let raised = inner.raised.get(key).copied().unwrap_or_default();
        let at_least = Fence(knows.max(raised).0.saturating_add(1));
        let full = inner.owed.len() >= MOST_PENDING;
        inner.generation += 1;
        let generation = inner.generation;
        if let Some(owed) = inner.owed.get_mut(key) {
            // A removal takes out what an expiry would leave as a rescue.
            if verb == Invalidation::Remove {
                owed.verb = verb;
            }
            owed.space = space.clone();
            owed.at_least = owed.at_least.max(at_least);
            owed.written = written;
            owed.generation = generation;
            (owed.tries, owed.refusals) = (0, 0);
            return Ok(());
        }
        let owed = Owed {
            space: space.clone(),
            verb,
            at_least,
            written,
            tries: 0,
            refusals: 0,
            failed: None,
            remembered: false,
            generation,
            gathering: None,
            told: generation,
            telling: false,
            over: Arc::default(),
        };
        if full {
            return Err(owed);
        }
        inner.owed.insert(key.clone(), owed);
        Ok(())
    }

    /// What the tier must be told of `key`.
    pub(crate) fn owed(&self, key: &Key) -> Option<Owed> {
        self.0.lock().owed.get(key).cloned()
    }

    /// Whether a value that was written here is on its way to the tier, and no try of it has failed.
    pub(crate) fn is_being_written(&self, key: &Key) -> bool {
        self.0.lock().owed.get(key).is_some_and(|owed| owed.written.is_some() && owed.tries == 0)
    }

    /// How far it is with what was to be told of `key` by this generation.
    pub(crate) fn standing(&self, key: &Key, generation: u64) -> Standing {
        match self.0.lock().owed.get(key) {
            None => Standing::Told,
            Some(owed) if owed.told > generation => Standing::Told,
            Some(owed) if owed.telling => Standing::BeingTold,
            Some(owed) if owed.tries > 0 => Standing::Failed,
            Some(_) => Standing::Left,
        }
    }

    /// Whose turn it is to tell the tier of `key`.
    pub(crate) fn turn(&self, key: &Key) -> Turn {
        let mut inner = self.0.lock();
        match inner.owed.get_mut(key) {
            None => Turn::Nobodys,
            Some(owed) if owed.telling => Turn::Others(owed.over.clone(), owed.generation),
            Some(owed) => {
                owed.telling = true;
                Turn::Mine(owed.clone())
            }
        }
    }

    /// Until when writes of `key` are gathered, for `span` from the first of them on; `None`: it is no write, and waits
    /// for none.
    pub(crate) fn gather(&self, key: &Key, now: Tick, span: Span) -> Option<Tick> {
        let mut inner = self.0.lock();
        let owed = inner.owed.get_mut(key).filter(|owed| owed.written.is_some())?;
        Some(*owed.gathering.get_or_insert(now + span))
    }

    /// The tier was told `owed`, and raised its fence. False: something came meanwhile that it must be told as well.
    pub(crate) fn told(&self, key: &Key, owed: &Owed, fence: Fence) -> bool {
        self.raise(key, fence);
        let mut inner = self.0.lock();
        match inner.owed.get_mut(key) {
            Some(now) if now.generation != owed.generation => {
                now.told = now.told.max(owed.generation + 1);
                now.gathering = None;
                false
            }
            _ => {
                inner.owed.remove(key);
                true
            }
        }
    }

    /// The tier has raised `key` to `fence`: it is not believed if it forgets that.
    pub(crate) fn raise(&self, key: &Key, fence: Fence) {
        let mut inner = self.0.lock();
        let held = inner.raised.entry(key.clone()).or_default();
        let first = *held == Fence::ZERO;
        *held = fence.max(*held);
        if first {
            inner.order.push_back(key.clone());
        }
        if inner.order.len() > MOST_RAISED
            && let Some(oldest) = inner.order.pop_front()
        {
            inner.raised.remove(&oldest);
        }
    }

    /// A try failed. What is owed now, and how often it was tried.
    pub(crate) fn failed(&self, key: &Key, trouble: TierTrouble, now: Tick) -> Option<Owed> {
        let mut inner = self.0.lock();
        let owed = inner.owed.get_mut(key)?;
        owed.tries = owed.tries.saturating_add(1);
        owed.refusals = owed.refusals.saturating_add(u32::from(trouble.is_refusal()));
        owed.failed = Some((trouble, now));
        owed.remembered = true;
        Some(owed.clone())
    }

    /// Everything that is owed, dead letters included.
    pub(crate) fn all(&self) -> Vec<(Key, Owed)> {
        self.0.lock().owed.iter().map(|(key, owed)| (key.clone(), owed.clone())).collect()
    }

    /// It stands in the ledger already, and was tried so often.
    pub(crate) fn inherited(&self, key: &Key, tries: u32) {
        if let Some(owed) = self.0.lock().owed.get_mut(key) {
            (owed.remembered, owed.tries) = (true, tries);
        }
    }

    /// A dead letter is to be tried again. False: nothing is owed for `key`.
    pub(crate) fn revive(&self, key: &Key) -> bool {
        self.0.lock().owed.get_mut(key).map(|owed| owed.refusals = 0).is_some()
    }

    /// The tier is not told any more. What was owed, unless it is being told right now.
    pub(crate) fn drop_owed(&self, key: &Key) -> Option<Owed> {
        let mut inner = self.0.lock();
        if inner.owed.get(key)?.telling {
            return None;
        }
        inner.owed.remove(key)
    }

    /// Whoever told the tier of `key` stops, done or not: those who wait for it are woken.
    pub(crate) fn over(&self, key: &Key, owed: &Owed) {
        if let Some(owed) = self.0.lock().owed.get_mut(key) {
            owed.telling = false;
        }
        owed.over.notify_waiters();
    }

    /// The newest fence that the tier is known to have raised `key` to.
    pub(crate) fn raised(&self, key: &Key) -> Fence {
        self.0.lock().raised.get(key).copied().unwrap_or_default()
    }

    /// True for one who asks: it is to try those again that failed, until none is left.
    pub(crate) fn begin_retrying(&self) -> bool {
        !std::mem::replace(&mut self.0.lock().retrying, true)
    }

    /// Up to `most` keys that are to be tried now; `None`: nothing is owed, and whoever retried has ended. From anywhere
    /// among them: those of a node that is gone must not keep others from their turn.
    pub(crate) fn some(&self, most: usize, now: Tick) -> Option<Vec<Key>> {
        let mut inner = self.0.lock();
        inner.retrying = !inner.owed.is_empty();
        let skip = fastrand::usize(..=inner.owed.len().saturating_sub(most));
        let due = inner.owed.iter().cycle().skip(skip).take(inner.owed.len()).filter(|(_, owed)| owed.is_due(now));
        let keys = due.take(most).map(|(key, _)| key.clone()).collect();
        inner.retrying.then_some(keys)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().owed.len()
    }
}
