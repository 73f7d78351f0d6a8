//! How do entries live in Redis or Valkey? One string per key: header, lease and payload, in which seven scripts alone
//! write the server block.
//!
//! [`RedisTier`] is a [`Tier`] on one server (TCP, TLS, unix socket), on a cluster, or on whatever primary sentinels
//! name. Nothing needs to be there when it is opened: it connects when it is first asked, and while it can't, every call
//! is over at once.
//!
//! A hit is one `GETRANGE key 0 65535`: a plain `GET` for all that is short, and a bound on what anybody can make us
//! take in for all that is not. What is longer is fetched over a connection of its own, up to a limit.

mod breaker;
mod check;
mod clock;
mod cluster;
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
mod url;
mod waits;

#[cfg(test)]
mod differential;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bellwether::shared::{Acquired, Ask, Envelope, Found, Raised, Stored, Tier, TierError, TierTrouble, Verified};
use bellwether::{FailClass, Fence, Invalidation, Span};
use bellwether_envelope::{Header, Unreadable};
use bytes::Bytes;
pub use check::{Problem, Report, Weight};
pub use counters::{NodeState, RedisCounts};
use futures_util::future::{BoxFuture, FutureExt, try_join_all};
pub use options::{Reads, RedisAuth, RedisOptions, RedisTls};
use redis::{Cmd, Value};
pub use url::{RedisAddress, RedisShape, RedisTarget};

use self::common::Common;
use self::entry::{found, held, windows};
use self::fault::Fault;
use self::lane::Purpose;
use self::node::Node;
use self::route::{Answer, Question, Route};
use self::script::{Acquire, Body, Call, Words};
use crate::SetupError;
use crate::tiers::wire::{is_expired, seal};

