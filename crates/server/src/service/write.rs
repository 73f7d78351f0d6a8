//! What may a client change? Values of plain spaces; of every space, how long a value lives.

use std::hash::BuildHasher;
use std::sync::Arc;

pub use bellwether::When;
use bellwether::{Cached, Loaded, Span, Why};
use bellwether_adapters::Payload;
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::MutexGuard;

use super::outcome::Refusal;
use super::served::{Looked, Served, plain_payload};
use super::serving::{Belongs, Serving};
use super::{Inner, Service, WRITE_LOCKS};

/// How a value is written.
#[derive(Clone, Debug, Default)]
pub struct WriteTerms {
    /// Under which condition.
    pub when: When,
    /// How long it lives.
    pub ends: Ends,
    /// Tags besides those of its space.
    pub tags: Vec<Arc<str>>,
}

/// A write that the shared tier decides on.
pub(crate) type Deciding = BoxFuture<'static, Result<Written, Refusal>>;

impl WriteTerms {
    /// What is written, where `before` was there.
    fn loaded(&self, value: &[u8], before: Option<&Cached<Payload>>) -> Loaded<Payload> {
        // A copy of its own: a slice of the read buffer would keep all of that alive.
        let loaded = Loaded::value(plain_payload(Bytes::copy_from_slice(value)));
        match (self.ends, before) {
            (Ends::After(span), _) => loaded.ttl(span.at_most(Span::LONGEST)),
            (Ends::AsBefore, Some(before)) => loaded.ttl(before.remaining()),
            (Ends::AsBefore, None) | (Ends::BySpace, _) => loaded,
        }
    }
}

/// How long a written value lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ends {
    /// As long as the space says.
    #[default]
    BySpace,
    /// So long from now.
    After(Span),
    /// As long as what was there before (`KEEPTTL`).
    AsBefore,
}

/// What became of a write.
#[derive(Clone, Debug)]
pub struct Written {
    /// Whether the condition held.
    pub stored: bool,
    /// What was there before.
    pub before: Option<Cached<Payload>>,
}

impl Service {
    /// Writes a value to a plain space. It is newer than everything before it.
    ///
    /// # Errors
    /// The key is of no plain space, or the value too large; nothing has changed then, except that
    /// a value too large takes its predecessor along.
    pub fn write(&self, key: &[u8], value: &[u8], terms: WriteTerms) -> Result<Written, Refusal> {
        self.write_of(key, value, terms, &Looked::Found(None))
    }

    fn write_of(&self, key: &[u8], value: &[u8], terms: WriteTerms, looked: &Looked) -> Result<Written, Refusal> {
        let serving = self.serving();
        let (served, captures) = serving.plain(key)?;
        let stored = served.stored(key);
        let _one_at_a_time = self.0.lock(&stored);
        let before = served.before(&stored, looked)?;
        let holds = match terms.when {
            When::Always => true,
            When::Absent => before.is_none(),
            When::Present => before.is_some(),
        };
        if !holds {
            return Ok(Written { stored: false, before });
        }
        if terms.ends == Ends::After(Span::ZERO) {
            let removed = served.space.remove(&stored);
            self.tells(served, removed.was_resident(), removed.acknowledged());
            self.changed(key);
            return Ok(Written { stored: true, before });
        }
        let loaded = terms.loaded(value, before.as_ref());
        let loaded = served.tags(&captures).into_iter().chain(terms.tags).fold(loaded, Loaded::tag);
        let kept = self.puts(served, &stored, loaded);
        // One that is too large took its predecessor along.
        self.changed(key);
        if !kept {
            served.tally.count(Why::TooLarge);
            return Err(Refusal::TooLarge);
        }
        Ok(Written { stored: true, before })
    }

    /// A write whose condition, or whose answer, depends on what others write: the shared tier decides, where it answers.
    /// `None`: [`Service::write`] does.
    ///
    /// # Errors
    /// The key is of no plain space.
    pub(crate) fn write_decided(
        &self,
        key: &[u8],
        value: &[u8],
        terms: &WriteTerms,
        reads: bool,
    ) -> Result<Option<Deciding>, Refusal> {
        let serving = self.serving();
        let (served, captures) = serving.plain(key)?;
        let asks = reads || terms.when != When::Always;
        if served.decides_by_disk() && (asks || terms.ends == Ends::AsBefore) {
            return Ok(Some(self.write_by_disk(key, value, terms.clone())));
        }
        if !served.shared || !asks || terms.ends == Ends::After(Span::ZERO) {
            return Ok(None);
        }
        let stored = served.stored(key);
        let loaded = terms.loaded(value, served.present(&stored).as_ref());
        let tags = served.tags(&captures).into_iter().chain(terms.tags.iter().cloned());
        let decided = served.space.write_if(&stored, terms.when, reads, tags.fold(loaded, Loaded::tag));
        // Changes of its own: those of the connection belong to the command that it is at by then.
        let (service, key, value, terms) = (self.collecting(), key.to_vec(), value.to_vec(), terms.clone());
        let done = async move {
            match decided.await {
                Ok(decided) => {
                    if decided.stored {
                        service.changed(&key);
                    }
                    Ok(Written { stored: decided.stored, before: decided.before })
                }
                // The tier can't be asked: this process decides, as it does for everything then.
                Err(_) => {
                    let written = service.write(&key, &value, terms);
                    if let Some(telling) = service.telling() {
                        telling.done().await;
                    }
                    written
                }
            }
        };
        Ok(Some(done.boxed()))
    }

