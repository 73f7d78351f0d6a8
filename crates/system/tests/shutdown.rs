//! Does a SIGTERM under load lose a request that was accepted?

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bellwether_system::{Bellwether, Http, Origin, Value, config, until};

const LIMIT: Duration = Duration::from_secs(20);

fn over(origin: &Origin) -> Bellwether {
    let space = "[[space]]\nmatch = \"v:{id}\"\norigin = \"api\"\nget = \"/v/{id}\"\nttl = \"10m\"\ntimeout = \"5s\"";
    Bellwether::start(Some(&config(
        "",
        &format!("[origin.api]\nhttp = \"{}\"\nmax_concurrency = 128\n{space}", origin.url()),
    )))
}

#[test]
fn sigterm_finishes_every_request_in_progress_and_then_exits_with_0() {
    let origin = Origin::start();
    origin.delay(Duration::from_millis(700));
    let mut server = over(&origin);
    let mut resp: Vec<_> = (0..30).map(|_| server.connect()).collect();
    for (i, db) in resp.iter_mut().enumerate() {
        db.send_raw(format!("GET v:{i}\r\n").as_bytes()).unwrap();
    }
    let mut http: Vec<_> = (0..30).map(|_| Http::connect(server.http())).collect();
    for (i, client) in http.iter_mut().enumerate() {
        client.send_raw(format!("GET /v1/v:h{i} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).unwrap();
    }
    until(LIMIT, "all loads to begin", || (origin.requests() == 60).then_some(()));
    let begun = Instant::now();
    server.process.signal("TERM");
    until(Duration::from_secs(2), "readyz to say that it is going", || {
        let mut probe = std::net::TcpStream::connect(server.admin()).ok();
        // An admin listener that is closed already says it as well.
        probe.take().is_none_or(|_| Http::get(server.admin(), "/readyz").status == 503).then_some(())
    });
    for (i, db) in resp.iter_mut().enumerate() {
        assert_eq!(db.read().expect("an accepted request is answered").text(), format!("{{\"path\":\"/v/{i}\"}}"));
    }
    for (i, client) in http.iter_mut().enumerate() {
        let answer = client.read(false).expect("an accepted request is answered");
        assert_eq!((answer.status, answer.text()), (200, format!("{{\"path\":\"/v/h{i}\"}}")));
    }
    let status = server.process.wait(LIMIT);
    assert!(status.success(), "{status}: {}", server.process.stderr());
    assert!(begun.elapsed() < Duration::from_secs(10), "the drain took {:?}", begun.elapsed());
}

#[test]
fn sigterm_under_a_steady_load_breaks_no_reply_and_makes_no_error() {
    for _ in 0..3 {
        let origin = Origin::start();
        origin.delay(Duration::from_millis(5));
        let mut server = over(&origin);
        let (served, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let clients: Vec<_> = (0..8)
            .map(|n| {
                let (mut db, served, stop) = (server.connect(), Arc::clone(&served), Arc::clone(&stop));
                thread::spawn(move || {
                    for i in 0.. {
                        let (key, hit) = (format!("{n}-{i}"), format!("hit{n}"));
                        let (Ok(()), false) = (
                            db.send_raw(format!("GET v:{key}\r\nGET v:{hit}\r\n").as_bytes()),
                            stop.load(Ordering::Relaxed),
                        ) else {
                            return;
                        };
                        for (position, id) in [&key, &hit].into_iter().enumerate() {
                            match db.read() {
                                Ok(answer) => assert_eq!(answer.text(), format!("{{\"path\":\"/v/{id}\"}}")),
                                // Closed between requests: these were sent too late and never accepted.
                                Err(e) if position == 0 && is_close(&e) => return,
                                Err(e) => panic!("a pipeline was answered by half, then {e}"),
                            }
                            served.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        until(LIMIT, "a steady load", || (served.load(Ordering::Relaxed) > 500).then_some(()));
        server.process.signal("TERM");
        let status = server.process.wait(LIMIT);
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().expect("no request fails");
        }
        assert!(status.success(), "{status}: {}", server.process.stderr());
    }
}

fn is_close(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

#[test]
fn sigterm_tells_http_clients_to_leave_before_it_closes_their_connections() {
    let origin = Origin::start();
    let mut server = over(&origin);
    let (served, left) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..8)
        .map(|n| {
            let (mut http, served, left) = (Http::connect(server.http()), Arc::clone(&served), Arc::clone(&left));
            thread::spawn(move || {
                loop {
                    http.send_raw(format!("GET /v1/v:{n} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).unwrap();
                    let answer = http.read(false).expect("no connection is closed before its client was told");
                    assert_eq!(answer.status, 200);
                    served.fetch_add(1, Ordering::Relaxed);
                    if answer.header("connection") == Some("close") {
                        left.fetch_add(1, Ordering::Relaxed);
                        return;
                    }
                    thread::sleep(Duration::from_millis(5));
                }
            })
        })
        .collect();
    until(LIMIT, "a steady load", || (served.load(Ordering::Relaxed) > 100).then_some(()));
    assert_eq!(left.load(Ordering::Relaxed), 0, "control: nobody is sent away before");
    server.process.signal("TERM");
    for client in clients {
        client.join().expect("no request fails");
    }
    assert_eq!(left.load(Ordering::Relaxed), 8);
    let status = server.process.wait(LIMIT);
    assert!(status.success(), "{status}: {}", server.process.stderr());
}

/// The second element of an answer to BW.GET.
fn why(answer: &Value) -> String {
    let Value::Array(items) = answer else { panic!("an array, not {answer}") };
    items[1].text()
}

#[test]
fn sigterm_answers_who_waits_for_a_token_and_does_not_wait_for_its_holder() {
    let mut server = Bellwether::start(Some(&config("", "[[space]]\nmatch = \"kv:{id}\"\nttl = \"1h\"")));
    let token = server.connect().call(&["BW.GET", "kv:a", "LEASE", "600000"]);
    assert_eq!(why(&token), "not_cached");
    let mut waiter = server.connect();
    waiter.send_raw(b"BW.GET kv:a WAIT 60000\r\n").unwrap();
    thread::sleep(Duration::from_millis(100));
    let begun = Instant::now();
    server.process.signal("TERM");
    let answer = waiter.read().expect("an answer, not a closed connection");
    assert_eq!(why(&answer), "held");
    let status = server.process.wait(LIMIT);
    assert!(status.success(), "{status}: {}", server.process.stderr());
    assert!(begun.elapsed() < Duration::from_secs(8), "the drain took {:?}", begun.elapsed());
}

#[test]
fn who_was_connected_when_the_stop_was_asked_for_is_answered_even_if_nobody_had_looked_yet() {
    for _ in 0..5 {
        let mut server = Bellwether::start(Some(&config("", "[[space]]\nmatch = \"kv:{id}\"\nttl = \"1h\"")));
        // The kernel accepts for a process that stands still.
        server.process.signal("STOP");
        let mut clients: Vec<_> = (0..60).map(|_| server.connect()).collect();
        clients.iter_mut().for_each(|client| client.send_raw(b"PING\r\n").unwrap());
        server.process.signal("TERM");
        server.process.signal("CONT");
        for client in &mut clients {
            assert_eq!(client.read().expect("an answer, not a closed connection").text(), "PONG");
        }
        assert!(server.process.wait(LIMIT).success());
    }
}
