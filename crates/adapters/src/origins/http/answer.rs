//! What does an HTTP answer mean? A value, missing, not modified, or which kind of failure.

use std::borrow::Cow;

use bellwether::{FailClass, LoadError};
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{self, HeaderMap};

use super::super::SetupError;
use crate::Validator;
use crate::payload::JSON;

/// A longer ETag is not worth keeping beside the body.
const LONGEST_VALIDATOR: usize = 1024;

/// Which answers are values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accept {
    /// Status codes that carry a value; empty means 200.
    pub status: Vec<u16>,
    /// The media type a value must have, compared without parameters. It is also asked for.
    pub content_type: Option<String>,
    /// Must the body be JSON?
    pub json: bool,
}

impl Accept {
    pub(super) fn checked(self) -> Result<Accept, SetupError> {
        let fits = |status: &u16| matches!(status, 200..=299 | 400..=499) && *status != 429;
        if let Some(odd) = self.status.iter().find(|status| !fits(status)) {
            return Err(SetupError::new(
                format!("`accept.status` has {odd}, which can't be a value"),
                "list codes from 200 to 299, or from 400 to 499 without 429",
            ));
        }
        if let Some(odd) = self.content_type.as_deref().filter(|text| !is_media_type(text)) {
            return Err(SetupError::new(
                format!("`accept.content_type` is \"{odd}\", which is no media type"),
                "write type/subtype without parameters, e.g. \"application/json\"",
            ));
        }
        Ok(self)
    }

    fn has(&self, status: StatusCode) -> bool {
        if self.status.is_empty() { status == StatusCode::OK } else { self.status.contains(&status.as_u16()) }
    }
}

fn is_media_type(text: &str) -> bool {
    let token =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b));
    text.split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype))
}

/// What the head of an answer says.
#[derive(Debug)]
pub(super) enum Head {
    /// Read the body, it is a value.
    Value,
    Missing,
    NotModified,
}

/// Judges status and headers, before a byte of the body is read. `conditional`: a validator was
/// sent.
pub(super) fn head(
    status: StatusCode,
    headers: &HeaderMap,
    accept: &Accept,
    conditional: bool,
) -> Result<Head, LoadError> {
    if accept.has(status) {
        acceptable(headers, accept)?;
        return Ok(Head::Value);
    }
    match status.as_u16() {
        304 if conditional => Ok(Head::NotModified),
        304 => Err(LoadError::rejected("status 304 although nothing was asked to compare with")),
        404 | 410 => Ok(Head::Missing),
        429 | 503 => Err(LoadError::new(FailClass::Overloaded, format!("status {status}", status = status.as_u16()))),
        500..=599 => Err(LoadError::new(FailClass::Failed, format!("status {status}", status = status.as_u16()))),
        300..=399 => {
            Err(LoadError::rejected(format!("a redirect (status {}), which is not followed", status.as_u16())))
        }
        other => Err(LoadError::rejected(format!("status {other}"))),
    }
}

fn acceptable(headers: &HeaderMap, accept: &Accept) -> Result<(), LoadError> {
    // None was asked for, and readers would not be told.
    let encoded = list(headers, header::CONTENT_ENCODING).any(|coding| !coding.eq_ignore_ascii_case("identity"));
    if encoded {
        return Err(LoadError::rejected("a content coding that was not asked for"));
    }
    match (&accept.content_type, content_type(headers)) {
        (None, _) => Ok(()),
        (Some(wanted), Some(found)) if essence(&found).eq_ignore_ascii_case(wanted) => Ok(()),
        (Some(_), _) => Err(LoadError::rejected("another content type than this space accepts")),
    }
}

/// Judges a body that was read as a whole.
pub(super) fn body(body: &[u8], accept: &Accept) -> Result<(), LoadError> {
    if !accept.json {
        return Ok(());
    }
    // Skipping a value, serde_json does not look into its strings.
    let is_json = std::str::from_utf8(body).is_ok() && serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok();
    if is_json { Ok(()) } else { Err(LoadError::rejected("a body that is not JSON")) }
}

/// Whether an answer may be kept, in the words of [`bellwether::Loaded`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    Yes,
    Uncacheable,
    Private,
}

pub(super) fn keep(headers: &HeaderMap) -> Keep {
    let directive = |wanted: &str| {
        // `private="set-cookie"` names fields; as if it named all of them.
        list(headers, header::CACHE_CONTROL)
            .any(|part| part.split_once('=').map_or(part, |(name, _)| name).trim().eq_ignore_ascii_case(wanted))
    };
    if headers.contains_key(header::SET_COOKIE) || directive("private") {
        Keep::Private
    } else if directive("no-store") || list(headers, header::VARY).any(|part| part == "*") {
        Keep::Uncacheable
    } else {
        Keep::Yes
    }
}

/// The members of a comma-separated header, over all its lines. A line that is not visible ASCII
/// is no list.
fn list(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
}

pub(super) fn content_type(headers: &HeaderMap) -> Option<Cow<'static, str>> {
    let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(if text == JSON { Cow::Borrowed(JSON) } else { Cow::Owned(text.to_owned()) })
}

fn essence(content_type: &str) -> &str {
    content_type.split_once(';').map_or(content_type, |(essence, _)| essence).trim()
}

pub(super) fn validator(headers: &HeaderMap) -> Option<Validator> {
    let bytes = |name| {
        let value: &header::HeaderValue = headers.get(name)?;
        (value.len() <= LONGEST_VALIDATOR).then(|| Bytes::copy_from_slice(value.as_bytes()))
    };
    let validator = Validator { etag: bytes(header::ETAG), last_modified: bytes(header::LAST_MODIFIED) };
    (validator != Validator::default()).then_some(validator)
}