/// What is longer travels over a connection of its own.
const SHORT: usize = 64 * 1024;
/// Header and extensions of ours beside a body.
const AROUND: u64 = 128 * 1024;
/// Keys asked for in one write.
const BATCH: usize = 128;
/// A damaged cell is removed and asked for again, so often.
const MENDS: u32 = 1;

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
            opened: counters.opened.get(),
            script_fallbacks: counters.script_fallbacks.get(),
            redirects: counters.redirects.get(),
            large: counters.large.get(),
            woken: counters.woken.get(),
            misread: counters.misread.counts().to_vec(),
            nodes: self.route.states(u64::try_from(wall).unwrap_or(u64::MAX)),
        }
    }

    fn stored(&self, key: &[u8]) -> Vec<u8> {
        [&self.common.options.prefix[..], key].concat()
    }

    fn tombstone_ms(&self) -> u64 {
        Span::from(self.common.options.tombstone).0
    }

    /// Counts a call by how it ended.
    fn count<T>(&self, result: Result<T, TierError>) -> Result<T, TierError> {
        let counters = &self.common.counters;
        counters.calls.add();
        if let Err(error) = &result {
            match error.kind {
                TierTrouble::Unreachable => &counters.unreachable,
                TierTrouble::Full => &counters.full,
                TierTrouble::WrongType => &counters.wrong_type,
                TierTrouble::Unfit => &counters.unfit,
                TierTrouble::Failed => &counters.failed,
            }
            .add();
        }
        result
    }

    async fn ask(
        &self,
        question: Question<'_>,
        command: impl Fn(bool) -> Cmd + Send + Sync,
    ) -> Result<Answer, TierError> {
        self.route.ask(&self.common, &question, command).await
    }

    /// Calls a script, and learns the node's time from its answer.
    async fn run(&self, key: &[u8], call: &Call, twice: bool) -> Result<(Words, Arc<Node>), TierError> {
        let large = call.length() > SHORT;
        if large {
            self.common.counters.large.add();
        }
        self.run_by(key, call, twice, if large { Purpose::Bulk } else { Purpose::Main }).await
    }

    async fn run_by(
        &self,
        key: &[u8],
        call: &Call,
        twice: bool,
        purpose: Purpose,
    ) -> Result<(Words, Arc<Node>), TierError> {
        let question = Question { key, purpose, read: false, twice };
        let answer = self.ask(question, |in_full| if in_full { call.in_full(key) } else { call.by_hash(key) }).await?;
        let words = Words::of(answer.value).map_err(|fault| fault.into_error(&answer.node.label))?;
        answer.node.clock.sample(answer.asked, words.now_us);
        Ok((words, answer.node))
    }

    /// The time of whoever orders what happens to `key`.
    async fn now_ms(&self, key: &[u8]) -> Result<u64, TierError> {
        let unknown = |fault: Fault| fault.into_error("the Redis");
        let node = self.route.owner(key).await.map_err(unknown)?;
        if let Some(now) = node.clock.now_ms() {
            return Ok(now);
        }
        node.ask_time().await.map_err(|fault| fault.into_error(&node.label))?;
        node.clock.now_ms().ok_or_else(|| unknown(Fault::Other("its clock can't be read".into())))
    }

    /// One plain read of what is short.
    async fn read(&self, key: &[u8]) -> Result<Bytes, TierError> {
        let question = Question { key, purpose: Purpose::Main, read: true, twice: true };
        let answer = self.ask(question, |_| short(key)).await?;
        bytes_of(answer.value).map_err(|fault| fault.into_error(&answer.node.label))
    }

    /// What bytes that were found mean; the rest is fetched if they are only a beginning.
    async fn understood(&self, key: &[u8], bytes: Bytes) -> Result<Found, TierError> {
        if bytes.is_empty() {
            return Ok(Found::Nothing { lease: None });
        }
        if bytes.len() < SHORT {
            let read = found(key, &bytes, self.now_ms(key).await?, self.common.options.max_value);
            match read {
                Ok(found) => return Ok(found),
                // Asked again together with its end: both are of one moment.
                Err(Unreadable::NotOurs) => {}
                Err(why) => return Ok(self.misread(why)),
            }
            return self.whole(key, Purpose::Main).await;
        }
        self.whole(key, Purpose::Bulk).await
    }

    /// A miss, counted.
    fn misread(&self, why: Unreadable) -> Found {
        self.common.counters.misread.count(why);
        Found::Nothing { lease: None }
    }

    /// All of a cell, with its end, up to the limit.
    async fn whole(&self, key: &[u8], purpose: Purpose) -> Result<Found, TierError> {
        if purpose == Purpose::Bulk {
            self.common.counters.large.add();
        }
        let most = u64::from(self.common.options.max_value);
        let (mut words, node) = self.run_by(key, &script::look(most + AROUND), true, purpose).await?;
        let odd = |fault: Fault| fault.into_error(&node.label);
        let now_ms = words.now_us / 1000;
        let (left, body) = (words.left().map_err(odd)?, words.body().map_err(odd)?);
        let bytes = match body {
            Body::None => return Ok(Found::Nothing { lease: None }),
            Body::Longer(length) => return Err(too_long(length, most)),
            Body::Here(bytes) => bytes,
        };
        match found(key, &bytes, now_ms, self.common.options.max_value) {
            Ok(found) => Ok(found),
            Err(Unreadable::NotOurs) if bytes.len() as u64 > most => Err(too_long(bytes.len() as u64, most)),
            Err(Unreadable::NotOurs) => {
                self.common.counters.misread.count(Unreadable::NotOurs);
                Ok(Found::Foreign { body: bytes, left })
            }
            Err(why) => Ok(self.misread(why)),
        }
    }

    async fn acquired(&self, key: &[u8], ask: Ask) -> Result<Acquired, TierError> {
        let ask = Ask { lease: ask.lease.max(Span(1)), ..ask };
        let mut mends = 0;
        loop {
            let (words, node) = self.run(key, &script::acquire(&ask, SHORT), false).await?;
            let now_ms = words.now_us / 1000;
            let damaged = match words.acquire().map_err(|fault| fault.into_error(&node.label))? {
                Acquire::Granted { token, stale } => {
                    return Ok(Acquired::Granted { token, stale: self.stale(key, stale, now_ms).await });
                }
                Acquire::Denied { left, stale } => {
                    return Ok(Acquired::Denied { left, stale: self.stale(key, stale, now_ms).await });
                }
                Acquire::Failed { left, class } => return Ok(Acquired::Failed { left, class }),
                Acquire::HitForMiss { left } => return Ok(Acquired::HitForMiss { left }),
                Acquire::Fresh(body) => match self.body(key, body, now_ms).await? {
                    Found::Entry { envelope, .. } => return Ok(Acquired::Fresh(envelope)),
                    _ => "an entry that can't be read",
                },
                Acquire::Foreign { left, body: Body::None } => {
                    return Ok(Acquired::Foreign { body: Bytes::new(), left });
                }
                Acquire::Foreign { left, body: Body::Here(body) } => {
                    match found(key, &body, now_ms, self.common.options.max_value) {
                        Err(Unreadable::NotOurs) => {
                            self.common.counters.misread.count(Unreadable::NotOurs);
                            return Ok(Acquired::Foreign { body, left });
                        }
                        Ok(_) => "a cell that scripts don't know",
                        Err(why) => {
                            self.common.counters.misread.count(why);
                            "a damaged cell"
                        }
                    }
                }
                Acquire::Foreign { body: Body::Longer(_), .. } => match self.whole(key, Purpose::Bulk).await? {
                    Found::Foreign { body, left } => return Ok(Acquired::Foreign { body, left }),
                    _ => "a cell that has just changed",
                },
            };
            // It would be handed over for ever, and never be of use.
            if mends >= MENDS {
                let text = format!("{} holds {damaged}, again", node.label);
                return Err(TierError { kind: TierTrouble::Failed, text });
            }
            mends += 1;
            self.invalidated(key, Invalidation::Remove, Fence::ZERO).await?;
        }
    }

    /// A body that a script handed over, or that it is too long for.
    async fn body(&self, key: &[u8], body: Body, now_ms: u64) -> Result<Found, TierError> {
        match body {
            Body::None => Ok(Found::Nothing { lease: None }),
            Body::Longer(_) => self.whole(key, Purpose::Bulk).await,
            Body::Here(bytes) => {
                Ok(found(key, &bytes, now_ms, self.common.options.max_value).unwrap_or_else(|why| self.misread(why)))
            }
        }
    }

    /// What may rescue a load that fails: of no use to anybody if it can't be had, so that is no error.
    async fn stale(&self, key: &[u8], body: Body, now_ms: u64) -> Option<Envelope> {
        match self.body(key, body, now_ms).await {
            Ok(Found::Entry { envelope, .. }) => Some(envelope),
            _ => None,
        }
    }

    async fn invalidated(&self, key: &[u8], verb: Invalidation, at_least: Fence) -> Result<Raised, TierError> {
        let call = script::invalidate(verb, self.tombstone_ms(), at_least);
        let (mut words, node) = self.run(key, &call, true).await?;
        let odd = |fault: Fault| fault.into_error(&node.label);
        let fence = words.fence().map_err(odd)?;
        Ok(Raised { fence, was_resident: words.natural().map_err(odd)? == 1 })
    }

    fn sealed(&self, key: &[u8], envelope: &Envelope) -> Result<(Vec<u8>, script::Windows), TierError> {
        let (length, most) = (envelope.body.len() as u64, u64::from(self.common.options.max_value));
        if length > most {
            return Err(too_long(length, most));
        }
        Ok((seal(key, envelope, false, self.common.options.packing)?, windows(envelope)))
    }

    /// Whether a script said yes.
    async fn said_yes(&self, key: &[u8], call: &Call, twice: bool) -> Result<bool, TierError> {
        Ok(self.run(key, call, twice).await?.0.status == 1)
    }

    async fn found_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Found>, TierError> {
        let keys: Vec<Vec<u8>> = keys.iter().map(|key| self.stored(key)).collect();
        let mut groups: HashMap<String, (Arc<Node>, Vec<usize>)> = HashMap::new();
        for (at, key) in keys.iter().enumerate() {
            let node = self.route.reader(key).await.map_err(|fault| fault.into_error("the Redis"))?;
            groups.entry(node.label.clone()).or_insert_with(|| (node, Vec::new())).1.push(at);
        }
        let batches = groups.values().flat_map(|(node, places)| places.chunks(BATCH).map(move |some| (node, some)));
        let answers = try_join_all(batches.map(|(node, places)| self.batch(node, places, &keys))).await?;
        let mut founds: Vec<(usize, Found)> = answers.into_iter().flatten().collect();
        founds.sort_by_key(|(at, _)| *at);
        Ok(founds.into_iter().map(|(_, found)| found).collect())
    }

    /// Some keys of one node in one write.
    async fn batch(
        &self,
        node: &Arc<Node>,
        places: &[usize],
        keys: &[Vec<u8>],
    ) -> Result<Vec<(usize, Found)>, TierError> {
        let mut pipe = redis::pipe();
        for at in places {
            pipe.add_command(short(&keys[*at]));
        }
        let answers = match node.call_all(Purpose::Main, &pipe).await {
            Ok(answers) => answers,
            // A replica, perhaps, or one that is none any more: key by key whoever is right is found.
            Err(_) => places.iter().map(|_| Value::Nil).collect(),
        };
        let one = async |at: usize, answer: Value| {
            let key = &keys[at];
            let bytes = match answer {
                Value::BulkString(bytes) => bytes.into(),
                Value::ServerError(error) if matches!(Fault::answered(&error), Fault::WrongType) => Bytes::new(),
                _ => self.read(key).await?,
            };
            Ok((at, self.understood(key, bytes).await?))
        };
        try_join_all(places.iter().zip(answers).map(|(at, answer)| one(*at, answer))).await
    }

    async fn until_changed(&self, key: &[u8]) {
        let key = self.stored(key);
        if self.common.options.tracking
            && let Ok(node) = self.route.owner(&key).await
            && let Some(_waiting) = Waiting::until_changed(&node, &key, &self.common).await
        {
            return;
        }
        // Nobody can tell: whoever waits polls.
        std::future::pending::<()>().await;
    }
}

