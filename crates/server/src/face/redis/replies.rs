//! What leaves a connection next, and what has to be waited for? Replies in the order of their commands.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bellwether::{Cached, HIT_MANY};
use bellwether_adapters::Payload;
use bellwether_resp::{Protocol, Writer};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

/// Bytes that may wait to be sent before further replies are kept as references to cached values.
pub(super) const HIGH_WATER: usize = 1 << 20;
/// Bytes that one place in an array of values counts for.
const NIL: usize = size_of::<Option<Cached<Payload>>>();
/// Bytes that a bulk string has beside its own, at most.
const BULK: usize = 32;
/// Replies of one connection that may be outstanding; no command is begun beyond.
pub(super) const MAX_OUTSTANDING: usize = 1024;
/// Bytes of replies that may queue behind one that has to be waited for; no command is begun beyond.
/// Without it, what follows a long wait (`ECHO`, `COMMAND`, one value after another) would pile up.
pub(super) const MAX_QUEUED: usize = 8 << 20;

/// One command's reply.
pub(super) enum Reply {
    /// As it goes out.
    Bytes(Vec<u8>),
    /// A bulk string.
    Value(Cached<Payload>),
    /// An array of bulk strings and nils, written as far as there is room.
    Values {
        /// What is not written yet.
        values: std::vec::IntoIter<Option<Cached<Payload>>>,
        /// The header is not written yet either.
        header: bool,
        protocol: Protocol,
    },
}

impl Reply {
    /// The whole of it, as it goes out.
    fn append_to(self, output: &mut Vec<u8>) {
        match self {
            Reply::Bytes(bytes) => output.extend_from_slice(&bytes),
            Reply::Value(value) => bulk(output, &value.body),
            Reply::Values { values, header, protocol } => {
                let mut writer = Writer::new(output, protocol);
                if header {
                    writer.array(values.len());
                }
                for value in values {
                    match value {
                        None => writer.nil(),
                        Some(value) => writer.bulk(&value.body),
                    }
                }
            }
        }
    }
}

/// A reply on its way.
pub(super) type Later = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// What must be known before a command can be run.
pub(super) type Look = Pin<Box<dyn Future<Output = ()> + Send>>;

enum Slot {
    Ready(Reply),
    /// Comes from `pending`, or from a command that is yet to be run.
    Pending {
        /// Somebody wants it.
        heard: bool,
    },
}

impl Slot {
    /// Bytes that the client gets from it, as far as they are known.
    fn owed(&self) -> usize {
        match self {
            Slot::Pending { .. } => 0,
            Slot::Ready(Reply::Bytes(bytes)) => bytes.len(),
            Slot::Ready(Reply::Value(value)) => value.body.len(),
            Slot::Ready(Reply::Values { values, .. }) => {
                // A nil is owed, too: a million of them are a million places.
                values.as_slice().iter().map(|value| value.as_ref().map_or(0, |value| value.body.len()) + NIL).sum()
            }
        }
    }
}

/// The replies of one connection.
#[derive(Default)]
pub(super) struct Replies {
    /// Bytes to be sent now.
    pub(super) output: Vec<u8>,
    /// What goes behind `output`; empty unless something has to be waited for or the client reads too slowly.
    slots: VecDeque<Slot>,
    /// Bytes owed by all slots but the last, which may still grow.
    queued: usize,
    /// The number of the first slot, counted over the connection's life.
    first: u64,
    /// Made when first needed: most connections never miss.
    pending: Option<FuturesUnordered<Numbered>>,
    /// Where replies go that nobody wants (`CLIENT REPLY OFF`).
    trash: Option<Vec<u8>>,
    /// Where the command that is run now answers, if a place was kept for it.
    place: Option<Place>,
    /// The numbers of replies that came since somebody asked.
    ended: Vec<u64>,
    /// The numbers of commands about which all is known by now, and that are to be run.
    turns: Vec<u64>,
}

/// The reply of a command that is run after others behind it.
struct Place {
    number: u64,
    reply: Option<Reply>,
    bytes: Vec<u8>,
    /// It comes from `pending`.
    waits: bool,
}

/// Where a reply begins.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    output: usize,
    slots: usize,
}

