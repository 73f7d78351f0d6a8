//! What does the client insist on? `Cache-Control` and `If-None-Match` of a request.

use bellwether::{Demand, Priority, Span};
use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{CACHE_CONTROL, HeaderName, HeaderValue, IF_NONE_MATCH};
use xxhash_rust::xxh3::xxh3_128;

use crate::service::class;

/// The class of the load, if this request needs one: a word as in a space's `priority`.
const PRIORITY: HeaderName = HeaderName::from_static("bellwether-priority");

/// What `no-cache` and `max-age=0` come down to: a value whose load began a second ago at most. Any
/// number of clients that insist on the newest value cost one load per key and second.
const NEWEST: Span = Span::secs(1);

/// The request's `Cache-Control`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Insists {
    /// `only-if-cached`
    pub(super) only_if_cached: bool,
    /// `max-age=N` or `no-cache`, the stricter one.
    pub(super) max_age: Option<Span>,
}

impl Insists {
    pub(super) fn of(headers: &HeaderMap) -> Insists {
        let mut insists = Insists::default();
        let lines = headers.get_all(CACHE_CONTROL).iter().filter_map(|line| line.to_str().ok());
        for directive in lines.flat_map(|line| line.split(',')) {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            let at_most = match name.trim().to_ascii_lowercase().as_str() {
                "only-if-cached" => {
                    insists.only_if_cached = true;
                    continue;
                }
                "no-cache" => NEWEST,
                // A number that can't be read insists on nothing; one too large, on nothing either.
                "max-age" => match value.trim().trim_matches('"').parse::<u64>() {
                    Ok(seconds) => Span(seconds.saturating_mul(1000)).max(NEWEST),
                    Err(_) => continue,
                },
                _ => continue,
            };
            insists.max_age = Some(insists.max_age.map_or(at_most, |age| age.at_most(at_most)));
        }
        insists
    }

    pub(super) fn demand(self) -> Demand {
        match (self.only_if_cached, self.max_age) {
            (true, _) => Demand::CachedOnly,
            (false, Some(age)) => Demand::MaxAge(age),
            (false, None) => Demand::Any,
        }
    }
}

/// The class that the request names, if it names one; else what was expected.
pub(super) fn priority(headers: &HeaderMap) -> Result<Option<Priority>, String> {
    let words = headers.get(PRIORITY).map(|line| class(line.as_bytes()));
    words.transpose().map_err(|wrong| format!("{PRIORITY}: {wrong}"))
}

/// A strong validator made of the body alone: the same body has the same one after a reload, after
/// a restart and from another server. XXH3 (128 bits, unseeded): it recognises, it does not
/// authenticate.
pub(super) fn etag(body: &Bytes) -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let (mut hash, mut text) = (xxh3_128(body), [b'"'; 2 + 32]);
    // By hand: formatting costs a hit as much as the hash itself.
    for digit in text[1..=32].iter_mut().rev() {
        *digit = DIGITS[(hash & 15) as usize];
        hash >>= 4;
    }
    HeaderValue::from_bytes(&text).expect("quotes and hex digits are a header value")
}

/// Whether the client holds this version already (RFC 9110, 13.1.2: the weak comparison).
pub(super) fn holds(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let lines = headers.get_all(IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
    let mut tags = lines.flat_map(|line| line.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == etag.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insists(value: &'static str) -> (bool, Option<u64>) {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(value));
        let insists = Insists::of(&headers);
        (insists.only_if_cached, insists.max_age.map(|age| age.0))
    }

    #[test]
    fn directives_are_read_in_any_case_and_order() {
        assert_eq!(insists("max-age=5"), (false, Some(5000)));
        assert_eq!(insists("Max-Age = \"5\" , Only-If-Cached"), (true, Some(5000)));
        assert_eq!(insists("max-age=10, max-age=3"), (false, Some(3000)), "the stricter one");
        assert_eq!(insists("no-store, max-age=x, max-stale=9"), (false, None), "not understood: nothing");
        assert_eq!(insists("max-age=99999999999999999"), (false, Some(u64::MAX)));
    }

    #[test]
    fn insisting_on_the_newest_costs_one_load_a_second_at_most() {
        assert_eq!(insists("no-cache"), (false, Some(1000)));
        assert_eq!(insists("max-age=0"), (false, Some(1000)), "what browsers send on reload");
        assert_eq!(Insists { only_if_cached: false, max_age: Some(NEWEST) }.demand(), Demand::MaxAge(NEWEST));
    }

    #[test]
    fn a_version_is_recognised_by_its_body() {
        let tag = etag(&Bytes::from_static(b"{}"));
        assert_eq!(tag, etag(&Bytes::copy_from_slice(b"{}")));
        assert_ne!(tag, etag(&Bytes::from_static(b"{ }")));
        assert_eq!(tag, format!("\"{:032x}\"", xxh3_128(b"{}")), "as it has always been written");
        let held = |line: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, HeaderValue::try_from(line).expect("a header value"));
            holds(&headers, &tag)
        };
        let text = tag.to_str().expect("ASCII").to_owned();
        assert!(held(&text) && held(&format!("\"x\", W/{text}")) && held("*"));
        assert!(!held("\"x\"") && !held(text.trim_matches('"')));
    }
}
