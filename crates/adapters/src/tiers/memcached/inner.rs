//! How is one key of the fleet looked at and changed? A look, a decision, and a compare-and-swap that makes it one step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bellwether::shared::Envelope as Entry;
use bellwether::shared::{Found, Limit, Raised, TierError, TierTrouble, Wrote};
use bellwether::{Fence, Invalidation, Span};
use bellwether_core::cell::{Cell, What};
use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};

use super::counters::Counters;
use super::fault::Fault;
use super::fleet::Fleet;
use super::name::Name;
use super::node::Node;
use super::options::MemcachedOptions;
use super::proto::{Reply, Request, Swap};
use super::recent::Recent;
use super::slot::{LONGEST_S, Slot, seconds, stamp_of};
use super::step::{Step, found};
use crate::tiers::wire::{seal, windows};

/// So often a step is taken anew when somebody was quicker. Whoever was has moved the key on.
const TRIES: usize = 16;
/// A change does not give up so soon.
pub(super) const STUBBORN: usize = 64;
/// Changes that are done again at once on other servers.
const AGAIN_AT_ONCE: usize = 16;
/// Windows end within what Memcached takes for a time to live, and what is added to it.
pub(super) const LONGEST_MS: u64 = (LONGEST_S - 2) * 1000;

/// What a tier is, for those who act on it.
pub(super) struct Inner {
    pub(super) options: MemcachedOptions,
    pub(super) fleet: Arc<Fleet>,
    pub(super) recent: Recent,
    pub(super) counters: Counters,
}

/// What a step is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// A load.
    Load,
    /// A change by somebody who is told that it is done.
    Change,
}

impl Inner {
    /// Compares notes with all servers, and does what follows from them.
    pub(super) async fn compare_notes(&self) {
        let (all, begun) = (self.fleet.all(), Instant::now());
        let answered = join_all(all.iter().map(|node| self.roll_call(node))).await;
        match self.fleet.left() {
            Some(left) => self.catch_up(left).await,
            None => self.recent.asked(begun, answered.into_iter().all(|answered| answered)),
        }
    }

    /// Compares notes with one server; whether it answered.
    async fn roll_call(&self, node: &Node) -> bool {
        let Some(link) = node.link() else { return false };
        let told = self.fleet.roll_call(&link, false);
        match tokio::time::timeout(self.options.answer_timeout, told).await {
            Ok(Ok(())) => true,
            Ok(Err(fault)) => {
                tracing::debug!(node = node.label, ?fault, "a roll call went unanswered");
                false
            }
            Err(_) => false,
        }
    }

