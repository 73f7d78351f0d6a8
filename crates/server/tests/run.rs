//! Does a whole server start, answer on every listener, deal its connections out, and stop?

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use bellwether_server::config;
use bellwether_server::connections::Face;
use bellwether_server::run::{Server, StartError};

const SPACES: &str = "[[space]]\nmatch = \"kv:{k}\"\nttl = \"1m\"\n";

fn configured(redis: &str, rest: &str) -> config::Config {
    let ports = format!("[listen]\nredis = \"{redis}\"\nhttp = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n");
    config::parse(&format!("{ports}{rest}\n{SPACES}"), "test.toml", Path::new(""), [], false).expect("it is right")
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit");
    stream
}

/// What is answered to `input`, as many bytes as `expected` has.
#[track_caller]
fn answers(stream: &mut TcpStream, input: &str, expected: &str) {
    stream.write_all(input.as_bytes()).expect("it can be sent");
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer).expect("it is answered");
    assert_eq!(String::from_utf8_lossy(&answer), expected);
}

#[test]
fn every_listener_answers_and_a_stop_finishes_in_time() {
    let server = Server::start(configured("127.0.0.1:0", "")).expect("it starts");
    let mut redis: Vec<TcpStream> = (0..20).map(|_| connect(server.address(Face::Redis))).collect();
    for (n, stream) in redis.iter_mut().enumerate() {
        answers(stream, &format!("SET kv:{n} v\r\nGET kv:{n}\r\n"), "+OK\r\n$1\r\nv\r\n");
    }
    for (face, path) in [(Face::Http, "/v1/kv:7"), (Face::Admin, "/livez")] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        answers(&mut connect(server.address(face)), &request, "HTTP/1.1 200 OK\r\n");
    }
    let begun = Instant::now();
    // Idle connections don't keep it from stopping.
    assert!(server.stop(), "nothing was in progress");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    for mut stream in redis {
        assert_eq!(stream.read(&mut [0; 1]).expect("it is closed in order"), 0);
    }
}

#[test]
fn walks_of_many_clients_come_one_at_a_time() {
    let server = Server::start(configured("127.0.0.1:0", "")).expect("it starts");
    let mut writer = connect(server.address(Face::Redis));
    let keys = 20_000;
    let writes: String = (0..keys).map(|n| format!("SET kv:{n} v\r\n")).collect();
    answers(&mut writer, &writes, &"+OK\r\n".repeat(keys));
    let threads = || std::fs::read_dir("/proc/self/task").expect("Linux").count();
    let before = threads();
    let mut walkers: Vec<TcpStream> = (0..4).map(|_| connect(server.address(Face::Redis))).collect();
    for walker in &mut walkers {
        walker.write_all("SCAN 0 COUNT 1\r\n".repeat(200).as_bytes()).expect("it can be sent");
    }
    for walker in &mut walkers {
        answers(walker, "", "*2\r\n");
    }
    // Other tests of this file run beside this one; 800 walks at once would take hundreds of threads.
    assert!(threads() < before + 100, "{} threads", threads());
    answers(&mut writer, "GET kv:7\r\n", "$1\r\nv\r\n");
    drop(walkers);
    assert!(server.stop());
}

#[test]
fn a_port_in_use_says_whose_it_is_and_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it has one").to_string();
    let error = Server::start(configured(&address, "")).err().expect("the port is taken");
    assert!(matches!(error, StartError::Listen { face: "redis", .. }));
    let words = error.to_string();
    for part in [address.as_str(), "in use", "`redis` in [listen]", "port 0"] {
        assert!(words.contains(part), "{part} is missing: {words}");
    }
}

