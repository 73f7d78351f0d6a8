//! What does a hit over HTTP cost, beside Varnish and nginx? One core for the server; wrk on the other.
//!
//! `cargo build --release -p bellwether-cli && cargo run --release -p bellwether-benches --bin http [rounds]`
//!
//! Needs Linux with `varnishd`, `nginx` and `wrk`. How both are configured is in `bellwether_bench::server`: Varnish
//! keeps 256 MB in memory; nginx is one process with `proxy_cache` in /dev/shm and its files kept open. `bellwether
//! bench` measures the same with a loader of its own.

use std::io::Write as _;
use std::process::{Command, Stdio};

use bellwether_bench::Contender;
use bellwether_bench::server::Server;
use bellwether_bench::wire::{KEYS, Wire};
use bellwether_benches::beside::{Core, Result, Said, rounds};
use bellwether_benches::machine;
use bellwether_benches::report::{bars, table};

const ROUNDS: usize = 7;
const CONNECTIONS: &str = "50";
/// Seconds of a run, and of one that warms a server up.
const SECONDS: [u32; 2] = [2, 1];
const EVERYBODY: [Contender; 3] = [Contender::Bellwether, Contender::Varnish, Contender::Nginx];

/// The keys of `bellwether bench`, drawn at random, of the host that they were filled for: Varnish keeps hosts apart.
/// Figures in a form that is easily read.
fn script() -> String {
    format!(
        "local host = {{ ['Host'] = '127.0.0.1' }}\n\
         request = function() return wrk.format('GET', string.format('/v1/kv:%012d', math.random(0, {})), host) end\n\
         done = function(all, latency) io.write(string.format('figures %d %d %d %f\\n', all.requests, \
         all.errors.status + all.errors.read + all.errors.timeout, all.duration, latency:percentile(99))) end\n",
        KEYS - 1
    )
}

/// It runs where this thread does: apart from the server.
fn wrk(server: &Server, script: &std::path::Path, seconds: u32) -> Result<Said> {
    let passed_on = server.passed_on();
    let out = Command::new("wrk")
        .args(["-t", "1", "-c", CONNECTIONS, "-d", &format!("{seconds}s"), "-s"])
        .arg(script)
        .arg(format!("http://{}", server.address(Wire::Http)?))
        .stderr(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&out.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("figures ")).ok_or("wrk said nothing")?;
    let numbers: Vec<f64> = line.split(' ').filter_map(|cell| cell.parse().ok()).collect();
    let [requests, wrong, took_us, p99_us] = numbers[..] else { return Err(format!("unexpected: {line}").into()) };
    if wrong > 0.0 || server.passed_on() > passed_on {
        let passed_on = server.passed_on() - passed_on;
        return Err(format!("{}: {wrong} requests failed, {passed_on} were no hits", server.contender().name()).into());
    }
    Ok(Said { requests, rate: requests / took_us * 1e6, p99_ms: p99_us / 1000.0 })
}

fn main() -> Result<()> {
    let count = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(ROUNDS);
    println!("{}; GET of 1 KiB, {KEYS} keys, {CONNECTIONS} connections, {count} interleaved rounds\n", machine::line());
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(script().as_bytes())?;
    let runs = rounds(count, &EVERYBODY, Core::ToItself, |server, warm_up| {
        wrk(server, file.path(), SECONDS[usize::from(warm_up)])
    })?;
    let verdicts: Vec<_> = EVERYBODY[1..].iter().flat_map(|other| runs.bars(*other, 1)).collect();
    let head = ["depth", "server", "CPU us per GET", "thousand GET/s", "p99 ms"];
    println!("{}\n{}\nload average at the end {}", table(&head, &runs.rows("1")), bars(&verdicts), machine::load());
    Ok(())
}
