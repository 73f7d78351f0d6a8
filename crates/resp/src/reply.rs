//! What has the server answered?

use memchr::memchr2;

use crate::error::ReplyError;
use crate::limits::ReplyLimits;
use crate::number::parse_i64;
use crate::value::Value;

/// A complete reply.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// What was said.
    pub value: Value,
    /// Bytes to drop from the front of the buffer.
    pub consumed: usize,
}

/// Finds replies in a read buffer, for one connection; used like [`Parser`](crate::Parser).
///
/// Elements that have arrived aren't read twice. Nothing is reserved for a declared length. RESP3
/// attributes are read and dropped; streamed strings and aggregates (`$?`), which no Redis sends, are errors.
#[derive(Debug)]
pub struct ReplyParser {
    limits: ReplyLimits,
    /// Aggregates begun and not ended, outermost first; at most [`ReplyLimits::MAX_DEPTH`].
    open: Vec<Open>,
    /// Bytes of the current reply understood so far.
    pos: usize,
    /// Bytes from `pos` on that are known to hold no line end.
    searched: usize,
    /// Elements announced by the current reply.
    elements: usize,
    failed: Option<ReplyError>,
}

/// An aggregate of which elements are still to come.
#[derive(Debug)]
struct Open {
    kind: Aggregate,
    missing: usize,
    items: Vec<Value>,
}

#[derive(Clone, Copy, Debug)]
enum Aggregate {
    Array,
    Set,
    Push,
    Map,
    Attribute,
}

/// What one line (and its string, if it announces one) brought.
enum Token {
    Value(Value),
    Open(Aggregate, usize),
}

impl ReplyParser {
    /// A parser for a new connection.
    pub fn new(limits: ReplyLimits) -> Self {
        ReplyParser { limits, open: Vec::new(), pos: 0, searched: 0, elements: 0, failed: None }
    }

    /// The first reply of `input`, or `None` if it hasn't arrived completely: then call again with the same
    /// bytes and more behind them. An error is final.
    pub fn next(&mut self, input: &[u8]) -> Result<Option<Reply>, ReplyError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let reply = self.advance(input);
        match &reply {
            Ok(Some(_)) => {
                self.open.clear();
                (self.pos, self.searched, self.elements) = (0, 0, 0);
            }
            Ok(None) => {}
            Err(error) => {
                self.open.clear();
                self.failed = Some(*error);
            }
        }
        reply
    }

    /// Bytes on the heap for elements of a half-arrived reply, what is inside strings not counted.
    pub fn heap_bytes(&self) -> usize {
        let items: usize = self.open.iter().map(|open| open.items.capacity()).sum();
        self.open.capacity() * size_of::<Open>() + items * size_of::<Value>()
    }

    fn advance(&mut self, input: &[u8]) -> Result<Option<Reply>, ReplyError> {
        let seen = &input[..input.len().min(self.limits.max_bytes)];
        while let Some(token) = self.token(seen)? {
            let done = match token {
                Token::Value(value) => Some(value),
                Token::Open(kind, missing) => {
                    if self.open.len() == ReplyLimits::MAX_DEPTH {
                        return Err(ReplyError::TooDeep);
                    }
                    self.open.push(Open { kind, missing, items: Vec::new() });
                    None
                }
            };
            if let Some(value) = self.close(done) {
                return Ok(Some(Reply { value, consumed: self.pos }));
            }
        }
        if input.len() > seen.len() { Err(ReplyError::TooLong) } else { Ok(None) }
    }

    /// Puts a value where it belongs and ends every aggregate that is complete by it; returns the whole reply
    /// once nothing is open.
    fn close(&mut self, mut done: Option<Value>) -> Option<Value> {
        loop {
            let Some(inner) = self.open.last_mut() else {
                return done;
            };
            if let Some(value) = done.take() {
                inner.items.push(value);
                inner.missing -= 1;
            }
            if inner.missing > 0 {
                return None;
            }
            done = self.open.pop().and_then(Open::finish);
            // An attribute ends without a value: what it describes comes next, and what is open goes on waiting.
            done.as_ref()?;
        }
    }

    /// The scalar or aggregate header at `pos`; moves behind it.
    fn token(&mut self, seen: &[u8]) -> Result<Option<Token>, ReplyError> {
        let Some(end) = self.line_end(seen)? else {
            return Ok(None);
        };
        let (kind, line) = match &seen[self.pos..end] {
            [] => return Err(ReplyError::UnknownType(b'\r')),
            [kind, line @ ..] => (*kind, line),
        };
        let after = end + 2;
        let value = match kind {
            b'+' => Value::Simple(line.to_vec()),
            b'-' => Value::Error(line.to_vec()),
            b':' => Value::Int(parse_i64(line).ok_or(ReplyError::BadNumber)?),
            b'#' => Value::Bool(truth(line)?),
            b',' => Value::Double(double(line)?),
            b'(' => Value::BigNumber(big_number(line)?),
            b'_' if line.is_empty() => Value::Nil,
            b'_' => return Err(ReplyError::BadLiteral),
            b'$' | b'*' if line == b"-1" => Value::Nil,
            b'$' | b'!' | b'=' => {
                let len = self.bulk_length(line, after)?;
                let Some(bytes) = seen.get(after..after + len + 2) else {
                    return Ok(None);
                };
                let value = string(kind, bytes.strip_suffix(b"\r\n").ok_or(ReplyError::BadLineEnd)?)?;
                self.moved(after + len + 2);
                return Ok(Some(Token::Value(value)));
            }
            b'*' | b'~' | b'>' | b'%' | b'|' => {
                let (kind, each) = match kind {
                    b'*' => (Aggregate::Array, 1),
                    b'~' => (Aggregate::Set, 1),
                    b'>' => (Aggregate::Push, 1),
                    b'%' => (Aggregate::Map, 2),
                    _ => (Aggregate::Attribute, 2),
                };
                let missing = length(line)?.checked_mul(each).ok_or(ReplyError::TooManyElements)?;
                self.elements = self.elements.saturating_add(missing);
                if self.elements > self.limits.max_elements {
                    return Err(ReplyError::TooManyElements);
                }
                self.moved(after);
                return Ok(Some(Token::Open(kind, missing)));
            }
            other => return Err(ReplyError::UnknownType(other)),
        };
        self.moved(after);
        Ok(Some(Token::Value(value)))
    }

    fn moved(&mut self, to: usize) {
        self.pos = to;
        self.searched = 0;
    }

    /// The length of a string that starts at `after`, if the reply may be that long.
    fn bulk_length(&self, line: &[u8], after: usize) -> Result<usize, ReplyError> {
        let len = length(line)?;
        if len > self.limits.max_bulk || len > self.limits.max_bytes.saturating_sub(after + 2) {
            return Err(ReplyError::TooLong);
        }
        Ok(len)
    }

    /// Where the line at `pos` has its CR LF.
    fn line_end(&mut self, seen: &[u8]) -> Result<Option<usize>, ReplyError> {
        let line = seen.get(self.pos..).unwrap_or_default();
        let reach = &line[..line.len().min(self.limits.max_line.saturating_add(1))];
        let Some(at) = memchr2(b'\r', b'\n', reach.get(self.searched..).unwrap_or_default()) else {
            self.searched = self.searched.max(reach.len());
            return if line.len() > self.limits.max_line { Err(ReplyError::TooLong) } else { Ok(None) };
        };
        self.searched += at;
        match line[self.searched..] {
            [b'\r', b'\n', ..] => Ok(Some(self.pos + self.searched)),
            [b'\r'] => Ok(None),
            _ => Err(ReplyError::BadLineEnd),
        }
    }
}

