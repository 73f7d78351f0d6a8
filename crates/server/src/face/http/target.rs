//! What is the request about? Its path, percent-decoded exactly once.

use bellwether_core::key::MAX_KEY_BYTES;
use bytes::Bytes;

/// All keys begin here.
pub(super) const KEYS: &str = "/v1/";
const MANY: &str = "_mget";
const TAGS: &str = "_tags/";

/// What a path names. `_mget` and `_tags/…` are names only as they stand: a key of that name is
/// written `%5Fmget`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// `/v1/{key}`
    Key(Bytes),
    /// `/v1/_mget`
    Many,
    /// `/v1/_tags/{tag}`
    Tag(String, TagMode),
}

/// What is done with all that carries a tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum TagMode {
    /// From the answer on nobody gets the older values: what DELETE means everywhere here.
    #[default]
    Remove,
    /// `?mode=expire`: readers load anew; an old value is at most a rescue.
    Expire,
}

/// Why a path names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// No such path.
    Nowhere,
    /// A `%` without two hex digits.
    Encoding,
    /// A key beyond [`MAX_KEY_BYTES`].
    TooLong,
    /// A query where none is understood: a `?` in a key is written `%3F`.
    Query,
    /// A tag that is no text.
    Tag,
}

impl Target {
    pub(super) fn of(path: &str, query: Option<&str>) -> Result<Target, Lost> {
        let rest = path.strip_prefix(KEYS).ok_or(Lost::Nowhere)?;
        if rest == MANY {
            return if query.is_some() { Err(Lost::Query) } else { Ok(Target::Many) };
        }
        if let Some(tag) = rest.strip_prefix(TAGS) {
            let mode = match query {
                None | Some("mode=remove") => TagMode::Remove,
                Some("mode=expire") => TagMode::Expire,
                Some(_) => return Err(Lost::Query),
            };
            let tag = String::from_utf8(decoded(tag)?).map_err(|_| Lost::Tag)?;
            return if tag.is_empty() { Err(Lost::Nowhere) } else { Ok(Target::Tag(tag, mode)) };
        }
        if query.is_some() {
            return Err(Lost::Query);
        }
        let key = decoded(rest)?;
        if key.is_empty() { Err(Lost::Nowhere) } else { Ok(Target::Key(key.into())) }
    }
}

/// Percent-decoded, once. At most [`MAX_KEY_BYTES`] bytes: a tag is no longer than a key.
pub(crate) fn decoded(text: &str) -> Result<Vec<u8>, Lost> {
    if text.len() <= MAX_KEY_BYTES && memchr::memchr(b'%', text.as_bytes()).is_none() {
        return Ok(text.as_bytes().to_vec());
    }
    let mut bytes = Vec::with_capacity(text.len().min(MAX_KEY_BYTES));
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let (high, low) = digit().zip(digit()).ok_or(Lost::Encoding)?;
                (high * 16 + low) as u8
            }
            byte => byte,
        };
        if bytes.len() == MAX_KEY_BYTES {
            return Err(Lost::TooLong);
        }
        bytes.push(byte);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(path: &str) -> Result<Target, Lost> {
        Target::of(path, None)
    }

    #[test]
    fn a_key_is_decoded_exactly_once() {
        assert_eq!(key("/v1/a:1"), Ok(Target::Key("a:1".into())));
        assert_eq!(key("/v1/a%3A1"), Ok(Target::Key("a:1".into())));
        assert_eq!(key("/v1/a%253A1"), Ok(Target::Key("a%3A1".into())), "once");
        assert_eq!(key("/v1/a+b%20c"), Ok(Target::Key("a+b c".into())), "a plus is a plus");
        assert_eq!(key("/v1/%fF%00"), Ok(Target::Key(Bytes::from_static(b"\xff\0"))), "keys are bytes");
        assert_eq!(key("/v1/../x"), Ok(Target::Key("../x".into())), "a key is no path");
        for bad in ["/v1/%", "/v1/%4", "/v1/%zz", "/v1/%+1"] {
            assert_eq!(key(bad), Err(Lost::Encoding), "{bad}");
        }
    }

    #[test]
    fn keys_end_at_4_kib_however_they_are_written() {
        for letter in ["k", "%6B"] {
            assert!(key(&format!("/v1/{}", letter.repeat(MAX_KEY_BYTES))).is_ok());
            assert_eq!(key(&format!("/v1/{}", letter.repeat(MAX_KEY_BYTES + 1))), Err(Lost::TooLong));
        }
    }

    #[test]
    fn reserved_names_are_names_only_as_they_stand() {
        assert_eq!(key("/v1/_mget"), Ok(Target::Many));
        assert_eq!(key("/v1/%5Fmget"), Ok(Target::Key("_mget".into())));
        assert_eq!(key("/v1/_tags/a%2Fb"), Ok(Target::Tag("a/b".into(), TagMode::Remove)));
        assert_eq!(Target::of("/v1/_tags/a", Some("mode=expire")), Ok(Target::Tag("a".into(), TagMode::Expire)));
        assert_eq!(Target::of("/v1/_tags/a", Some("mode=burn")), Err(Lost::Query));
        assert_eq!(key("/v1/_tags/%ff"), Err(Lost::Tag));
        assert_eq!(key("/v1/_tags/"), Err(Lost::Nowhere));
    }

    #[test]
    fn a_query_is_refused_where_it_would_be_lost() {
        assert_eq!(Target::of("/v1/a", Some("b=c")), Err(Lost::Query));
        for path in ["/", "/v1", "/v1/", "/v2/a"] {
            assert_eq!(key(path), Err(Lost::Nowhere), "{path}");
        }
    }
}