    /// A write that depends on what memory has, or else the disk.
    fn write_by_disk(&self, key: &[u8], value: &[u8], terms: WriteTerms) -> Deciding {
        let (service, key, value) = (self.collecting(), key.to_vec(), value.to_vec());
        let done = async move {
            let written = match service.write_of(&key, &value, terms.clone(), &Looked::NotYet) {
                Err(Refusal::Unsure) => {
                    let looked = service.look_on_disk(&key).await?;
                    service.write_of(&key, &value, terms, &looked)
                }
                written => written,
            };
            if let Some(telling) = service.telling() {
                telling.done().await;
            }
            written
        };
        done.boxed()
    }

    /// What the disk has of a key that memory lacks.
    ///
    /// # Errors
    /// It does not tell: whatever depends on it can't be decided.
    pub(super) async fn look_on_disk(&self, key: &[u8]) -> Result<Looked, Refusal> {
        let serving = self.serving_on();
        match serving.belongs(key) {
            Belongs::To(served, _) => {
                let found = served.space.on_disk(&*served.stored(key)).await;
                found.map(Looked::Found).map_err(|_| Refusal::Unsure)
            }
            _ => Ok(Looked::Found(None)),
        }
    }

    /// Hard: from the moment this returns, no read that begins gets the older value. True if one
    /// was resident. A key whose capture has the wrong type has no value: false.
    ///
    /// # Errors
    /// The key belongs to no space.
    pub fn remove(&self, key: &[u8]) -> Result<bool, Refusal> {
        self.invalidated(key, |served, stored| {
            let removed = served.space.remove(stored);
            let resident = removed.was_resident();
            self.tells(served, resident, removed.acknowledged());
            resident
        })
    }

    /// Soft: readers load anew; the old value is at most a rescue. True if one was resident.
    ///
    /// # Errors
    /// The key belongs to no space.
    pub fn expire(&self, key: &[u8]) -> Result<bool, Refusal> {
        self.invalidated(key, |served, stored| {
            let expired = served.space.expire(stored);
            let resident = expired.was_resident();
            self.tells(served, resident, expired.acknowledged());
            resident
        })
    }

    /// Invalidates a key where it belongs. Once more if a reload came in between: what the new
    /// configuration has loaded by then may be older than this invalidation.
    fn invalidated(&self, key: &[u8], change: impl Fn(&Served, &[u8]) -> bool) -> Result<bool, Refusal> {
        let mut was_resident = false;
        // First: whoever reads after this is acknowledged must find it in the filter.
        self.0.filters.note(key);
        loop {
            let serving = self.serving_on();
            was_resident |= self.0.resident_or(&serving, key, &change)?;
            if Arc::ptr_eq(&serving, &self.serving()) {
                // Resident or not: a client may keep what memory had to let go of.
                self.changed(key);
                return Ok(was_resident);
            }
        }
    }

    /// Makes a resident value stale and starts its refresh now, in the background class; it may be
    /// served meanwhile where the space has a grace. False if nothing is resident. Nobody waits for
    /// the refresh, so it is a load and no request.
    ///
    /// # Errors
    /// The key belongs to no space, or to one without an origin.
    pub fn refresh(&self, key: &[u8]) -> Result<bool, Refusal> {
        let serving = self.serving();
        let (served, captures) = serving.target(key)?;
        let Some(source) = &served.origin else {
            return Err(Refusal::NoOrigin { space: served.name.clone() });
        };
        // What can't be loaded is never resident.
        let Some(load) = served.load(source, &captures) else { return Ok(false) };
        let refreshed = served.space.refresh_with(&served.stored(key), move |ctx| load.run(ctx));
        if refreshed {
            self.changed(key);
        }
        Ok(refreshed)
    }

    /// What is resident, stale or not, without loading, counting or touching it.
    ///
    /// # Errors
    /// The key belongs to no space.
    pub fn peek(&self, key: &[u8]) -> Result<Option<Cached<Payload>>, Refusal> {
        self.look(key, |served, stored| served.space.peek(stored))
    }

