//! How do entries live in a fleet of Memcached servers? One item per key: header, lease and payload, as in Redis.
//!
//! Memcached runs no scripts: the rules of the lease protocol ([`bellwether_core::cell`]) run here, and a
//! compare-and-swap makes each of them one step. Whatever touches an item between (a delete, a write, an eviction, a
//! flush, by whomever) voids the lease in it, because what is compared has changed.
//!
//! What is weaker than in Redis is in `docs/guide/shared-memcached.md`, why it is so in ADR 22.

mod counters;
mod fault;
mod fleet;
mod inner;
mod link;
mod name;
mod node;
mod options;
mod place;
mod proto;
mod recent;
mod slot;
mod step;
mod taken;

use std::sync::Arc;
use std::time::Duration;

use bellwether::shared::Envelope as Entry;
use bellwether::shared::{Acquired, Ask, Change, Found, Raised, Stored, Tier, TierError, Verified, Write, Wrote};
use bellwether::{FailClass, Fence, Invalidation, Span};
use bellwether_core::cell::{self, Cell};
use bellwether_core::ring::split;
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt, join_all};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use self::counters::Counters;
pub use self::counters::MemcachedCounts;
use self::fleet::Fleet;
use self::inner::{For, Inner, LONGEST_MS, trouble_of};
use self::name::Name;
pub use self::options::{MemcachedOptions, Placement};
use self::proto::{Request, Swap};
use self::recent::Recent;
use self::slot::Slot;
use self::step::{Step, acquired, found};
use crate::SetupError;
use crate::tiers::address::{AddressMistake, ServerAddress, TierAddress};
use crate::tiers::wire::is_expired;

/// A prefix leaves room for keys.
const LONGEST_PREFIX: usize = 100;

/// A shared tier over Memcached servers.
///
/// ```no_run
/// use bellwether_adapters::tiers::memcached::{MemcachedOptions, MemcachedTier};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let tier = MemcachedTier::open("memcached://10.0.0.1:11211,10.0.0.2:11211", MemcachedOptions::default())?;
/// # Ok(()) }
/// ```
pub struct MemcachedTier {
    inner: Arc<Inner>,
    steward: AbortHandle,
}

impl MemcachedTier {
    /// Opens a tier at `memcached://HOST:PORT,HOST:PORT`, and begins to connect. Servers that can't be reached are
    /// tried again in the background; meanwhile requests for their keys fail at once.
    ///
    /// # Errors
    /// If the address or the prefix can't be right, or there is no runtime for the connections.
    pub fn open(url: &str, options: MemcachedOptions) -> Result<MemcachedTier, SetupError> {
        match TierAddress::parse(url)? {
            TierAddress::Memcached(servers) => MemcachedTier::open_at(servers, options),
            TierAddress::Redis(_) => Err(AddressMistake::NoMemcached.into()),
        }
    }

