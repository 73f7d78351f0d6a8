//! When is a command begun whose key another one of its connection is still busy with? In its turn, while those of other
//! keys go on.

use bellwether_resp::{Args, Limits, Parsed, Parser};
use bytes::Bytes;
use futures_util::future::join_all;

use super::client::Client;
use super::commands::command::Command;
use super::commands::table::TABLE;
use super::order::{Access, Deferred};
use super::replies::Reply;
use crate::service::Telling;

impl Client {
    /// Whether a command of so many bytes may be begun, or take its place in line, while others are under way. What
    /// concerns all keys, or none, comes when all is done.
    pub(super) fn has_turn(&self, args: Args<'_>, bytes: usize) -> bool {
        let Some(command) = TABLE.find(&args[0]) else { return true };
        let queued = self.multi.is_some() && !command.at_once;
        queued
            || if command.access(args).is_some() {
                self.order.has_room(args.len(), bytes)
            } else {
                !self.order.is_writing()
            }
    }

    /// Begins a command where other tiers must know what it changes, or have what it asks for: at once, or in its turn.
    pub(super) fn in_turn(&mut self, command: &Command, args: Args<'_>, raw: &[u8], access: Access) {
        self.hold_rest(self.service.telling());
        let waits = self.order.is_busy() && self.order.blocks(command.keys_of(args), access);
        let caching = self.following.tracked().and_then(|tracked| tracked.caching);
        if access == Access::Look && !waits && !command.looks(args) {
            let next = self.replies.next_number();
            self.run_for(command, args, caching);
            // What memory answers costs nothing more.
            let pending = self.replies.waits_for_last().is_some_and(|number| number >= next);
            if pending && self.keeps_line(command, args) {
                self.is_looked_up(next, command.keys_of(args), raw.len());
            }
            return;
        }
        let number = self.replies.keep_place();
        let lacking = if waits { Vec::new() } else { self.lacking(command, args) };
        if waits || !lacking.is_empty() {
            // It was said for this command.
            self.caching_is_over(caching);
            let deferred = Deferred { raw: raw.into(), caching };
            self.order.enter(number, command.keys_of(args), access, raw.len(), Some(deferred));
            self.look(number, lacking);
        } else if !self.run_at(number, command, args, caching) {
            self.order.enter(number, command.keys_of(args), access, raw.len(), None);
        }
    }

    /// Runs what waited and may begin by now. True: something was.
    #[inline]
    pub(super) fn take_turns(&mut self) -> bool {
        (!self.replies.nothing_came() || self.order.is_busy()) && self.take_all_turns()
    }

    fn take_all_turns(&mut self) -> bool {
        let mut any = false;
        loop {
            let (ended, turns) = self.replies.came();
            ended.into_iter().for_each(|number| self.order.leave(number));
            let mut begun = !turns.is_empty();
            turns.into_iter().for_each(|number| self.run_deferred(number, true));
            while let Some(number) = self.order.next() {
                self.run_deferred(number, false);
                begun = true;
            }
            if !begun {
                return any;
            }
            any = true;
        }
    }

    /// Runs a command whose turn has come; `looked`: other tiers were asked what they have.
    fn run_deferred(&mut self, number: u64, looked: bool) {
        let Some(deferred) = self.order.take(number) else { return };
        let mut parser = Parser::new(Limits::NORMAL);
        // It was parsed, and found, once before.
        let Ok(Some(Parsed::Command { .. })) = parser.next(&deferred.raw) else { return self.order.leave(number) };
        let args = parser.args(&deferred.raw);
        let Some(command) = TABLE.find(&args[0]) else { return self.order.leave(number) };
        self.now = self.service.now();
        let lacking = if looked { Vec::new() } else { self.lacking(command, args) };
        if !lacking.is_empty() {
            self.look(number, lacking);
            self.order.defer(number, deferred);
            return;
        }
        // What was changed meanwhile by commands that waited is not this one's to answer for.
        self.hold_rest(self.service.telling());
        let done = self.run_at(number, command, args, deferred.caching);
        if done || (command.access(args) == Some(Access::Look) && !self.keeps_line(command, args)) {
            self.order.leave(number);
        }
    }

    /// Whether writes wait for a command that looks: what it says is what was there before. Not for what may take long, a
    /// load or somebody's value.
    fn keeps_line(&self, command: &Command, args: Args<'_>) -> bool {
        !command.is_patient() && command.keys_of(args).all(|key| self.service.is_plain(key))
    }

    /// If the last reply, of this number or a later one, is waited for, writes of `keys` behind it wait for it as well.
    pub(super) fn is_looked_up<'a>(&mut self, next: u64, keys: impl Iterator<Item = &'a [u8]>, bytes: usize) {
        let waits = self.replies.waits_for_last().filter(|number| *number >= next && !self.order.has(*number));
        if let Some(number) = waits {
            self.order.enter(number, keys, Access::Look, bytes, None);
        }
    }

    /// The keys of which other tiers must be asked before the command is run.
    fn lacking(&self, command: &Command, args: Args<'_>) -> Vec<Bytes> {
        if !command.looks(args) {
            return Vec::new();
        }
        let lacks = |key: &&[u8]| self.service.lacks(key, command.decides());
        command.keys_of(args).filter(lacks).map(Bytes::copy_from_slice).collect()
    }

    /// Asks other tiers for `lacking`, if that is any; then it is the command's turn.
    fn look(&mut self, number: u64, lacking: Vec<Bytes>) {
        if lacking.is_empty() {
            return;
        }
        let service = self.service.clone();
        self.replies.turn_after(
            number,
            Box::pin(async move {
                join_all(lacking.iter().map(|key| service.find(key))).await;
            }),
        );
    }

    /// Runs a command that answers at the place of this number. False: its reply is waited for.
    fn run_at(&mut self, number: u64, command: &Command, args: Args<'_>, caching: Option<bool>) -> bool {
        // What follows waits for it in the line of its keys.
        let waits = self.waits;
        self.replies.answer_at(number);
        self.run_for(command, args, caching);
        let rest = self.service.telling().and_then(|telling| match self.replies.take_answer() {
            Some(reply) => {
                self.hold(reply, telling);
                None
            }
            None => Some(telling),
        });
        let done = self.replies.answered();
        self.waits = waits;
        self.hold_rest(rest);
        done
    }

    /// Runs a command for which `CLIENT CACHING` had said this.
    fn run_for(&mut self, command: &Command, args: Args<'_>, caching: Option<bool>) {
        self.following.caching(caching);
        (command.run)(self, args);
        self.caching_is_over(caching);
    }

    /// What was said by `CLIENT CACHING` holds for one command.
    pub(super) fn caching_is_over(&mut self, caching: Option<bool>) {
        if caching.is_some() {
            self.following.caching(None);
        }
    }

    /// Keeps a reply until other tiers know what was changed.
    pub(super) fn hold(&mut self, reply: Vec<u8>, telling: Telling) {
        self.later(Box::pin(async move {
            telling.done().await;
            Reply::Bytes(reply)
        }));
    }

    /// Waits for changes of which no reply is left that could be kept: they were made while it was waited for.
    fn hold_rest(&mut self, rest: Option<Telling>) {
        if let Some(telling) = rest {
            self.hold(Vec::new(), telling);
            self.waits = true;
        }
    }
}
