//! How are the reads of one hot key shared out among several nodes of a tier? By copies, each filled under a lease of
//! its own from the key's own entry, as a load is from an origin.
//!
//! Why no reader finds a copy of what was invalidated: a copy is filled only from an entry that names it, whoever
//! invalidates that entry learns of its copies by the same step, and voids them, and the leases of those who fill them,
//! before the invalidation is acknowledged. Who replaces an entry goes on naming its copies for as long as they may
//! live (`core::ring::split`).

mod copies;
mod counts;
mod making;
mod near;
mod places;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bellwether_core::draw::Draw;
use bellwether_core::failure::FailClass;
use bellwether_core::fence::{Fence, Invalidation};
use bellwether_core::ring::split::{self, LIFE};
use bellwether_core::time::Span;
use futures_util::future::{BoxFuture, FutureExt, join_all, try_join_all};
use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;

use self::copies::{original, own, salts_of, uncopied};
pub use self::counts::SpreadCounts;
use self::counts::{Counts, Used, add};
use self::near::{Near, Nearby};
use self::places::Places;
use crate::shared::{
    Acquired, Ask, Change, Envelope, Found, Raised, Split, Stored, Tier, TierError, TierTrouble, Verified, Write, Wrote,
};

/// Keys that are split at once; more are not.
const MOST_SPLIT: usize = 256;
/// Keys whose copies could not be reached when they were invalidated, and leases over entries that name copies.
const MOST_REMEMBERED: usize = 4096;
/// Whatever the tier holds, the asker has something newer: it is granted the lease.
const NEWEST: Fence = Fence(u64::MAX);

/// A tier, some of whose keys are read from several nodes. Every cache wraps its tier in one.
#[derive(Clone, Debug)]
pub struct SpreadTier(Arc<Spread>);

/// Which of a tier's keys are read from several nodes.
struct Spread {
    inner: Arc<dyn Tier>,
    runtime: Handle,
    /// Whether any key is split: all that reads pay while none is.
    any: AtomicBool,
    /// By names in the tier; at most [`MOST_SPLIT`].
    table: RwLock<HashMap<Box<[u8]>, Arc<Places>>>,
    /// Keys that replicas answer for.
    near: Nearby,
    /// Leases held here over an entry that names copies: their token, the salts, and how old it was then.
    replacing: Mutex<HashMap<Box<[u8]>, Replacing>>,
    /// Copies that an invalidation has still to reach.
    owed: Mutex<HashMap<Box<[u8]>, Vec<u32>>>,
    counts: Counts,
}

impl fmt::Debug for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spread").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

#[derive(Clone)]
struct Replacing {
    token: Fence,
    salts: Vec<u32>,
    age: Span,
}

impl SpreadTier {
    /// `inner`, of whose keys none is split yet. Copies are made on `runtime`.
    pub fn new(inner: Arc<dyn Tier>, runtime: Handle) -> SpreadTier {
        SpreadTier(Arc::new(Spread {
            inner,
            runtime,
            any: AtomicBool::new(false),
            table: RwLock::default(),
            near: Nearby::default(),
            replacing: Mutex::default(),
            owed: Mutex::default(),
            counts: Counts::default(),
        }))
    }

    /// From now on reads of `key` are shared out among so many nodes, as far as there are as many; fewer than two: no
    /// more. It begins with the next value that is published, and copies that are there end by themselves within
    /// 5 s. More than 256 keys are not split at once: what is asked for beyond has no effect.
    pub fn spread(&self, key: &[u8], nodes: u16) {
        self.0.spread(key, nodes);
    }

    /// From now on replicas answer reads of `key` and of its copies that lag by no more than `lag`, as far as they are
    /// not older than what this process knows of the key; `None`: not any more. For more than 256 keys at once they
    /// don't.
    pub fn near(&self, key: &[u8], lag: Option<Span>) {
        self.0.near.set(key, lag);
    }

    /// This process knows that the tier has raised `key` to this fence.
    pub(crate) fn knows(&self, key: &[u8], fence: Fence) {
        self.0.near.raise(key, fence);
    }

