//! Is each answer taken for what it is, and is nothing sent but what was declared?

use std::time::Duration;

use bellwether::{FailClass, LoadError, Loaded, Weigh};
use bellwether_adapters::{Accept, Captures, HttpGet, HttpOrigin, HttpSpace, Origin, Payload, Validator};
use bytes::Bytes;

use crate::http_server::{Act, Server, answer, fine};
use crate::{Outcome, outcome, value, within};

pub(crate) fn space(server: &Server, accept: Accept) -> HttpSpace {
    let origin = HttpOrigin::open(&server.base, 8).expect("an origin");
    origin.get(HttpGet::new("/pages/{path}", ["path"]).accept(accept).max_bytes(1000)).expect("a path")
}

pub(crate) fn page(path: &str) -> Captures {
    Captures::new().with("path", path)
}

pub(crate) async fn load(space: &HttpSpace) -> Result<Loaded<Payload>, LoadError> {
    within(space.load(page("a"), None)).await
}

/// What a space makes of one answer.
pub(crate) async fn judged(accept: Accept, bytes: Vec<u8>) -> Outcome {
    let server = Server::start(move |_| Act::Say(bytes.clone())).await;
    outcome(&load(&space(&server, accept)).await)
}

fn rejected() -> Outcome {
    Outcome::Failed(FailClass::Rejected)
}

fn holding(etag: Option<&'static str>, last_modified: Option<&'static str>) -> Payload {
    let bytes = |text: Option<&'static str>| text.map(|text| Bytes::from_static(text.as_bytes()));
    let validator = Some(Box::new(Validator { etag: bytes(etag), last_modified: bytes(last_modified) }));
    Payload { body: Bytes::from_static(b"old"), validator, content_type: None }
}

#[tokio::test]
async fn a_value_comes_with_its_type_and_validator() {
    let server = Server::start(|_| {
        let headers = "Content-Type: application/json; charset=utf-8\r\nETag: W/\"v1\"\r\nLast-Modified: Sun, 22 Nov 2026 03:00:00 GMT\r\n";
        Act::Say(answer("200 OK", headers, "{}"))
    })
    .await;
    let loaded = load(&space(&server, Accept::default())).await.expect("a value");
    let payload = loaded.as_value().expect("a value");
    assert_eq!(&payload.body[..], b"{}");
    assert_eq!(payload.content_type.as_deref(), Some("application/json; charset=utf-8"));
    let validator = payload.validator.as_ref().expect("a validator");
    assert_eq!(validator.etag.as_deref(), Some(&b"W/\"v1\""[..]));
    assert_eq!(validator.last_modified.as_deref(), Some(&b"Sun, 22 Nov 2026 03:00:00 GMT"[..]));
    assert!(!loaded.is_uncacheable());
    assert_eq!(payload.weight(), 2 + 6 + 29 + 31 + size_of::<Validator>());
}

#[tokio::test]
async fn only_declared_headers_reach_the_origin() {
    let server = Server::start(|_| fine("x")).await;
    assert_eq!(outcome(&load(&space(&server, Accept::default())).await), value("x"));
    let accept = Accept { content_type: Some("text/html".into()), ..Accept::default() };
    assert_eq!(outcome(&load(&space(&server, accept)).await), rejected(), "no type came");
    for (head, accept) in server.heads().iter().zip(["*/*", "text/html"]) {
        let mut lines: Vec<_> = head.trim_end().split("\r\n").map(str::to_ascii_lowercase).collect();
        lines.sort();
        let host = server.base.replace("http://", "host: ");
        let agent = format!("user-agent: bellwether/{}", env!("CARGO_PKG_VERSION"));
        assert_eq!(lines, [format!("accept: {accept}"), "get /pages/a http/1.1".into(), host, agent]);
    }
}

#[tokio::test]
async fn captures_are_encoded_and_dot_segments_never_sent() {
    let server = Server::start(|_| fine("x")).await;
    let space = space(&server, Accept::default());
    for path in ["..", ".", "a/../b", "%2e%2E", "a/.%2e", "/a", "a//b"] {
        assert_eq!(outcome(&within(space.load(page(path), None)).await), Outcome::Missing, "{path}");
    }
    assert_eq!(server.connections(), 0, "nothing was asked");
    for path in ["a b/ü", "x\r\nEvil: 1\r\n\r\nGET /", "@evil.example", "a?b#c"] {
        assert_eq!(outcome(&within(space.load(page(path), None)).await), value("x"), "{path}");
    }
    let firsts: Vec<_> = server.heads().iter().map(|h| h.lines().next().unwrap_or_default().to_owned()).collect();
    assert_eq!(
        firsts,
        [
            "GET /pages/a%20b/%C3%BC HTTP/1.1",
            "GET /pages/x%0D%0AEvil%3A%201%0D%0A%0D%0AGET%20/ HTTP/1.1",
            "GET /pages/%40evil.example HTTP/1.1",
            "GET /pages/a%3Fb%23c HTTP/1.1"
        ]
    );
    assert_eq!(outcome(&within(space.load(Captures::new(), None)).await), Outcome::Failed(FailClass::Failed));
}

