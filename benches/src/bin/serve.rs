//! What does a GET over the wire cost, beside redis-server? One server thread each, on one core;
//! redis-benchmark on the other.
//!
//! `cargo build --release -p bellwether-cli && cargo run --release -p bellwether-benches --bin serve [rounds]`
//!
//! Needs Linux with `taskset`, `redis-server` and `redis-benchmark` 7.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bellwether_benches::report::{Bar, bars, table};
use bellwether_benches::stats::Spread;
use bellwether_benches::{cpu, load, machine};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const ROUNDS: usize = 7;
const CONNECTIONS: &str = "50";
const KEYS: usize = 10_000;
/// Requests per run, by depth of the pipeline: a second or two each, against a CPU clock of 10 ms.
const DEPTHS: [(usize, usize); 2] = [(1, 150_000), (16, 1_000_000)];
const START: Duration = Duration::from_secs(5);
/// The server's core, and the load generator's.
const CORES: [&str; 2] = ["0", "1"];

/// A server of ours; ends with this value.
struct Server {
    name: &'static str,
    child: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already ended is as good as killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One run of redis-benchmark.
#[derive(Clone, Copy)]
struct Run {
    cpu_us: f64,
    rate: f64,
    p99_ms: f64,
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn pinned(core: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.arg("-c").arg(core).arg(program).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

impl Server {
    fn start(name: &'static str, command: &mut Command, port: u16) -> Result<Server> {
        let mut server = Server { name, child: command.spawn()?, port };
        let patience = Instant::now() + START;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Some(status) = server.child.try_wait()? {
                return Err(format!("{name} ended at its start: {status}").into());
            }
            if Instant::now() > patience {
                return Err(format!("{name} does not listen after {START:?}").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        server.fill()?;
        Ok(server)
    }

    fn redis() -> Result<Server> {
        let port = free_port()?;
        let mut command = pinned(CORES[0], "redis-server");
        command.args(["--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--port", &port.to_string()]);
        Server::start("redis-server 7", &mut command, port)
    }

    /// As many threads as cores that it may use: one.
    fn bellwether(config: &std::path::Path) -> Result<Server> {
        let (port, http, admin) = (free_port()?, free_port()?, free_port()?);
        let text = format!(
            "[listen]\nredis = \"127.0.0.1:{port}\"\nhttp = \"127.0.0.1:{http}\"\nadmin = \"127.0.0.1:{admin}\"\n\n\
             [memory]\nlimit = \"256 MiB\"\n\n[[space]]\nmatch = \"kv:{{k*}}\"\nttl = \"1h\"\n"
        );
        std::fs::write(config, text)?;
        let binary = std::env::current_exe()?.with_file_name("bellwether");
        let mut command = pinned(CORES[0], binary);
        command.arg("serve").arg("--config").arg(config);
        Server::start("bellwether serve", &mut command, port)
    }

    /// Every key that redis-benchmark will draw.
    fn fill(&self) -> Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(START))?;
        let value = "x".repeat(load::VALUE);
        for n in 0..KEYS {
            let key = format!("kv:{n:012}");
            let (key_len, value_len) = (key.len(), value.len());
            let command = format!("*3\r\n$3\r\nSET\r\n${key_len}\r\n{key}\r\n${value_len}\r\n{value}\r\n");
            stream.write_all(command.as_bytes())?;
            let mut reply = [0; 5];
            stream.read_exact(&mut reply)?;
            if &reply != b"+OK\r\n" {
                return Err(format!("{}: SET answered {:?}", self.name, String::from_utf8_lossy(&reply)).into());
            }
        }
        Ok(())
    }

    fn run(&self, depth: usize, requests: usize) -> Result<Run> {
        let before = cpu::of(self.child.id()).ok_or("no such process")?;
        let out = Command::new("taskset")
            .args(["-c", CORES[1], "redis-benchmark", "-h", "127.0.0.1", "-p", &self.port.to_string()])
            .args(["-c", CONNECTIONS, "-P", &depth.to_string(), "-n", &requests.to_string()])
            .args(["-r", &KEYS.to_string(), "--csv", "GET", "kv:__rand_int__"])
            .stderr(Stdio::null())
            .output()?;
        let spent = cpu::of(self.child.id()).ok_or("it died under load")? - before;
        let text = String::from_utf8_lossy(&out.stdout);
        // "test","rps","avg","min","p50","p95","p99","max"
        let line = text.lines().last().ok_or("redis-benchmark said nothing")?;
        let numbers: Vec<f64> = line.split("\",\"").filter_map(|cell| cell.trim_matches('"').parse().ok()).collect();
        let [rate, .., p99_ms, _] = numbers[..] else { return Err(format!("unexpected: {line}").into()) };
        Ok(Run { cpu_us: spent.as_secs_f64() * 1e6 / requests as f64, rate, p99_ms })
    }
}

fn main() -> Result<()> {
    let rounds = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(ROUNDS);
    let config: PathBuf = std::env::temp_dir().join(format!("bellwether-bench-{}.toml", std::process::id()));
    let done = measure(rounds, &config);
    // It may never have been written.
    let _ = std::fs::remove_file(&config);
    done
}

fn measure(rounds: usize, config: &std::path::Path) -> Result<()> {
    println!(
        "{}; GET of 1 KiB, {KEYS} keys, {CONNECTIONS} connections, {rounds} interleaved rounds\n",
        machine::line()
    );
    let (mut rows, mut verdicts) = (Vec::new(), Vec::new());
    for ((depth, requests), (most_cpu, least_rate)) in DEPTHS.into_iter().zip([(0.9, 1.0), (0.7, 1.5)]) {
        let mut runs: [Vec<Run>; 2] = Default::default();
        for round in 0..=rounds {
            // A fresh pair each time, and the other one first.
            for step in 0..2 {
                let which = (round + step) % 2;
                let server = if which == 0 { Server::bellwether(config)? } else { Server::redis()? };
                server.run(depth, requests / 10)?;
                let run = server.run(depth, requests)?;
                if round > 0 {
                    runs[which].push(run);
                }
            }
        }
        let spread = |which: usize, of: fn(&Run) -> f64| Spread::of(&runs[which].iter().map(of).collect::<Vec<_>>());
        for (which, name) in ["bellwether serve", "redis-server 7"].into_iter().enumerate() {
            rows.push(vec![
                depth.to_string(),
                name.to_owned(),
                spread(which, |run| run.cpu_us).to_string(),
                spread(which, |run| run.rate / 1000.0).to_string(),
                spread(which, |run| run.p99_ms).to_string(),
            ]);
        }
        let ratio = |of: fn(&Run) -> f64| {
            let pairs = runs[0].iter().zip(&runs[1]).map(|(ours, redis)| of(ours) / of(redis));
            Spread::of(&pairs.collect::<Vec<_>>()).median
        };
        verdicts.extend([
            Bar::at_most(format!("depth {depth}: CPU per GET / redis"), ratio(|run| run.cpu_us), most_cpu),
            Bar::at_least(format!("depth {depth}: throughput / redis"), ratio(|run| run.rate), least_rate),
            Bar::at_most(format!("depth {depth}: p99 / redis"), ratio(|run| run.p99_ms), 1.0),
        ]);
    }
    let head = ["depth", "server", "CPU us per GET", "thousand GET/s", "p99 ms"];
    println!("{}\n{}\nload average at the end {}", table(&head, &rows), bars(&verdicts), machine::load());
    Ok(())
}
