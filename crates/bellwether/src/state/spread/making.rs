//! How do copies of a split key come to be, and how does its own entry come to name them?

use std::sync::Arc;
use std::time::Duration;

use bellwether_core::draw::Draw;
use bellwether_core::entry::Kind;
use bellwether_core::fence::Fence;
use bellwether_core::ring::split;
use bellwether_core::time::Span;

use super::copies::{copy_of, salts_of, uncopied};
use super::counts::add;
use super::places::Places;
use super::{NEWEST, Replacing, Spread};
use crate::shared::{Acquired, Ask, Envelope, Found, Mode, Split, Stored, TierError, Verified, Wrote};

/// How long one may fill a copy.
const FILL: Span = Span::secs(1);

/// The copies that an entry names, where this process has it name some.
type Named = Option<(Vec<u32>, Arc<Places>)>;

impl Spread {
    /// Has the key's own entry name its copies, in the background.
    pub(super) fn name_copies(self: Arc<Spread>, key: Box<[u8]>, known: Fence, places: Arc<Places>) {
        self.runtime.clone().spawn(async move {
            // Whatever came of it: it is looked at again, and tried.
            let _ = tokio::time::timeout(Duration::from(FILL), self.publish_again(&key, known, &places)).await;
            places.named();
        });
    }

    /// Makes a copy.
    pub(super) fn fill(self: Arc<Spread>, key: Box<[u8]>, at: usize, salt: u32, places: Arc<Places>) {
        self.runtime.clone().spawn(async move {
            // Whatever it was up to, somebody may try again.
            let made = tokio::time::timeout(Duration::from(FILL), self.copy(&key, salt)).await;
            places.filled(at, matches!(made, Ok(Ok(true))));
        });
    }

    /// Whether one was made. The lease first: an invalidation of the key that comes after it voids it, and one that came before it shows.
    async fn copy(&self, key: &[u8], salt: u32) -> Result<bool, TierError> {
        let name = split::name(salt, key);
        let ask =
            Ask { lease: FILL, mode: Mode::Early, holds: NEWEST, at_least: Fence::ZERO, draw: Draw(fastrand::u64(..)) };
        let Acquired::Granted { token, .. } = self.inner.acquire(&name, ask).await? else { return Ok(false) };
        let copy = match self.inner.get(key).await? {
            Found::Entry { envelope, .. } if split::is_filled(salts_of(&envelope), salt) => copy_of(envelope),
            _ => None,
        };
        // A replica may have answered: what it lags behind by must not live on in a copy.
        let confirmed = match &copy {
            Some((_, fence)) => self.inner.verify(key).await? == Verified::Holds(*fence),
            None => false,
        };
        match copy.filter(|_| confirmed) {
            Some((copy, _)) => {
                self.inner.publish(&name, token, copy).await?;
                add(&self.counts.filled);
                Ok(true)
            }
            None => self.inner.release(&name, token, None).await.map(|_| false),
        }
    }

    /// Makes the copies that the key's entry names.
    pub(super) fn fill_all(self: &Arc<Spread>, key: &[u8], named: &[u32], places: &Arc<Places>) {
        places.learn(named);
        for (at, salt) in named.iter().enumerate() {
            if places.begins_to_fill(at + 1) {
                self.clone().fill(key.into(), at + 1, *salt, places.clone());
            }
        }
    }

    /// What is written names the copies that this process wants of it.
    pub(super) fn naming(&self, key: &[u8], envelope: Envelope) -> (Envelope, Named) {
        let Some(places) = self.places(key).filter(|_| envelope.kind == Kind::Value) else { return (envelope, None) };
        match self.inner.salts(key, places.wanted) {
            salts if salts.is_empty() => (envelope, None),
            salts => (Envelope { split: Split::Into(salts.clone()), ..envelope }, Some((salts, places))),
        }
    }

    /// Something was written: the copies of what was there before are gone before that is acknowledged, whatever their
    /// names; its own are made.
    pub(super) async fn written(self: Arc<Spread>, key: &[u8], wrote: Wrote, named: Named) -> Result<Wrote, TierError> {
        self.wrote_over(key, &wrote).await?;
        if let Some((salts, places)) = named.filter(|_| wrote.stored.is_some()) {
            self.fill_all(key, &salts, &places);
        }
        Ok(Wrote { before: uncopied(wrote.before), ..wrote })
    }

    /// Publishes what lies there once more, so that it names its copies. Under a lease: what is written or removed
    /// meanwhile voids it.
    async fn publish_again(self: Arc<Spread>, key: &[u8], known: Fence, places: &Places) -> Result<(), TierError> {
        let (true, Found::Entry { envelope, .. }) =
            (!self.inner.salts(key, places.wanted).is_empty(), self.inner.get(key).await?)
        else {
            return Ok(());
        };
        if split::filled(salts_of(&envelope)).next().is_some() {
            places.learn(salts_of(&envelope));
            return Ok(());
        }
        // A lease on what is gone, or soon is, would be in the way of who brings the next value.
        if !is_lasting(&envelope, known) {
            return Ok(());
        }
        let ask =
            Ask { lease: FILL, mode: Mode::Early, holds: NEWEST, at_least: Fence::ZERO, draw: Draw(fastrand::u64(..)) };
        // Somebody else may be about to.
        let Acquired::Granted { token, .. } = self.inner.acquire(key, ask).await? else { return Ok(()) };
        match self.inner.get(key).await? {
            Found::Entry { envelope, .. } if is_lasting(&envelope, known) => {
                self.near.raise(key, token);
                let replaced = Replacing { token, salts: salts_of(&envelope).to_vec(), age: Span::ZERO };
                self.publish_split(key, token, envelope, Some(replaced)).await.map(drop)
            }
            _ => self.inner.release(key, token, None).await.map(drop),
        }
    }

    /// Publishes an entry that names the copies of what it replaces, and its own.
    pub(super) async fn publish_split(
        self: Arc<Spread>,
        key: &[u8],
        token: Fence,
        mut envelope: Envelope,
        replaced: Option<Replacing>,
    ) -> Result<Stored, TierError> {
        let places = self.places(key).filter(|_| envelope.kind == Kind::Value);
        let wanted = places.as_ref().map(|places| self.inner.salts(key, places.wanted)).unwrap_or_default();
        let (old, age) = replaced.map_or((Vec::new(), Span::ZERO), |replaced| (replaced.salts, replaced.age));
        if envelope.kind == Kind::Value {
            envelope.split = match split::carried(&old, &wanted, age) {
                salts if salts.is_empty() => Split::No,
                salts => Split::Into(salts),
            };
        }
        let stored = self.inner.publish(key, token, envelope.clone()).await?;
        if stored == Stored::Refused {
            return Ok(stored);
        }
        if let Some(places) = places {
            self.fill_all(key, &wanted, &places);
        } else if envelope.kind != Kind::Value && !old.is_empty() {
            // It can't name them: they are seen to now.
            self.reach(key, old).await?;
        }
        Ok(stored)
    }
}

/// Whether it may be there once more as it is, under a newer fence.
fn is_lasting(held: &Envelope, known: Fence) -> bool {
    held.fence >= known
        && held.kind == Kind::Value
        && held.fresh_ms > 0
        && !held.invalidated
        && !matches!(held.split, Split::Copy(_))
}
