//! Which keys will be hot, as somebody said? They are prepared before, and treated as hot to the end.

use std::time::{SystemTime, UNIX_EPOCH};

use bellwether::{LoadCtx, Loaded};
use bellwether_adapters::Payload;
use bellwether_core::time::Span;

use super::Service;
use super::serving::{Belongs, Serving};

/// An announcement that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Until it begins; zero: it has begun.
    pub begins_in: Span,
    /// Until it ends.
    pub ends_in: Span,
}

/// An announcement that is not over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The key, as clients know it.
    pub key: Vec<u8>,
    /// Its space.
    pub space: String,
    /// Until it begins; zero: it has begun.
    pub begins_in: Span,
    /// Until it ends.
    pub ends_in: Span,
    /// Whether the configuration announces the key.
    pub declared: bool,
}

/// Why an announcement was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// The key belongs to no space, or can't have a row.
    NoSpace,
    /// Its time is over.
    Over,
    /// It begins later than anybody can say today.
    TooFar,
    /// Too many keys are announced.
    TooMany,
}

impl Service {
    /// Says that `key` will be hot from `from_ms` (since 1970) for so long. Said again, the later words count.
    ///
    /// # Errors
    /// Why it was not taken.
    pub fn announce(&self, key: &[u8], from_ms: u64, length: Span) -> Result<Taken, NotTaken> {
        announce(&self.serving(), key, from_ms, length, self.0.cache.clock().now())
    }

    /// Takes an announcement back; `None`: it is not announced. True: it stands in the configuration, so that the next
    /// reload or start announces it again.
    pub fn withdraw(&self, key: &[u8]) -> Option<bool> {
        let serving = self.serving();
        let Belongs::To(served, _) = serving.belongs(key) else { return None };
        served.space.withdraw(&*served.stored(key)).then(|| serving.declares(key))
    }

    /// What is announced, those that begin first in front.
    pub fn announced(&self) -> Vec<Said> {
        let (serving, now) = (self.serving(), self.now());
        let announced = self.0.cache.announced().into_iter().filter_map(|announced| {
            let served = serving.spaces.iter().find(|served| served.name == announced.space)?;
            let key = served.unstored(&announced.key)?.to_vec();
            Some(Said {
                declared: serving.declares(&key),
                key,
                space: announced.space,
                begins_in: announced.from.since(now),
                ends_in: announced.until.since(now),
            })
        });
        announced.collect()
    }

    /// Now, in milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        now_ms()
    }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn announce(
    serving: &Serving,
    key: &[u8],
    from_ms: u64,
    length: Span,
    now: bellwether::Tick,
) -> Result<Taken, NotTaken> {
    let Belongs::To(served, captures) = serving.belongs(key) else { return Err(NotTaken::NoSpace) };
    if served.origin.as_ref().is_some_and(|source| served.load(source, &captures).is_none()) {
        return Err(NotTaken::NoSpace);
    }
    let wall = now_ms();
    let begins_in = Span(from_ms.saturating_sub(wall));
    if begins_in > Span::LONGEST {
        return Err(NotTaken::TooFar);
    }
    let ends_in = Span(from_ms.saturating_add(length.0).saturating_sub(wall)).at_most(Span::LONGEST);
    if ends_in == Span::ZERO || begins_in >= ends_in {
        return Err(NotTaken::Over);
    }
    // From here on by the clock that no one sets: what is said in time of day is meant as of now.
    match served.space.announce(&*served.stored(key), now + begins_in, now + ends_in) {
        true => Ok(Taken { begins_in, ends_in }),
        false => Err(NotTaken::TooMany),
    }
}

impl Serving {
    /// Whether the configuration announces `key`.
    fn declares(&self, key: &[u8]) -> bool {
        self.config.hot.announced.iter().any(|announced| announced.key.as_bytes() == key)
    }

    /// What this configuration says of hot keys: how a key is loaded although nobody reads it, and what was announced.
    /// Call it once the configuration is at work.
    pub(super) fn prepare_hot(&self, now: bellwether::Tick) {
        for served in &self.spaces {
            let Some(recipe) = served.recipe() else { continue };
            served.space.loaded_by(move |ctx: LoadCtx<Vec<u8>, Payload>| {
                let load = recipe.load(ctx.key());
                async move {
                    match load {
                        Some(load) => load.run(ctx).await,
                        None => Ok(Loaded::missing()),
                    }
                }
            });
        }
        for announced in &self.config.hot.announced {
            // One that is over, or too far ahead, was said when the file was read.
            let _ = announce(self, announced.key.as_bytes(), announced.from_ms, announced.length, now);
        }
    }
}
