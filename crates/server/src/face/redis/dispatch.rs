//! What happens with one command before its own code runs? It is found, allowed, queued or refused.

use bellwether_resp::{Args, Protocol, eq_ignore_case};

use super::client::Client;
use super::commands::command::MAX_KEYS;
use super::commands::table::TABLE;
use super::commands::{read, words};
use super::replies::Mark;
use crate::service::Telling;

/// Commands that a client may queue between MULTI and EXEC.
const MAX_QUEUED: usize = 100_000;
/// Bytes that they may have.
const MAX_QUEUED_BYTES: usize = 16 << 20;

/// Whether it is the command that most are.
#[inline]
pub(super) fn is_get(args: Args<'_>) -> bool {
    args.len() == 2 && eq_ignore_case(&args[0], "get")
}

impl Client {
    /// Begins one command; `raw` are its bytes as they were sent.
    #[inline]
    pub(super) fn command(&mut self, args: Args<'_>, raw: &[u8]) {
        self.commands += 1;
        if self.plain && is_get(args) {
            read::get(self, args);
        } else {
            self.dispatch(args, raw);
            self.plain = self.is_plain();
        }
        if self.skip > 0 {
            self.skip -= 1;
            self.replies.mute(self.skip > 0);
        }
    }

    /// Whether GETs that come together may be answered together.
    pub(super) fn takes_many(&self) -> bool {
        self.plain && self.skip == 0
    }

    /// Begins one GET after another, as [`Client::command`] would.
    pub(super) fn get_many(&mut self, keys: &[&[u8]]) {
        self.commands += keys.len() as u64;
        read::get_many(self, keys);
    }

    fn dispatch(&mut self, args: Args<'_>, raw: &[u8]) {
        let Some(command) = TABLE.find(&args[0]) else {
            let words = words::unknown(args);
            return self.reject(words);
        };
        if !command.takes(args.len()) {
            return self.reject(words::arity(command.name));
        }
        if command.names_too_many(args.len()) {
            return self.reject(words::too_many(command.name, MAX_KEYS));
        }
        if !self.known && !command.before_auth {
            return self.reject("NOAUTH Authentication required.");
        }
        if self.multi.is_some() && !command.at_once {
            return self.queue(raw);
        }
        if self.protocol == Protocol::Resp2 && self.following.subscriptions() > 0 && !command.while_subscribed() {
            return self.reject(words::subscribed(command.name));
        }
        let shares = self.service.collects();
        if let Some(access) = command.access(args).filter(|_| shares && !self.executing) {
            return self.in_turn(command, args, raw, access);
        }
        let caching = self.following.tracked().and_then(|tracked| tracked.caching);
        let mark = shares.then(|| self.replies.mark());
        (command.run)(self, args);
        if let Some((mark, telling)) = mark.zip(self.service.telling()) {
            self.hold_since(mark, telling);
        }
        // It was said for this command, or for all of one EXEC.
        if !self.executing && self.exec.is_none() && self.multi.is_none() {
            self.caching_is_over(caching);
        }
    }

    /// Keeps the reply of the present command until other tiers know what it changed, and whatever follows with it: a
    /// read on this connection must not find there what is no more.
    fn hold_since(&mut self, mark: Mark, telling: Telling) {
        // One that is waited for keeps its place, and what follows waits behind it.
        let reply = if self.replies.is_pending_since(mark) { Vec::new() } else { self.replies.take_since(mark) };
        self.hold(reply, telling);
        self.waits = true;
    }

    /// Whether a GET may be answered without a further look at who asks.
    pub(super) fn is_plain(&self) -> bool {
        self.known
            && self.multi.is_none()
            && !self.order.is_busy()
            && !self.following.is_any()
            && !self.service.watch().is_broadcasting()
    }

    /// Refuses a command; what is queued can't be executed without it.
    fn reject(&mut self, words: impl AsRef<[u8]>) {
        if let Some(queue) = &mut self.multi {
            queue.broken = true;
        }
        self.error(words);
    }

    fn queue(&mut self, raw: &[u8]) {
        let Some(queue) = &mut self.multi else { return };
        if queue.commands == MAX_QUEUED || queue.bytes.len() + raw.len() > MAX_QUEUED_BYTES {
            return self.reject("ERR too many commands in one MULTI");
        }
        queue.commands += 1;
        queue.bytes.extend_from_slice(raw);
        self.simple("QUEUED");
    }
}
