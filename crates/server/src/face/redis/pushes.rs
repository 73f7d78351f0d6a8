//! How is a client told what it did not ask for? Between replies, never inside of one.

use std::task::Context;

use bellwether_resp::{Protocol, Writer};
use bytes::Bytes;

use super::client::Client;
use super::following::{Following, INVALIDATIONS, REDIRECTED};
use crate::service::watch::{Message, What};

impl Client {
    /// Takes in what there is to tell, if it may be told now; what comes later wakes `cx`.
    #[inline]
    pub(super) fn hear(&mut self, cx: &Context<'_>) {
        if self.following.mailbox.has_something() && self.may_hear() {
            let messages = self.following.mailbox.take(cx);
            self.tell(messages);
        }
    }

    /// The replies of an EXEC are parts of one array: nothing comes between them.
    fn may_hear(&self) -> bool {
        self.exec.is_none() && self.replies.may_interject()
    }

    pub(super) fn tell(&mut self, messages: Vec<Message>) {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes, self.protocol);
        let mut messages = messages.into_iter().peekable();
        while let Some(message) = messages.next() {
            match message {
                Message::Invalid(What::Key(key)) => {
                    let mut keys = vec![key];
                    while let Some(Message::Invalid(What::Key(key))) =
                        messages.next_if(|next| matches!(next, Message::Invalid(What::Key(_))))
                    {
                        keys.push(key);
                    }
                    invalid(&mut writer, &self.following, Some(&keys));
                }
                Message::Invalid(What::Tag(_) | What::All) => invalid(&mut writer, &self.following, None),
                Message::Told(what) => told(&mut writer, &self.following, &what),
                Message::Broken(id) if writer.protocol() == Protocol::Resp3 => {
                    writer.push(2);
                    writer.bulk("tracking-redir-broken");
                    writer.int(i64::try_from(id).unwrap_or(i64::MAX));
                }
                // RESP2 has no words for it, in Redis either.
                Message::Broken(_) => {}
            }
        }
        if !bytes.is_empty() {
            self.replies.interject(bytes);
        }
    }
}

/// What is no longer good; `None`: anything.
fn invalid(writer: &mut Writer<'_, Vec<u8>>, following: &Following, keys: Option<&[Bytes]>) {
    match writer.protocol() {
        Protocol::Resp3 => {
            writer.push(2);
            writer.bulk("invalidate");
        }
        Protocol::Resp2 if following.hears(REDIRECTED) => {
            writer.array(3);
            writer.bulk("message");
            writer.bulk(REDIRECTED);
        }
        Protocol::Resp2 => return,
    }
    match keys {
        Some(keys) => {
            writer.array(keys.len());
            keys.iter().for_each(|key| writer.bulk(key));
        }
        None => writer.nil(),
    }
}

/// A message of our channel, as often as the client subscribed to it.
fn told(writer: &mut Writer<'_, Vec<u8>>, following: &Following, what: &What) {
    let text = match what {
        What::Key(key) => [b"key ", &key[..]].concat(),
        What::Tag(tag) => [b"tag ", &tag[..]].concat(),
        What::All => b"all".to_vec(),
    };
    if following.hears(INVALIDATIONS) {
        writer.push(3);
        writer.bulk("message");
        writer.bulk(INVALIDATIONS);
        writer.bulk(&text);
    }
    for pattern in following.by_pattern(INVALIDATIONS) {
        writer.push(4);
        writer.bulk("pmessage");
        writer.bulk(pattern);
        writer.bulk(INVALIDATIONS);
        writer.bulk(&text);
    }
}
