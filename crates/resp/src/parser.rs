//! Which commands stand in this read buffer?

use memchr::memchr2;

use crate::args::{Args, Span};
use crate::eq_ignore_case;
use crate::error::ProtocolError;
use crate::inline;
use crate::limits::Limits;
use crate::number::{parse_i64, short_length};

/// Argument places kept allocated between commands; a larger command gives its memory back.
const KEEP_ARGS: usize = 1024;
/// Bytes of inline text kept allocated between commands.
const KEEP_TEXT: usize = 1024;

/// Bytes of a key that [`Parser::get`] finds, and of the whole command.
const LONGEST_KEY: usize = 999;
const LONGEST_GET: usize = LONGEST_KEY + 32;

/// What stood at the start of the input. Either way drop its `consumed` bytes, then ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "its bytes have to be dropped from the buffer"]
pub enum Parsed {
    /// A command with at least a name: see [`Parser::args`].
    Command {
        /// Bytes it took.
        consumed: usize,
    },
    /// An empty line, `*0` or a negative count: no command, and no reply either.
    Nothing {
        /// Bytes it took.
        consumed: usize,
    },
}

impl Parsed {
    /// Bytes to drop from the front of the buffer, once the arguments aren't needed any more.
    pub fn consumed(self) -> usize {
        match self {
            Parsed::Command { consumed } | Parsed::Nothing { consumed } => consumed,
        }
    }
}

/// Finds commands in a read buffer, for one connection.
///
/// Call [`next`](Self::next) with the unread bytes. After `Some`, drop the consumed bytes and call again;
/// after `None`, call again with *the same bytes and more behind them*. Where the buffer lies in memory may
/// change between calls. A half-arrived command isn't read twice: the parser remembers how far it got.
/// Memory: 8 bytes for each argument that has arrived, plus the text of an inline command; nothing for
/// what was only announced.
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    /// No limit that [`get`](Self::get) would have to look at.
    takes_gets: bool,
    phase: Phase,
    /// Arguments of the current command found so far; reused by every command.
    args: Vec<Span>,
    /// An inline command's unescaped arguments.
    text: Vec<u8>,
    /// Bytes of the current command understood so far: a line or an argument starts here.
    pos: usize,
    /// Bytes from `pos` on that are known to hold no line end.
    searched: usize,
    /// Arguments still to come.
    missing: usize,
    /// The length of the argument at `pos`, if its `$` line has been read.
    bulk: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing of a command has been understood.
    Start,
    /// The `*` line has been read.
    Multibulk,
    /// A command was yielded; its arguments lie in the read buffer.
    Done,
    /// A command was yielded; its arguments lie in `text`.
    DoneInline,
    /// Out of step for good: a caller who goes on by mistake must not find commands in the middle of data.
    Failed(ProtocolError),
}

impl Parser {
    /// A parser for a new connection. Allocates nothing.
    pub fn new(limits: Limits) -> Self {
        let mut parser = Parser {
            limits,
            takes_gets: false,
            phase: Phase::Start,
            args: Vec::new(),
            text: Vec::new(),
            pos: 0,
            searched: 0,
            missing: 0,
            bulk: None,
        };
        parser.set_limits(limits);
        parser
    }

    /// Other limits from now on, as after AUTH. What has already been accepted stays accepted.
    pub fn set_limits(&mut self, limits: Limits) {
        // Places are kept in 32 bits.
        self.limits = Limits { max_query_buffer: limits.max_query_buffer.min(u32::MAX as usize), ..limits };
        let room = limits.max_args > 1 && limits.max_bulk >= LONGEST_KEY && limits.max_query_buffer >= LONGEST_GET;
        self.takes_gets = room && !limits.before_auth;
    }

    /// The first command of `input`, or `None` if it hasn't arrived completely. An error is final.
    #[inline]
    pub fn next(&mut self, input: &[u8]) -> Result<Option<Parsed>, ProtocolError> {
        if matches!(self.phase, Phase::Done | Phase::DoneInline) {
            self.reset();
        }
        let parsed = self.advance(input);
        if let Err(error) = parsed {
            self.phase = Phase::Failed(error);
        }
        parsed
    }

