//! What is still to be told? Invalidations merged by what they cover, sent in batches, kept until they arrived.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bellwether_core::fence::{Fence, Invalidation};
use bellwether_core::position::Position;
use bellwether_core::time::{Span, Tick};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::events::outage::{Outage, Say};
use crate::events::{Batch, Message, Transport};
use crate::port::clock::Clock;

/// What comes within so long travels together.
const GATHER: Span = Span::ms(2);
/// Messages of one batch.
const MOST_IN_BATCH: usize = 512;
/// Bytes of the names in one batch.
const MOST_BYTES: usize = 48 << 10;
/// Keys that wait to be told; beyond that all copies are declared suspect in their place.
const MOST_KEYS: usize = 1 << 16;
/// Tags and spaces that wait; beyond that everything is declared void in their place.
const MOST_SCOPES: usize = 1 << 14;
/// Tags that wait to be told as stale; beyond that others go on serving what they have of the rest.
const MOST_REFRESHES: usize = 1 << 12;
/// So long an attempt may take.
const ATTEMPT: Span = Span::secs(1);
/// Between two failed attempts, doubled from the first to the last.
const RETRY: (Span, Span) = (Span::ms(50), Span::secs(1));

/// What a process has to tell the others. All clones are the same.
#[derive(Clone)]
pub struct Outbox(Arc<Inner>);

struct Inner {
    sender: u64,
    pending: Mutex<Pending>,
    more: Notify,
}

#[derive(Default)]
struct Pending {
    keys: HashMap<Bytes, (Invalidation, Option<Fence>)>,
    tags: HashMap<u64, Verbs>,
    spaces: HashMap<Box<str>, Verbs>,
    suspect: bool,
    everything: bool,
    /// Tags that are stale.
    refreshes: HashSet<u64>,
    announced: bool,
    /// On its way: perhaps it has arrived.
    flying: Vec<Message>,
    /// Since when the oldest of it waits.
    since: Option<Tick>,
}

/// Which verbs are to be told.
#[derive(Clone, Copy, Default)]
struct Verbs {
    remove: bool,
    expire: bool,
}

impl Verbs {
    fn add(&mut self, verb: Invalidation) {
        match verb {
            Invalidation::Remove => self.remove = true,
            Invalidation::Expire => self.expire = true,
        }
    }

    fn each(self) -> impl Iterator<Item = Invalidation> {
        let remove = self.remove.then_some(Invalidation::Remove);
        remove.into_iter().chain(self.expire.then_some(Invalidation::Expire))
    }
}

impl Pending {
    fn add(&mut self, message: Message) {
        match message {
            Message::Key { name, verb, fence } => {
                if self.keys.len() >= MOST_KEYS && !self.keys.contains_key(&name) {
                    self.keys.clear();
                    self.suspect = true;
                }
                // The harder verb and the later fence cover both.
                let held = self.keys.entry(name).or_insert((verb, fence));
                let removed = verb == Invalidation::Remove || held.0 == Invalidation::Remove;
                *held = (if removed { Invalidation::Remove } else { verb }, held.1.max(fence));
            }
            Message::Tag { hash, verb } => self.tags.entry(hash).or_default().add(verb),
            Message::Space { name, verb } => self.spaces.entry(name).or_default().add(verb),
            Message::Suspect => self.suspect = true,
            Message::Everything => self.everything = true,
            Message::Refresh { hash } if self.refreshes.len() < MOST_REFRESHES => drop(self.refreshes.insert(hash)),
            Message::Refresh { .. } => tracing::warn!("so many tags are stale that others are not told of this one"),
            Message::Announced => self.announced = true,
        }
        if self.tags.len() + self.spaces.len() > MOST_SCOPES {
            (self.tags, self.spaces) = (HashMap::new(), HashMap::new());
            self.everything = true;
        }
    }

    fn is_empty(&self) -> bool {
        !(self.suspect || self.everything || self.announced)
            && self.keys.is_empty()
            && self.tags.is_empty()
            && self.spaces.is_empty()
            && self.refreshes.is_empty()
    }

    /// The next batch, which counts as held until it has arrived.
    fn take_off(&mut self) -> Vec<Message> {
        self.flying = self.take();
        self.flying.clone()
    }