    /// Others used another set of servers while this process still used `left`: what it changed there meanwhile, they
    /// have not seen. It is removed where they look.
    async fn catch_up(&self, left: String) {
        let is_done = match self.recent.take() {
            None => false,
            Some(changes) => {
                let known = self.fleet.known();
                let place =
                    |key: &[u8]| known.ring.owner_label(&Name::new(&self.options.prefix, key).stored).to_owned();
                // The last change counts: what was changed where all look is seen.
                let last: BTreeMap<_, _> =
                    changes.into_iter().map(|change| (change.key, (change.server, change.at))).collect();
                let unseen = last.into_iter().filter(|(key, (server, _))| place(key) != *server);
                let unseen: Vec<(Vec<u8>, Instant)> = unseen.map(|(key, (_, at))| (key, at)).collect();
                let remove = |(key, at): (Vec<u8>, Instant)| async move {
                    let ago = Span::ms(u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX));
                    self.invalidate(&key, Invalidation::Remove, Fence::ZERO, ago).await.is_ok()
                };
                stream::iter(unseen).map(remove).buffer_unordered(AGAIN_AT_ONCE).all(async |done| done).await
            }
        };
        if !is_done {
            self.fleet.was_used(left);
        }
    }

    pub(super) async fn call(&self, node: &Node, request: Request) -> Result<Reply, TierError> {
        self.counters.calls.add();
        let writes = matches!(request, Request::Set { .. });
        let answer = node.call(request).await;
        if writes && matches!(answer, Ok(Reply::Done)) {
            node.health.wrote(&node.label);
        }
        answer.map_err(|fault| {
            if let Fault::Full(why) = &fault {
                node.health.refused(&node.label, TierTrouble::Full, why);
            }
            match &fault {
                Fault::Down(_) | Fault::Lost(_) | Fault::Silent => self.counters.unreachable.add(),
                Fault::Full(_) => self.counters.full.add(),
                Fault::TooLarge => self.counters.unfit.add(),
                Fault::Refused(_) => self.counters.failed.add(),
            }
            fault.into_error(&node.label)
        })
    }

    /// The server that has a name.
    pub(super) fn node(&self, name: &Name) -> Result<Arc<Node>, TierError> {
        self.fleet.known().node(&name.stored).cloned().ok_or_else(|| failed("a tier without a server"))
    }

    /// The server that has a key that is about to be changed.
    pub(super) fn node_to_change(&self, key: &[u8], name: &Name) -> Result<Arc<Node>, TierError> {
        loop {
            let node = self.node(name)?;
            self.recent.note(key, &node.label);
            // Whoever catches up after this has seen the note.
            if Arc::ptr_eq(&node, &self.node(name)?) {
                return Ok(node);
            }
        }
    }

    /// What lies under a key's name.
    pub(super) async fn look(&self, name: &Name) -> Result<Slot, TierError> {
        self.slot(&*self.node(name)?, name).await
    }

    /// What lies under a name.
    pub(super) async fn slot(&self, node: &Node, name: &Name) -> Result<Slot, TierError> {
        if self.fleet.epoch() == 0 && node.is_up() != Some(false) {
            let settled = Limit::new(self.options.answer_timeout).wait(self.fleet.ready()).await;
            settled.ok_or_else(|| Fault::Down("no server was reached yet".to_owned()).into_error(&node.label))?;
        }
        let reply = self.call(node, Request::Get(name.stored.clone())).await?;
        let item = match reply {
            Reply::Found(item) => item,
            Reply::Nothing => return Ok(Slot::empty(wall_us())),
            Reply::TooLong(length) => {
                self.counters.unfit.add();
                let text = format!("a value of {length} bytes is longer than the limit");
                return Err(TierError { kind: TierTrouble::Unfit, text });
            }
            Reply::Done | Reply::Lost | Reply::Refused(_) => return Err(failed("an answer to another question")),
        };
        let trusted = self.fleet.trusts(item.flags, &name.stored, &node.label);
        let slot = Slot::of(&name.full, item, wall_us(), self.options.max_value, trusted);
        match slot.misread {
            Some(reason) => self.counters.misread.count(reason),
            None if slot.cell.is_none() => self.counters.untrusted.add(),
            None => {}
        }
        Ok(slot)
    }

    /// One step: looks, decides, and stores the decision if nobody was quicker; else once more.
    pub(super) async fn step<R>(
        &self,
        key: &[u8],
        purpose: For,
        mut decide: impl FnMut(&Name, &Slot) -> Result<Step<R>, TierError>,
    ) -> Result<R, TierError> {
        let name = Name::new(&self.options.prefix, key);
        let tries = if purpose == For::Change { STUBBORN } else { TRIES };
        for _ in 0..tries {
            let node = if purpose == For::Change { self.node_to_change(key, &name)? } else { self.node(&name)? };
            let slot = self.slot(&node, &name).await?;
            let (request, reply) = match decide(&name, &slot)? {
                Step::Done(reply) => return Ok(reply),
                Step::Delete(reply) => match slot.cas {
                    Some(cas) => (Request::Delete(name.stored.clone(), cas), reply),
                    None => return Ok(reply),
                },
                Step::Write { next, body, reply } => (self.replacing(&name, &slot, &next, body), reply),
            };
            if self.call(&node, request).await? == Reply::Done {
                return Ok(reply);
            }
            self.counters.contended.add();
        }
        Err(failed("others were quicker every time"))
    }

    /// An invalidation, `late` as whoever asked was told of it so long ago.
    pub(super) async fn invalidate(
        &self,
        key: &[u8],
        verb: Invalidation,
        at_least: Fence,
        late: Span,
    ) -> Result<Raised, TierError> {
        let decide = move |_: &Name, slot: &Slot| {
            let (raised, next) = Cell::invalidate_late(slot.cell, verb, at_least, slot.surely(late), slot.now);
            let held = slot.envelope.as_ref().filter(|_| slot.cell.is_some());
            let salts = held.map(|held| held.extensions.salts.clone()).unwrap_or_default();
            let reply = Raised { fence: raised.fence, was_resident: raised.was_resident, salts };
            Ok(match next {
                Some(next) => Step::Write { next, body: None, reply },
                None => Step::Done(Raised { salts: Vec::new(), ..reply }),
            })
        };
        match self.step(key, For::Change, decide).await {
            // Somebody's value, too long to be looked at: it goes unseen, as it would with a `delete` of theirs.
            Err(error) if error.kind == TierTrouble::Unfit => {
                let name = Name::new(&self.options.prefix, key);
                self.call(&*self.node_to_change(key, &name)?, Request::Remove(name.stored.clone())).await?;
                let raised = self.step(key, For::Change, decide).await?;
                Ok(Raised { was_resident: true, ..raised })
            }
            done => done,
        }
    }

    /// Puts another cell in the place of what lies there, if nobody is quicker.
    pub(super) fn replacing(&self, name: &Name, slot: &Slot, next: &Cell, body: Option<Bytes>) -> Request {
        let stays = body.is_none() && slot.envelope.is_some();
        let data = body.unwrap_or_else(|| slot.followed_by(next));
        // A body that stays is as old as it was.
        let flags = if stays { slot.epoch } else { self.fleet.epoch() };
        let swap = slot.cas.map_or(Swap::Absent, Swap::Unchanged);
        Request::Set { name: name.stored.clone(), swap, ttl: Some(seconds(next, slot.now)), flags, data }
    }

    /// Writes an entry under `fence`, if there is one for it. `reads`: what is there is handed over.
    pub(super) fn written(
        &self,
        name: &Name,
        slot: &Slot,
        fence: Option<Fence>,
        reads: bool,
        entry: &Entry,
    ) -> Result<Step<Wrote>, TierError> {
        let before = if reads { found(slot.clone()) } else { Found::Nothing { lease: None } };
        let Some(fence) = fence else { return Ok(Step::Done(Wrote { stored: None, before })) };
        let (next, bytes) = self.sealed(name, slot, fence, entry)?;
        Ok(Step::Write { next, body: Some(bytes), reply: Wrote { stored: Some(fence), before } })
    }

    /// The bytes and the cell of an entry that is handed over now.
    pub(super) fn sealed(
        &self,
        name: &Name,
        slot: &Slot,
        fence: Fence,
        entry: &Entry,
    ) -> Result<(Cell, Bytes), TierError> {
        let times = windows(entry, slot.now.tick().0);
        let last = slot.now.tick() + Span(LONGEST_MS);
        let at = |moment| bellwether::Tick(moment).min(last);
        let next = Cell {
            what: match entry.kind {
                bellwether::Kind::Value => What::Value,
                bellwether::Kind::Negative => What::Negative,
                bellwether::Kind::HitForMiss => What::HitForMiss,
            },
            fence,
            token: None,
            lease_until: bellwether::Tick(0),
            lease: Span::ZERO,
            created: at(times.created_at),
            fresh_until: at(times.fresh_until),
            swr_until: at(times.swr_until),
            hard_until: at(times.hard_until),
        };
        if next.what == What::HitForMiss {
            return Ok((next, Slot::empty(slot.now.0).followed_by(&next)));
        }
        let mut bytes = seal(&name.full, entry, name.is_hashed, self.options.packing)?;
        bellwether_envelope::stamp(&mut bytes, &stamp_of(&next));
        Ok((next, Bytes::from(bytes)))
    }
}

/// What keeps a server from taking writes.
pub(super) fn trouble_of(node: &Node) -> Option<TierTrouble> {
    if node.is_up() == Some(false) { Some(TierTrouble::Unreachable) } else { node.health.trouble() }
}

pub(super) fn failed(text: &str) -> TierError {
    TierError { kind: TierTrouble::Failed, text: text.to_owned() }
}

pub(super) fn wall_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
