//! Does every way in which a server can misbehave end in an error of the right class, at once?

use std::time::{Duration, Instant};

use bellwether::FailClass;
use bellwether_adapters::{Accept, HttpGet, HttpOrigin, Origin};
use tokio::net::TcpListener;

use crate::http_answers::{judged, load, page, space};
use crate::http_server::{Act, Server, answer, fine};
use crate::{Outcome, PATIENCE, failed, outcome, value, within};

fn failure() -> Outcome {
    Outcome::Failed(FailClass::Failed)
}

async fn after(act: impl Fn(&str) -> Act + Send + Sync + 'static) -> Outcome {
    let server = Server::start(act).await;
    outcome(&load(&space(&server, Accept::default())).await)
}

#[tokio::test]
async fn garbage_is_a_failure() {
    for garbage in [
        "garbage\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "+PONG\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nNo colon\r\n\r\n",
        "\0\0\0\0\0\0\0\0\0\0",
    ] {
        assert_eq!(judged(Accept::default(), garbage.into()).await, failure(), "{garbage:?}");
    }
}

#[tokio::test]
async fn a_cut_answer_is_a_failure() {
    for cut in [
        "",
        "HTTP/1.1 200",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    ] {
        assert_eq!(after(move |_| Act::SayAndClose(cut.into())).await, failure(), "{cut:?}");
    }
}

#[tokio::test]
async fn a_huge_declared_length_is_rejected_unread() {
    for length in ["1001", "536870912", "18446744073709551615"] {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        let outcome = after(move |_| Act::SayAndHang(head.clone().into_bytes())).await;
        // The largest number of all is no length to the parser.
        let unparsed = length.len() == 20 && outcome == failure();
        assert!(outcome == Outcome::Failed(FailClass::Rejected) || unparsed, "{length}: {outcome:?}");
    }
    let full = judged(Accept::default(), answer("200 OK", "", &"x".repeat(1000))).await;
    assert_eq!(full, value(&"x".repeat(1000)), "the cap itself is fine");
}

#[tokio::test]
async fn an_endless_body_is_cut_at_the_cap() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("64\r\n{}\r\n", "x".repeat(100));
    let server = Server::start(move |_| Act::Pour(head.into(), chunk.clone().into_bytes())).await;
    assert_eq!(outcome(&load(&space(&server, Accept::default())).await), Outcome::Failed(FailClass::Rejected));
    until_left(&server, 1).await;
}

#[tokio::test]
async fn an_endless_head_is_a_failure() {
    let line = format!("X-Filler: {}\r\n", "x".repeat(1000)).into_bytes();
    let server = Server::start(move |_| Act::Pour(b"HTTP/1.1 200 OK\r\n".to_vec(), line.clone())).await;
    assert_eq!(outcome(&load(&space(&server, Accept::default())).await), failure());
    until_left(&server, 1).await;
}

