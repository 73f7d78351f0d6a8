//! What can a face be told? Every way in which a read, a write or a lease ends.

use std::fmt;

use bellwether::{Cached, Demand, Error, FailClass, Priority, Span, Tick, Token, Why};
use bellwether_adapters::Payload;
use bellwether_core::key::MAX_KEY_BYTES;

use super::peer::Peer;

/// Bytes of a key that an error shows.
const SHOWN_KEY: usize = 128;
/// Characters of an origin's own words that an error shows.
const SHOWN_CAUSE: usize = 256;

/// What a caller insists on.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Which age is acceptable.
    pub demand: Demand,
    /// The class of the load, if the caller named one; the space's otherwise.
    pub priority: Option<Priority>,
    /// When the request was parsed: the space's `timeout` counts from here.
    pub asked: Tick,
    /// Whose request it is, where somebody counts what each client asks in vain.
    pub peer: Option<Peer>,
}

impl Terms {
    /// Whatever the space's policy allows, for a request parsed at `asked`.
    pub fn asked(asked: Tick) -> Terms {
        Terms { demand: Demand::Any, priority: None, asked, peer: None }
    }
}

/// How a read ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A value: fresh, stale or the space's default.
    Value(Cached<Payload>),
    /// There is none, and that is no failure: nil, 404.
    Missing(Why),
    /// No value could be had.
    Failed(Failure),
    /// No space matches the key: see [`no_space`].
    NoSpace,
    /// The key is longer than any key may be: see [`KEY_TOO_LONG`].
    KeyTooLong,
}

/// Why a value could not be had.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The reason, from the closed list.
    pub why: Why,
    /// The class of the failed load, if a load failed.
    pub class: Option<FailClass>,
    /// When asking again makes sense.
    pub retry_after: Option<Span>,
    /// The deadline that passed, if one did.
    pub timeout: Span,
    /// The origin's own words, without SQL, URLs and hosts.
    cause: String,
}

impl Failure {
    pub(super) fn new(error: &Error, timeout: Span) -> Failure {
        let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
        Failure {
            why: error.why(),
            class: error.class(),
            retry_after: error.retry_after(),
            timeout,
            cause: cause.chars().take(SHOWN_CAUSE).collect(),
        }
    }

    /// It was not even tried.
    pub(super) fn turned_away(why: Why, after: Span, timeout: Span) -> Failure {
        Failure { why, class: None, retry_after: Some(after), timeout, cause: String::new() }
    }

    fn retry_after_ms(&self) -> u64 {
        self.retry_after.map_or(0, |span| span.0)
    }
}

/// The reply in words, its code first.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.why, self.class) {
            (Why::Timeout, _) => {
                write!(f, "BWTIMEOUT after {}ms retry_after_ms={}", self.timeout.0, self.retry_after_ms())
            }
            (Why::OriginTimeout | Why::OriginRefused | Why::OriginFailed | Why::Rejected, class) => {
                let class = class.map_or(self.why.as_str(), FailClass::as_str);
                let cause = if self.cause.is_empty() { "the load failed" } else { &self.cause };
                write!(f, "BWORIGIN {class}: {cause}")
            }
            (why, _) => write!(f, "BWSHED {} retry_after_ms={}", why.as_str(), self.retry_after_ms()),
        }
    }
}

/// The words for a key that no space matches.
pub fn no_space(key: &[u8]) -> String {
    format!("BWNOSPACE no space matches key '{}'", shown(key))
}

/// The words for a key that is too long.
pub const KEY_TOO_LONG: &str = "ERR the key is longer than 4096 bytes";
/// The words for a text that stands for no key.
pub(crate) const NO_KEY: &str = "no key of at most 4 KiB, percent-encoded";
const _: () = assert!(MAX_KEY_BYTES == 4096, "the words name the limit");