#[tokio::test]
async fn a_validator_makes_a_request_conditional() {
    let server = Server::start(|head| {
        let conditional = head.contains("if-none-match: \"v1\"") || head.contains("if-modified-since: yesterday");
        if conditional { Act::Say(b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec()) } else { fine("new") }
    })
    .await;
    let space = space(&server, Accept::default());
    for (have, expected) in [
        (holding(Some("\"v1\""), None), Outcome::NotModified),
        (holding(None, Some("yesterday")), Outcome::NotModified),
        (holding(Some("\"v0\""), None), value("new")),
        (holding(None, None), value("new")),
        (Payload { validator: None, ..holding(None, None) }, value("new")),
    ] {
        assert_eq!(outcome(&within(space.load(page("a"), Some(&have))).await), expected, "{have:?}");
    }
    let both = holding(Some("\"v1\""), Some("tomorrow"));
    assert_eq!(outcome(&within(space.load(page("a"), Some(&both))).await), Outcome::NotModified);
    assert!(!server.heads().last().expect("a head").contains("if-modified-since"), "the stronger one only");
    assert_eq!(server.connections(), 1, "a 304 keeps its connection");
}

#[tokio::test]
async fn not_modified_without_a_question_is_rejected() {
    assert_eq!(judged(Accept::default(), b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec()).await, rejected());
}

#[tokio::test]
async fn redirects_are_never_followed() {
    for status in [300, 301, 302, 303, 307, 308] {
        let server = Server::start(move |_| {
            Act::Say(answer(&format!("{status} Elsewhere"), "Location: /pages/secret\r\n", "moved"))
        })
        .await;
        assert_eq!(outcome(&load(&space(&server, Accept::default())).await), rejected(), "{status}");
        assert_eq!(server.heads().len(), 1, "{status}: one request, no second");
    }
}

#[tokio::test]
async fn each_status_has_its_class() {
    use FailClass::{Failed, Overloaded, Rejected};
    for (status, expected) in [
        (200, value("x")),
        (404, Outcome::Missing),
        (410, Outcome::Missing),
        (429, Outcome::Failed(Overloaded)),
        (503, Outcome::Failed(Overloaded)),
        (500, Outcome::Failed(Failed)),
        (502, Outcome::Failed(Failed)),
        (504, Outcome::Failed(Failed)),
        (201, Outcome::Failed(Rejected)),
        (206, Outcome::Failed(Rejected)),
        (400, Outcome::Failed(Rejected)),
        (401, Outcome::Failed(Rejected)),
        (403, Outcome::Failed(Rejected)),
        (600, Outcome::Failed(Rejected)),
    ] {
        assert_eq!(judged(Accept::default(), answer(&format!("{status} X"), "", "x")).await, expected, "{status}");
    }
}

#[tokio::test]
async fn a_status_list_replaces_the_default() {
    let accept = || Accept { status: vec![203, 404], ..Accept::default() };
    assert_eq!(judged(accept(), answer("203 X", "", "x")).await, value("x"));
    assert_eq!(judged(accept(), answer("404 X", "", "x")).await, value("x"), "listed, so a value");
    assert_eq!(judged(accept(), answer("200 X", "", "x")).await, rejected());
    assert_eq!(judged(accept(), answer("410 X", "", "x")).await, Outcome::Missing);
}

#[tokio::test]
async fn the_media_type_is_compared_without_parameters() {
    let accept = || Accept { content_type: Some("application/json".into()), ..Accept::default() };
    for (headers, fits) in [
        ("Content-Type: application/json\r\n", true),
        ("Content-Type: Application/JSON ; charset=utf-8\r\n", true),
        ("Content-Type: text/html\r\n", false),
        ("Content-Type: application/jsonp\r\n", false),
        ("Content-Type: application/\u{f6}\r\n", false),
        ("", false),
    ] {
        let expected = if fits { value("{}") } else { rejected() };
        assert_eq!(judged(accept(), answer("200 OK", headers, "{}")).await, expected, "{headers}");
    }
}