/// What comes for a slot.
struct Numbered(u64, Coming);

enum Coming {
    Reply(Later),
    /// Nothing but the command's turn.
    Turn(Look),
}

/// A value as a bulk string, which both dialects write alike.
#[inline]
pub(super) fn bulk(output: &mut Vec<u8>, value: &[u8]) {
    Writer::new(output, Protocol::Resp2).bulk(value);
}

/// Reads a byte of each, so that the processor waits for their memory at once, and not while it copies one after another.
#[inline]
fn look_at(bodies: &[&[u8]]) {
    let looked = bodies.iter().fold(0, |all, body| all ^ body.first().copied().unwrap_or(0));
    std::hint::black_box(looked);
}

impl Future for Numbered {
    type Output = (u64, Option<Reply>);
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<(u64, Option<Reply>)> {
        let number = self.0;
        match &mut self.1 {
            Coming::Reply(later) => later.as_mut().poll(cx).map(|reply| (number, Some(reply))),
            Coming::Turn(look) => look.as_mut().poll(cx).map(|()| (number, None)),
        }
    }
}

impl Replies {
    /// Where the next reply is written.
    pub(super) fn writer(&mut self, protocol: Protocol) -> Writer<'_, Vec<u8>> {
        Writer::new(self.buffer(), protocol)
    }

    fn buffer(&mut self) -> &mut Vec<u8> {
        if let Some(place) = &mut self.place {
            return &mut place.bytes;
        }
        if let Some(trash) = &mut self.trash {
            trash.clear();
            return trash;
        }
        if self.slots.is_empty() {
            return &mut self.output;
        }
        if !matches!(self.slots.back(), Some(Slot::Ready(Reply::Bytes(_)))) {
            self.queued += self.slots.back().map_or(0, Slot::owed);
            self.slots.push_back(Slot::Ready(Reply::Bytes(Vec::new())));
        }
        match self.slots.back_mut() {
            Some(Slot::Ready(Reply::Bytes(bytes))) => bytes,
            _ => &mut self.output,
        }
    }

    /// A value, copied only if it goes out soon.
    #[inline]
    pub(super) fn value(&mut self, value: Cached<Payload>) {
        if self.copies(0) {
            bulk(&mut self.output, &value.body);
        } else {
            self.push(Reply::Value(value));
        }
    }

    /// Whether so many bytes more may be copied to the output: they go out soon.
    #[inline]
    fn copies(&self, bytes: usize) -> bool {
        self.slots.is_empty() && self.output.len() + bytes < HIGH_WATER && self.trash.is_none()
    }

    /// A value for each of up to [`HIT_MANY`] commands, copied together. False, and nothing is done: one is missing, or they
    /// are not to be copied.
    ///
    /// Whoever owns them lets go of them afterwards: a count that goes down makes the processor end what it had begun of
    /// the next copy.
    pub(super) fn values(&mut self, values: &[Option<Cached<Payload>>]) -> bool {
        let (mut bodies, mut bytes) = ([&[][..]; HIT_MANY], 0);
        for (body, value) in bodies.iter_mut().zip(values) {
            let Some(value) = value else { return false };
            *body = &value.body;
            bytes += body.len() + BULK;
        }
        if values.len() > HIT_MANY || !self.copies(bytes) {
            return false;
        }
        let bodies = &bodies[..values.len()];
        look_at(bodies);
        self.output.reserve(bytes);
        bodies.iter().for_each(|body| bulk(&mut self.output, body));
        true
    }

    /// A reply that is ready.
    pub(super) fn push(&mut self, reply: Reply) {
        if let Some(place) = &mut self.place {
            place.reply = Some(reply);
        } else if self.trash.is_none() {
            self.enqueue(Slot::Ready(reply));
            self.flush();
        }
    }

    /// A reply that may have to be waited for. It is tried once right away: what is answered from
    /// memory after all needs no queue.
    pub(super) fn later(&mut self, mut later: Later) {
        match later.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(reply) => self.push(reply),
            Poll::Pending => {
                let number = match &mut self.place {
                    Some(place) => {
                        place.waits = true;
                        place.number
                    }
                    None => self.keep_place(),
                };
                self.pending.get_or_insert_default().push(Numbered(number, Coming::Reply(later)));
            }
        }
    }

    /// The number that the next place gets.
    pub(super) fn next_number(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    /// The number of the last reply, if it is waited for.
    pub(super) fn waits_for_last(&self) -> Option<u64> {
        let last = self.slots.back().filter(|_| self.place.is_none());
        last.filter(|slot| matches!(slot, Slot::Pending { .. })).map(|_| self.next_number() - 1)
    }

    /// Keeps a place for a reply: its number.
    pub(super) fn keep_place(&mut self) -> u64 {
        let number = self.next_number();
        // Nobody may want to hear how it ends, but it must end: it may have something to do then.
        self.enqueue(Slot::Pending { heard: self.trash.is_none() });
        number
    }

    /// The command whose place has this number is to be run after `look`.
    pub(super) fn turn_after(&mut self, number: u64, look: Look) {
        self.pending.get_or_insert_default().push(Numbered(number, Coming::Turn(look)));
    }

    /// Until [`Replies::answered`] all that is replied goes to the place of this number.
    pub(super) fn answer_at(&mut self, number: u64) {
        self.place = Some(Place { number, reply: None, bytes: Vec::new(), waits: false });
    }

    /// Takes back what was replied at the place that is answered at, unless it is waited for.
    pub(super) fn take_answer(&mut self) -> Option<Vec<u8>> {
        let place = self.place.as_mut().filter(|place| !place.waits)?;
        let mut bytes = std::mem::take(&mut place.bytes);
        if let Some(reply) = place.reply.take() {
            reply.append_to(&mut bytes);
        }
        Some(bytes)
    }

    /// The command has been run. False: its reply is waited for.
    pub(super) fn answered(&mut self) -> bool {
        let Some(Place { number, reply, bytes, waits }) = self.place.take() else { return true };
        if !waits {
            self.fill(number, reply.unwrap_or(Reply::Bytes(bytes)));
            self.flush();
        }
        !waits
    }

    /// What came for a place.
    fn fill(&mut self, number: u64, reply: Reply) {
        let at = usize::try_from(number - self.first).unwrap_or(usize::MAX);
        let last = at + 1 == self.slots.len();
        let Some(slot) = self.slots.get_mut(at) else { return };
        let heard = !matches!(slot, Slot::Pending { heard: false });
        *slot = Slot::Ready(if heard { reply } else { Reply::Bytes(Vec::new()) });
        self.queued += if last { 0 } else { slot.owed() };
    }

    /// The places for which replies came since this was asked, and those whose commands are to be run.
    pub(super) fn came(&mut self) -> (Vec<u64>, Vec<u64>) {
        (std::mem::take(&mut self.ended), std::mem::take(&mut self.turns))
    }

    /// Where the reply of the command that is run next will begin.
    pub(super) fn mark(&mut self) -> Mark {
        // Its own place, apart from what waits already.
        if !self.slots.is_empty() {
            self.enqueue(Slot::Ready(Reply::Bytes(Vec::new())));
        }
        Mark { output: self.output.len(), slots: self.slots.len() }
    }

    /// Whether a reply since is still waited for.
    pub(super) fn is_pending_since(&self, mark: Mark) -> bool {
        self.slots
            .range(mark.slots.saturating_sub(1).min(self.slots.len())..)
            .any(|slot| matches!(slot, Slot::Pending { .. }))
    }

    /// Takes back what was replied since, as bytes. None of it may be waited for still.
    pub(super) fn take_since(&mut self, mark: Mark) -> Vec<u8> {
        if self.trash.is_some() {
            return Vec::new();
        }
        let Mark { output, slots } = mark;
        let mut reply = if slots == 0 { self.output.split_off(output.min(self.output.len())) } else { Vec::new() };
        // The place that was made for it, and what came behind.
        for slot in self.slots.split_off(slots.saturating_sub(1).min(self.slots.len())) {
            match slot {
                Slot::Ready(ready) => ready.append_to(&mut reply),
                Slot::Pending { .. } => {}
            }
        }
        self.queued = self.slots.iter().rev().skip(1).map(Slot::owed).sum();
        reply
    }

    /// Whether something that is no reply finds a place.
    pub(super) fn may_interject(&self) -> bool {
        self.output.len() < HIGH_WATER && !self.owed_at_least(HIGH_WATER)
    }

    /// Puts whole messages that are no replies between replies: at once, and once more behind all replies that are on
    /// their way. One of those may carry what the message says is no longer good: the client, which had heard it too
    /// early, would keep it.
    pub(super) fn interject(&mut self, messages: Vec<u8>) {
        // An array that is half written goes on first.
        let between = !matches!(self.slots.front(), Some(Slot::Ready(Reply::Values { header: false, .. })));
        if between {
            self.output.extend_from_slice(&messages);
        }
        if !self.slots.is_empty() {
            self.enqueue(Slot::Ready(Reply::Bytes(messages)));
        }
    }

    fn enqueue(&mut self, slot: Slot) {
        self.queued += self.slots.back().map_or(0, Slot::owed);
        self.slots.push_back(slot);
    }

    /// Takes in what has come, and moves what is at the front to the output. True if something came.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let mut came = false;
        while let Some(Poll::Ready(Some((number, reply)))) = self.pending.as_mut().map(|all| all.poll_next_unpin(cx)) {
            came = true;
            match reply {
                Some(reply) => {
                    self.fill(number, reply);
                    self.ended.push(number);
                }
                None => self.turns.push(number),
            }
        }
        self.flush();
        came
    }

    /// Moves what is ready from the front of the queue to the output, as far as there is room.
    pub(super) fn flush(&mut self) {
        while self.output.len() < HIGH_WATER {
            let last = self.slots.len() == 1;
            let Some(Slot::Ready(reply)) = self.slots.front_mut() else { return };
            let (moved, done) = match reply {
                Reply::Values { values, header, protocol } => {
                    let mut writer = Writer::new(&mut self.output, *protocol);
                    if std::mem::take(header) {
                        writer.array(values.len());
                    }
                    match values.next() {
                        None => (0, true),
                        Some(None) => {
                            writer.nil();
                            (NIL, false)
                        }
                        Some(Some(value)) => {
                            writer.bulk(&value.body);
                            (value.body.len() + NIL, false)
                        }
                    }
                }
                Reply::Bytes(bytes) => {
                    self.output.extend_from_slice(bytes);
                    (bytes.len(), true)
                }
                Reply::Value(value) => {
                    bulk(&mut self.output, &value.body);
                    (value.body.len(), true)
                }
            };
            // The last slot is not counted before another stands behind it.
            self.queued -= if last { 0 } else { moved };
            if done {
                self.slots.pop_front();
                self.first += 1;
            }
        }
    }

    /// Whether every reply so far is in the output, and whatever is not replied to is done.
    pub(super) fn settled(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether there is nothing to be sent and nothing to be waited for, and the client hears what is replied.
    #[inline]
    pub(super) fn is_at_rest(&self) -> bool {
        let comes = self.pending.as_ref().is_some_and(|pending| !pending.is_empty());
        self.output.is_empty() && self.settled() && !comes && self.nothing_came() && self.trash.is_none()
    }

    /// Whether nothing has come since [`Replies::came`] was asked.
    #[inline]
    pub(super) fn nothing_came(&self) -> bool {
        self.ended.is_empty() && self.turns.is_empty()
    }

    /// Whether another command may begin.
    pub(super) fn room(&self) -> bool {
        self.slots.len() < MAX_OUTSTANDING
    }

    /// Whether the client has not got at least `bytes` that it asked for. What is queued is kept by
    /// reference for the most part, and counts where it is more than [`MAX_QUEUED`].
    #[inline]
    pub(super) fn owed_at_least(&self, bytes: usize) -> bool {
        self.output.len() >= bytes || (!self.slots.is_empty() && self.owed() >= bytes.max(MAX_QUEUED))
    }

    /// Bytes that the client has asked for and not got, as far as they are known.
    pub(super) fn owed(&self) -> usize {
        self.output.len() + self.queued + self.slots.back().map_or(0, Slot::owed)
    }

    /// From now on replies go nowhere, or to the client again.
    pub(super) fn mute(&mut self, muted: bool) {
        match (muted, self.trash.is_some()) {
            (true, false) => self.trash = Some(Vec::new()),
            (false, true) => self.trash = None,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
