//! Which key will be hot, from when on, for how long? `POST /api/hot/announce/KEY?at=TIME&for=DURATION`, taken back by
//! `DELETE`, all of them by `GET /api/hot/announce`.

use bellwether_core::moment;
use bellwether_core::time::Span;
use hyper::{Response, StatusCode};

use super::view::{Announced, AnnouncedRow, Heard, Taken, Withdrawn};
use crate::face::http::reply::{self, Body};
use crate::face::http::target::decoded;
use crate::service::{NotTaken, Service, Told, no_space, shown};

/// The longest time of a moment or duration, percent-encoded.
const LONGEST_TEXT: usize = 128;

/// Takes an announcement, or says why not.
pub(super) async fn announce(service: &Service, key: &[u8], query: Option<&str>) -> Response<Body> {
    let refused = |status, words: &str| reply::error(status, words, None, None);
    let (from, length) = match terms(query.unwrap_or_default(), service.now_ms()) {
        Ok(terms) => terms,
        Err(words) => return refused(StatusCode::BAD_REQUEST, &words),
    };
    match service.announce(key, from, length).await {
        Ok((taken, told)) => {
            let (begins_in_ms, ends_in_ms) = (taken.begins_in.0, taken.ends_in.0);
            reply::view(&Taken { key: shown(key), begins_in_ms, ends_in_ms, heard: heard(told) })
        }
        Err(NotTaken::NoSpace) if service.space_of(key).is_none() => refused(StatusCode::NOT_FOUND, &no_space(key)),
        Err(NotTaken::NoSpace) => {
            let words =
                format!("'{}': a capture is not of the type that its space asks for: it has no row", shown(key));
            refused(StatusCode::NOT_FOUND, &words)
        }
        Err(NotTaken::Over) => refused(StatusCode::BAD_REQUEST, "its time is over: `at` and `for` must end after now"),
        Err(NotTaken::TooFar) => {
            refused(StatusCode::BAD_REQUEST, "it begins more than 400 days ahead: announce it nearer to its time")
        }
        Err(NotTaken::TooMany) => {
            refused(StatusCode::SERVICE_UNAVAILABLE, "too many keys are announced: wait until some are over")
        }
    }
}

/// Takes an announcement back, or says that there is none.
pub(super) async fn withdraw(service: &Service, key: &[u8]) -> Response<Body> {
    match service.withdraw(key).await {
        Some((in_configuration, told)) => {
            reply::view(&Withdrawn { key: shown(key), withdrawn: true, in_configuration, heard: heard(told) })
        }
        None => {
            let words = format!("'{}' is not announced", shown(key));
            reply::error(StatusCode::NOT_FOUND, &words, None, None)
        }
    }
}

/// All announcements that are not over, those that begin first in front; and why these are not all, if so.
pub(super) fn list(service: &Service) -> Response<Body> {
    let announced = service.announced().into_iter().map(|said| AnnouncedRow {
        key: shown(&said.key),
        space: said.space,
        begins_in_ms: said.begins_in.0,
        ends_in_ms: said.ends_in.0,
        in_configuration: said.declared,
        in_fleet: said.in_fleet,
    });
    reply::view(&Announced { announced: announced.collect(), trouble: service.announced_trouble() })
}

fn heard(told: Told) -> Heard {
    let (fleet, why_later) = match told {
        Told::Nobody => ("none", None),
        Told::Fleet => ("told", None),
        Told::Later(why) => ("later", Some(why)),
    };
    Heard { fleet: fleet.to_owned(), why_later }
}

/// From when on, and for how long; now, unless `at` says so.
fn terms(query: &str, now_ms: u64) -> Result<(u64, Span), String> {
    let (mut from, mut length) = (now_ms, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decoded(value).ok().filter(|value| value.len() <= LONGEST_TEXT);
        let value = value.and_then(|value| String::from_utf8(value.to_vec()).ok());
        let value = value.ok_or_else(|| format!("{name}: no text, percent-encoded"))?;
        match name {
            "at" => {
                from = moment::parse(&value).map_err(|expected| format!("at: expected {expected}, found '{value}'"))?
            }
            "for" => length = Some(Span::parse(&value).map_err(|words| format!("for: {words}"))?),
            other => return Err(format!("unknown parameter '{other}': expected `at` and `for`")),
        }
    }
    let length = length.filter(|length| *length > Span::ZERO);
    Ok((from, length.ok_or("for: expected a duration above zero, such as for=2h")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_read_and_what_is_wrong_is_named() {
        assert_eq!(terms("for=2h", 7), Ok((7, Span::secs(7_200))));
        assert_eq!(terms("at=1970-01-01T00%3A00%3A01Z&for=5s", 7), Ok((1_000, Span::secs(5))));
        for (query, word) in
            [("", "for:"), ("for=0s", "above zero"), ("for=2", "duration"), ("at=soon&for=1s", "2026"), ("in=1s", "in")]
        {
            let words = terms(query, 7).expect_err(query);
            assert!(words.contains(word), "{query}: {words}");
        }
    }
}