async fn until_left(server: &Server, connections: usize) {
    let end = Instant::now() + PATIENCE;
    while server.left() < connections {
        assert!(Instant::now() < end, "{} of {connections} connections closed", server.left());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_dropped_load_closes_its_connection_and_the_next_one_works() {
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_vec();
    for hang in [Vec::new(), b"HTTP/1.1 200 OK\r\n".to_vec(), half] {
        let server =
            Server::start(
                move |head| {
                    if head.contains("/pages/hang") { Act::SayAndHang(hang.clone()) } else { fine("x") }
                },
            )
            .await;
        let space = space(&server, Accept::default());
        for round in 1..=3 {
            let cut = tokio::time::timeout(Duration::from_millis(20), space.load(page("hang"), None)).await;
            assert!(cut.is_err(), "it hangs");
            let dropped = Instant::now();
            until_left(&server, round).await;
            assert!(dropped.elapsed() < Duration::from_millis(200), "{:?}", dropped.elapsed());
            assert_eq!(outcome(&load(&space).await), value("x"));
        }
    }
}

#[tokio::test]
async fn a_connection_that_the_server_closed_while_idle_does_no_harm() {
    let server = Server::start(|_| Act::SayAndClose(answer("200 OK", "", "x"))).await;
    let space = space(&server, Accept::default());
    for _ in 0..5 {
        assert_eq!(outcome(&load(&space).await), value("x"));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_closed_port_refuses_and_a_check_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let origin = HttpOrigin::open(&base, 1).expect("an origin");
    let space = origin.get(HttpGet::new("/{path}", ["path"])).expect("a path");
    let result = load(&space).await;
    assert_eq!(outcome(&result), Outcome::Failed(FailClass::Refused));
    assert!(result.is_err_and(|e| e.to_string().contains("connection refused")));
    assert_eq!(within(space.check()).await.map_err(|e| failed(&e)), Err(FailClass::Refused));
}

#[tokio::test]
async fn an_unknown_host_refuses() {
    let origin = HttpOrigin::open("http://nobody.invalid", 1).expect("an origin");
    let space = origin.get(HttpGet::new("/{path}", ["path"])).expect("a path");
    let result = tokio::time::timeout(PATIENCE * 2, space.load(page("a"), None)).await.expect("the resolver answers");
    assert_eq!(outcome(&result), Outcome::Failed(FailClass::Refused));
}

#[tokio::test]
async fn a_check_connects_and_asks_nothing() {
    let server = Server::start(|_| fine("x")).await;
    let space = space(&server, Accept::default());
    assert!(within(space.check()).await.is_ok());
    until_left(&server, 1).await;
    assert_eq!((server.connections(), server.heads().len()), (1, 0));
}

#[tokio::test]
async fn a_plain_server_behind_https_refuses() {
    let server = Server::start(|_| fine("x")).await;
    let origin = match HttpOrigin::open(&server.base.replace("http:", "https:"), 1) {
        Ok(origin) => origin,
        Err(error) => {
            assert!(error.hint().contains("ca-certificates"), "a system without certificates says so: {error}");
            return;
        }
    };
    // The server waits for the end of a head that never comes, and the handshake for an answer.
    let space = origin.get(HttpGet::new("/{path}", ["path"])).expect("a path");
    let cut = tokio::time::timeout(Duration::from_millis(100), space.load(page("a"), None)).await;
    assert!(cut.is_err() || cut.is_ok_and(|r| outcome(&r) == Outcome::Failed(FailClass::Refused)));
    until_left(&server, 1).await;
    assert_eq!(server.heads().len(), 0, "nothing was said in plain text");
}

#[test]
fn a_wrong_base_is_refused_with_a_hint() {
    for (base, words) in [
        ("", "no URL"),
        ("api.internal", "scheme or its host"),
        ("/pages", "scheme or its host"),
        ("ftp://api.internal", "scheme \"ftp\""),
        ("http://user:pass@api.internal", "password"),
        ("http://api.internal:99999", "host and port"),
        ("http://api.internal:0", "host and port"),
        ("http://api.internal:", "host and port"),
        ("http://api.internal/v2", "has a path"),
        ("http://api.internal/?x=1", "has a path"),
        ("http://api internal", "no URL"),
    ] {
        let error = HttpOrigin::open(base, 1).map(|_| ()).expect_err(base);
        assert!(error.problem().contains(words) && !error.hint().is_empty(), "{base}: {error}");
        assert!(!error.to_string().contains("pass@"), "a password is never repeated");
    }
    for base in ["http://127.0.0.1:1", "http://api.internal/", "http://[::1]:8080", "HTTP://API.internal"] {
        HttpOrigin::open(base, 1).map(|_| ()).expect(base);
    }
}

#[test]
fn a_wrong_accept_is_refused_with_a_hint() {
    let origin = HttpOrigin::open("http://127.0.0.1:1", 1).expect("an origin");
    let get = |accept| origin.get(HttpGet::new("/{path}", ["path"]).accept(accept)).map(|_| ());
    for status in [0, 99, 100, 199, 301, 304, 429, 500, 503, 999] {
        let error = get(Accept { status: vec![200, status], ..Accept::default() }).expect_err("no value");
        assert!(error.problem().contains(&status.to_string()), "{error}");
    }
    for kind in ["json", "application/", "/json", "application/json; charset=utf-8", "a/b/c", "a /b", "ä/b", "*/*"] {
        let error = get(Accept { content_type: Some(kind.into()), ..Accept::default() }).expect_err(kind);
        assert!(error.problem().contains("no media type") && error.hint().contains("application/json"), "{error}");
    }
    let fine = Accept { status: vec![200, 203, 404], content_type: Some("application/ld+json".into()), json: true };
    assert!(get(fine).is_ok());
}
