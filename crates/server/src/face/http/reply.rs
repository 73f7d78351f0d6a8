//! What does an outcome look like in HTTP? Statuses and headers by one table, errors as small JSON.

use bellwether::{Cached, Span, Why};
use bellwether_adapters::Payload;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ACCEPT_ENCODING, AGE, ALLOW, CONNECTION, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, RETRY_AFTER,
};
use hyper::{HeaderMap, Response, StatusCode};
use serde_json::json;

use super::conditions::{Insists, etag, holds};
use super::target::Lost;
use crate::service::{Failure, KEY_TOO_LONG, Outcome, Refusal, no_space};

/// Every body is whole before it is sent.
pub(crate) type Body = Full<Bytes>;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// What a key understands.
pub(super) const KEY_METHODS: &str = "GET, HEAD, PUT, DELETE";

/// The status of an outcome without a value.
pub(super) fn status(why: Why, insists: Insists) -> StatusCode {
    match why {
        Why::NotCached if insists.only_if_cached => StatusCode::GATEWAY_TIMEOUT,
        Why::Negative | Why::NegativeType | Why::NegativeFilter | Why::NotCached | Why::NoSpace => {
            StatusCode::NOT_FOUND
        }
        Why::Timeout => StatusCode::GATEWAY_TIMEOUT,
        Why::OriginTimeout | Why::OriginRefused | Why::OriginFailed | Why::Rejected => StatusCode::BAD_GATEWAY,
        Why::ReadOnly => StatusCode::METHOD_NOT_ALLOWED,
        Why::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// `Cache-Status` (RFC 9211) of a value.
fn value_status(why: Why, remaining: Span) -> HeaderValue {
    let text = match why {
        // One allocation and no formatting: this is every hit's.
        Why::Hit => ["bellwether; hit; ttl=", itoa::Buffer::new().format(remaining.0 / 1000)].concat(),
        Why::StaleRefreshing | Why::StaleError | Why::StaleShed | Why::RescuedInvalidated => {
            format!("bellwether; fwd=stale; detail={}", why.as_str())
        }
        Why::Loaded => "bellwether; fwd=miss".to_owned(),
        Why::Coalesced => "bellwether; fwd=miss; collapsed".to_owned(),
        Why::Bypass => "bellwether; fwd=bypass".to_owned(),
        other => format!("bellwether; fwd=miss; detail={}", other.as_str()),
    };
    HeaderValue::try_from(text).expect("words, digits and semicolons are a header value")
}

/// `Cache-Status` of an answer without a value. Whatever was not forwarded says no `fwd`.
fn empty_status(why: Why) -> HeaderValue {
    let forwarded = match why {
        Why::Timeout | Why::OriginTimeout | Why::OriginRefused | Why::OriginFailed | Why::Rejected => "; fwd=miss",
        _ => "",
    };
    let text = format!("bellwether{forwarded}; detail={}", why.as_str());
    HeaderValue::try_from(text).expect("words and semicolons are a header value")
}

/// A value, or 304 if the client holds this very body.
pub(super) fn value(cached: &Cached<Payload>, asked: &HeaderMap) -> Response<Body> {
    let validator = etag(&cached.body);
    let unchanged = holds(asked, &validator);
    let mut response = Response::new(if unchanged { Body::default() } else { Body::new(cached.body.clone()) });
    let headers = response.headers_mut();
    headers.insert(AGE, HeaderValue::from(cached.age().0 / 1000));
    headers.insert(ETAG, validator);
    headers.insert(CACHE_STATUS, value_status(cached.why(), cached.remaining()));
    if unchanged {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        headers.insert(CONTENT_TYPE, content_type(cached));
    }
    response
}

fn content_type(payload: &Payload) -> HeaderValue {
    match payload.content_type.as_deref() {
        Some("application/json") => JSON,
        // An origin's own word for it; one that is no header value is no media type either.
        Some(text) => HeaderValue::try_from(text).unwrap_or(BYTES),
        None => BYTES,
    }
}

/// Any outcome of a read of `key`.
pub(super) fn outcome(outcome: &Outcome, key: &[u8], insists: Insists, asked: &HeaderMap) -> Response<Body> {
    match outcome {
        Outcome::Value(cached) if too_old(cached, insists) => missing(Why::NotCached, insists),
        Outcome::Value(cached) => value(cached, asked),
        Outcome::Missing(why) => missing(*why, insists),
        Outcome::Failed(failure) => failed(failure, insists),
        Outcome::NoSpace => said(error(StatusCode::NOT_FOUND, &no_space(key), Some(Why::NoSpace), None), Why::NoSpace),
        Outcome::KeyTooLong => too_long(),
    }
}

/// `only-if-cached` alone takes whatever the policy serves; `max-age` beside it is checked here.
pub(super) fn too_old(cached: &Cached<Payload>, insists: Insists) -> bool {
    insists.only_if_cached && insists.max_age.is_some_and(|most| cached.age() > most)
}

fn missing(why: Why, insists: Insists) -> Response<Body> {
    let words = match why {
        Why::NotCached if insists.only_if_cached => "not cached, and only-if-cached forbids a load",
        Why::NegativeType => "the key's captures are not of the space's types",
        _ => "there is no such value",
    };
    said(error(status(why, insists), words, Some(why), None), why)
}

fn failed(failure: &Failure, insists: Insists) -> Response<Body> {
    let status = status(failure.why, insists);
    let mut response = error(status, &failure.to_string(), Some(failure.why), failure.retry_after);
    if status == StatusCode::SERVICE_UNAVAILABLE || failure.retry_after.is_some() {
        response.headers_mut().insert(RETRY_AFTER, retry_after(failure.retry_after));
    }
    said(response, failure.why)
}

/// In whole seconds, rounded up; one where nothing better is known.
fn retry_after(span: Option<Span>) -> HeaderValue {
    HeaderValue::from(span.map_or(1, |span| span.0.div_ceil(1000).max(1)))
}

fn said(mut response: Response<Body>, why: Why) -> Response<Body> {
    response.headers_mut().insert(CACHE_STATUS, empty_status(why));
    response
}

/// What could not be done to `key`.
pub(super) fn refusal(refusal: &Refusal, key: &[u8]) -> Response<Body> {
    let (status, why) = match refusal {
        Refusal::NoSpace => (StatusCode::NOT_FOUND, Some(Why::NoSpace)),
        Refusal::KeyTooLong => (StatusCode::URI_TOO_LONG, Some(Why::NoSpace)),
        Refusal::ReadOnly { .. } => (StatusCode::METHOD_NOT_ALLOWED, Some(Why::ReadOnly)),
        Refusal::WrongType { .. } => (StatusCode::NOT_FOUND, Some(Why::NegativeType)),
        Refusal::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, Some(Why::TooLarge)),
        Refusal::NoOrigin { .. } => (StatusCode::BAD_REQUEST, None),
        Refusal::Unsure => (StatusCode::GATEWAY_TIMEOUT, Some(Why::Timeout)),
        Refusal::Undecided => (StatusCode::GATEWAY_TIMEOUT, Some(Why::Timeout)),
    };
    let mut response = error(status, &refusal.words(key), why, None);
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, DELETE"));
    }
    match why {
        Some(why) => said(response, why),
        None => response,
    }
}

