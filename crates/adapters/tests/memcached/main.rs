//! Does the Memcached tier keep the lease protocol's rules on real servers?
#![cfg(feature = "memcached")]
#![allow(clippy::unwrap_used, reason = "helpers outside #[test] may panic too: it is the report")]

mod faults;
mod fleet;
mod leases;
mod values;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bellwether::shared::{Acquired, Ask, Draw, Envelope, Found, Tier};
use bellwether::{Fence, Kind, Mode, Span};
use bellwether_adapters::tiers::memcached::{MemcachedOptions, MemcachedTier};
use bellwether_servers::Memcached;
use bytes::Bytes;

/// Nothing here takes longer, however busy the machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Servers that run for one test.
fn servers(count: usize) -> Vec<Memcached> {
    (0..count).map(|_| Memcached::start(&["-m", "16"]).unwrap()).collect()
}

fn url(servers: &[Memcached]) -> String {
    let addresses: Vec<_> = servers.iter().map(|server| server.address().to_string()).collect();
    format!("memcached://{}", addresses.join(","))
}

/// Patient, where the test is not about time: the machine may be busy.
fn patient() -> MemcachedOptions {
    MemcachedOptions {
        answer_timeout: Duration::from_secs(5),
        patience: Duration::from_secs(5),
        roll_call: Duration::from_millis(200),
        ..MemcachedOptions::default()
    }
}

fn open(servers: &[Memcached]) -> MemcachedTier {
    MemcachedTier::open(&url(servers), patient()).unwrap()
}

/// A value that says whose it is, fresh for a minute.
fn entry(body: impl Into<Bytes>) -> Envelope {
    Envelope { fresh_ms: 60_000, swr_ms: 30_000, hard_ms: 60_000, cost_ms: 7, ..Envelope::of(Kind::Value, body) }
}

fn ask(mode: Mode) -> Ask {
    Ask { lease: Span::secs(5), mode, holds: Fence::ZERO, at_least: Fence::ZERO, draw: Draw(fastrand::u64(..)) }
}

async fn token(tier: &MemcachedTier, key: &[u8], ask: Ask) -> Fence {
    match tier.acquire(key, ask).await.unwrap() {
        Acquired::Granted { token, .. } => token,
        other => panic!("{other:?}"),
    }
}

/// Loads and publishes under a lease of its own.
async fn store(tier: &MemcachedTier, key: &[u8], entry: Envelope) -> Fence {
    let token = token(tier, key, ask(Mode::Miss)).await;
    assert_eq!(tier.publish(key, token, entry).await.unwrap(), bellwether::shared::Stored::Yes(token));
    token
}

async fn body(tier: &MemcachedTier, key: &[u8]) -> Option<Bytes> {
    match tier.get(key).await.unwrap() {
        Found::Entry { envelope, .. } => Some(envelope.body),
        _ => None,
    }
}

/// Waits until something holds, and says what did not.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let since = Instant::now();
    while !holds().await {
        assert!(since.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Somebody else's client: the plain protocol, line by line.
struct Plain(BufReader<TcpStream>);

impl Plain {
    fn of(server: &Memcached) -> Plain {
        let stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Plain(BufReader::new(stream))
    }

    fn say(&mut self, bytes: &[u8]) -> String {
        self.0.get_mut().write_all(bytes).unwrap();
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn get(&mut self, name: &str) -> Option<Vec<u8>> {
        let line = self.say(format!("get {name}\r\n").as_bytes());
        if line == "END" {
            return None;
        }
        let size: usize = line.rsplit(' ').next().unwrap().parse().unwrap();
        let mut data = vec![0; size + "\r\nEND\r\n".len()];
        self.0.read_exact(&mut data).unwrap();
        data.truncate(size);
        Some(data)
    }

    fn set(&mut self, name: &str, seconds: u32, data: &[u8]) {
        let line = format!("set {name} 0 {seconds} {}\r\n", data.len());
        assert_eq!(self.say(&[line.as_bytes(), data, b"\r\n"].concat()), "STORED");
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Runs a test that starts servers, which blocks, and then talks to them.
fn run<F: Future<Output = ()>>(servers: Vec<Memcached>, test: impl FnOnce(Arc<Vec<Memcached>>) -> F) {
    let servers = Arc::new(servers);
    runtime().block_on(async { tokio::time::timeout(PATIENCE * 3, test(servers)).await.expect("in time") });
}