    /// As much as one batch carries. First what covers most.
    fn take(&mut self) -> Vec<Message> {
        let mut load = Load::default();
        load.messages.extend(std::mem::take(&mut self.everything).then_some(Message::Everything));
        load.messages.extend(std::mem::take(&mut self.suspect).then_some(Message::Suspect));
        load.fill(&mut self.spaces, |load, name, verbs| {
            load.bytes += name.len();
            load.messages.extend(verbs.each().map(|verb| Message::Space { name: name.clone(), verb }));
        });
        load.fill(&mut self.tags, |load, hash, verbs| {
            load.messages.extend(verbs.each().map(|verb| Message::Tag { hash, verb }));
        });
        load.fill(&mut self.keys, |load, name, (verb, fence)| {
            load.bytes += name.len();
            load.messages.push(Message::Key { name, verb, fence });
        });
        // Hints come last: what they make stale was loaded before what is invalidated in the same batch.
        while load.messages.len() < MOST_IN_BATCH
            && let Some(hash) = self.refreshes.iter().next().copied()
        {
            self.refreshes.remove(&hash);
            load.messages.push(Message::Refresh { hash });
        }
        load.messages.extend(std::mem::take(&mut self.announced).then_some(Message::Announced));
        load.messages
    }
}

/// A batch that is being filled.
#[derive(Default)]
struct Load {
    messages: Vec<Message>,
    /// Of names.
    bytes: usize,
}

impl Load {
    /// Moves out of `from` what there is room for.
    fn fill<K: Clone + Eq + std::hash::Hash, V>(&mut self, from: &mut HashMap<K, V>, add: impl Fn(&mut Load, K, V)) {
        while self.messages.len() < MOST_IN_BATCH
            && self.bytes < MOST_BYTES
            && let Some(key) = from.keys().next().cloned()
            && let Some(value) = from.remove(&key)
        {
            add(self, key, value);
        }
    }
}

impl Outbox {
    /// An empty one. `sender` names this process among all.
    pub fn new(sender: u64) -> Outbox {
        Outbox(Arc::new(Inner { sender, pending: Mutex::default(), more: Notify::new() }))
    }

    /// By which a process knows its own messages.
    pub fn sender(&self) -> u64 {
        self.0.sender
    }

    /// Takes a message; it travels within milliseconds, or as soon as the backplane can be reached again.
    pub fn put(&self, message: Message, now: Tick) {
        let mut pending = self.0.pending.lock();
        pending.add(message);
        pending.since.get_or_insert(now);
        drop(pending);
        self.0.more.notify_one();
    }

    /// The harder verb of what is not yet known to have arrived and covers `space` or one of `tags`. Until it has a
    /// place in the fleet's order, everything is older than it.
    pub(crate) fn covering(&self, space: &str, tags: &[u64]) -> Option<Invalidation> {
        let pending = self.0.pending.lock();
        if pending.flying.is_empty() && pending.is_empty() {
            return None;
        }
        let mut verbs = Verbs { remove: pending.everything, expire: false };
        let held = tags.iter().filter_map(|tag| pending.tags.get(tag)).chain(pending.spaces.get(space));
        held.flat_map(|held| held.each()).for_each(|verb| verbs.add(verb));
        for message in &pending.flying {
            match message {
                Message::Tag { hash, verb } if tags.contains(hash) => verbs.add(*verb),
                Message::Space { name, verb } if **name == *space => verbs.add(*verb),
                Message::Everything => verbs.remove = true,
                _ => {}
            }
        }
        verbs.each().next()
    }

    /// Since when the oldest message waits, if any does.
    pub fn waiting_since(&self) -> Option<Tick> {
        self.0.pending.lock().since
    }

    /// Sends what comes, for ever. `placed` hears which batch has which place, before it counts as arrived.
    pub async fn send(self, transport: Arc<dyn Transport>, clock: Clock, placed: impl Fn(&Batch, Position)) {
        let (mut pause, mut outage) = (RETRY.0, Outage::default());
        loop {
            let sent = self.send_once(&*transport, &clock, &placed).await;
            match sent {
                Ok(()) => {
                    pause = RETRY.0;
                    if let Some((tries, after)) = outage.over(clock.now()) {
                        tracing::info!(tries, %after, "the backplane takes messages again");
                    }
                }
                Err(error) => {
                    match outage.failed(clock.now()) {
                        Say::Began => {
                            tracing::warn!(error, "the backplane takes no message: other processes hear of it later");
                        }
                        Say::Lasts { tries, since } => {
                            tracing::warn!(error, tries, %since, "the backplane still takes no message");
                        }
                        Say::Nothing => tracing::debug!(error, "the backplane takes no message"),
                    }
                    // Processes that lost it together don't come back together.
                    let spread = pause.scale(0.5 + fastrand::f64());
                    clock.sleep_until(clock.now() + spread).await;
                    pause = (pause + pause).at_most(RETRY.1);
                }
            }
        }
    }

