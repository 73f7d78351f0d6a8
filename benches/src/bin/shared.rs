//! What does a hit on the shared tier cost beside the client library's bare `GET` of the same bytes? CPU of this process
//! and of the server, and time, in interleaved rounds.
//!
//! `cargo run --release -p bellwether-benches --bin shared [rows whose name has this]`

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bellwether::shared::{Acquired, Ask, Envelope, Found, Mode, Stored, Tier};
use bellwether::{Fence, Kind, Span};
use bellwether_adapters::tiers::redis::{RedisOptions, RedisTarget, RedisTier};
use bellwether_benches::cpu;
use bellwether_benches::report::{Bar, bars, table};
use bellwether_benches::stats::Spread;
use bellwether_servers::Redis;
use futures_util::future::join_all;
use redis::aio::MultiplexedConnection;

/// Keys asked for in turn.
const KEYS: usize = 1000;
const ROUNDS: usize = 11;
/// Keys read in one round, of each kind.
const READS: usize = 12_000;
/// Asked for in one go.
const MANY: usize = 100;
/// A hit costs at most so much more than what cannot be less.
const BAR: f64 = 1.15;

/// One way to read the same keys, both ways.
struct Row {
    what: &'static str,
    /// Bytes of a value, and whether they get smaller.
    value: (usize, bool),
    how: How,
    barred: bool,
}

#[derive(Clone, Copy)]
enum How {
    OneByOne,
    AtOnce(usize),
    InOneGo,
}

/// What a round took.
struct Took {
    /// CPU of this thread.
    here: Duration,
    /// CPU of the server.
    there: Duration,
    time: Duration,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let server = Redis::start(&[]).expect("redis-server in PATH");
    let tier = RedisTier::open(RedisTarget::parse(&server.url()).expect("an address"), RedisOptions::default());
    let tier = Arc::new(tier.expect("a tier"));
    let client = redis::Client::open(server.url()).expect("an address");
    let bare = client.get_multiplexed_async_connection().await.expect("a connection");
    let rows = [
        Row { what: "256 bytes, one by one", value: (256, false), how: How::OneByOne, barred: true },
        Row { what: "256 bytes, 32 at once", value: (256, false), how: How::AtOnce(32), barred: true },
        Row { what: "4 KiB as they are, one by one", value: (4096, false), how: How::OneByOne, barred: true },
        Row { what: "4 KiB compressed, one by one", value: (4096, true), how: How::OneByOne, barred: false },
        Row { what: "256 bytes, 100 keys in one go (MGET)", value: (256, false), how: How::InOneGo, barred: false },
    ];
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let (mut lines, mut judged) = (Vec::new(), Vec::new());
    for row in rows.iter().filter(|row| row.what.contains(&wanted)) {
        let keys: Vec<Vec<u8>> =
            (0..KEYS).map(|n| format!("{}:{}:{n}", row.value.0, row.value.1).into_bytes()).collect();
        let stored: Vec<Vec<u8>> = keys.iter().map(|key| [b"bw:", &key[..]].concat()).collect();
        for key in &keys {
            fill(&tier, key, row.value).await;
        }
        let pid = server.pid().expect("running");
        let mut ratios: [Vec<f64>; 2] = Default::default();
        // A process's CPU is told in hundredths of a second: only the sum says something.
        let mut there = [Duration::ZERO; 2];
        let mut costs: [Vec<f64>; 2] = Default::default();
        for round in 0..=ROUNDS {
            let ours = measured(pid, ours(&tier, &keys, row.how)).await;
            let theirs = measured(pid, theirs(&bare, &stored, row.how)).await;
            // The first warms up.
            if round == 0 {
                continue;
            }
            ratios[0].push(ours.here.as_secs_f64() / theirs.here.as_secs_f64());
            ratios[1].push(ours.time.as_secs_f64() / theirs.time.as_secs_f64());
            there[0] += ours.there;
            there[1] += theirs.there;
            costs[0].push(ours.here.as_nanos() as f64 / READS as f64 / 1000.0);
            costs[1].push(theirs.here.as_nanos() as f64 / READS as f64 / 1000.0);
        }
        let [here, time] = ratios.map(|all| Spread::of(&all));
        let [our_cost, their_cost] = costs.map(|all| Spread::of(&all).median);
        if row.barred {
            judged.push(Bar::at_most(format!("CPU per hit / bare GET: {}", row.what), here.median, BAR));
        }
        lines.push(vec![
            row.what.to_owned(),
            format!("{our_cost:.1}"),
            format!("{their_cost:.1}"),
            format!("{here}"),
            format!("{:.2}", there[0].as_secs_f64() / there[1].as_secs_f64()),
            format!("{time}"),
        ]);
    }
    let head = ["read", "CPU us, ours", "CPU us, bare", "CPU ratio", "server's CPU ratio", "time ratio"];
    println!("{}\n{}", table(&head, &lines), bars(&judged));
}