    /// Another process says that it invalidated `key` or wrote it, and by what fence, if the tier knows of it already.
    pub(crate) fn hear(&self, key: &[u8], fence: Option<Fence>) {
        self.0.near.hear(key, fence);
    }

    /// Whether the value of `key` names copies, as far as is known here.
    pub(crate) fn names_copies(&self, key: &[u8]) -> bool {
        self.0.places(key).is_some_and(|places| !places.salts().is_empty())
    }

    /// Has the value of `key` that lies there name copies, in the background: of a key that is to be split and that
    /// nobody can load. It stays what it was, to the end that it had. Not if it is older than `known`: a tier that has lost
    /// a removal in a failover is not helped to have it forgotten.
    pub fn name_copies(&self, key: &[u8], known: Fence) {
        if let Some(places) = self.0.places(key).filter(|places| places.begins_to_name()) {
            self.0.clone().name_copies(key.into(), known, places);
        }
    }

    /// What was done for `key` since this was asked last.
    pub(crate) fn take_used(&self, key: &[u8]) -> Used {
        let (from_copies, filled) = self.0.places(key).map(|places| places.take_used()).unwrap_or_default();
        Used { from_copies, filled, from_replicas: self.0.near.of(key).map_or(0, |near| near.take_taken()) }
    }

    /// What splitting does.
    pub fn counts(&self) -> SpreadCounts {
        self.0.counts()
    }
}

impl Spread {
    fn spread(&self, key: &[u8], nodes: u16) {
        let mut table = self.table.write();
        let wanted = usize::from(nodes.max(1)) - 1;
        match table.get(key) {
            Some(places) if places.wanted == wanted => return,
            _ if wanted == 0 => drop(table.remove(key)),
            None if table.len() >= MOST_SPLIT => return,
            _ => drop(table.insert(key.into(), Arc::new(Places::new(wanted)))),
        }
        self.any.store(!table.is_empty(), Ordering::Release);
    }

    fn counts(&self) -> SpreadCounts {
        self.counts.read(self.table.read().len())
    }