#[tokio::test]
async fn json_must_be_json() {
    let accept = || Accept { json: true, ..Accept::default() };
    for good in ["{}", "[1, 2.5, \"ü\"]", " null\n", "\"x\""] {
        assert_eq!(judged(accept(), answer("200 OK", "", good)).await, value(good));
    }
    for bad in ["", "{", "<html>", "{} {}", "nul", "{\"a\":}"] {
        assert_eq!(judged(accept(), answer("200 OK", "", bad)).await, rejected(), "{bad}");
    }
    let mut not_utf8 = answer("200 OK", "", "\"xx\"");
    let at = not_utf8.len() - 2;
    not_utf8[at] = 0xff;
    assert_eq!(judged(accept(), not_utf8.clone()).await, rejected());
    let server = Server::start(move |_| Act::Say(not_utf8.clone())).await;
    assert!(load(&space(&server, Accept::default())).await.is_ok(), "raw bytes are fine where no JSON is asked for");
}

#[tokio::test]
async fn what_may_not_be_kept_is_marked() {
    for (headers, uncacheable, private) in [
        ("", false, false),
        ("Cache-Control: max-age=60, public\r\n", false, false),
        ("Vary: Accept-Encoding, Origin\r\n", false, false),
        ("Cache-Control: no-store\r\n", true, false),
        ("Cache-Control: max-age=60\r\nCache-Control: public, No-Store\r\n", true, false),
        ("Vary: Accept, *\r\n", true, false),
        ("Cache-Control: private\r\n", true, true),
        ("Cache-Control: max-age=1, PRIVATE=\"x-user\"\r\n", true, true),
        ("Set-Cookie: a=b\r\n", true, true),
        ("Set-Cookie: a=b\r\nCache-Control: no-store\r\n", true, true),
        ("Cache-Control: not-private, no-storey\r\n", false, false),
    ] {
        let server = Server::start(move |_| Act::Say(answer("200 OK", headers, "x"))).await;
        let loaded = load(&space(&server, Accept::default())).await.expect("a value");
        assert_eq!((loaded.is_uncacheable(), loaded.is_private()), (uncacheable, private), "{headers}");
    }
}

#[tokio::test]
async fn a_coding_that_was_not_asked_for_is_rejected() {
    assert_eq!(judged(Accept::default(), answer("200 OK", "Content-Encoding: gzip\r\n", "x")).await, rejected());
    assert_eq!(judged(Accept::default(), answer("200 OK", "Content-Encoding: identity\r\n", "x")).await, value("x"));
}

#[tokio::test]
async fn bodies_come_in_all_framings() {
    let chunked =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\n\r\n";
    assert_eq!(judged(Accept::default(), chunked.to_vec()).await, value("abcde"));
    let server = Server::start(|_| Act::SayAndClose(b"HTTP/1.0 200 OK\r\n\r\nuntil the end".to_vec())).await;
    assert_eq!(outcome(&load(&space(&server, Accept::default())).await), value("until the end"));
    assert_eq!(judged(Accept::default(), answer("200 OK", "", "")).await, value(""), "an empty body is a value");
}

#[tokio::test]
async fn connections_are_used_again_also_after_missing() {
    let server = Server::start(|head| {
        if head.contains("/pages/a") {
            return fine("x");
        }
        // The body comes later than the head, as from a real server under load.
        let (head, body) = ("HTTP/1.1 404 X\r\nContent-Length: 3\r\n\r\n", "no!");
        Act::InTwo(head.into(), Duration::from_millis(10), body.into())
    })
    .await;
    let space = space(&server, Accept::default());
    for round in 0..5 {
        assert_eq!(outcome(&load(&space).await), value("x"), "{round}");
        assert_eq!(outcome(&within(space.load(page("b"), None)).await), Outcome::Missing, "{round}");
        // The connection returns to the pool when its task has run.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!((server.heads().len(), server.connections()), (10, 1));
}

#[tokio::test]
async fn loads_run_side_by_side_and_share_the_pool() {
    let server = Server::start(|_| Act::InTwo(Vec::new(), Duration::from_millis(100), answer("200 OK", "", "x"))).await;
    let origin = HttpOrigin::open(&server.base, 8).expect("an origin");
    let space = origin.get(HttpGet::new("/{path}", ["path"])).expect("a path");
    for _ in 0..2 {
        let begun = std::time::Instant::now();
        let loads = (0..8).map(|_| space.load(page("a"), None));
        assert!(within(futures_util::future::join_all(loads)).await.iter().all(Result::is_ok));
        assert!(begun.elapsed() < Duration::from_millis(700), "eight in series take 800 ms");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((server.connections(), origin.requests()), (8, 16));
    assert!(space.load_many(vec![page("a")]).is_none(), "HTTP has no batches");
}