    /// Where the key lies of the GET that `input` begins with, and the bytes of that command, if it is whole and spelled as
    /// clients spell it. It counts as consumed: go on behind it. `None` says nothing: ask [`next`](Self::next).
    ///
    /// Most commands are GETs, and this is a tenth of what it costs to find any.
    #[inline]
    pub fn get(&mut self, input: &[u8]) -> Option<(std::ops::Range<usize>, usize)> {
        const KEY: usize = b"*2\r\n$3\r\nGET\r\n$".len();
        let between = self.searched == 0 && !matches!(self.phase, Phase::Multibulk | Phase::Failed(_));
        if !between || !self.takes_gets {
            return None;
        }
        let (head, key) = input.split_first_chunk::<KEY>()?;
        // Letters of either case are one bit apart from each other, and from nothing else.
        let name = [head[8] | 0x20, head[9] | 0x20, head[10] | 0x20];
        if head[..8] != *b"*2\r\n$3\r\n" || name != *b"get" || head[11..] != *b"\r\n$" {
            return None;
        }
        let (length, used) = key_length(key)?;
        let start = KEY + used;
        let consumed = start + length + 2;
        if input.len() < consumed {
            return None;
        }
        if self.phase != Phase::Start {
            self.reset();
        }
        Some((start..start + length, consumed))
    }

    /// The arguments of the command that [`next`](Self::next) has just returned; `input` must be what it
    /// was called with (anything else may panic or give nonsense). Empty if there is no such command.
    #[inline]
    pub fn args<'a>(&'a self, input: &'a [u8]) -> Args<'a> {
        match self.phase {
            Phase::Done => Args::new(input, &self.args),
            Phase::DoneInline => Args::new(&self.text, &self.args),
            Phase::Start | Phase::Multibulk | Phase::Failed(_) => Args::new(&[], &[]),
        }
    }

    /// Bytes on the heap, for the accounting of connections.
    pub fn heap_bytes(&self) -> usize {
        self.args.capacity() * size_of::<Span>() + self.text.capacity()
    }

    fn reset(&mut self) {
        self.phase = Phase::Start;
        self.pos = 0;
        self.args.clear();
        self.text.clear();
        if self.args.capacity() > KEEP_ARGS {
            self.args.shrink_to(KEEP_ARGS);
        }
        if self.text.capacity() > KEEP_TEXT {
            self.text.shrink_to(KEEP_TEXT);
        }
    }

    #[inline]
    fn advance(&mut self, input: &[u8]) -> Result<Option<Parsed>, ProtocolError> {
        // Never looking beyond the limit makes the verdict independent of how the bytes arrived.
        let seen = &input[..input.len().min(self.limits.max_query_buffer)];
        let parsed = match (self.phase, seen.first()) {
            (Phase::Failed(error), _) => return Err(error),
            (_, None) => None,
            (Phase::Start, Some(b'*')) => self.multibulk(seen)?,
            (Phase::Start, Some(_)) => self.inline(seen)?,
            _ => self.arguments(seen)?,
        };
        if parsed.is_none() && input.len() > seen.len() {
            return Err(ProtocolError::QueryBufferFull);
        }
        Ok(parsed)
    }

    /// A command that starts with `*`.
    fn multibulk(&mut self, seen: &[u8]) -> Result<Option<Parsed>, ProtocolError> {
        let Some((length, after)) = self.length(seen, ProtocolError::BigMultibulkCount)? else {
            return Ok(None);
        };
        let count = length.ok_or(ProtocolError::InvalidMultibulkLength)?;
        if count <= 0 {
            self.phase = Phase::Done;
            return Ok(Some(Parsed::Nothing { consumed: after }));
        }
        let count = usize::try_from(count)
            .ok()
            .filter(|&count| count <= self.limits.max_args)
            .ok_or(ProtocolError::InvalidMultibulkLength)?;
        if self.limits.before_auth && count > Limits::BEFORE_AUTH_ARGS {
            return Err(ProtocolError::UnauthenticatedMultibulkLength);
        }
        self.phase = Phase::Multibulk;
        self.missing = count;
        self.pos = after;
        self.arguments(seen)
    }

    /// The arguments of a multibulk command, from where the last call stopped.
    fn arguments(&mut self, seen: &[u8]) -> Result<Option<Parsed>, ProtocolError> {
        while self.missing > 0 {
            let length = match self.bulk {
                Some(length) => length,
                None => match self.bulk_length(seen)? {
                    Some(length) => length,
                    None => return Ok(None),
                },
            };
            let end = self.pos + length;
            // Like Redis: two bytes follow an argument, whatever they are.
            if seen.len() < end + 2 {
                self.bulk = Some(length);
                return Ok(None);
            }
            self.args.push(Span { start: self.pos as u32, end: end as u32 });
            self.pos = end + 2;
            self.bulk = None;
            self.missing -= 1;
        }
        self.command(Phase::Done, seen, self.pos)
    }