    fn places(&self, key: &[u8]) -> Option<Arc<Places>> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        self.table.read().get(key).cloned()
    }

    /// What lies under `name`, by a replica where that will do.
    async fn fetch(&self, name: &[u8], near: Option<&Near>) -> Result<Found, TierError> {
        let Some(near) = near else { return self.inner.get(name).await };
        if near.is_sure()
            && let Some(found) = self.inner.get_from_replica(name, near.lag).await
            && near.takes(&found)
        {
            add(&self.counts.from_replicas);
            return Ok(found);
        }
        let found = self.inner.get(name).await?;
        near.learn(&found);
        Ok(found)
    }

    async fn read(self: Arc<Spread>, key: &[u8], places: Arc<Places>) -> Result<Found, TierError> {
        let near = self.near.of(key);
        let Some((at, salt)) = places.pick(Draw(fastrand::u64(..))) else {
            return self.read_base(key, &places, near.as_deref()).await.map(|(found, _)| found);
        };
        let name = split::name(salt, key);
        let found = {
            let _busy = places.busy(at);
            self.fetch(&name, near.as_deref()).await
        };
        if let Ok(Found::Entry { envelope, .. }) = found
            && let Some(envelope) = original(envelope)
        {
            add(&self.counts.from_copies);
            places.used();
            return Ok(Found::Entry { envelope, lease: None });
        }
        add(&self.counts.missed);
        let (found, said) = self.read_base(key, &places, near.as_deref()).await?;
        if split::is_filled(&said, salt) && places.begins_to_fill(at) {
            self.clone().fill(key.into(), at, salt, places);
        }
        Ok(found)
    }

    /// The key itself, and where its copies lie.
    async fn read_base(
        &self,
        key: &[u8],
        places: &Places,
        near: Option<&Near>,
    ) -> Result<(Found, Vec<u32>), TierError> {
        let found = {
            let _busy = places.busy(0);
            self.fetch(key, near).await?
        };
        let Found::Entry { envelope, .. } = &found else { return Ok((found, Vec::new())) };
        let said = salts_of(envelope).to_vec();
        places.learn(&said);
        Ok((uncopied(found), said))
    }

    /// Copies of what stays for being newer go all the same: they are made anew.
    async fn invalidate_split(
        &self,
        key: &[u8],
        verb: Invalidation,
        at_least: Fence,
        late: Span,
    ) -> Result<Raised, TierError> {
        let mut raised = self.inner.invalidate(key, verb, at_least, late).await?;
        self.near.raise(key, raised.fence);
        let mut salts = std::mem::take(&mut raised.salts);
        // The entry may have been evicted: then it names none.
        salts.extend(self.places(key).map(|places| places.salts()).unwrap_or_default());
        salts.extend(self.owed.lock().remove(key).unwrap_or_default());
        if !salts.is_empty() {
            self.reach(key, salts).await?;
        }
        Ok(raised)
    }

    /// Invalidates copies. They are remembered until all are reached, however this ends: the key's own entry names them
    /// no more.
    async fn reach(&self, key: &[u8], mut salts: Vec<u32>) -> Result<(), TierError> {
        salts.iter_mut().for_each(|salt| *salt = split::bare(*salt));
        salts.sort_unstable();
        salts.dedup();
        {
            let mut owed = self.owed.lock();
            if owed.len() < MOST_REMEMBERED || owed.contains_key(key) {
                owed.entry(key.into()).or_default().extend(&salts);
            }
        }
        let names: Vec<Vec<u8>> = salts.iter().map(|salt| split::name(*salt, key)).collect();
        let remove = |name| self.inner.invalidate(name, Invalidation::Remove, Fence::ZERO, Span::ZERO);
        for done in join_all(names.iter().map(|name| remove(name))).await {
            done?;
        }
        let mut owed = self.owed.lock();
        if let Some(left) = owed.get_mut(key) {
            left.retain(|salt| !salts.contains(salt));
            if left.is_empty() {
                owed.remove(key);
            }
        }
        Ok(())
    }

    /// What was there is not what it was, and neither are its copies.
    async fn wrote_over(&self, key: &[u8], wrote: &Wrote) -> Result<(), TierError> {
        let Some(fence) = wrote.stored else { return Ok(()) };
        self.near.raise(key, fence);
        let mut salts = match &wrote.before {
            Found::Entry { envelope, .. } => salts_of(envelope).to_vec(),
            _ => Vec::new(),
        };
        salts.extend(self.places(key).map(|places| places.salts()).unwrap_or_default());
        salts.extend(self.owed.lock().remove(key).unwrap_or_default());
        if salts.is_empty() { Ok(()) } else { self.reach(key, salts).await }
    }

    /// A lease was granted over an entry: whoever publishes under it has to go on naming its copies.
    fn granted(&self, key: &[u8], token: Fence, stale: Option<&Envelope>) {
        let Some(held) = stale.filter(|held| matches!(held.split, Split::Into(_))) else { return };
        // Its age counts from the start of its load, and it may have been published late.
        let age = Span(held.age_ms.saturating_sub(u64::from(held.cost_ms)).saturating_sub(LIFE.0));
        let mut replacing = self.replacing.lock();
        if replacing.len() < MOST_REMEMBERED || replacing.contains_key(key) {
            replacing.insert(key.into(), Replacing { token, salts: salts_of(held).to_vec(), age });
        }
    }

    /// The lease is over.
    fn parted(&self, key: &[u8], token: Fence) -> Option<Replacing> {
        let mut replacing = self.replacing.lock();
        replacing.get(key).filter(|held| held.token == token)?;
        replacing.remove(key)
    }
}

impl Tier for SpreadTier {
    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Found, TierError>> {
        match self.0.places(key) {
            None => match self.0.near.of(key) {
                None => self.0.inner.get(key).map(|found| found.map(uncopied)).boxed(),
                Some(near) => async move { self.0.fetch(key, Some(&near)).await.map(uncopied) }.boxed(),
            },
            Some(places) => self.0.clone().read(key, places).boxed(),
        }
    }

