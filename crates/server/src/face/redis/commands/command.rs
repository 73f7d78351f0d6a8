//! What is known of a command before it is begun, and how is one found by its name?

use bellwether_resp::{Args, eq_ignore_case};

use super::super::client::Client;
use super::super::order::Access;

/// The longest name there is, with room to spare.
const LONGEST_NAME: usize = 16;

/// Keys that one command may name: its connection's thread serves others, and does nothing else meanwhile.
pub(in crate::face::redis) const MAX_KEYS: usize = 10_000;

/// A command.
pub(in crate::face::redis) struct Command {
    pub(in crate::face::redis) name: &'static str,
    /// As Redis counts: the name included; negative: at least so many.
    pub(super) arity: i32,
    /// First key, last key (negative: from the end) and step, as Redis says them; zeros: no keys.
    pub(super) keys: (i32, i32, i32),
    pub(super) kind: Kind,
    /// A client may send it before it has authenticated.
    pub(in crate::face::redis) before_auth: bool,
    /// Between MULTI and EXEC it is not queued.
    pub(in crate::face::redis) at_once: bool,
    pub(in crate::face::redis) run: fn(&mut Client, Args<'_>),
}

/// What a command does to data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
    Other,
}

impl Command {
    pub(in crate::face::redis) fn takes(&self, args: usize) -> bool {
        let least = self.arity.unsigned_abs() as usize;
        if self.arity < 0 { args >= least } else { args == least }
    }

    /// Whether so many arguments name more than [`MAX_KEYS`].
    pub(in crate::face::redis) fn names_too_many(&self, args: usize) -> bool {
        let (first, last, step) = self.keys;
        let (first, step) = (first.unsigned_abs() as usize, step.unsigned_abs().max(1) as usize);
        last < 0 && args.saturating_sub(first).div_ceil(step) > MAX_KEYS
    }

    /// Whether what it does or says depends on what its key has, though it loads nothing.
    pub(in crate::face::redis) fn looks(&self, args: Args<'_>) -> bool {
        const LOOKS: [&str; 15] = [
            "expire",
            "expireat",
            "expiretime",
            "getdel",
            "getset",
            "persist",
            "pexpire",
            "pexpireat",
            "pexpiretime",
            "pttl",
            "setnx",
            "strlen",
            "touch",
            "ttl",
            "type",
        ];
        // SET asks for it by an option.
        const OPTIONS: [&str; 4] = ["nx", "xx", "get", "keepttl"];
        let option = |word: &[u8]| OPTIONS.iter().any(|option| eq_ignore_case(word, option));
        (self.name == "set" && args.from(3).iter().any(option)) || LOOKS.contains(&self.name)
    }

    /// Whether it changes what it finds.
    pub(in crate::face::redis) fn decides(&self) -> bool {
        self.kind == Kind::Write
    }

    /// What it does with the keys that it names; `None`: it concerns none in particular.
    pub(in crate::face::redis) fn access(&self, args: Args<'_>) -> Option<Access> {
        // Of one key: one that waits for its other keys would be overtaken.
        const PUTS: [&str; 3] = ["psetex", "set", "setex"];
        match self.kind {
            _ if self.keys.0 == 0 => None,
            Kind::Other => None,
            Kind::Read => Some(Access::Look),
            Kind::Write if PUTS.contains(&self.name) && !self.looks(args) => Some(Access::Put),
            Kind::Write => Some(Access::Change),
        }
    }

    /// Whether it waits for what other clients do.
    pub(in crate::face::redis) fn is_patient(&self) -> bool {
        self.name == "bw.get"
    }

    /// Its key, or all of them.
    pub(in crate::face::redis) fn keys_of<'a>(&self, args: Args<'a>) -> impl Iterator<Item = &'a [u8]> {
        let (first, last, step) = self.keys;
        let (first, step) = (first.unsigned_abs() as usize, step.unsigned_abs().max(1) as usize);
        args.from(first).iter().step_by(step).take(if last < 0 { MAX_KEYS } else { 1 })
    }

    /// Whether a client of RESP2 may send it while it listens: its replies can't be told from messages.
    pub(in crate::face::redis) fn while_subscribed(&self) -> bool {
        const ALLOWED: [&str; 8] =
            ["ping", "psubscribe", "punsubscribe", "quit", "reset", "ssubscribe", "subscribe", "unsubscribe"];
        ALLOWED.contains(&self.name)
    }

    pub(super) const fn before_auth(mut self) -> Command {
        self.before_auth = true;
        self
    }

    pub(super) const fn at_once(mut self) -> Command {
        self.at_once = true;
        self
    }
}

/// A command that is begun once its client is known, and queued between MULTI and EXEC.
pub(super) const fn command(
    name: &'static str,
    arity: i32,
    keys: (i32, i32, i32),
    kind: Kind,
    run: fn(&mut Client, Args<'_>),
) -> Command {
    Command { name, arity, keys, kind, before_auth: false, at_once: false, run }
}

/// All commands there are, in the order of their names.
pub(in crate::face::redis) struct Table(pub(super) &'static [Command]);

impl Table {
    /// The command of this name, in any letter case.
    pub(in crate::face::redis) fn find(&self, name: &[u8]) -> Option<&'static Command> {
        let mut lower = [0; LONGEST_NAME];
        let lower = lower.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        let at = self.0.binary_search_by(|command| command.name.as_bytes().cmp(lower)).ok()?;
        self.0.get(at)
    }
}
