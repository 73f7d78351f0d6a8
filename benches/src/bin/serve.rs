//! What does a GET over the wire cost, beside redis-server? One server thread each, on one core;
//! redis-benchmark on the other.
//!
//! `cargo build --release -p bellwether-cli && cargo run --release -p bellwether-benches --bin serve [rounds] [shared]`
//!
//! With `shared` a loop without an end has half of the server's core, which makes the server what is slowest: requests
//! wait for it, and it comes to several at once. Otherwise that is redis-benchmark, and servers sleep between requests.
//!
//! Needs Linux with `redis-server` and `redis-benchmark` 7. `bellwether bench` measures the same with a loader of its own.

use std::process::{Command, Stdio};

use bellwether_bench::Contender;
use bellwether_bench::server::Server;
use bellwether_bench::wire::{KEYS, Wire};
use bellwether_benches::beside::{Core, Result, Said, rounds};
use bellwether_benches::machine;
use bellwether_benches::report::{bars, table};

const ROUNDS: usize = 7;
const CONNECTIONS: &str = "50";
/// Requests per run, by depth of the pipeline: a second or two each.
const DEPTHS: [(usize, usize); 2] = [(1, 150_000), (16, 1_000_000)];
/// The part of them that warms a server up.
const WARM_UP: usize = 10;

/// It runs where this thread does: apart from the server.
fn redis_benchmark(server: &Server, depth: usize, requests: usize) -> Result<Said> {
    let port = server.address(Wire::Resp)?.port().to_string();
    let out = Command::new("redis-benchmark")
        .args(["-h", "127.0.0.1", "-p", &port, "-c", CONNECTIONS])
        .args(["-P", &depth.to_string(), "-n", &requests.to_string(), "-r", &KEYS.to_string()])
        .args(["--csv", "GET", "kv:__rand_int__"])
        .stderr(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&out.stdout);
    // "test","rps","avg","min","p50","p95","p99","max"
    let line = text.lines().last().ok_or("redis-benchmark said nothing")?;
    let numbers: Vec<f64> = line.split("\",\"").filter_map(|cell| cell.trim_matches('"').parse().ok()).collect();
    let [rate, .., p99_ms, _] = numbers[..] else { return Err(format!("unexpected: {line}").into()) };
    Ok(Said { requests: requests as f64, rate, p99_ms })
}

fn main() -> Result<()> {
    let count = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(ROUNDS);
    let core = if std::env::args().any(|argument| argument == "shared") { Core::Shared } else { Core::ToItself };
    println!(
        "{}; GET of 1 KiB, {KEYS} keys, {CONNECTIONS} connections, {count} interleaved rounds; the server's core: {core:?}\n",
        machine::line()
    );
    let (mut rows, mut verdicts) = (Vec::new(), Vec::new());
    for (depth, requests) in DEPTHS {
        let runs = rounds(count, &[Contender::Bellwether, Contender::Redis], core, |server, warm_up| {
            redis_benchmark(server, depth, if warm_up { requests / WARM_UP } else { requests })
        })?;
        rows.extend(runs.rows(&depth.to_string()));
        verdicts.extend(runs.bars(Contender::Redis, depth));
    }
    let head = ["depth", "server", "CPU us per GET", "thousand GET/s", "p99 ms"];
    println!("{}\n{}\nload average at the end {}", table(&head, &rows), bars(&verdicts), machine::load());
    Ok(())
}
