//! How does a call of the tier become commands, and their answers what the engine wants to know?

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bellwether::shared::{
    Acquired, Ask, Change, Draw, Envelope, Found, Mode, Raised, TierError, TierTrouble, Verified, Write, Wrote,
};
use bellwether::{Fence, Invalidation, Span};
use bellwether_envelope::{Header, Unreadable};
use bytes::Bytes;
use futures_util::future::try_join_all;
use redis::{Cmd, Value};

use super::RedisTier;
use super::clock::NodeClock;
use super::commands::{SHORT, bytes_of, head, range, short};
use super::entry::{found, windows};
use super::fault::Fault;
use super::lane::Purpose;
use super::node::Node;
use super::options::Reads;
use super::route::{Answer, Question};
use super::script::{self, Acquire, Body, Call, Words};
use super::waiting::Waiting;
use crate::tiers::wire::{is_expired, seal};

/// Header and extensions of ours beside a body.
const AROUND: u64 = 128 * 1024;
/// Keys asked for in one write.
const BATCH: usize = 128;
/// A key that is written to see whether it can be goes by itself after so long.
const PROBE: Span = Span::secs(1);
/// A damaged cell is removed and asked for again, so often.
const MENDS: u32 = 1;

impl RedisTier {
    pub(super) fn stored(&self, key: &[u8]) -> Vec<u8> {
        [&self.common.options.prefix[..], key].concat()
    }

    pub(super) fn tombstone_ms(&self) -> u64 {
        Span::from(self.common.options.tombstone).0
    }

    /// Counts a call by how it ended.
    pub(super) fn count<T>(&self, result: Result<T, TierError>) -> Result<T, TierError> {
        let counters = &self.common.counters;
        counters.calls.add();
        if let Err(error) = &result {
            match error.kind {
                TierTrouble::Unreachable | TierTrouble::ReadOnly | TierTrouble::Denied | TierTrouble::NotReady => {
                    &counters.unreachable
                }
                TierTrouble::Full => &counters.full,
                TierTrouble::WrongType => &counters.wrong_type,
                TierTrouble::Unfit => &counters.unfit,
                TierTrouble::Failed => &counters.failed,
            }
            .add();
        }
        result
    }

    pub(super) async fn ask(
        &self,
        question: Question<'_>,
        command: impl Fn(bool) -> Cmd + Send + Sync,
    ) -> Result<Answer, TierError> {
        self.route.ask(&self.common, &question, command).await
    }

    /// Calls a script, and learns the node's time from its answer.
    pub(super) async fn run(&self, key: &[u8], call: &Call, twice: bool) -> Result<(Words, Arc<Node>), TierError> {
        let large = call.length() > SHORT;
        if large {
            self.common.counters.large.add();
        }
        self.run_by(key, call, twice, if large { Purpose::Bulk } else { Purpose::Main }).await
    }

    pub(super) async fn run_by(
        &self,
        key: &[u8],
        call: &Call,
        twice: bool,
        purpose: Purpose,
    ) -> Result<(Words, Arc<Node>), TierError> {
        let question = Question { key, purpose, read: false, twice };
        let answer = self.ask(question, |in_full| if in_full { call.in_full(key) } else { call.by_hash(key) }).await?;
        let words = Words::of(answer.value).map_err(|fault| fault.into_error(&answer.node.label))?;
        answer.node.clock.ordered(answer.asked, words.now_us);
        Ok((words, answer.node))
    }

    /// The time of whoever orders what happens to `key`.
    pub(super) async fn now_ms(&self, key: &[u8]) -> Result<u64, TierError> {
        self.time(key, NodeClock::now_ms).await
    }

    async fn time(&self, key: &[u8], read: impl Fn(&NodeClock) -> Option<u64>) -> Result<u64, TierError> {
        let unknown = |fault: Fault| fault.into_error("the Redis");
        let node = self.route.owner(key).await.map_err(unknown)?;
        if let Some(now) = read(&node.clock) {
            return Ok(now);
        }
        node.ask_time().await.map_err(|fault| fault.into_error(&node.label))?;
        read(&node.clock).ok_or_else(|| unknown(Fault::Other("its clock can't be read".into())))
    }

