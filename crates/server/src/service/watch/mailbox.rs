//! What is one connection still to be told? A queue with a bound: who is told too much is told "everything".

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use super::client_id::ClientId;

/// Messages that wait for one connection; beyond, they become one.
const MOST_MESSAGES: usize = 1024;
/// Bytes of keys that wait for one connection.
const MOST_BYTES: usize = 256 << 10;

/// What is no longer good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// One key.
    Key(Bytes),
    /// What carries a tag.
    Tag(Bytes),
    /// Anything.
    All,
}

/// One thing that a connection is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// Of what it keeps, or of what somebody keeps who had it told here.
    Invalid(What),
    /// As a follower of the channel.
    Told(What),
    /// Whom it wanted to be told in its place is gone.
    Broken(ClientId),
}

impl Message {
    fn bytes(&self) -> usize {
        match self {
            Message::Invalid(What::Key(bytes) | What::Tag(bytes))
            | Message::Told(What::Key(bytes) | What::Tag(bytes)) => bytes.len(),
            Message::Invalid(What::All) | Message::Told(What::All) | Message::Broken(_) => 0,
        }
    }

    fn is_told(&self) -> bool {
        matches!(self, Message::Told(_))
    }
}

#[derive(Default)]
struct Queue {
    messages: VecDeque<Message>,
    bytes: usize,
}

/// What waits for one connection.
#[derive(Default)]
pub(crate) struct Mailbox {
    /// There is something, and whoever looks after it has been woken.
    signalled: AtomicBool,
    waker: AtomicWaker,
    queue: Mutex<Queue>,
}

impl Mailbox {
    pub(super) fn put(&self, message: Message) {
        {
            let mut queue = self.queue.lock();
            if queue.messages.back() == Some(&message) {
                return;
            }
            if queue.messages.len() >= MOST_MESSAGES || queue.bytes + message.bytes() > MOST_BYTES {
                queue.give_up();
            }
            queue.bytes += message.bytes();
            queue.messages.push_back(message);
        }
        if !self.signalled.swap(true, Ordering::SeqCst) {
            self.waker.wake();
        }
    }

    /// Whom to wake when something comes: to be said once, and after each [`Mailbox::take`].
    pub(crate) fn wake_by(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Whether something waits.
    #[inline]
    pub(crate) fn has_something(&self) -> bool {
        self.signalled.load(Ordering::Acquire)
    }

    /// All that waits; what comes later wakes `cx`.
    pub(crate) fn take(&self, cx: &Context<'_>) -> Vec<Message> {
        self.wake_by(cx.waker());
        self.take_quietly()
    }

    /// All that waits.
    pub(crate) fn take_quietly(&self) -> Vec<Message> {
        // First the flag: what comes behind it raises it again.
        self.signalled.store(false, Ordering::SeqCst);
        let mut queue = self.queue.lock();
        queue.bytes = 0;
        std::mem::take(&mut queue.messages).into()
    }
}

impl Queue {
    /// Too much to be told one by one.
    fn give_up(&mut self) {
        let told = self.messages.iter().any(Message::is_told);
        let invalid = self.messages.iter().any(|message| matches!(message, Message::Invalid(_)));
        let broken = self.messages.iter().find(|message| matches!(message, Message::Broken(_))).cloned();
        self.messages.clear();
        self.bytes = 0;
        self.messages.extend(invalid.then_some(Message::Invalid(What::All)));
        self.messages.extend(told.then_some(Message::Told(What::All)));
        self.messages.extend(broken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Message {
        Message::Invalid(What::Key(Bytes::copy_from_slice(text.as_bytes())))
    }

    #[test]
    fn g6_a_client_that_does_not_listen_is_told_everything_at_last() {
        let mailbox = Mailbox::default();
        (0..5_000).for_each(|i| mailbox.put(key(&format!("k{i}"))));
        mailbox.put(Message::Told(What::Key(Bytes::from_static(b"x"))));
        let messages = mailbox.take_quietly();
        assert!(messages.len() <= MOST_MESSAGES + 1, "{}", messages.len());
        assert_eq!(messages.first(), Some(&Message::Invalid(What::All)), "what was left out is in this");
        assert!(messages.contains(&key("k4999")));
        (0..5).for_each(|i| mailbox.put(Message::Invalid(What::Key(vec![i; MOST_BYTES / 2].into()))));
        let bytes: usize = mailbox.take_quietly().iter().map(Message::bytes).sum();
        assert!(bytes <= MOST_BYTES);
        assert!(!mailbox.has_something() && mailbox.take_quietly().is_empty());
    }

    #[test]
    fn the_same_thing_twice_in_a_row_is_told_once() {
        let mailbox = Mailbox::default();
        ["a", "a", "b", "a"].into_iter().for_each(|text| mailbox.put(key(text)));
        assert_eq!(mailbox.take_quietly(), [key("a"), key("b"), key("a")]);
    }
}
