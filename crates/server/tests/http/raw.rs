//! What becomes of bytes that no client library sends? Smuggling, floods, silence, and a shutdown in the middle.

use std::time::Duration;

use crate::server::{SLOW, Server, request};

const SMUGGLED: &str = "GET /v1/product:2 HTTP/1.1\r\nhost: x\r\n\r\n";

#[test]
fn a_request_that_two_programs_read_differently_is_refused_and_nothing_behind_it_is_read() {
    let server = Server::start();
    for (what, head) in [
        (
            "CL and TE",
            "POST /v1/_mget HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "TE and CL",
            "POST /v1/_mget HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        ),
        ("a length twice", "PUT /v1/kv:x HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\na"),
        ("two lengths", "PUT /v1/kv:x HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\na"),
        ("a list of lengths", "PUT /v1/kv:x HTTP/1.1\r\nhost: x\r\ncontent-length: 1, 1\r\n\r\na"),
        ("a folded header", "GET /v1/product:1 HTTP/1.1\r\nhost: x\r\nx-a: b\r\n c\r\n\r\n"),
        ("a blank before the colon", "GET /v1/product:1 HTTP/1.1\r\nhost : x\r\n\r\n"),
        ("TE on 1.0", "POST /v1/_mget HTTP/1.0\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("an unknown coding", "POST /v1/_mget HTTP/1.1\r\nhost: x\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n"),
        ("bare line feeds", "GET /v1/product:1 HTTP/1.1\nhost: x\n\n"),
        ("a bare line feed", "GET /v1/product:1 HTTP/1.1\r\nhost: x\nx: y\r\n\r\n"),
        ("two hosts", "GET /v1/product:1 HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n"),
        ("no host", "GET /v1/product:1 HTTP/1.1\r\n\r\n"),
        ("a fragment", "GET /v1/product:1#x HTTP/1.1\r\nhost: x\r\n\r\n"),
        ("a NUL", "GET /v1/product:1 HTTP/1.1\r\nhost: x\r\nx: a\0b\r\n\r\n"),
        ("a bare carriage return", "GET /v1/product:1 HTTP/1.1\r\nhost: x\r\nx: a\rb\r\n\r\n"),
        ("TLS", "\u{16}\u{3}\u{1}\u{2}"),
        ("RESP", "*1\r\n$4\r\nPING\r\n"),
    ] {
        let mut client = server.connect();
        // A good one first: what was answered stays answered, in order.
        client.send(format!("GET /v1/product:1 HTTP/1.1\r\nhost: x\r\n\r\n{head}{SMUGGLED}").as_bytes());
        assert_eq!(client.answer(false).expect("the good one").status, 200, "{what}");
        let refused = client.answer(false).expect(what);
        assert_eq!(refused.status, if what == "an unknown coding" { 501 } else { 400 }, "{what}");
        assert!(refused.json()["error"].as_str().is_some_and(|words| words.len() > 15), "{what}: {}", refused.text());
        assert!(client.answer(false).is_none(), "{what}: what stood behind it was answered");
        assert!(client.is_closed(), "{what}");
    }
    assert_eq!(server.get("/v1/kv:x").status, 404, "nothing was written");
}

#[test]
fn a_refused_head_says_what_to_do() {
    let server = Server::start();
    let long = "a".repeat(70_000);
    for (head, status, words) in [
        (format!("GET /v1/{long} HTTP/1.1\r\nhost: x\r\n\r\n"), 414, "4096 bytes"),
        (format!("GET /v1/a HTTP/1.1\r\nhost: x\r\nx: {long}\r\n\r\n"), 431, "32 KiB"),
        (format!("GET /v1/a HTTP/1.1\r\nhost: x\r\n{}\r\n", "x: y\r\n".repeat(64)), 431, "64 headers"),
        ("GET /v1/a HTTP/2.0\r\nhost: x\r\n\r\n".to_owned(), 505, "HTTP 1.1"),
        ("GET /v1/a b HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), 400, "METHOD PATH VERSION"),
        ("GET /v1/a<b HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), 400, "percent-encode"),
        ("GET /v1/a`b HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), 400, "percent-encode"),
        ("GET /v1/a HTTP/1.1\r\n\r\n".to_owned(), 400, "host header"),
        ("REFUSED /0 HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), 400, "METHOD PATH VERSION"),
    ] {
        let mut client = server.connect();
        client.send(head.as_bytes());
        let answer = client.answer(false).expect("an answer");
        assert_eq!((answer.status, answer.header("connection")), (status, Some("close")), "{head:.60}");
        let said = answer.json()["error"].as_str().unwrap_or_default().to_owned();
        assert!(said.contains(words), "{head:.60}: {said}");
        assert!(client.is_closed(), "{head:.60}");
    }
}

/// Whatever byte a path has: what hyper would refuse in silence is refused in words.
#[test]
fn no_byte_of_a_path_is_answered_without_words() {
    let server = Server::start();
    for byte in (1..=255_u8).filter(|byte| !byte.is_ascii_alphanumeric()) {
        let mut client = server.connect();
        client.send(&[b"GET /v1/kv:a", &[byte][..], b"b HTTP/1.1\r\nhost: x\r\n\r\n"].concat());
        let answer = client.answer(false).expect("an answer");
        assert!(matches!(answer.status, 400 | 404), "{byte:#x}: {}", answer.status);
        assert!(answer.json()["error"].as_str().is_some_and(|words| words.len() > 10), "{byte:#x}");
    }
}

#[test]
fn a_body_that_is_encoded_is_refused_not_kept_without_its_coding() {
    let server = Server::start();
    let gzip = "transfer-encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let mut client = server.connect();
    client.send(format!("PUT /v1/kv:z HTTP/1.1\r\nhost: x\r\n{gzip}").as_bytes());
    let answer = client.answer(false).expect("an answer");
    assert_eq!(answer.status, 501);
    assert!(answer.json()["error"].as_str().is_some_and(|words| words.contains("chunked")), "{}", answer.text());
    for (method, path) in [("PUT", "/v1/kv:z"), ("POST", "/v1/_mget")] {
        let answer = server.ask(method, path, &["content-encoding: gzip"], "[]");
        assert_eq!((answer.status, answer.header("accept-encoding")), (415, Some("identity")), "{method}");
        assert!(answer.text().contains("content-encoding"), "{}", answer.text());
    }
    assert_eq!(server.get("/v1/kv:z").status, 404, "nothing was written");
    assert_eq!(server.ask("PUT", "/v1/kv:z", &["content-encoding: identity"], "abc").status, 204, "control");
    assert_eq!(server.get("/v1/kv:z").text(), "abc");
}

#[test]
fn a_value_that_is_too_large_is_refused_and_the_older_one_does_not_outlive_it() {
    let server = Server::start();
    assert_eq!(server.ask("PUT", "/v1/kv:big", &[], "small").status, 204);
    let large = "x".repeat(7 << 20);
    let answer = server.ask("PUT", "/v1/kv:big", &[], &large);
    // The limit is 256 MiB in shards: 7 MiB fit where there are few.
    if answer.status == 204 {
        return assert_eq!(server.get("/v1/kv:big").body.len(), large.len());
    }
    assert_eq!((answer.status, server.get("/v1/kv:big").status), (413, 404));
}

#[test]
fn a_chunked_body_is_understood_and_is_the_last_of_its_connection() {
    let server = Server::start();
    let mut client = server.connect();
    let put = "PUT /v1/kv:c HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    client.send(format!("{put}{SMUGGLED}").as_bytes());
    let answer = client.answer(false).expect("an answer");
    assert_eq!((answer.status, answer.header("connection")), (204, Some("close")));
    assert!(client.is_closed());
    assert_eq!(server.get("/v1/kv:c").text(), "abcde");
}

#[test]
fn requests_may_come_byte_by_byte_or_many_at_once() {
    let server = Server::start();
    let mut client = server.connect();
    let put = request(server.http, "PUT", "/v1/kv:slow", &[], "body");
    for byte in &put {
        client.send(&[*byte]);
        std::thread::sleep(Duration::from_micros(200));
    }
    assert_eq!(client.answer(false).expect("an answer").status, 204);
    let puts: Vec<u8> = (0..50)
        .flat_map(|n| {
            let path = format!("/v1/kv:{n}");
            let put = request(server.http, "PUT", &path, &[], &format!("value {n}"));
            [put, b"\r\n".to_vec(), request(server.http, "GET", &path, &[], "")].concat()
        })
        .collect();
    client.send(&puts);
    for n in 0..50 {
        assert_eq!(client.answer(false).expect("a put").status, 204, "{n}");
        assert_eq!(client.answer(false).expect("a get").text(), format!("value {n}"));
    }
}

#[test]
fn a_body_that_nobody_reads_leaves_the_connection_in_step_or_closed() {
    let server = Server::start();
    let mut client = server.connect();
    let with_body = request(server.http, "GET", "/v1/product:1", &[], SMUGGLED);
    client.send(&[with_body, request(server.http, "GET", "/v1/product:3", &[], "")].concat());
    assert_eq!(client.answer(false).expect("an answer").json()["name"], "lamp");
    if let Some(next) = client.answer(false) {
        assert_eq!(next.json()["name"], "table", "the body was no request");
    }
}

#[test]
fn lengths_are_believed_only_when_they_are_too_long() {
    let server = Server::start();
    let mut client = server.connect();
    client.send(b"PUT /v1/kv:x HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\nabc");
    let answer = client.answer(false).expect("an answer at once");
    assert_eq!((answer.status, answer.header("connection")), (413, Some("close")));
    assert!(client.is_closed());
    let mut client = server.connect();
    client.send(b"PUT /v1/product:1 HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n");
    assert_eq!(client.answer(false).expect("a refusal instead of a 100").status, 405);
}

#[test]
fn a_head_without_an_end_is_cut_at_its_limit() {
    let server = Server::start();
    let mut client = server.connect();
    client.send(format!("GET /v1/product:1 HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(1_000_000)).as_bytes());
    if let Some(answer) = client.answer(false) {
        assert!((400..500).contains(&answer.status), "{answer:?}");
    }
    assert!(client.is_closed());
    let headers: Vec<String> = (0..100).map(|n| format!("x-{n}: y")).collect();
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    assert_eq!(server.ask("GET", "/v1/product:1", &headers, "").status, 431);
    assert_eq!(server.ask("GET", "/v1/product:1", &headers[..40], "").status, 200, "control");
}

#[test]
fn an_upgrade_is_not_made_and_smuggles_nothing() {
    let server = Server::start();
    let mut client = server.connect();
    let upgrade = "GET /v1/product:1 HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n";
    client.send(format!("{upgrade}{SMUGGLED}").as_bytes());
    assert_eq!(client.answer(false).expect("an answer").json()["name"], "lamp");
    assert_eq!(client.answer(false).expect("an answer").json()["name"], "chair");
}

#[test]
fn who_has_sent_all_may_close_that_side_and_still_gets_the_answer() {
    let server = Server::start();
    let stream = std::net::TcpStream::connect(server.http).expect("it listens");
    use std::io::{Read, Write};
    (&stream).write_all(&request(server.http, "GET", "/v1/page:slow/half", &[], "")).expect("sent");
    stream.shutdown(std::net::Shutdown::Write).expect("half closed");
    let mut answer = String::new();
    (&stream).read_to_string(&mut answer).expect("an answer and the end");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("page /slow/half"), "{answer}");
}

#[test]
fn a_shutdown_answers_what_was_asked_and_closes() {
    let server = Server::start();
    let (mut busy, mut idle) = (server.connect(), server.connect());
    assert_eq!(idle.ask("GET", "/v1/product:1", &[], "").status, 200);
    busy.send(&request(server.http, "GET", "/v1/page:slow/last", &[], ""));
    std::thread::sleep(SLOW / 4);
    server.shutdown.trigger();
    assert!(idle.is_closed(), "an idle connection is closed at once");
    let answer = busy.answer(false).expect("an accepted request is answered");
    assert_eq!((answer.status, answer.text().as_str()), (200, "page /slow/last"));
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(busy.is_closed());
    assert!(server.drained(), "nothing is left");
}