    /// What its time is at least, in us, of whoever orders what happens to `key`: of a call that is sent now and done who
    /// knows when. 0: it never said.
    pub(super) async fn sent_us(&self, key: &[u8]) -> u64 {
        self.route.owner(key).await.ok().and_then(|node| node.clock.lowest_us()).unwrap_or_default()
    }

    /// How long ago something was by the clock of whoever orders what happens to `key`; zero if that one was set back since,
    /// or it was not this one that ordered then.
    pub(super) async fn by_its_clock(&self, key: &[u8], ago: Span) -> Span {
        if ago == Span::ZERO {
            return ago;
        }
        let steady = self.route.owner(key).await.is_ok_and(|node| node.clock.is_steady_for(ago.into()));
        if steady { ago } else { Span::ZERO }
    }

    /// One plain read of what is short, and who answered.
    pub(super) async fn read(&self, key: &[u8]) -> Result<(Bytes, Arc<Node>), TierError> {
        let question = Question { key, purpose: Purpose::Main, read: true, twice: true };
        let Answer { value, node, .. } = self.ask(question, |_| short(key)).await?;
        Ok((bytes_of(value).map_err(|fault| fault.into_error(&node.label))?, node))
    }

    /// What bytes that `node` answered mean; the rest is fetched if they are only a beginning.
    pub(super) async fn understood(&self, key: &[u8], bytes: Bytes, node: &Arc<Node>) -> Result<Found, TierError> {
        if bytes.is_empty() {
            return Ok(Found::Nothing { lease: None });
        }
        // Whoever answers orders what happens to the key, and its time is known: nothing more is asked.
        if self.common.options.reads == Reads::Primary
            && bytes.len() < SHORT
            && let Some(now_ms) = node.clock.now_ms()
            && let Ok(found) = found(key, &bytes, now_ms, self.common.options.max_value)
        {
            return Ok(found);
        }
        Box::pin(self.examined(key, bytes, node)).await
    }

    /// The same, whatever has to be asked for it.
    async fn examined(&self, key: &[u8], bytes: Bytes, node: &Arc<Node>) -> Result<Found, TierError> {
        if bytes.len() < SHORT {
            let read = found(key, &bytes, self.now_ms(key).await?, self.common.options.max_value);
            match read {
                Ok(found) => return Ok(found),
                // Asked again together with its end: both are of one moment.
                Err(Unreadable::NotOurs) => {}
                Err(why) => {
                    if why == Unreadable::BadCrc {
                        // Written for another key, perhaps: an answer to somebody else's question.
                        node.check_step(Purpose::Main).await;
                    }
                    return Ok(self.misread(why));
                }
            }
            return self.whole(key, Purpose::Main).await;
        }
        self.whole(key, Purpose::Bulk).await
    }

    /// A miss, counted.
    pub(super) fn misread(&self, why: Unreadable) -> Found {
        self.common.counters.misread.count(why);
        Found::Nothing { lease: None }
    }

