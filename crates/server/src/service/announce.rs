//! Which keys will be hot, as somebody said? They are prepared before, and treated as hot to the end.

use std::time::{SystemTime, UNIX_EPOCH};

use bellwether::{LoadCtx, Loaded};
use bellwether_adapters::Payload;
use bellwether_adapters::events::announced::Notice;
use bellwether_core::time::Span;

use super::Service;
use super::fleet::announced::Announcements;
pub use super::fleet::announced::Told;
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
    /// Whether the whole fleet was told.
    pub in_fleet: bool,
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
    /// Says that `key` will be hot from `from_ms` (since 1970) for so long: here, and to the fleet. Said again, the later
    /// words count.
    ///
    /// # Errors
    /// Why it was not taken.
    pub async fn announce(&self, key: &[u8], from_ms: u64, length: Span) -> Result<(Taken, Told), NotTaken> {
        let fleet = self.announcements();
        if fleet.is_some_and(|fleet| !fleet.has_room_for(key, now_ms())) {
            return Err(NotTaken::TooMany);
        }
        let taken = announce(&self.serving(), key, from_ms, length, self.0.cache.clock().now())?;
        let until_ms = now_ms().saturating_add(taken.ends_in.0);
        let notice = Notice { from_ms, until_ms, withdrawn: false, stamp: 0 };
        let told = match fleet {
            Some(fleet) => fleet.tell(key, notice).await,
            None => Told::Nobody,
        };
        Ok((taken, told))
    }

    /// Takes an announcement back, here and in the fleet; `None`: nobody announced it. True: it stands in the
    /// configuration, so that the next reload announces it again.
    pub async fn withdraw(&self, key: &[u8]) -> Option<(bool, Told)> {
        let (fleet, now) = (self.announcements(), now_ms());
        let of = |fleet: &Announcements| fleet.of(key).filter(|notice| !notice.withdrawn && notice.until_ms > now);
        let mut known = fleet.and_then(of);
        if let Some(fleet) = fleet.filter(|_| known.is_none()) {
            fleet.learn(now, |key, notice| self.heard_of(key, notice)).await;
            known = of(fleet);
        }
        let (here, declared) = self.withdraw_here(key);
        if here.is_none() && known.is_none() {
            return None;
        }
        let Some(fleet) = fleet else { return Some((declared, Told::Nobody)) };
        // As long as any of them would have lasted: who starts meanwhile may find it in its configuration.
        let until_ms = here.map_or(0, |left| now.saturating_add(left.0)).max(known.map_or(0, |known| known.until_ms));
        let notice = Notice { from_ms: now, until_ms, withdrawn: true, stamp: 0 };
        Some((declared, fleet.tell(key, notice).await))
    }

    /// Takes it back here: how long it would have lasted, if it was announced, and whether the configuration announces it.
    fn withdraw_here(&self, key: &[u8]) -> (Option<Span>, bool) {
        let serving = self.serving();
        let Belongs::To(served, _) = serving.belongs(key) else { return (None, false) };
        let (stored, now) = (served.stored(key), self.now());
        let all = self.0.cache.announced();
        let left = all.iter().find(|of| of.space == served.name && *of.key == *stored).map(|of| of.until.since(now));
        let withdrawn = served.space.withdraw(&*stored);
        (left.filter(|_| withdrawn), serving.declares(key))
    }

    /// Follows what the fleet announces and takes back, for as long as the runtime lives that runs it.
    pub(super) async fn follow_announcements(&self) {
        let Some(fleet) = self.announcements() else { return };
        fleet.keep(now_ms, |key, notice| self.heard_of(key, notice)).await;
    }

    /// What another process was told holds here as well. False: it can't yet.
    fn heard_of(&self, key: &[u8], notice: Notice) -> bool {
        if notice.withdrawn {
            // Where it was not announced there is nothing to be undone.
            let _ = self.withdraw_here(key);
            return true;
        }
        let length = Span(notice.until_ms.saturating_sub(notice.from_ms));
        match announce(&self.serving(), key, notice.from_ms, length, self.0.cache.clock().now()) {
            Ok(_) | Err(NotTaken::Over) => true,
            // The next configuration may have the space, and the next hour the room.
            Err(NotTaken::NoSpace | NotTaken::TooFar | NotTaken::TooMany) => false,
        }
    }

    fn announcements(&self) -> Option<&Announcements> {
        self.0.fleet.as_ref()?.announcements.as_deref()
    }

    /// Why not all that the fleet announces holds here, if that is so.
    pub fn announced_trouble(&self) -> Option<String> {
        self.announcements()?.trouble()
    }

    /// What is announced, those that begin first in front.
    pub fn announced(&self) -> Vec<Said> {
        let (serving, now, fleet) = (self.serving(), self.now(), self.announcements());
        let announced = self.0.cache.announced().into_iter().filter_map(|announced| {
            let served = serving.spaces.iter().find(|served| served.name == announced.space)?;
            let key = served.unstored(&announced.key)?.to_vec();
            let notice = fleet.and_then(|fleet| fleet.of(&key));
            Some(Said {
                declared: serving.declares(&key),
                in_fleet: notice.is_some_and(|notice| !notice.withdrawn),
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