impl Open {
    /// The value of a complete aggregate; none for an attribute.
    fn finish(self) -> Option<Value> {
        match self.kind {
            Aggregate::Array => Some(Value::Array(self.items)),
            Aggregate::Set => Some(Value::Set(self.items)),
            Aggregate::Push => Some(Value::Push(self.items)),
            Aggregate::Attribute => None,
            Aggregate::Map => {
                let mut pairs = Vec::with_capacity(self.items.len() / 2);
                let mut items = self.items.into_iter();
                while let (Some(key), Some(value)) = (items.next(), items.next()) {
                    pairs.push((key, value));
                }
                Some(Value::Map(pairs))
            }
        }
    }
}

fn length(line: &[u8]) -> Result<usize, ReplyError> {
    parse_i64(line).and_then(|number| usize::try_from(number).ok()).ok_or(ReplyError::BadNumber)
}

fn truth(line: &[u8]) -> Result<bool, ReplyError> {
    match line {
        b"t" => Ok(true),
        b"f" => Ok(false),
        _ => Err(ReplyError::BadLiteral),
    }
}

fn double(line: &[u8]) -> Result<f64, ReplyError> {
    match line {
        b"inf" => Ok(f64::INFINITY),
        b"-inf" => Ok(f64::NEG_INFINITY),
        // Redis 7.0 hands on what C's printf says about a NaN's sign.
        b"nan" | b"-nan" => Ok(f64::NAN),
        // Rust would also take words such as "infinity".
        _ if line.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')) => {
            std::str::from_utf8(line).ok().and_then(|text| text.parse().ok()).ok_or(ReplyError::BadLiteral)
        }
        _ => Err(ReplyError::BadLiteral),
    }
}

fn big_number(line: &[u8]) -> Result<Vec<u8>, ReplyError> {
    let digits = line.strip_prefix(b"-").unwrap_or(line);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(ReplyError::BadLiteral);
    }
    Ok(line.to_vec())
}

fn string(kind: u8, bytes: &[u8]) -> Result<Value, ReplyError> {
    match (kind, bytes) {
        (b'!', text) => Ok(Value::Error(text.to_vec())),
        (b'=', [a, b, c, b':', text @ ..]) => Ok(Value::Verbatim { format: [*a, *b, *c], text: text.to_vec() }),
        (b'=', _) => Err(ReplyError::BadLiteral),
        (_, bytes) => Ok(Value::Bulk(bytes.to_vec())),
    }
}