/// No space has keys of such a length.
fn too_long() -> Response<Body> {
    said(error(StatusCode::URI_TOO_LONG, KEY_TOO_LONG, Some(Why::NoSpace), None), Why::NoSpace)
}

/// A path that names nothing.
pub(super) fn lost(lost: Lost) -> Response<Body> {
    let (status, words) = match lost {
        Lost::Nowhere => (StatusCode::NOT_FOUND, "no such path: keys are at /v1/{key}"),
        Lost::Encoding => (StatusCode::BAD_REQUEST, "a % in a path needs two hex digits: % itself is %25"),
        Lost::TooLong => return too_long(),
        Lost::Query => (StatusCode::BAD_REQUEST, "no such query: a ? in a key is written %3F"),
        Lost::Tag => (StatusCode::BAD_REQUEST, "tags are UTF-8"),
    };
    error(status, words, None, None)
}

/// 405.
pub(crate) fn method_not_allowed(allowed: &'static str) -> Response<Body> {
    let words = format!("this path understands {allowed}");
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, &words, None, None);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// 415.
pub(super) fn encoded() -> Response<Body> {
    let words = "bodies are kept and served as they are sent: send it without content-encoding";
    let mut response = error(StatusCode::UNSUPPORTED_MEDIA_TYPE, words, None, None);
    response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    response
}

/// 401.
pub(crate) fn unauthorized() -> Response<Body> {
    let words = "a password is needed: authorization: Bearer PASSWORD";
    let mut response = error(StatusCode::UNAUTHORIZED, words, None, None);
    response.headers_mut().insert(hyper::header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// What is said, as JSON.
pub(crate) fn view(said: &impl serde::Serialize) -> Response<Body> {
    match serde_json::to_string(said) {
        Ok(text) => json(StatusCode::OK, text),
        Err(_) => error(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be written", None, None),
    }
}

/// `{"error": …, "why": …, "retry_after_ms": …}`, as far as there is something to say.
pub(crate) fn error(status: StatusCode, words: &str, why: Option<Why>, retry_after: Option<Span>) -> Response<Body> {
    let mut body = json!({ "error": words });
    if let Some(why) = why {
        body["why"] = why.as_str().into();
    }
    if let Some(span) = retry_after {
        body["retry_after_ms"] = span.0.into();
    }
    json(status, body.to_string())
}

/// A JSON text.
pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// Done, and nothing to say.
pub(super) fn done() -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// Done here; others are told as soon as they can be.
pub(super) fn queued() -> Response<Body> {
    let mut response = done();
    response.headers_mut().insert(CACHE_STATUS, empty_status(Why::InvalidationQueued));
    response
}

/// The same answer as the connection's last.
pub(crate) fn closing(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_why_has_a_status_and_a_cache_status_that_is_a_header() {
        for why in Why::ALL {
            let empty = empty_status(*why);
            let text = empty.to_str().expect("ASCII").to_owned();
            assert!(text.starts_with("bellwether") && text.ends_with(why.as_str()), "{text}");
            assert!(value_status(*why, Span::secs(31)).to_str().is_ok());
            assert!(!status(*why, Insists::default()).is_success(), "{why:?}");
        }
    }

    #[test]
    fn cache_status_is_as_the_contract_writes_it() {
        let of = |why| value_status(why, Span::ms(31_999)).to_str().expect("ASCII").to_owned();
        assert_eq!(of(Why::Hit), "bellwether; hit; ttl=31");
        assert_eq!(of(Why::Loaded), "bellwether; fwd=miss");
        assert_eq!(of(Why::Coalesced), "bellwether; fwd=miss; collapsed");
        assert_eq!(of(Why::StaleRefreshing), "bellwether; fwd=stale; detail=stale_refreshing");
        assert_eq!(of(Why::Default), "bellwether; fwd=miss; detail=default");
        assert_eq!(empty_status(Why::NoSpace), "bellwether; detail=no_space");
    }

    #[test]
    fn retry_after_is_never_zero() {
        assert_eq!(retry_after(None), "1");
        assert_eq!(retry_after(Some(Span::ms(1))), "1");
        assert_eq!(retry_after(Some(Span::ms(2001))), "3");
    }
}