    fn get_many<'a>(&'a self, keys: &'a [Vec<u8>]) -> BoxFuture<'a, Result<Vec<Found>, TierError>> {
        let apart = |key: &Vec<u8>| self.0.places(key).is_some() || self.0.near.of(key).is_some();
        if (self.0.any.load(Ordering::Acquire) || self.0.near.any()) && keys.iter().any(apart) {
            return try_join_all(keys.iter().map(|key| self.get(key))).boxed();
        }
        let found = self.0.inner.get_many(keys);
        found.map(|found| found.map(|found| found.into_iter().map(uncopied).collect())).boxed()
    }

    fn acquire<'a>(&'a self, key: &'a [u8], ask: Ask) -> BoxFuture<'a, Result<Acquired, TierError>> {
        async move {
            let mut acquired = self.0.inner.acquire(key, ask).await?;
            if let Acquired::Fresh(Envelope { split: Split::Copy(_), .. }) = acquired {
                acquired = self.0.inner.acquire(key, Ask { holds: NEWEST, ..ask }).await?;
            }
            Ok(match acquired {
                Acquired::Granted { token, stale } => {
                    self.0.granted(key, token, stale.as_ref());
                    Acquired::Granted { token, stale: own(stale) }
                }
                Acquired::Denied { left, stale } => Acquired::Denied { left, stale: own(stale) },
                Acquired::Fresh(Envelope { split: Split::Copy(_), .. }) => {
                    let text = "a copy of a split key lies under this name".to_owned();
                    return Err(TierError { kind: TierTrouble::Unfit, text });
                }
                acquired => acquired,
            })
        }
        .boxed()
    }

    fn publish<'a>(
        &'a self,
        key: &'a [u8],
        token: Fence,
        envelope: Envelope,
    ) -> BoxFuture<'a, Result<Stored, TierError>> {
        // Or something newer is there: no replica may answer with less.
        self.0.near.raise(key, token);
        match self.0.parted(key, token) {
            None if self.0.places(key).is_none() => self.0.inner.publish(key, token, envelope),
            replaced => self.0.clone().publish_split(key, token, envelope, replaced).boxed(),
        }
    }

    fn renew<'a>(&'a self, key: &'a [u8], token: Fence, lease: Span) -> BoxFuture<'a, Result<bool, TierError>> {
        self.0.inner.renew(key, token, lease)
    }

    fn release<'a>(
        &'a self,
        key: &'a [u8],
        token: Fence,
        failed: Option<(Span, FailClass)>,
    ) -> BoxFuture<'a, Result<bool, TierError>> {
        self.0.parted(key, token);
        self.0.inner.release(key, token, failed)
    }

    fn invalidate<'a>(
        &'a self,
        key: &'a [u8],
        verb: Invalidation,
        at_least: Fence,
        late: Span,
    ) -> BoxFuture<'a, Result<Raised, TierError>> {
        self.0.invalidate_split(key, verb, at_least, late).boxed()
    }

    fn write<'a>(&'a self, key: &'a [u8], how: Write, envelope: Envelope) -> BoxFuture<'a, Result<Wrote, TierError>> {
        async move {
            // What was there names its copies.
            let how = Write { reads: how.reads || self.0.inner.nodes() > 1, ..how };
            let (envelope, named) = self.0.naming(key, envelope);
            let wrote = self.0.inner.write(key, how, envelope).await?;
            self.0.clone().written(key, wrote, named).await
        }
        .boxed()
    }

    fn change<'a>(
        &'a self,
        key: &'a [u8],
        change: Change,
        at_least: Fence,
        within: Span,
    ) -> BoxFuture<'a, Result<Wrote, TierError>> {
        async move {
            let wrote = self.0.inner.change(key, change, at_least, within).await?;
            self.0.wrote_over(key, &wrote).await?;
            Ok(Wrote { before: uncopied(wrote.before), ..wrote })
        }
        .boxed()
    }

    fn verify<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Verified, TierError>> {
        self.0.inner.verify(key)
    }

    fn nodes(&self) -> usize {
        self.0.inner.nodes()
    }

    fn salts(&self, key: &[u8], most: usize) -> Vec<u32> {
        self.0.inner.salts(key, most)
    }

    fn replicas(&self) -> usize {
        self.0.inner.replicas()
    }

    fn changed<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, ()> {
        self.0.inner.changed(key)
    }
}