/// Somebody waits for a key, until this is dropped.
struct Waiting<'a> {
    node: &'a Arc<Node>,
    key: &'a [u8],
}

impl<'a> Waiting<'a> {
    /// Waits until the node says that `key` has changed. `None`: it can't tell.
    async fn until_changed(node: &'a Arc<Node>, key: &'a [u8], common: &Common) -> Option<Waiting<'a>> {
        let changed = node.waits.join(key)?;
        let waiting = Waiting { node, key };
        let mut notified = std::pin::pin!(changed.notified());
        notified.as_mut().enable();
        // Reading it is what makes the node tell of its next change.
        let mut cmd = redis::cmd("GETRANGE");
        cmd.arg(key).arg(0).arg(bellwether_envelope::HEADER - 1);
        let head = node.call(Purpose::Wait, &cmd).await.and_then(bytes_of).ok()?;
        // It may have changed before it was read: then nobody loads any more, and there is nothing to wait for.
        let now = node.clock.now_ms();
        let is_led = Header::read(&head).is_ok_and(|header| now.is_none_or(|now| held(&header, now).is_some()));
        if is_led {
            notified.await;
            common.counters.woken.add();
        }
        Some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.node.waits.leave(self.key);
    }
}

/// A plain read that is a `GET` for all that is short.
fn short(key: &[u8]) -> Cmd {
    let mut cmd = Cmd::with_capacity(4, key.len() + 32);
    cmd.arg("GETRANGE").arg(key).arg(0).arg(SHORT - 1);
    cmd
}

