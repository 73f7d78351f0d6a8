//! How are many keys asked for at once? `POST /v1/_mget`: a list of keys in, an object by key out.

use std::collections::HashSet;
use std::fmt;

use bellwether::Why;
use bytes::Bytes;
use hyper::{Response, StatusCode};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::conditions::Insists;
use super::reply::{self, Body};
use crate::allowance::Part;
use crate::service::Outcome;

/// Keys of one request: as many as a connection may have commands under way.
const MAX_KEYS: usize = 1_024;
const TOO_MANY: &str = "too many keys: at most 1024 at once";
/// Bytes of one answer: a value of the largest size fits, whatever JSON makes of its bytes. It is put
/// together on a thread that others wait for, and kept until the client has taken it.
const MAX_ANSWER: usize = 64 << 20;
/// All answers of this kind together hold more than there is room for.
const NO_ROOM: &str = "too many answers are on their way: ask again, or for fewer keys";
/// Why a value was left out.
const FULL: &str = "the answer would be longer than 64 MiB: ask for this key by itself";

/// The keys of a body, in order. Nothing else of it is ever kept: of `[1,1,1,…]` not even the second.
struct List(Vec<String>);

/// In `[…]`, or also in `{"keys": […]}`.
struct Lists {
    named: bool,
}

impl<'de> de::DeserializeSeed<'de> for Lists {
    type Value = List;
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<List, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Lists {
    type Value = List;

    fn expecting(&self, words: &mut fmt::Formatter<'_>) -> fmt::Result {
        words.write_str("a list of keys")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<List, A::Error> {
        let mut keys = Vec::new();
        while let Some(key) = list.next_element()? {
            if keys.len() == MAX_KEYS {
                return Err(de::Error::custom(TOO_MANY));
            }
            keys.push(key);
        }
        Ok(List(keys))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<List, A::Error> {
        let expected = || de::Error::custom("keys");
        if !self.named || map.next_key::<String>()?.is_none_or(|name| name != "keys") {
            return Err(expected());
        }
        let list = map.next_value_seed(Lists { named: false })?;
        if map.next_key::<de::IgnoredAny>()?.is_some() { Err(expected()) } else { Ok(list) }
    }
}

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<List, D::Error> {
        json.deserialize_any(Lists { named: true })
    }
}

/// The keys of a request, each once, in order: `["a", "b"]` or `{"keys": ["a", "b"]}`. Else what was expected.
pub(super) fn keys(body: &[u8]) -> Result<Vec<String>, String> {
    let List(mut keys) = serde_json::from_slice(body).map_err(|error| match error.to_string() {
        words if words.starts_with(TOO_MANY) => TOO_MANY.to_owned(),
        _ => "expected JSON such as [\"product:1\", \"product:2\"] or {\"keys\": [\"product:1\"]}".to_owned(),
    })?;
    let mut seen = HashSet::new();
    keys.retain(|key| seen.insert(key.clone()));
    Ok(keys)
}

/// The text of an answer with its part of what all answers may hold, until the client has taken it.
struct Counted(String, #[expect(dead_code, reason = "given back when dropped")] Part);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// `{key: {"status": …, "value": …, "age_ms": …, "why": …}}`, in the order of the keys.
pub(super) fn answer(keys: &[String], outcomes: &[Outcome], insists: Insists, mut part: Part) -> Response<Body> {
    let mut text = String::from("{");
    let mut full = false;
    for (key, outcome) in keys.iter().zip(outcomes) {
        if text.len() > 1 {
            text.push(',');
        }
        text += &Value::from(key.as_str()).to_string();
        text.push(':');
        let room = MAX_ANSWER.saturating_sub(text.len());
        // After the first that does not fit none is tried: each try may cost as much as a whole answer.
        let fits = |outcome: &Outcome| !matches!(outcome, Outcome::Value(cached) if full || cached.body.len() > room);
        let told = Some(outcome).filter(|outcome| fits(outcome)).map(|outcome| one(outcome, insists));
        match told.filter(|told| told.len() <= room || !matches!(outcome, Outcome::Value(_))) {
            Some(told) => text += &told,
            None => {
                full = true;
                text += &without_value(Why::TooLarge, insists, &format!(",\"error\":\"{FULL}\""));
            }
        }
        if !part.set(text.capacity()) {
            return reply::error(StatusCode::SERVICE_UNAVAILABLE, NO_ROOM, None, None);
        }
    }
    text.push('}');
    reply::json(StatusCode::OK, Bytes::from_owner(Counted(text, part)))
}

fn without_value(why: Why, insists: Insists, more: &str) -> String {
    let status = reply::status(why, insists).as_u16();
    format!("{{\"status\":{status},\"value\":null,\"age_ms\":null,\"why\":\"{}\"{more}}}", why.as_str())
}

fn one(outcome: &Outcome, insists: Insists) -> String {
    let empty = |why: Why, more: String| without_value(why, insists, &more);
    match outcome {
        Outcome::Value(cached) if reply::too_old(cached, insists) => empty(Why::NotCached, String::new()),
        Outcome::Value(cached) => {
            let json = cached.content_type.as_deref().is_some_and(is_json);
            let (value, encoding) = shown(&cached.body, json);
            let (age, why) = (cached.age().0, cached.why().as_str());
            format!("{{\"status\":200,\"value\":{value},\"age_ms\":{age},\"why\":\"{why}\"{encoding}}}")
        }
        Outcome::Missing(why) => empty(*why, String::new()),
        Outcome::NoSpace => empty(Why::NoSpace, String::new()),
        Outcome::Failed(failure) => {
            let retry = failure.retry_after.map(|span| format!(",\"retry_after_ms\":{}", span.0)).unwrap_or_default();
            empty(failure.why, format!(",\"error\":{}{retry}", Value::from(failure.to_string())))
        }
        Outcome::KeyTooLong => {
            let error = Value::from(crate::service::KEY_TOO_LONG);
            format!("{{\"status\":414,\"value\":null,\"age_ms\":null,\"why\":\"no_space\",\"error\":{error}}}")
        }
    }
}

fn is_json(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json")
}

/// A body inside JSON: JSON as it is, text as a string, other bytes in base64 with a word that says so.
fn shown(body: &Bytes, json: bool) -> (String, &'static str) {
    let Ok(text) = std::str::from_utf8(body) else {
        return (format!("\"{}\"", base64(body)), ",\"encoding\":\"base64\"");
    };
    // An origin may say that it is JSON when it isn't: one bad value must not break the whole answer.
    if json && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
        return (text.to_owned(), "");
    }
    (Value::from(text).to_string(), "")
}

/// RFC 4648, 4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for letter in 0..4 {
            let index = (bits >> (18 - 6 * letter)) & 63;
            text.push(if letter > group.len() { '=' } else { char::from(LETTERS[index as usize]) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use bellwether_adapters::Payload;

    #[test]
    fn a_list_of_keys_is_read_in_both_forms_and_each_key_once() {
        assert_eq!(keys(br#"["b","a","b"]"#).expect("a list"), ["b", "a"]);
        assert_eq!(keys(br#"{"keys":["a"]}"#).expect("an object"), ["a"]);
        assert_eq!(keys(b"[]").expect("nothing asked"), [""; 0]);
        for bad in ["", "no json", "{\"a\":1}", "{\"keys\":1}", "{\"keys\":[],\"x\":1}", "[1]", "[\"a\"", "7"] {
            assert!(keys(bad.as_bytes()).is_err(), "{bad}");
        }
        let many = serde_json::to_vec(&vec!["k"; MAX_KEYS + 1]).expect("JSON");
        assert_eq!(keys(&many).expect_err("one too many"), TOO_MANY);
        assert!(keys(&many[..many.len() - 1]).is_err(), "not even read to its end");
        assert_eq!(keys(&serde_json::to_vec(&vec!["k"; MAX_KEYS]).expect("JSON")).expect("enough"), ["k"]);
    }

    #[test]
    fn an_answer_is_bounded_and_says_what_it_left_out() {
        // What JSON makes of a NUL is six bytes long: two of these values don't fit together.
        let cache = bellwether::Cache::builder().build().expect("a cache");
        let space = cache.space::<[u8], Payload>("s", bellwether::Policy::ttl("60s"));
        let mut outcomes = vec![Outcome::Missing(Why::Negative)];
        for key in [&b"a"[..], b"b", b"c"] {
            let body = Bytes::from(vec![0; if key == b"c" { 1 } else { 6 << 20 }]);
            let payload = Payload { body, validator: None, content_type: None };
            assert!(space.put(key, bellwether::Loaded::value(payload)));
            outcomes.push(Outcome::Value(space.peek(key).expect("it was put")));
        }
        let keys = ["none", "a", "b", "c"].map(str::to_owned);
        // Text grows by doubling: room for one answer of 36 MiB, not for two.
        let room = crate::allowance::Allowance::of(100 << 20);
        let response = answer(&keys, &outcomes, Insists::default(), room.part());
        let refused = answer(&keys, &outcomes, Insists::default(), room.part());
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE, "the first is not taken yet");
        let body = futures_util::FutureExt::now_or_never(http_body_util::BodyExt::collect(response.into_body()));
        let body = body.expect("it is whole").expect("no error").to_bytes();
        assert!(body.len() < MAX_ANSWER);
        let told: Value = serde_json::from_slice(&body).expect("JSON");
        let status = |key: &str| told[key]["status"].as_u64().expect("a number");
        assert_eq!((status("none"), status("a"), status("b"), status("c")), (404, 200, 413, 413));
        assert_eq!(told["b"]["error"], FULL);
    }

    #[test]
    fn any_bytes_fit_into_json() {
        assert_eq!(shown(&Bytes::from_static(b"{\"a\":1}"), true), ("{\"a\":1}".into(), ""));
        assert_eq!(
            shown(&Bytes::from_static(b"{\"a\":"), true),
            (r#""{\"a\":""#.into(), ""),
            "it only says it is JSON"
        );
        assert_eq!(shown(&Bytes::from_static(b"{\"a\":1}"), false), (r#""{\"a\":1}""#.into(), ""));
        assert_eq!(shown(&Bytes::from_static(b"\xff"), false).0, "\"/w==\"");
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(bytes.as_bytes()), text, "RFC 4648, 10");
        }
    }
}
