//! Which ways are there to break the protocol, and what does Redis say to each?

use std::borrow::Cow;

use thiserror::Error;

/// A client broke the protocol. There is no way back into step: answer [`reply`](Self::reply), then close.
/// `Display` is for logs.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
pub enum ProtocolError {
    /// `*` is followed by no canonical integer, or by more than `max_args`.
    #[error("invalid multibulk length")]
    InvalidMultibulkLength,
    /// `$` is followed by no canonical integer, a negative one, or more than `max_bulk`.
    #[error("invalid bulk length")]
    InvalidBulkLength,
    /// An argument starts with this byte instead of `$`.
    #[error("expected '$', got '{}'", .0.escape_ascii())]
    ExpectedDollar(u8),
    /// No line end within `max_inline` bytes after `*`.
    #[error("too big mbulk count string")]
    BigMultibulkCount,
    /// No line end within `max_inline` bytes where a `$` line is due.
    #[error("too big bulk count string")]
    BigBulkCount,
    /// No line end within `max_inline` bytes of an inline command.
    #[error("too big inline request")]
    BigInline,
    /// More than ten arguments before AUTH.
    #[error("unauthenticated multibulk length")]
    UnauthenticatedMultibulkLength,
    /// An argument of more than 16 KiB before AUTH.
    #[error("unauthenticated bulk length")]
    UnauthenticatedBulkLength,
    /// An inline command's quotes don't match, or something sticks to a closing quote.
    #[error("unbalanced quotes in request")]
    UnbalancedQuotes,
    /// The command is longer than `max_query_buffer`; closed without a word.
    #[error("query buffer limit reached")]
    QueryBufferFull,
    /// The first word is `POST` or `Host:`: a browser was talked into speaking to this port (cross-protocol
    /// scripting). Log it; closed without a word, replies not yet sent included.
    #[error("an HTTP request (cross-protocol scripting?)")]
    Http,
}

impl ProtocolError {
    /// What Redis answers, without the leading `-`, ready for [`Writer::error`](crate::Writer::error);
    /// `None` where Redis closes without a word.
    pub fn reply(self) -> Option<Cow<'static, [u8]>> {
        let words: &'static str = match self {
            Self::InvalidMultibulkLength => "ERR Protocol error: invalid multibulk length",
            Self::InvalidBulkLength => "ERR Protocol error: invalid bulk length",
            Self::BigMultibulkCount => "ERR Protocol error: too big mbulk count string",
            Self::BigBulkCount => "ERR Protocol error: too big bulk count string",
            Self::BigInline => "ERR Protocol error: too big inline request",
            Self::UnauthenticatedMultibulkLength => "ERR Protocol error: unauthenticated multibulk length",
            Self::UnauthenticatedBulkLength => "ERR Protocol error: unauthenticated bulk length",
            Self::UnbalancedQuotes => "ERR Protocol error: unbalanced quotes in request",
            Self::ExpectedDollar(got) => {
                let mut words = b"ERR Protocol error: expected '$', got '".to_vec();
                // A line end here would end the reply's own line.
                words.push(if matches!(got, b'\r' | b'\n') { b' ' } else { got });
                words.push(b'\'');
                return Some(Cow::Owned(words));
            }
            Self::QueryBufferFull | Self::Http => return None,
        };
        Some(Cow::Borrowed(words.as_bytes()))
    }
}

/// A server broke the protocol, or answered more than it may. The connection is out of step: discard it.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
pub enum ReplyError {
    /// A value starts with a byte that names no type.
    #[error("unknown reply type '{}'", .0.escape_ascii())]
    UnknownType(u8),
    /// A line doesn't end in CR LF, or a bulk string isn't followed by it.
    #[error("line end expected")]
    BadLineEnd,
    /// A length or number isn't canonical, or negative where it can't be.
    #[error("invalid number")]
    BadNumber,
    /// A boolean, null, double, big number or verbatim string is spelled wrongly.
    #[error("invalid literal")]
    BadLiteral,
    /// Aggregates nested more than [`ReplyLimits::MAX_DEPTH`](crate::ReplyLimits::MAX_DEPTH) deep.
    #[error("nested too deep")]
    TooDeep,
    /// More elements than `max_elements`.
    #[error("too many elements")]
    TooManyElements,
    /// A line, a bulk string or the whole reply is longer than its limit.
    #[error("reply too long")]
    TooLong,
}
