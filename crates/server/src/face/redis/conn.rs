//! What do these bytes make of a connection? Commands in, replies out; no socket anywhere.

use std::borrow::Cow;
use std::task::Context;

use bellwether::HIT_MANY;
use bellwether_resp::{Limits, Parsed, Parser, ProtocolError};

use super::client::Client;
use super::commands::read;
use super::company::{Chair, End};
use super::replies::HIGH_WATER;

/// Bytes of one command as sent: above any value that can be kept, far below what could hurt.
const MAX_COMMAND: usize = 16 << 20;

/// What is answered to a longer one, in the words that Redis has for a length that it does not take.
const TOO_LONG: &str = "ERR Protocol error: invalid bulk length (a command may have 16 MiB)";

/// A connection without its socket.
pub(super) struct Conn {
    parser: Parser,
    pub(super) client: Client,
    /// The commands of an EXEC under way: their parser, and how far it got.
    exec: Option<(Parser, usize)>,
    /// Whether `parser` has been told that its client is known.
    trusted: bool,
    /// Where a GET may wait for those of other clients ...
    pub(super) chair: Option<Chair>,
    /// ... and does: nothing is begun before it is answered.
    waits: bool,
    /// Nothing was under way when a GET began to wait, and nothing but such GETs has come since.
    calm: bool,
}

/// Why nothing more is begun for the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// More input is needed.
    Input,
    /// Replies must leave first.
    Replies,
    /// A GET waits for company: in its next turn the connection calls [`Conn::answer`].
    Company,
    /// The connection ends once its replies are sent.
    End,
    /// The connection ends at once.
    Cut,
}

fn limits(known: bool) -> Limits {
    let limits = Limits { max_query_buffer: MAX_COMMAND, ..Limits::NORMAL };
    if known { limits } else { limits.before_auth() }
}

impl Conn {
    pub(super) fn new(client: Client) -> Conn {
        Conn {
            parser: Parser::new(limits(client.known)),
            trusted: client.known,
            client,
            exec: None,
            chair: None,
            waits: false,
            calm: false,
        }
    }

    /// Begins every command of `input` that may begin. Returns the bytes used: call again with the
    /// rest, and more behind it.
    pub(super) fn process(&mut self, input: &[u8]) -> (usize, Stop) {
        self.process_up_to(input, HIGH_WATER)
    }

    /// Whether `input` is a GET with nothing before or behind it that now waits for those of other clients.
    #[inline]
    pub(super) fn joins(&mut self, input: &[u8]) -> bool {
        let (Some(chair), client) = (&self.chair, &mut self.client) else { return false };
        let plain = if self.calm {
            !client.service.watch().is_broadcasting()
        } else {
            client.is_plain() && client.is_at_rest()
        };
        if !plain {
            return false;
        }
        let Some((key, consumed)) = self.parser.get(input) else { return false };
        if consumed < input.len() {
            return false;
        }
        let Some(at) = chair.ask(&client.service, &client.clients, &input[key]) else { return false };
        client.now = at;
        client.commands += 1;
        (self.waits, self.calm) = (true, true);
        true
    }

    /// Whether the GET that waited is answered: then nothing is left to do for it.
    #[inline]
    pub(super) fn is_answered(&mut self) -> bool {
        self.waits &= !self.chair.as_ref().is_some_and(Chair::is_answered);
        !self.waits
    }

    /// Answers the GET that waited, if that is not done: how many bytes of the reply are sent already. `None`: it can't be
    /// told any more.
    pub(super) fn answer(&mut self) -> Option<usize> {
        if !std::mem::take(&mut self.waits) {
            return Some(0);
        }
        self.calm = false;
        match self.chair.as_ref()?.end() {
            End::Answered => Some(0),
            End::Begun(value, sent) => {
                self.client.replies.value(value);
                Some(sent)
            }
            End::Missing(key) => {
                read::answer(&mut self.client, &key, None);
                Some(0)
            }
            End::Unknown => None,
        }
    }

    /// Whether a GET waits for those of other clients.
    pub(super) fn waits(&self) -> bool {
        self.waits
    }

    /// Whether nothing is under way: there is nothing to be sent, waited for or begun.
    #[inline]
    pub(super) fn is_quiet(&self) -> bool {
        !self.waits && (self.calm || (self.client.is_at_rest() && !self.client.order.is_busy()))
    }

