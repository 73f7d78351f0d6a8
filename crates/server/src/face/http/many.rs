//! How are many keys asked for at once? `POST /v1/_mget`: a list of keys in, an object by key out.

use std::collections::HashSet;

use bytes::Bytes;
use hyper::{Response, StatusCode};
use serde_json::Value;

use super::conditions::Insists;
use super::reply::{self, Body};
use crate::service::Outcome;

/// Keys of one request: as many as a connection may have commands under way.
const MAX_KEYS: usize = 1_024;

/// The keys of a request, each once, in order: `["a", "b"]` or `{"keys": ["a", "b"]}`. Else what was expected.
pub(super) fn keys(body: &[u8]) -> Result<Vec<String>, String> {
    let expected =
        || Err("expected JSON such as [\"product:1\", \"product:2\"] or {\"keys\": [\"product:1\"]}".to_owned());
    let list = match serde_json::from_slice(body) {
        Ok(Value::Array(list)) => list,
        Ok(Value::Object(mut named)) if named.len() == 1 => match named.remove("keys") {
            Some(Value::Array(list)) => list,
            _ => return expected(),
        },
        _ => return expected(),
    };
    if list.len() > MAX_KEYS {
        return Err(format!("{} keys: at most {MAX_KEYS}", list.len()));
    }
    let mut seen = HashSet::new();
    let mut keys = Vec::with_capacity(list.len());
    for key in list {
        let Value::String(key) = key else { return expected() };
        if seen.insert(key.clone()) {
            keys.push(key);
        }
    }
    Ok(keys)
}

/// `{key: {"status": …, "value": …, "age_ms": …, "why": …}}`, in the order of the keys.
pub(super) fn answer(keys: &[String], outcomes: &[Outcome], insists: Insists) -> Response<Body> {
    let mut text = String::from("{");
    for (key, outcome) in keys.iter().zip(outcomes) {
        if text.len() > 1 {
            text.push(',');
        }
        text += &Value::from(key.as_str()).to_string();
        text.push(':');
        text += &one(outcome, insists);
    }
    text.push('}');
    reply::json(StatusCode::OK, text)
}

fn one(outcome: &Outcome, insists: Insists) -> String {
    let empty = |why: bellwether::Why, more: String| {
        let status = reply::status(why, insists).as_u16();
        format!("{{\"status\":{status},\"value\":null,\"age_ms\":null,\"why\":\"{}\"{more}}}", why.as_str())
    };
    match outcome {
        Outcome::Value(cached) if reply::too_old(cached, insists) => empty(bellwether::Why::NotCached, String::new()),
        Outcome::Value(cached) => {
            let json = cached.content_type.as_deref().is_some_and(is_json);
            let (value, encoding) = shown(&cached.body, json);
            let (age, why) = (cached.age().0, cached.why().as_str());
            format!("{{\"status\":200,\"value\":{value},\"age_ms\":{age},\"why\":\"{why}\"{encoding}}}")
        }
        Outcome::Missing(why) => empty(*why, String::new()),
        Outcome::NoSpace => empty(bellwether::Why::NoSpace, String::new()),
        Outcome::Failed(failure) => {
            let retry = failure.retry_after.map(|span| format!(",\"retry_after_ms\":{}", span.0)).unwrap_or_default();
            empty(failure.why, format!(",\"error\":{}{retry}", Value::from(failure.to_string())))
        }
        Outcome::KeyTooLong => {
            let error = Value::from(crate::service::KEY_TOO_LONG);
            format!("{{\"status\":414,\"value\":null,\"age_ms\":null,\"why\":null,\"error\":{error}}}")
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

    #[test]
    fn a_list_of_keys_is_read_in_both_forms_and_each_key_once() {
        assert_eq!(keys(br#"["b","a","b"]"#).expect("a list"), ["b", "a"]);
        assert_eq!(keys(br#"{"keys":["a"]}"#).expect("an object"), ["a"]);
        assert_eq!(keys(b"[]").expect("nothing asked"), [""; 0]);
        for bad in ["", "no json", "{\"a\":1}", "{\"keys\":1}", "{\"keys\":[],\"x\":1}", "[1]", "[\"a\"", "7"] {
            assert!(keys(bad.as_bytes()).is_err(), "{bad}");
        }
        let many = serde_json::to_vec(&vec!["k"; MAX_KEYS + 1]).expect("JSON");
        assert!(keys(&many).is_err());
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