/// A key for people: on one line, what is no text escaped, and cut where it is long.
pub(crate) fn shown(key: &[u8]) -> String {
    let end = key.len().min(SHOWN_KEY);
    let mut text = String::with_capacity(end);
    for chunk in key[..end].utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                // Quotes are what they are: only what would end the line or could be taken for an escape is one.
                '\\' => text.push_str("\\\\"),
                control if control.is_control() => text.extend(control.escape_default()),
                other => text.push(other),
            }
        }
        text.push_str(&chunk.invalid().escape_ascii().to_string());
    }
    if end < key.len() {
        text.push('…')
    }
    text
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No space matches the key.
    NoSpace,
    /// The key is longer than any key may be.
    KeyTooLong,
    /// The space has an origin, which is not written to.
    ReadOnly {
        /// Its name.
        space: String,
    },
    /// A capture of the key can't be of its type, so that no read would ever find it.
    WrongType {
        /// The space that it would belong to.
        space: String,
    },
    /// The value is larger than a single value may be.
    TooLarge,
    /// The space has no origin to load from.
    NoOrigin {
        /// Its name.
        space: String,
    },
    /// What is there decides, and the disk did not tell.
    Unsure,
    /// The shared tier decides, and did not; nobody here knows what is there.
    Undecided,
}

const UNDECIDED: &str =
    "BWTIMEOUT the shared tier did not answer, and only it knows whether the key is there: ask again";
const UNSURE: &str = "BWTIMEOUT the disk tier did not answer, and only it knows whether the key is there: ask again";

impl Refusal {
    /// The reply in words, its code first.
    pub fn words(&self, key: &[u8]) -> String {
        match self {
            Refusal::NoSpace => no_space(key),
            Refusal::KeyTooLong => KEY_TOO_LONG.to_owned(),
            Refusal::ReadOnly { space } => format!("BWREADONLY space '{space}' has no write mode"),
            Refusal::WrongType { space } => {
                format!("ERR key '{}' has a capture of the wrong type for space '{space}'", shown(key))
            }
            Refusal::TooLarge => "ERR the value is too large to be kept".to_owned(),
            Refusal::Unsure => UNSURE.to_owned(),
            Refusal::Undecided => UNDECIDED.to_owned(),
            Refusal::NoOrigin { space } => format!("ERR space '{space}' has no origin to load from"),
        }
    }
}

/// What somebody gets who wants to fill a key of a plain space.
#[derive(Clone, Debug)]
pub struct Grant {
    /// A value, if there is one.
    pub value: Option<Cached<Payload>>,
    /// How it came to be answered.
    pub why: Why,
    /// The right to write the key: at most one is valid at a time.
    pub token: Option<Token>,
    /// When asking again makes sense.
    pub retry_after: Option<Span>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(why: Why, class: Option<FailClass>) -> String {
        let retry_after = Some(Span::ms(120));
        Failure { why, class, retry_after, timeout: Span::ms(500), cause: "status 500".to_owned() }.to_string()
    }

    #[test]
    fn failures_are_told_in_the_words_of_the_contract() {
        assert_eq!(failure(Why::Timeout, None), "BWTIMEOUT after 500ms retry_after_ms=120");
        assert_eq!(failure(Why::Cooling, None), "BWSHED cooling retry_after_ms=120");
        assert_eq!(failure(Why::ShedQueue, None), "BWSHED shed_queue retry_after_ms=120");
        assert_eq!(failure(Why::OriginFailed, Some(FailClass::Failed)), "BWORIGIN failed: status 500");
        assert_eq!(failure(Why::OriginRefused, Some(FailClass::Overloaded)), "BWORIGIN overloaded: status 500");
    }

    #[test]
    fn a_key_in_an_error_is_escaped_and_cut() {
        assert_eq!(no_space(b"a\r\n\xff'"), "BWNOSPACE no space matches key 'a\\r\\n\\xff''");
        assert_eq!(shown(&[b'k'; 4000]).len(), SHOWN_KEY + '…'.len_utf8());
    }
}