#[test]
fn half_requests_keep_nobody_out_of_the_admin_pages_for_long() {
    let server = Server::start(configured("127.0.0.1:0", "")).expect("it starts");
    let admin = server.address(Face::Admin);
    let mut slow: Vec<TcpStream> = (0..128).map(|_| connect(admin)).collect();
    slow.iter_mut().for_each(|stream| stream.write_all(b"GET /livez HT").expect("it can be sent"));
    let begun = Instant::now();
    let alive = || {
        let mut probe = connect(admin);
        let mut answer = [0; 15];
        let sent = probe.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n");
        sent.and_then(|()| probe.read_exact(&mut answer)).is_ok() && answer.ends_with(b"200 OK")
    };
    assert!(!alive(), "control: every place is taken");
    while !alive() {
        assert!(begun.elapsed() < Duration::from_secs(9), "kept out");
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(slow);
    assert!(server.stop());
}

#[test]
fn strangers_who_say_nothing_are_closed_and_friends_are_not() {
    let server = Server::start(configured("127.0.0.1:0", "password = \"secret\"")).expect("it starts");
    let (mut friend, mut stranger) = (connect(server.address(Face::Redis)), connect(server.address(Face::Redis)));
    answers(&mut friend, "AUTH secret\r\n", "+OK\r\n");
    let begun = Instant::now();
    assert_eq!(stranger.read(&mut [0; 1]).expect("it is closed"), 0);
    assert!(begun.elapsed() > Duration::from_secs(4), "{:?}", begun.elapsed());
    answers(&mut friend, "PING\r\n", "+PONG\r\n");
    assert!(server.stop());
}

/// A GET as clients send it.
fn get(key: &str) -> String {
    format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len())
}

#[test]
fn gets_that_come_together_are_answered_each_on_its_own_connection() {
    let server = Server::start(configured("127.0.0.1:0", "")).expect("it starts");
    let mut streams: Vec<TcpStream> = (0..40).map(|_| connect(server.address(Face::Redis))).collect();
    // Some are longer than what is sent at once while nobody reads.
    let value = |n: usize| format!("v{n}").repeat(if n.is_multiple_of(7) { 20_000 } else { 1 });
    let answer = |n: usize| format!("${}\r\n{}\r\n", value(n).len(), value(n));
    for (n, stream) in streams.iter_mut().enumerate() {
        let (key, value) = (format!("kv:{n}"), value(n));
        let set = format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n{value}\r\n", key.len(), value.len());
        answers(stream, &set, "+OK\r\n");
    }
    for round in 0..100 {
        for (n, stream) in streams.iter_mut().enumerate() {
            // Two at once, and one that comes in two parts: these are answered by their connections.
            let key = get(&format!("kv:{}", (n + round) % 40));
            let input = if (n + round).is_multiple_of(11) { key.repeat(2) } else { key };
            let (first, rest) = input.split_at(if (n + round).is_multiple_of(13) { 9 } else { 0 });
            for part in [first, rest] {
                stream.write_all(part.as_bytes()).expect("it can be sent");
            }
        }
        for (n, stream) in streams.iter_mut().enumerate() {
            let expected = answer((n + round) % 40).repeat(if (n + round).is_multiple_of(11) { 2 } else { 1 });
            answers(stream, "", &expected);
        }
    }
    // Who sends nothing more still gets what it asked for; the others are answered before the server is gone.
    for (n, stream) in streams.iter_mut().enumerate() {
        stream.write_all(get(&format!("kv:{n}")).as_bytes()).expect("it can be sent");
        if n.is_multiple_of(2) {
            stream.shutdown(std::net::Shutdown::Write).expect("it is open");
        }
    }
    let stopping = std::thread::spawn(move || {
        let begun = Instant::now();
        (server.stop(), begun.elapsed())
    });
    for (n, stream) in streams.iter_mut().enumerate() {
        answers(stream, "", &answer(n));
        assert_eq!(stream.read(&mut [0; 1]).expect("it is closed in order"), 0);
    }
    let (drained, took) = stopping.join().expect("no panic");
    assert!(drained && took < Duration::from_secs(5), "{took:?}");
}
