//! Of which invalidations does the shared tier not know yet? Its copies of those keys are not believed.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bellwether_core::cell::Now;
use bellwether_core::fence::{Fence, Invalidation};
use bellwether_core::time::{Span, Tick};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::entry::Resident;
use crate::key::{ByCarriedHash, Key};
use crate::shared::TierTrouble;
use crate::state::space::SpaceState;

/// Keys that may be pending; an invalidation beyond that is tried once.
pub(crate) const MOST_PENDING: usize = 100_000;
/// An invalidation that the tier has refused so often is a dead letter: somebody should look at it. A tier that does not
/// answer, is full, a replica or not ready refuses nothing: it is tried for ever.
pub(crate) const MOST_REFUSALS: u32 = 10;
/// A dead letter is tried again so often all the same: rights that were given back must not wait for people.
const DEAD_PAUSE: Span = Span::secs(60);
/// Keys whose last fence in the tier is remembered.
const MOST_RAISED: usize = 10_000;
/// Bytes of values that are kept for the tier, whatever memory does with them; beyond that memory alone has them.
const MOST_KEPT: usize = 32 << 20;
/// By so much the tier's time may be taken for earlier than it is: an answer of it travels, and moments are of whole ms.
const TRAVEL: Span = Span::ms(5);

/// The invalidations that the tier is being told, and its answers of late.
#[derive(Default)]
pub(crate) struct Pending(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    owed: HashMap<Key, Owed, ByCarriedHash>,
    raised: HashMap<Key, Fence, ByCarriedHash>,
    /// Keys of `raised` in the order of their first mention.
    order: VecDeque<Key>,
    /// Bytes of the values that are kept in `owed`.
    kept: usize,
    /// How many ms the tier's clock is ahead of ours, at least: what it says was drawn before it is heard.
    ahead: Option<i64>,
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
    /// The value that was written: it goes to the tier as well.
    pub(crate) written: Option<Written>,
    /// Tries that failed.
    pub(crate) tries: u32,
    /// When the first of them did, and whoever wrote was answered.
    pub(crate) since: Option<Tick>,
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

/// A value that was written here.
#[derive(Clone)]
pub(crate) struct Written {
    /// Its local fence.
    pub(crate) fence: Fence,
    /// Itself; `None`: too much is kept already, and only memory may still have it.
    pub(crate) kept: Option<Resident>,
}

impl Written {
    fn bytes(&self) -> usize {
        self.kept.as_ref().map_or(0, |entry| entry.weight as usize)
    }
}

impl Owed {
    /// A dead letter.
    pub(crate) fn is_dead(&self) -> bool {
        self.refusals >= MOST_REFUSALS
    }

    fn new(
        space: &Arc<SpaceState>,
        verb: Invalidation,
        at_least: Fence,
        written: Option<Written>,
        generation: u64,
    ) -> Owed {
        Owed {
            space: space.clone(),
            verb,
            at_least,
            written,
            tries: 0,
            since: None,
            refusals: 0,
            failed: None,
            remembered: false,
            generation,
            gathering: None,
            told: generation,
            telling: false,
            over: Arc::default(),
        }
    }

    /// Whether it is to be tried again now.
    fn is_due(&self, now: Tick) -> bool {
        !self.is_dead() || self.failed.is_none_or(|(_, when)| now.since(when) >= DEAD_PAUSE)
    }
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
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

impl Inner {
    /// What is kept of a value that was written, within what may be kept in all.
    fn keep(&mut self, entry: &Resident) -> Written {
        let bytes = entry.weight as usize;
        let fits = self.kept + bytes <= MOST_KEPT;
        if fits {
            self.kept += bytes;
        }
        Written { fence: entry.fence(), kept: fits.then(|| entry.clone()) }
    }

    fn let_go(&mut self, written: Option<Written>) {
        self.kept -= written.as_ref().map_or(0, Written::bytes);
    }

    fn take(&mut self, key: &Key) -> Option<Owed> {
        let mut owed = self.owed.remove(key)?;
        self.let_go(owed.written.take());
        Some(owed)
    }
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
        written: Option<&Resident>,
    ) -> Result<(), Box<Owed>> {
        let mut guard = self.0.lock();
        let inner = &mut *guard;
        let former = inner.owed.get_mut(key).and_then(|owed| owed.written.take());
        inner.let_go(former);
        let raised = inner.raised.get(key).copied().unwrap_or_default();
        let at_least = Fence(knows.max(raised).0.saturating_add(1));
        let full = inner.owed.len() >= MOST_PENDING;
        inner.generation += 1;
        let generation = inner.generation;
        if full && !inner.owed.contains_key(key) {
            let written = written.map(|entry| Written { fence: entry.fence(), kept: None });
            return Err(Box::new(Owed::new(space, verb, at_least, written, generation)));
        }
        let written = written.map(|entry| inner.keep(entry));
        if let Some(owed) = inner.owed.get_mut(key) {
            // A removal takes out what an expiry would leave as a rescue.
            if verb == Invalidation::Remove {
                owed.verb = verb;
            }
            owed.space = space.clone();
            owed.at_least = owed.at_least.max(at_least);
            owed.written = written;
            owed.generation = generation;
            (owed.tries, owed.refusals, owed.since) = (0, 0, None);
            return Ok(());
        }
        inner.owed.insert(key.clone(), Owed::new(space, verb, at_least, written, generation));
        Ok(())
    }

    /// What the tier must be told of `key`.
    pub(crate) fn owed(&self, key: &Key) -> Option<Owed> {
        self.0.lock().owed.get(key).cloned()
    }

    /// Whether a value that was written here is owed to the tier, and will lie above an invalidation of the key that is
    /// heard of now and was drawn under `fence` there.
    ///
    /// While the first try is under way nothing is before it: of two writes the tier says which came later. Once that has
    /// failed its writer was answered, and what others have done since is newer, whenever the tier is told of this. What has
    /// no fence yet is being told: with its fence it is heard of again. `wall_ms`: where the tier's time was never seen, its
    /// clock is taken to be right.
    pub(crate) fn is_owed_after(&self, key: &Key, fence: Option<Fence>, now: Tick, wall_ms: u64) -> bool {
        let inner = self.0.lock();
        let Some(owed) = inner.owed.get(key).filter(|owed| owed.written.is_some()) else { return false };
        let (Some(since), Some(fence)) = (owed.since, fence) else { return true };
        let ahead = inner.ahead.unwrap_or_else(|| signed(wall_ms).saturating_sub(signed(now.0)));
        let there = signed((since + TRAVEL).0).saturating_add(ahead);
        signed(Now::of(fence).tick().0) <= there
    }

    /// The tier drew `fence`, and that is heard of now.
    pub(crate) fn heard(&self, fence: Fence, now: Tick) {
        if fence != Fence::ZERO {
            let ahead = signed(Now::of(fence).tick().0).saturating_sub(signed(now.0));
            let mut inner = self.0.lock();
            inner.ahead = inner.ahead.max(Some(ahead));
        }
    }

    /// What was written here was overtaken before the tier was told: it does not go there. That something did is told all
    /// the same, unless it is known there.
    pub(crate) fn overtaken(&self, key: &Key) {
        let mut inner = self.0.lock();
        let written = inner.owed.get_mut(key).and_then(|owed| owed.written.take());
        inner.let_go(written);
    }

    /// The same, if nothing was owed since `owed` was.
    pub(crate) fn let_go(&self, key: &Key, owed: &Owed) {
        let mut inner = self.0.lock();
        let now = inner.owed.get_mut(key).filter(|now| now.generation == owed.generation);
        let written = now.and_then(|now| now.written.take());
        inner.let_go(written);
    }

    /// What was written has other ends by now, and nothing else.
    pub(crate) fn relabelled(&self, key: &Key, entry: &Resident) {
        let mut guard = self.0.lock();
        let inner = &mut *guard;
        let same = |written: &Written| written.fence == entry.fence() && written.kept.is_some();
        if let Some(written) = inner.owed.get_mut(key).and_then(|owed| owed.written.take_if(|written| same(written))) {
            inner.let_go(Some(written));
            let written = inner.keep(entry);
            if let Some(owed) = inner.owed.get_mut(key) {
                owed.written = Some(written);
            }
        }
    }

    /// The value that `owed` was to bring to the tier, unless it was overtaken or removed since. One that was written over
    /// goes there all the same: the later one follows, and no reader finds nothing in between.
    pub(crate) fn kept(&self, key: &Key, owed: &Owed) -> Option<Resident> {
        let inner = self.0.lock();
        let now = inner.owed.get(key)?;
        let newest = now.written.as_ref()?;
        let written = if now.generation == owed.generation { Some(newest) } else { owed.written.as_ref() };
        written?.kept.clone()
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
                inner.take(key);
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
        owed.since.get_or_insert(now);
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
        inner.take(key)
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
