//! How do entries live in Redis or Valkey? One string per key: header, lease and payload, in which nine scripts alone
//! write the server block.
//!
//! [`RedisTier`] is a [`Tier`] on one server (TCP, TLS, unix socket), on a cluster, or on whatever primary sentinels
//! name. Nothing needs to be there when it is opened: it connects when it is first asked, and while it can't, every call
//! is over at once.
//!
//! A hit is one `GETRANGE key 0 65535`: a plain `GET` for all that is short, and a bound on what anybody can make us
//! take in for all that is not. What is longer is fetched over a connection of its own, up to a limit.

mod asking;
mod check;
mod clock;
mod cluster;
mod commands;
mod common;
mod counters;
mod entry;
mod fault;
mod lane;
mod node;
mod options;
mod route;
mod script;
mod sentinel;
mod slots;
mod standing;
mod step;
mod waiting;
mod waits;

#[cfg(test)]
mod differential;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bellwether::shared::{
    Acquired, Ask, Change, Envelope, Found, Raised, Stored, Tier, TierError, Verified, Write, Wrote,
};
use bellwether::{FailClass, Fence, Invalidation, Span};
use bellwether_core::ring::split;
pub(crate) use check::reach;
pub use check::{Problem, Report, Weight};
pub use counters::{NodeState, RedisCounts};
pub(crate) use fault::is_of_a_scripts_user;
use futures_util::future::{BoxFuture, FutureExt};
pub use options::{Reads, RedisAuth, RedisOptions, RedisTls};

use self::common::Common;
use self::route::Route;
use crate::SetupError;
pub use crate::tiers::address::{RedisShape, RedisTarget};

/// A shared tier on Redis or Valkey.
pub struct RedisTier {
    common: Arc<Common>,
    route: Route,
}

impl fmt::Debug for RedisTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisTier({:?})", self.common.target)
    }
}

impl RedisTier {
    /// A tier at `target`. Nothing is connected yet, and nobody needs to be there.
    ///
    /// # Errors
    /// If it can't work whoever is there: a user without a password, a certificate that is none, no runtime.
    ///
    /// ```no_run
    /// use bellwether_adapters::tiers::redis::{RedisOptions, RedisTarget, RedisTier};
    /// # async fn open() -> Result<(), bellwether_adapters::SetupError> {
    /// let target = RedisTarget::parse("redis://:secret@cache.example:6379/0")?;
    /// let tier = RedisTier::open(target, RedisOptions::default())?;
    /// println!("{}", tier.check().await);
    /// # Ok(())
    /// # }
    /// ```
    pub fn open(target: RedisTarget, options: RedisOptions) -> Result<RedisTier, SetupError> {
        let common = Common::new(target, options)?;
        Ok(RedisTier { route: Route::new(&common)?, common })
    }

    /// What it has done, and how its nodes are.
    pub fn counts(&self) -> RedisCounts {
        let counters = &self.common.counters;
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_micros();
        RedisCounts {
            calls: counters.calls.get(),
            unreachable: counters.unreachable.get(),
            turned_away: counters.turned_away.get(),
            full: counters.full.get(),
            wrong_type: counters.wrong_type.get(),
            unfit: counters.unfit.get(),
            failed: counters.failed.get(),
            connects: counters.connects.get(),
            lost: counters.lost.get(),
            out_of_step: counters.out_of_step.get(),
            opened: counters.opened.get(),
            script_fallbacks: counters.script_fallbacks.get(),
            redirects: counters.redirects.get(),
            large: counters.large.get(),
            woken: counters.woken.get(),
            misread: counters.misread.counts().to_vec(),
            nodes: self.route.states(u64::try_from(wall).unwrap_or(u64::MAX)),
        }
    }
}

impl Tier for RedisTier {
    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Found, TierError>> {
        async move {
            let key = self.stored(key);
            let found = match self.read(&key).await {
                Ok((bytes, node)) => self.understood(&key, bytes, &node).await,
                Err(error) => Err(error),
            };
            self.count(found)
        }
        .boxed()
    }

    fn get_many<'a>(&'a self, keys: &'a [Vec<u8>]) -> BoxFuture<'a, Result<Vec<Found>, TierError>> {
        async move { self.count(self.found_many(keys).await) }.boxed()
    }

    fn acquire<'a>(&'a self, key: &'a [u8], ask: Ask) -> BoxFuture<'a, Result<Acquired, TierError>> {
        async move {
            let key = self.stored(key);
            self.count(self.acquired(&key, ask).await)
        }
        .boxed()
    }

    fn publish<'a>(
        &'a self,
        key: &'a [u8],
        token: Fence,
        envelope: Envelope,
    ) -> BoxFuture<'a, Result<Stored, TierError>> {
        async move {
            let key = self.stored(key);
            let stored = match self.sealed(&key, &envelope) {
                Ok((bytes, windows)) => {
                    let call = script::publish(token, self.sent_us(&key).await, windows, bytes);
                    self.said_yes(&key, &call, false).await
                }
                Err(error) => Err(error),
            };
            self.count(stored.map(|yes| if yes { Stored::Yes(token) } else { Stored::Refused }))
        }
        .boxed()
    }

    fn renew<'a>(&'a self, key: &'a [u8], token: Fence, lease: Span) -> BoxFuture<'a, Result<bool, TierError>> {
        async move {
            let key = self.stored(key);
            self.count(self.said_yes(&key, &script::renew(token, lease.max(Span(1))), true).await)
        }
        .boxed()
    }

    fn release<'a>(
        &'a self,
        key: &'a [u8],
        token: Fence,
        failed: Option<(Span, FailClass)>,
    ) -> BoxFuture<'a, Result<bool, TierError>> {
        async move {
            let key = self.stored(key);
            self.count(self.said_yes(&key, &script::release(token, failed), false).await)
        }
        .boxed()
    }

    fn invalidate<'a>(
        &'a self,
        key: &'a [u8],
        verb: Invalidation,
        at_least: Fence,
        late: Span,
    ) -> BoxFuture<'a, Result<Raised, TierError>> {
        async move {
            let key = self.stored(key);
            let late = self.by_its_clock(&key, late).await;
            self.count(self.invalidated(&key, verb, at_least, late).await)
        }
        .boxed()
    }

    fn write<'a>(&'a self, key: &'a [u8], how: Write, envelope: Envelope) -> BoxFuture<'a, Result<Wrote, TierError>> {
        async move {
            let key = self.stored(key);
            let how = Write { late: self.by_its_clock(&key, how.late).await, ..how };
            self.count(self.wrote(&key, how, &envelope).await)
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
            let key = self.stored(key);
            self.count(self.changed(&key, change, at_least, within).await)
        }
        .boxed()
    }

    fn verify<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Verified, TierError>> {
        async move {
            let key = self.stored(key);
            self.count(self.verified(&key).await)
        }
        .boxed()
    }

    fn changed<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, ()> {
        self.until_changed(key).boxed()
    }

    fn replicas(&self) -> usize {
        self.route.replicas()
    }

    fn get_from_replica<'a>(&'a self, key: &'a [u8], lag: Span) -> BoxFuture<'a, Option<Found>> {
        async move { self.found_at_replica(&self.stored(key), lag.into()).await }.boxed()
    }

    fn nodes(&self) -> usize {
        self.route.nodes()
    }

    fn salts(&self, key: &[u8], most: usize) -> Vec<u32> {
        split::salts(key, most, |name| self.route.place(&self.stored(name)))
    }
}