    /// [`open`](MemcachedTier::open), the servers given one by one.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_at(servers: Vec<ServerAddress>, options: MemcachedOptions) -> Result<MemcachedTier, SetupError> {
        if servers.is_empty() {
            return Err(SetupError::new("a Memcached tier without a server", "name at least one"));
        }
        check_prefix(&options.prefix)?;
        let Ok(runtime) = options.runtime.clone().map_or_else(Handle::try_current, Ok) else {
            return Err(SetupError::new(
                "a Memcached tier was opened outside a tokio runtime",
                "open it inside one, or name one in its options",
            ));
        };
        let name = name::of_roster(&options.prefix);
        let fleet = Fleet::open(name, servers, &options, runtime.clone());
        // Whoever learns of other servers learns it from the roll call after they came into use, or from the next.
        let recent = Recent::new(options.roll_call * 3 + options.answer_timeout);
        let inner = Arc::new(Inner { options, fleet, recent, counters: Counters::default() });
        let steward = runtime.spawn(look_after(inner.clone())).abort_handle();
        Ok(MemcachedTier { inner, steward })
    }

    /// What it has done, and how its servers are.
    pub fn counts(&self) -> MemcachedCounts {
        let Inner { fleet, counters, .. } = &*self.inner;
        let known = fleet.known();
        let nodes = &known.nodes;
        MemcachedCounts {
            calls: counters.calls.get(),
            unreachable: counters.unreachable.get(),
            full: counters.full.get(),
            unfit: counters.unfit.get(),
            failed: counters.failed.get(),
            contended: counters.contended.get(),
            untrusted: counters.untrusted.get(),
            misread: counters.misread.counts().to_vec(),
            follows: fleet.follows(),
            servers: nodes.iter().map(|node| (node.label.clone(), node.is_up() == Some(true))).collect(),
            troubles: nodes.iter().filter_map(|node| Some((node.label.clone(), trouble_of(node)?))).collect(),
        }
    }

    /// Servers that can't be used, each with the reason: it waits until all were tried once.
    pub async fn check(&self) -> Vec<(String, String)> {
        let all = self.inner.fleet.all();
        join_all(all.iter().map(|node| node.settled())).await;
        all.iter().filter_map(|node| Some((node.label.clone(), node.trouble()?))).collect()
    }

    /// Before the process ends: what it changed on servers that others don't use any more is removed where they look.
    pub async fn leave(&self) {
        self.inner.compare_notes().await;
    }

    /// Writes a little to every server that can be reached: whether it takes writes is known then although nobody asks.
    pub async fn probe(&self) {
        let prefix = String::from_utf8_lossy(&self.inner.options.prefix);
        let known = self.inner.fleet.known();
        join_all(known.nodes.iter().filter(|node| node.is_up() == Some(true)).map(async |node| {
            let name = Bytes::from(format!("{}{prefix}probe:{:016x}", char::from(name::OWN), fastrand::u64(..)));
            let data = Bytes::from_static(&[0; bellwether_envelope::HEADER]);
            let set = Request::Set { name, swap: Swap::Absent, ttl: Some(1), flags: 0, data };
            // What comes of it is noted on the way.
            let _ = self.inner.call(node, set).await;
        }))
        .await;
    }

    /// Which server has a key now, as `host:port`.
    pub fn server_of(&self, key: &[u8]) -> String {
        let name = Name::new(&self.inner.options.prefix, key);
        self.inner.fleet.known().ring.owner_label(&name.stored).to_owned()
    }
}

impl Drop for MemcachedTier {
    fn drop(&mut self) {
        self.steward.abort();
    }
}

fn check_prefix(prefix: &[u8]) -> Result<(), SetupError> {
    let wrong =
        |problem: &str| SetupError::new(problem, "write a short word and a colon, such as \"bw:\"").about("prefix");
    match prefix {
        [] => Ok(()),
        [name::OWN, ..] => Err(wrong("the prefix begins with '~', as what belongs to the tier itself does")),
        _ if prefix.len() > LONGEST_PREFIX => Err(wrong("the prefix is longer than 100 bytes")),
        _ if !name::is_a_name(prefix) => Err(wrong("the prefix has a space or a control character")),
        _ => Ok(()),
    }
}

/// Says which servers are in use once all were heard that can be, and compares notes from then on.
async fn look_after(inner: Arc<Inner>) {
    let fleet = &inner.fleet;
    join_all(fleet.own().iter().map(|node| node.settled())).await;
    while !fleet.own().iter().any(|node| node.is_up() == Some(true)) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    fleet.enter();
    loop {
        inner.compare_notes().await;
        fleet.review();
        // Elapsed or moved: the next roll call is due.
        let _ = tokio::time::timeout(inner.options.roll_call, fleet.moved()).await;
    }
}

impl Tier for MemcachedTier {
    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Found, TierError>> {
        async move {
            let name = Name::new(&self.inner.options.prefix, key);
            Ok(found(self.inner.look(&name).await?))
        }
        .boxed()
    }

    fn acquire<'a>(&'a self, key: &'a [u8], ask: Ask) -> BoxFuture<'a, Result<Acquired, TierError>> {
        let Ask { lease, mode, holds, at_least, draw } = ask;
        let asked = cell::Ask { lease, mode, holds, at_least, draw };
        let decide = move |_: &Name, slot: &Slot| {
            let (reply, next) = Cell::acquire(slot.cell, asked, slot.now);
            let answer = acquired(&reply, slot)?;
            Ok(match (answer, next) {
                (answer @ Acquired::Granted { .. }, Some(next)) => Step::Write { next, body: None, reply: answer },
                (answer, _) => Step::Done(answer),
            })
        };
        self.inner.step(key, For::Load, decide).boxed()
    }