    /// As [`Service::peek`], but in a plain space nothing stale: what a plain read would not get
    /// is not there for those who ask whether it is.
    ///
    /// # Errors
    /// The key belongs to no space.
    pub fn present(&self, key: &[u8]) -> Result<Option<Cached<Payload>>, Refusal> {
        self.look(key, Served::present)
    }

    /// Looks without being a request: what is refused here is counted nowhere.
    fn look(
        &self,
        key: &[u8],
        find: impl FnOnce(&Served, &[u8]) -> Option<Cached<Payload>>,
    ) -> Result<Option<Cached<Payload>>, Refusal> {
        match self.serving().belongs(key) {
            Belongs::To(served, _) => Ok(find(served, &served.stored(key))),
            Belongs::WrongType(_) => Ok(None),
            Belongs::TooLong => Err(Refusal::KeyTooLong),
            Belongs::Nowhere => Err(Refusal::NoSpace),
        }
    }

    /// Puts a value where its space keeps it. False if it is too large.
    pub(super) fn puts(&self, served: &Served, stored: &[u8], loaded: Loaded<Payload>) -> bool {
        let written = served.space.write(stored, loaded);
        let kept = written.kept();
        self.tells(served, false, written.acknowledged());
        kept
    }

    /// Whether another tier must be looked at before it is known what `key` has: a plain space that other processes write
    /// to, or whose values are on disk as well, and memory has nothing of it. `decides`: whoever asks looks on disk itself.
    pub(crate) fn lacks(&self, key: &[u8], decides: bool) -> bool {
        let serving = self.serving();
        match serving.belongs(key) {
            Belongs::To(served, _) => {
                let elsewhere = served.shared || served.on_disk && !decides;
                elsewhere && served.origin.is_none() && served.present(&served.stored(key)).is_none()
            }
            _ => false,
        }
    }

    /// Whether `key` is of a plain space: what it has is known as soon as the tiers were asked.
    pub(crate) fn is_plain(&self, key: &[u8]) -> bool {
        matches!(self.serving().belongs(key), Belongs::To(served, _) if served.origin.is_none())
    }

    /// Takes over from the tier what other processes wrote under `key`.
    pub(crate) async fn find(&self, key: &[u8]) {
        let serving = self.serving_on();
        if let Belongs::To(served, _) = serving.belongs(key) {
            // Nothing there, or nobody to ask: then what memory has is all there is.
            let _ = served.space.find(&*served.stored(key)).await;
        }
    }

    /// Whether a key belongs somewhere: what removes or ends it asks no more. Counted if not.
    ///
    /// # Errors
    /// The key belongs to no space.
    pub fn check(&self, key: &[u8]) -> Result<(), Refusal> {
        match self.serving().target(key) {
            Ok(_) | Err(Refusal::WrongType { .. }) => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }

    /// Whether a key could be written, and what to say if not. Counted as a refused request.
    ///
    /// # Errors
    /// As [`Service::write`].
    pub fn writable(&self, key: &[u8]) -> Result<(), Refusal> {
        self.serving().plain(key).map(drop)
    }

    /// Whether this value could be written there as well: it may be too large. Nothing is done.
    ///
    /// # Errors
    /// As [`Service::write`].
    pub(crate) fn could_write(&self, key: &[u8], value: &[u8]) -> Result<(), Refusal> {
        let serving = self.serving();
        let (served, captures) = serving.plain(key)?;
        let loaded = || {
            let loaded = WriteTerms::default().loaded(value, None);
            served.tags(&captures).into_iter().fold(loaded, Loaded::tag)
        };
        if served.space.fits(&*served.stored(key), value.len(), loaded) {
            return Ok(());
        }
        served.tally.count(Why::TooLarge);
        Err(Refusal::TooLarge)
    }
}

impl Inner {
    pub(super) fn resident_or(
        &self,
        serving: &Serving,
        key: &[u8],
        change: impl FnOnce(&Served, &[u8]) -> bool,
    ) -> Result<bool, Refusal> {
        match serving.target(key) {
            Ok((served, _)) => {
                let stored = served.stored(key);
                let _one_at_a_time = served.origin.is_none().then(|| self.lock(&stored));
                Ok(change(served, &stored))
            }
            Err(Refusal::WrongType { .. }) => Ok(false),
            Err(refusal) => Err(refusal),
        }
    }

    pub(super) fn lock(&self, stored: &[u8]) -> MutexGuard<'_, ()> {
        let at = usize::try_from(self.hasher.hash_one(stored) % WRITE_LOCKS as u64).unwrap_or_default();
        self.write_locks[at].lock()
    }
}