    /// Takes in what has come of what was waited for, and begins what had to wait for it. True if something came.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        self.calm = false;
        let came = self.client.replies.poll(cx);
        // What has just begun must know whom to wake.
        while self.client.take_turns() {
            self.client.replies.poll(cx);
        }
        came
    }

    /// As [`Conn::process`], with room for `room` bytes of replies.
    pub(super) fn process_up_to(&mut self, input: &[u8], room: usize) -> (usize, Stop) {
        self.calm = false;
        let before = self.client.commands;
        self.client.take_turns();
        self.client.now = self.client.service.now();
        self.client.plain = self.client.is_plain();
        let mut used = 0;
        let stop = loop {
            if self.client.closing {
                break Stop::End;
            }
            if self.waits {
                break Stop::Company;
            }
            if !self.client.replies.room() || self.client.replies.owed_at_least(room) {
                break Stop::Replies;
            }
            // Batches are ordered: the next command begins when the last one has answered.
            if self.client.exec.is_some() || self.client.waits {
                if !self.client.replies.settled() {
                    break Stop::Replies;
                }
                self.client.waits = false;
                if self.client.exec.is_some() {
                    self.exec_next();
                    continue;
                }
            }
            match self.begin(&input[used..]) {
                Ok(Some(taken)) => used += taken,
                Ok(None) => break Stop::Input,
                Err(error) => break self.broken(error),
            }
        };
        self.client.clients.add_commands(self.client.commands - before, self.client.now);
        (used, stop)
    }

    /// Begins the first command of `input`, if it is whole; the bytes it took.
    fn begin(&mut self, input: &[u8]) -> Result<Option<usize>, ProtocolError> {
        if self.client.takes_many() {
            let used = self.gets(input);
            if used > 0 {
                return Ok(Some(used));
            }
        }
        let Some(parsed) = self.parser.next(input)? else { return Ok(None) };
        if let Parsed::Command { consumed } = parsed {
            let args = self.parser.args(input);
            let client = &self.client;
            if client.order.is_busy() && !client.replies.settled() && !client.has_turn(args, consumed) {
                // It is parsed again when all is answered.
                self.client.waits = true;
                return Ok(Some(0));
            }
            self.client.command(args, &input[..consumed]);
            if self.client.known != self.trusted {
                self.trusted = self.client.known;
                self.parser.set_limits(limits(self.trusted));
            }
        }
        Ok(Some(parsed.consumed()))
    }

    /// Answers the GETs at the start of `input` together: the bytes of all of them.
    fn gets(&mut self, input: &[u8]) -> usize {
        let mut keys: [&[u8]; HIT_MANY] = [&[]; HIT_MANY];
        let (mut many, mut used) = (0, 0);
        while many < HIT_MANY
            && let Some((key, taken)) = self.parser.get(&input[used..])
        {
            keys[many] = &input[used..][key];
            (many, used) = (many + 1, used + taken);
        }
        if many > 0 {
            self.client.get_many(&keys[..many]);
        }
        used
    }

    /// The next command of an EXEC.
    fn exec_next(&mut self) {
        let Some(queue) = self.client.exec.take() else { return };
        let (parser, at) = self.exec.get_or_insert_with(|| (Parser::new(limits(true)), 0));
        let rest = &queue.bytes[*at..];
        // What was queued was parsed once before.
        let Ok(Some(Parsed::Command { consumed })) = parser.next(rest) else {
            self.exec = None;
            // It was said for all of them.
            self.client.following.caching(None);
            return;
        };
        *at += consumed;
        self.client.executing = true;
        self.client.command(parser.args(rest), &[]);
        self.client.executing = false;
        self.client.exec = Some(queue);
    }

    /// Says why the connection ends once its replies are sent.
    pub(super) fn refuse(&mut self, words: &str) {
        tracing::warn!(peer = %self.client.peer, "{words}: closed");
        self.exec = None;
        self.client.closing = true;
        self.client.error(words);
    }

    fn broken(&mut self, error: ProtocolError) -> Stop {
        if error == ProtocolError::Http {
            tracing::warn!(peer = %self.client.peer, "an HTTP request on the Redis port: closed");
            return Stop::Cut;
        }
        tracing::debug!(peer = %self.client.peer, %error, "protocol error: closed");
        self.client.closing = true;
        // Redis says nothing where its buffer is full. A client that is told why it is left does not try again.
        let too_long =
            (error == ProtocolError::QueryBufferFull && self.trusted).then_some(Cow::Borrowed(TOO_LONG.as_bytes()));
        match error.reply().or(too_long) {
            Some(words) => {
                self.client.error(words);
                Stop::End
            }
            None => Stop::Cut,
        }
    }
}