    /// All of a cell, with its end, up to the limit.
    pub(super) async fn whole(&self, key: &[u8], purpose: Purpose) -> Result<Found, TierError> {
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

    pub(super) async fn acquired(&self, key: &[u8], ask: Ask) -> Result<Acquired, TierError> {
        let ask = Ask { lease: ask.lease.max(Span(1)), ..ask };
        let mut mends = 0;
        loop {
            let (words, node) = self.run(key, &script::acquire(&ask, SHORT), false).await?;
            let now_ms = words.now_us / 1000;
            let damaged = match words.acquire().map_err(|fault| fault.into_error(&node.label))? {
                Acquire::Granted { token, stale } => {
                    node.health.wrote(&node.label);
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
            self.invalidated(key, Invalidation::Remove, Fence::ZERO, Span::ZERO).await?;
        }
    }

    /// A body that a script handed over, or that it is too long for.
    pub(super) async fn body(&self, key: &[u8], body: Body, now_ms: u64) -> Result<Found, TierError> {
        match body {
            Body::None => Ok(Found::Nothing { lease: None }),
            Body::Longer(_) => self.whole(key, Purpose::Bulk).await,
            Body::Here(bytes) => {
                Ok(found(key, &bytes, now_ms, self.common.options.max_value).unwrap_or_else(|why| self.misread(why)))
            }
        }
    }

    /// What may rescue a load that fails: of no use to anybody if it can't be had, so that is no error.
    pub(super) async fn stale(&self, key: &[u8], body: Body, now_ms: u64) -> Option<Envelope> {
        match self.body(key, body, now_ms).await {
            Ok(Found::Entry { envelope, .. }) => Some(envelope),
            _ => None,
        }
    }

    pub(super) async fn invalidated(
        &self,
        key: &[u8],
        verb: Invalidation,
        at_least: Fence,
        late: Span,
    ) -> Result<Raised, TierError> {
        let call = script::invalidate(verb, self.tombstone_ms(), at_least, self.sent_us(key).await, late);
        let (mut words, node) = self.run(key, &call, true).await?;
        let odd = |fault: Fault| fault.into_error(&node.label);
        let fence = words.fence().map_err(odd)?;
        let was_resident = words.natural().map_err(odd)? == 1;
        Ok(Raised { fence, was_resident, salts: words.salts().map_err(odd)? })
    }

    pub(super) async fn wrote(&self, key: &[u8], how: Write, envelope: &Envelope) -> Result<Wrote, TierError> {
        let (bytes, windows) = self.sealed(key, envelope)?;
        let longest = if how.reads { u64::from(self.common.options.max_value) + AROUND } else { 0 };
        let call = script::write(how, longest, self.sent_us(key).await, windows, bytes);
        Ok(self.wrote_by(key, &call).await?.0)
    }

    pub(super) async fn changed(
        &self,
        key: &[u8],
        change: Change,
        at_least: Fence,
        within: Span,
    ) -> Result<Wrote, TierError> {
        let most = u64::from(self.common.options.max_value);
        // The last quarter is for its answer to come back.
        let until_us = self.time(key, NodeClock::earliest_us).await? + within.0 * 1000 * 3 / 4;
        let call = script::change(change, at_least, most + AROUND, self.tombstone_ms(), until_us);
        match self.wrote_by(key, &call).await? {
            (_, Some(length)) => Err(too_long(length, most)),
            (wrote, None) => Ok(wrote),
        }
    }

    /// What a script did that says what was there before; its length, if it is too long to be handed over.
    async fn wrote_by(&self, key: &[u8], call: &Call) -> Result<(Wrote, Option<u64>), TierError> {
        let (mut words, node) = self.run(key, call, false).await?;
        let odd = |fault: Fault| fault.into_error(&node.label);
        let (status, now_ms) = (words.status, words.now_us / 1000);
        if status == TOO_LATE {
            return Err(TierError {
                kind: TierTrouble::Unreachable,
                text: format!("{} came to it too late", node.label),
            });
        }
        let fence = words.fence().map_err(odd)?;
        let (left, body) = (words.left().map_err(odd)?, words.body().map_err(odd)?);
        let mut longer = None;
        let before = match body {
            Body::Here(bytes) => match found(key, &bytes, now_ms, self.common.options.max_value) {
                Ok(found) => found,
                Err(Unreadable::NotOurs) => Found::Foreign { body: bytes, left },
                Err(why) => self.misread(why),
            },
            Body::Longer(length) => {
                longer = Some(length);
                Found::Nothing { lease: None }
            }
            Body::None => Found::Nothing { lease: None },
        };
        Ok((Wrote { stored: (status == 1).then_some(fence), before }, longer))
    }

    pub(super) fn sealed(&self, key: &[u8], envelope: &Envelope) -> Result<(Vec<u8>, script::Windows), TierError> {
        let (length, most) = (envelope.body.len() as u64, u64::from(self.common.options.max_value));
        if length > most {
            return Err(too_long(length, most));
        }
        Ok((seal(key, envelope, false, self.common.options.packing)?, windows(envelope)))
    }

    /// Whether a script said yes: then it has stored something.
    pub(super) async fn said_yes(&self, key: &[u8], call: &Call, twice: bool) -> Result<bool, TierError> {
        let (words, node) = self.run(key, call, twice).await?;
        if words.status == 1 {
            node.health.wrote(&node.label);
        }
        Ok(words.status == 1)
    }

    /// Writes a little to every server that takes writes, by the way of all leases: whether they do is known then
    /// although nobody asks.
    pub async fn probe(&self) {
        let Ok(nodes) = self.route.primaries().await else { return };
        for node in nodes {
            let Some(key) = self.route.key_at(&node, || self.stored(&probe_name())).await else { continue };
            let draw = Draw(fastrand::u64(..));
            let ask = Ask { lease: PROBE, mode: Mode::Miss, holds: Fence::ZERO, at_least: Fence::ZERO, draw };
            // What comes of it is noted on the way.
            if let Ok(Acquired::Granted { token, .. }) = self.acquired(&key, ask).await {
                let _ = self.run(&key, &script::release(token, None), false).await;
            }
        }
    }

    pub(super) async fn found_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Found>, TierError> {
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

    /// What a replica that is in step holds under `key`. None that can't be read as an entry, or not soon: the primary is
    /// asked then.
    pub(super) async fn found_at_replica(&self, key: &[u8], lag: Duration) -> Option<Found> {
        let node = self.route.near(key, lag).await?;
        let patience = self.common.options.patience;
        let bytes = async {
            let bytes = bytes_of(node.call(Purpose::Main, &short(key)).await.ok()?).ok()?;
            if bytes.len() < SHORT {
                return Some(bytes);
            }
            self.common.counters.large.add();
            let most = u64::from(self.common.options.max_value) + AROUND;
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            bytes_of(node.call(Purpose::Bulk, &range(key, most)).await.ok()?).ok()
        };
        let Ok(Some(bytes)) = tokio::time::timeout(patience, bytes).await else {
            node.step.doubt();
            return None;
        };
        match found(key, &bytes, self.now_ms(key).await.ok()?, self.common.options.max_value) {
            Ok(entry @ Found::Entry { .. }) => Some(entry),
            _ => None,
        }
    }

    /// Some keys of one node in one write.
    pub(super) async fn batch(
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
            let (bytes, node) = match answer {
                Value::BulkString(bytes) => (bytes.into(), node.clone()),
                Value::ServerError(error) if matches!(Fault::answered(&error), Fault::WrongType) => {
                    (Bytes::new(), node.clone())
                }
                _ => self.read(key).await?,
            };
            Ok((at, self.understood(key, bytes, &node).await?))
        };
        try_join_all(places.iter().zip(answers).map(|(at, answer)| one(*at, answer))).await
    }

    pub(super) async fn until_changed(&self, key: &[u8]) {
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

    pub(super) async fn verified(&self, key: &[u8]) -> Result<Verified, TierError> {
        let question = Question { key, purpose: Purpose::Main, read: false, twice: true };
        let answer = self.ask(question, |_| head(key)).await?;
        let bytes = bytes_of(answer.value).map_err(|fault| fault.into_error(&answer.node.label))?;
        let Ok(header) = Header::read(&bytes) else { return Ok(Verified::Gone) };
        let resident =
            header.kind.has_body() && !is_expired(&header) && self.now_ms(key).await? < header.stamp.hard_until;
        Ok(if resident { Verified::Holds(Fence(header.stamp.fence)) } else { Verified::Gone })
    }
}

/// No key of anybody's.
fn probe_name() -> Vec<u8> {
    format!("@@probe:{:016x}", fastrand::u64(..)).into_bytes()
}

/// What a script says that did nothing because nobody waits for it any more.
const TOO_LATE: i64 = 2;

fn too_long(length: u64, most: u64) -> TierError {
    TierError {
        kind: TierTrouble::Unfit,
        text: format!("a value of {length} bytes is longer than the limit of {most}"),
    }
}