async fn fill(tier: &RedisTier, key: &[u8], (length, shrinks): (usize, bool)) {
    let ask = Ask {
        lease: Span::secs(5),
        mode: Mode::Miss,
        holds: Fence::ZERO,
        at_least: Fence::ZERO,
        draw: bellwether::shared::Draw(fastrand::u64(..)),
    };
    let token = match tier.acquire(key, ask).await {
        Ok(Acquired::Granted { token, .. }) => token,
        // Two rows read the same keys.
        Ok(Acquired::Fresh(_)) => return,
        other => panic!("{other:?}"),
    };
    let mut random = fastrand::Rng::with_seed(7);
    let body: Vec<u8> = (0..length).map(|n| if shrinks { b"abcdefgh"[n / 7 % 8] } else { random.u8(..) }).collect();
    let envelope = Envelope { age_ms: 5, fresh_ms: 3_600_000, cost_ms: 5, ..Envelope::of(Kind::Value, body) };
    assert_eq!(tier.publish(key, token, envelope).await.expect("stored"), Stored::Yes(token));
}

async fn measured(pid: u32, work: impl Future<Output = ()>) -> Took {
    let (here, there, since) = (cpu::thread(), cpu::of(pid).unwrap_or_default(), Instant::now());
    work.await;
    Took { here: cpu::thread() - here, there: cpu::of(pid).unwrap_or_default() - there, time: since.elapsed() }
}

async fn ours(tier: &Arc<RedisTier>, keys: &[Vec<u8>], how: How) {
    let one = async |at: usize| match tier.get(&keys[at % keys.len()]).await {
        Ok(Found::Entry { envelope, .. }) => drop(black_box(envelope.body)),
        other => panic!("{other:?}"),
    };
    match how {
        How::OneByOne => {
            for at in 0..READS {
                one(at).await;
            }
        }
        How::AtOnce(width) => {
            for at in (0..READS).step_by(width) {
                join_all((at..at + width).map(one)).await;
            }
        }
        How::InOneGo => {
            for at in (0..READS).step_by(MANY) {
                let from = at % keys.len();
                let found = tier.get_many(&keys[from..from + MANY]).await.expect("an answer");
                assert!(black_box(found).iter().all(|found| matches!(found, Found::Entry { .. })));
            }
        }
    }
}

async fn theirs(bare: &MultiplexedConnection, keys: &[Vec<u8>], how: How) {
    let one = async |at: usize| {
        let mut bare = bare.clone();
        let body: Vec<u8> =
            redis::cmd("GET").arg(&keys[at % keys.len()]).query_async(&mut bare).await.expect("an answer");
        assert!(!black_box(body).is_empty());
    };
    match how {
        How::OneByOne => {
            for at in 0..READS {
                one(at).await;
            }
        }
        How::AtOnce(width) => {
            for at in (0..READS).step_by(width) {
                join_all((at..at + width).map(one)).await;
            }
        }
        How::InOneGo => {
            for at in (0..READS).step_by(MANY) {
                let (from, mut bare) = (at % keys.len(), bare.clone());
                let many = &keys[from..from + MANY];
                let found: Vec<Vec<u8>> = redis::cmd("MGET").arg(many).query_async(&mut bare).await.expect("an answer");
                assert!(black_box(found).iter().all(|body| !body.is_empty()));
            }
        }
    }
}
