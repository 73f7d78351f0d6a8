//! Which keys shall be loaded although nobody asks for them yet? A list a line each, loaded in the background class.

use std::time::Duration;

use bellwether::Span;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::{Request, Response, StatusCode};

use super::view::Warmed;
use crate::face::http::reply::{self, Body};
use crate::service::NO_KEY;
use crate::service::hotlist::{decoded, encoded};
use crate::service::{Service, Unnamed, shown};

/// Keys of one list.
const MOST_KEYS: usize = 10_000;
/// Bytes of one list.
const MOST_BYTES: usize = 4 << 20;
/// A list must have come after so long.
const COMES_IN: Duration = Duration::from_secs(10);
/// A list is worked on for so long; what is left is sent back, to be sent again.
const WORKS: Span = Span::secs(10);

/// Loads the keys of the body: one a line, percent-encoded.
pub(super) async fn answer(service: &Service, request: Request<Incoming>) -> Response<Body> {
    let bad = |status, words: &str| reply::closing(reply::error(status, words, None, None));
    let text = match tokio::time::timeout(COMES_IN, whole(request.into_body())).await {
        Ok(Some(text)) => text,
        Ok(None) => return bad(StatusCode::PAYLOAD_TOO_LARGE, "a list of at most 4 MiB: send several"),
        Err(_) => return bad(StatusCode::REQUEST_TIMEOUT, "the list did not come in 10 s"),
    };
    let keys = match keys(&text) {
        Ok(keys) => keys,
        Err(words) => return bad(StatusCode::BAD_REQUEST, &words),
    };
    let warmed = service.warm(keys, service.now() + WORKS).await;
    let again = warmed.again.iter().map(|key| {
        let mut text = String::new();
        encoded(key, &mut text);
        text
    });
    reply::view(&Warmed {
        loaded: warmed.loaded,
        present: warmed.present,
        missing: warmed.missing,
        failed: warmed.failed,
        refused: warmed.refused,
        first_refused: warmed.first_refused.map(|key| shown(&key)),
        again: again.collect(),
        error: warmed.first_error,
    })
}

/// Why the keys of a space can't be told.
pub(super) fn unnamed(space: &str, unnamed: &Unnamed) -> Response<Body> {
    let (status, words) = match unnamed {
        Unnamed::NoSpace => (StatusCode::NOT_FOUND, format!("there is no space '{}'", shown(space.as_bytes()))),
        Unnamed::NoKeys => {
            let hint = "give it keys = \"SELECT id FROM … ORDER BY …\", the most popular first";
            (StatusCode::NOT_FOUND, format!("the space '{}' has no `keys`: {hint}", shown(space.as_bytes())))
        }
        Unnamed::TooMany => {
            let words = "more than 10,000,000 keys, or 256 MiB of them: put a LIMIT into `keys`";
            (StatusCode::PAYLOAD_TOO_LARGE, words.to_owned())
        }
        Unnamed::Busy => (StatusCode::SERVICE_UNAVAILABLE, "another list of keys is being made: ask again".to_owned()),
        Unnamed::Failed(words) => (StatusCode::BAD_GATEWAY, format!("the origin did not name its keys: {words}")),
    };
    reply::error(status, &words, None, None)
}

/// `None`: too long, or cut off.
async fn whole(mut body: Incoming) -> Option<BytesMut> {
    let mut text = BytesMut::new();
    if body.size_hint().lower() > MOST_BYTES as u64 {
        return None;
    }
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.ok()?.into_data() else { continue };
        if text.len() + data.len() > MOST_BYTES {
            return None;
        }
        text.extend_from_slice(&data);
    }
    Some(text)
}

fn keys(text: &[u8]) -> Result<Vec<Bytes>, String> {
    let text =
        std::str::from_utf8(text).map_err(|_| "the list is no text: one key a line, percent-encoded".to_owned())?;
    let lines = text.lines().filter(|line| !line.is_empty());
    if lines.clone().count() > MOST_KEYS {
        return Err(format!("more than {MOST_KEYS} keys in one list: send several"));
    }
    let key = |(at, line)| match decoded(line) {
        Some(key) => Ok(Bytes::from(key)),
        None => Err(format!("line {}: {NO_KEY}", at + 1)),
    };
    lines.enumerate().map(key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_one_key_a_line_and_a_bad_line_is_named() {
        assert_eq!(keys(b"product:1\n\na%20b\n"), Ok(vec![Bytes::from("product:1"), Bytes::from("a b")]));
        assert!(keys(b"a\nb%zz").is_err_and(|words| words.starts_with("line 2")));
        assert!(keys(&[0xff]).is_err() && keys(&b"a\n".repeat(MOST_KEYS + 1)).is_err());
        assert!(keys(&[b'a'; 5_000]).is_err_and(|words| words.contains("4 KiB")));
    }
}
