//! What does a Redis client say, and how is it answered? RESP2 and RESP3 without any I/O.
//!
//! Three parts, none of which knows a socket: [`Parser`] finds commands in a read buffer, [`Writer`]
//! appends replies to an output buffer, [`ReplyParser`] reads replies back on the client's side.
//!
//! Invariants: nothing is allocated from a declared length; every length has a limit; what a stream of
//! bytes means does not depend on how it was cut into reads; the words and the strictness are Redis 7's,
//! because two parsers that disagree about one byte stream are a hole.
//!
//! ```
//! use bellwether_resp::{Limits, Parsed, Parser, Protocol, Writer, eq_ignore_case};
//!
//! let mut input: &[u8] = b"*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n*1\r\n$4\r\nPI";
//! let (mut parser, mut output) = (Parser::new(Limits::NORMAL), Vec::new());
//! while let Some(parsed) = parser.next(input)? {
//!     if let Parsed::Command { .. } = parsed {
//!         let args = parser.args(input);
//!         let mut reply = Writer::new(&mut output, Protocol::Resp2);
//!         match eq_ignore_case(&args[0], "echo") {
//!             true => reply.bulk(&args[1]),
//!             false => reply.error("ERR unknown command"),
//!         }
//!     }
//!     input = &input[parsed.consumed()..];
//! }
//! assert_eq!(output, b"$2\r\nhi\r\n");
//! assert_eq!(input, b"*1\r\n$4\r\nPI"); // kept until more arrives
//! # Ok::<(), bellwether_resp::ProtocolError>(())
//! ```
#![forbid(unsafe_code)]

mod args;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod inline;
mod limits;
mod number;
mod parser;
mod reply;
mod value;
mod writer;

pub use args::{Args, ArgsIter};
pub use error::{ProtocolError, ReplyError};
pub use limits::{Limits, ReplyLimits};
pub use number::parse_i64;
pub use parser::{Parsed, Parser};
pub use reply::{Reply, ReplyParser};
pub use value::Value;
pub use writer::{Output, Writer};

/// Which dialect a connection speaks; every connection starts with RESP2, `HELLO 3` switches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Redis 2 to 5's dialect: no maps, no pushes, nil in two spellings.
    #[default]
    Resp2,
    /// Redis 6's dialect.
    Resp3,
}

/// Are these bytes this ASCII word, in whatever case? For command and option names.
#[inline]
pub fn eq_ignore_case(bytes: &[u8], word: &str) -> bool {
    bytes.eq_ignore_ascii_case(word.as_bytes())
}