    fn publish<'a>(&'a self, key: &'a [u8], token: Fence, envelope: Entry) -> BoxFuture<'a, Result<Stored, TierError>> {
        let decide = move |name: &Name, slot: &Slot| {
            let (entry, bytes) = self.inner.sealed(name, slot, token, &envelope)?;
            Ok(match Cell::publish(slot.cell, token, entry, slot.now.tick()) {
                Some(next) => Step::Write { next, body: Some(bytes), reply: Stored::Yes(token) },
                None => Step::Done(Stored::Refused),
            })
        };
        self.inner.step(key, For::Load, decide).boxed()
    }

    fn renew<'a>(&'a self, key: &'a [u8], token: Fence, lease: Span) -> BoxFuture<'a, Result<bool, TierError>> {
        let decide = move |_: &Name, slot: &Slot| {
            Ok(match Cell::renew(slot.cell, token, lease, slot.now.tick()) {
                Some(next) => Step::Write { next, body: None, reply: true },
                None => Step::Done(false),
            })
        };
        self.inner.step(key, For::Load, decide).boxed()
    }

    fn release<'a>(
        &'a self,
        key: &'a [u8],
        token: Fence,
        failed: Option<(Span, FailClass)>,
    ) -> BoxFuture<'a, Result<bool, TierError>> {
        let decide = move |_: &Name, slot: &Slot| {
            Ok(match Cell::release(slot.cell, token, failed, slot.now.tick()) {
                Ok(Some(next)) => Step::Write { next, body: None, reply: true },
                Ok(None) => Step::Delete(true),
                Err(()) => Step::Done(false),
            })
        };
        self.inner.step(key, For::Load, decide).boxed()
    }

    fn invalidate<'a>(
        &'a self,
        key: &'a [u8],
        verb: Invalidation,
        at_least: Fence,
        late: Span,
    ) -> BoxFuture<'a, Result<Raised, TierError>> {
        self.inner.invalidate(key, verb, at_least, late).boxed()
    }

    fn write<'a>(&'a self, key: &'a [u8], how: Write, envelope: Entry) -> BoxFuture<'a, Result<Wrote, TierError>> {
        let Write { when, late, reads, at_least } = how;
        let decide = move |name: &Name, slot: &Slot| {
            // What may be newer stays for whoever removes what may be older.
            let late = slot.at_most(late);
            let fence = late.and_then(|late| Cell::may_write(slot.cell, when, late, at_least, slot.now));
            self.inner.written(name, slot, fence, reads, &envelope)
        };
        self.inner.step(key, For::Change, decide).boxed()
    }

    fn change<'a>(
        &'a self,
        key: &'a [u8],
        change: Change,
        at_least: Fence,
        _within: Span,
    ) -> BoxFuture<'a, Result<Wrote, TierError>> {
        if change == Change::Take {
            return taken::take(&self.inner, key, at_least).boxed();
        }
        let decide = move |_: &Name, slot: &Slot| {
            let before = found(slot.clone());
            Ok(match Cell::change(slot.cell, change, at_least, slot.now) {
                None => Step::Done(Wrote { stored: None, before }),
                Some((fence, next)) => {
                    let last = slot.now.tick() + Span(LONGEST_MS);
                    let next = Cell {
                        fresh_until: next.fresh_until.min(last),
                        swr_until: next.swr_until.min(last),
                        hard_until: next.hard_until.min(last),
                        ..next
                    };
                    Step::Write { next, body: None, reply: Wrote { stored: Some(fence), before } }
                }
            })
        };
        self.inner.step(key, For::Change, decide).boxed()
    }

    fn verify<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Verified, TierError>> {
        async move {
            let name = Name::new(&self.inner.options.prefix, key);
            let slot = self.inner.look(&name).await?;
            let held = slot.envelope.as_ref().filter(|held| !is_expired(&held.header));
            let alive = cell::alive(slot.cell, slot.now.tick()).filter(|cell| cell.is_resident(slot.now.tick()));
            Ok(held.and(alive).map_or(Verified::Gone, |cell| Verified::Holds(cell.fence)))
        }
        .boxed()
    }

    fn nodes(&self) -> usize {
        self.inner.fleet.known().nodes.len()
    }

    fn salts(&self, key: &[u8], most: usize) -> Vec<u32> {
        let known = self.inner.fleet.known();
        let owner = |key: &[u8]| known.ring.owner(&Name::new(&self.inner.options.prefix, key).stored);
        split::salts(key, most, |name| Some(owner(name)))
    }
}