    /// The length of the next argument, from its `$` line; moves behind that line.
    #[inline]
    fn bulk_length(&mut self, seen: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let Some((length, after)) = self.length(seen, ProtocolError::BigBulkCount)? else {
            return Ok(None);
        };
        // After the search for the line end, as Redis does: a stray byte alone isn't answered yet.
        if seen[self.pos] != b'$' {
            return Err(ProtocolError::ExpectedDollar(seen[self.pos]));
        }
        let length = length
            .and_then(|length| usize::try_from(length).ok())
            .filter(|&length| length <= self.limits.max_bulk)
            .ok_or(ProtocolError::InvalidBulkLength)?;
        if self.limits.before_auth && length > Limits::BEFORE_AUTH_BULK {
            return Err(ProtocolError::UnauthenticatedBulkLength);
        }
        // It can never fit: say so before buffering what would have to be thrown away.
        if length > self.limits.max_query_buffer.saturating_sub(after + 2) {
            return Err(ProtocolError::QueryBufferFull);
        }
        self.pos = after;
        Ok(Some(length))
    }

    /// The number in the line at `pos` behind its type byte (`None`: it isn't one), and where the line ends.
    #[inline]
    fn length(&mut self, seen: &[u8], too_big: ProtocolError) -> Result<Option<(Option<i64>, usize)>, ProtocolError> {
        let start = self.pos + 1;
        if let Some((length, used)) = seen.get(start..).and_then(short_length) {
            self.searched = 0;
            return Ok(Some((Some(i64::from(length)), start + used)));
        }
        let Some(end) = self.line_end(seen, b'\r', too_big)? else {
            return Ok(None);
        };
        // Like Redis: one byte follows the CR, whatever it is.
        if seen.len() < end + 2 {
            return Ok(None);
        }
        self.searched = 0;
        // An empty line has not even a type byte.
        let digits = seen.get(start..end).unwrap_or_default();
        Ok(Some((parse_i64(digits), end + 2)))
    }

    /// Where the line at `pos` has its first `end` byte. Redis searches with C's `strchr`, so a NUL hides
    /// everything behind it: such a line never ends.
    #[cold]
    fn line_end(&mut self, seen: &[u8], end: u8, too_big: ProtocolError) -> Result<Option<usize>, ProtocolError> {
        let line = seen.get(self.pos..).unwrap_or_default();
        let reach = &line[..line.len().min(self.limits.max_inline.saturating_add(1))];
        match memchr2(end, 0, reach.get(self.searched..).unwrap_or_default()) {
            Some(at) => {
                self.searched += at;
                if reach[self.searched] == end {
                    return Ok(Some(self.pos + self.searched));
                }
            }
            None => self.searched = self.searched.max(reach.len()),
        }
        if line.len() > self.limits.max_inline { Err(too_big) } else { Ok(None) }
    }

    /// A command typed by hand, up to its LF.
    fn inline(&mut self, seen: &[u8]) -> Result<Option<Parsed>, ProtocolError> {
        let Some(end) = self.line_end(seen, b'\n', ProtocolError::BigInline)? else {
            return Ok(None);
        };
        self.searched = 0;
        let line = &seen[..end];
        inline::split(line.strip_suffix(b"\r").unwrap_or(line), &mut self.text, &mut self.args)?;
        if self.args.len() > self.limits.max_args {
            return Err(ProtocolError::InvalidMultibulkLength);
        }
        if self.args.is_empty() {
            self.phase = Phase::DoneInline;
            return Ok(Some(Parsed::Nothing { consumed: end + 1 }));
        }
        self.command(Phase::DoneInline, seen, end + 1)
    }

    /// A command is complete.
    #[inline]
    fn command(&mut self, done: Phase, seen: &[u8], consumed: usize) -> Result<Option<Parsed>, ProtocolError> {
        self.phase = done;
        let args = self.args(seen);
        let name = &args[0];
        let http = match name.len() {
            4 => eq_ignore_case(name, "post"),
            5 => eq_ignore_case(name, "host:"),
            _ => false,
        };
        if http { Err(ProtocolError::Http) } else { Ok(Some(Parsed::Command { consumed })) }
    }
}

/// The length of a key of at most [`LONGEST_KEY`] bytes and its line end at the start of `text`, and their bytes.
#[inline(always)]
fn key_length(text: &[u8]) -> Option<(usize, usize)> {
    let digit = |byte: u8| byte.is_ascii_digit().then(|| usize::from(byte - b'0'));
    // No command is shorter: two bytes follow an empty key.
    match *text.first_chunk::<5>()? {
        [a, b'\r', b'\n', ..] => Some((digit(a)?, 3)),
        [b'0', ..] => None,
        [a, b, b'\r', b'\n', ..] => Some((digit(a)? * 10 + digit(b)?, 4)),
        [a, b, c, b'\r', b'\n'] => Some((digit(a)? * 100 + digit(b)? * 10 + digit(c)?, 5)),
        _ => None,
    }
}