fn bytes_of(value: Value) -> Result<Bytes, Fault> {
    match value {
        Value::BulkString(bytes) => Ok(bytes.into()),
        Value::Nil => Ok(Bytes::new()),
        _ => Err(Fault::Other("a read answered something that it never should".into())),
    }
}

fn too_long(length: u64, most: u64) -> TierError {
    TierError {
        kind: TierTrouble::Unfit,
        text: format!("a value of {length} bytes is longer than the limit of {most}"),
    }
}

impl Tier for RedisTier {
    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Found, TierError>> {
        async move {
            let key = self.stored(key);
            let found = match self.read(&key).await {
                Ok(bytes) => self.understood(&key, bytes).await,
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
                Ok((bytes, windows)) => self.said_yes(&key, &script::publish(token, windows, bytes), false).await,
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
    ) -> BoxFuture<'a, Result<Raised, TierError>> {
        async move {
            let key = self.stored(key);
            self.count(self.invalidated(&key, verb, at_least).await)
        }
        .boxed()
    }

    fn put<'a>(&'a self, key: &'a [u8], fence: Fence, envelope: Envelope) -> BoxFuture<'a, Result<Stored, TierError>> {
        async move {
            let key = self.stored(key);
            let stored = match self.sealed(&key, &envelope) {
                Ok((bytes, windows)) => {
                    self.said_yes(&key, &script::put(fence, windows, self.tombstone_ms(), bytes), false).await
                }
                Err(error) => Err(error),
            };
            self.count(stored.map(|yes| if yes { Stored::Yes(fence) } else { Stored::Refused }))
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
}

impl RedisTier {
    async fn verified(&self, key: &[u8]) -> Result<Verified, TierError> {
        let question = Question { key, purpose: Purpose::Main, read: false, twice: true };
        let answer = self
            .ask(question, |_| {
                let mut cmd = redis::cmd("GETRANGE");
                cmd.arg(key).arg(0).arg(bellwether_envelope::HEADER - 1);
                cmd
            })
            .await?;
        let head = bytes_of(answer.value).map_err(|fault| fault.into_error(&answer.node.label))?;
        let Ok(header) = Header::read(&head) else { return Ok(Verified::Gone) };
        let resident =
            header.kind.has_body() && !is_expired(&header) && self.now_ms(key).await? < header.stamp.hard_until;
        Ok(if resident { Verified::Holds(Fence(header.stamp.fence)) } else { Verified::Gone })
    }
}