    /// Waits for something to tell, and tells it; what did not arrive is kept.
    async fn send_once(
        &self,
        transport: &dyn Transport,
        clock: &Clock,
        placed: &impl Fn(&Batch, Position),
    ) -> Result<(), String> {
        while self.0.pending.lock().is_empty() {
            self.0.more.notified().await;
        }
        clock.sleep_until(clock.now() + GATHER).await;
        let batch = Batch { sender: self.0.sender, messages: self.0.pending.lock().take_off() };
        let sent = tokio::select! {
            sent = transport.publish(&batch) => sent.map_err(|error| error.to_string()),
            () = clock.sleep_until(clock.now() + ATTEMPT) => Err("no answer within a second".to_owned()),
        };
        if let Ok(at) = sent {
            placed(&batch, at);
        }
        let mut pending = self.0.pending.lock();
        let flown = std::mem::take(&mut pending.flying);
        if sent.is_err() {
            // Perhaps it did arrive: told twice is no harm.
            flown.into_iter().for_each(|message| pending.add(message));
        }
        if pending.is_empty() {
            pending.since = None;
        }
        sent.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, verb: Invalidation, fence: Option<u64>) -> Message {
        Message::Key { name: Bytes::copy_from_slice(name.as_bytes()), verb, fence: fence.map(Fence) }
    }

    #[test]
    fn what_is_told_of_one_key_is_merged_and_covers_both() {
        let mut pending = Pending::default();
        pending.add(key("a", Invalidation::Remove, None));
        pending.add(key("a", Invalidation::Expire, Some(7)));
        assert_eq!(pending.take(), [key("a", Invalidation::Remove, Some(7))]);
        assert!(pending.is_empty());
    }

    #[test]
    fn more_than_can_be_held_makes_copies_suspect_and_keeps_the_tags() {
        let mut pending = Pending::default();
        pending.add(Message::Tag { hash: 1, verb: Invalidation::Expire });
        for number in 0..=MOST_KEYS {
            pending.add(key(&number.to_string(), Invalidation::Remove, None));
        }
        assert!(pending.keys.len() <= MOST_KEYS);
        let first = pending.take();
        assert_eq!(first[..2], [Message::Suspect, Message::Tag { hash: 1, verb: Invalidation::Expire }]);
        for hash in 0..=MOST_SCOPES as u64 {
            pending.add(Message::Tag { hash, verb: Invalidation::Remove });
        }
        assert_eq!(pending.take().first(), Some(&Message::Everything));
    }

    #[test]
    fn what_is_told_covers_until_it_has_a_place() {
        let (outbox, now) = (Outbox::new(1), Tick(0));
        outbox.put(Message::Tag { hash: 1, verb: Invalidation::Expire }, now);
        outbox.put(Message::Space { name: "user".into(), verb: Invalidation::Remove }, now);
        let covering = || [("shop", 1), ("shop", 2), ("user", 1)].map(|(space, tag)| outbox.covering(space, &[tag]));
        let both = [Some(Invalidation::Expire), None, Some(Invalidation::Remove)];
        assert_eq!(covering(), both);
        outbox.0.pending.lock().take_off();
        assert_eq!(covering(), both, "on its way");
        outbox.0.pending.lock().flying.clear();
        assert_eq!(covering(), [None; 3]);
    }

    #[test]
    fn a_batch_is_bounded_and_the_rest_follows() {
        let mut pending = Pending::default();
        let name = "n".repeat(4000);
        for number in 0..2 * MOST_IN_BATCH {
            pending.add(key(&format!("{number}{name}"), Invalidation::Remove, None));
        }
        let mut told = 0;
        while !pending.is_empty() {
            let batch = pending.take();
            let bytes = Batch { sender: 1, messages: batch.clone() }.to_bytes().len();
            assert!(!batch.is_empty() && bytes <= MOST_BYTES + (16 << 10), "{bytes}");
            told += batch.len();
        }
        assert_eq!(told, 2 * MOST_IN_BATCH);
    }
}
