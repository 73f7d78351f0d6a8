//! How is each contender started, filled and ended? All on one core, in memory, with nothing logged.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, getuid};
use tempfile::TempDir;

use crate::contender::Contender;
use crate::cores::Cores;
use crate::cpu;
use crate::error::Error;
use crate::load::{Load, Until};
use crate::origin::Origin;
use crate::process::Process;
use crate::stop::Stop;
use crate::wire::{KEYS, Wire};

/// From start to the first answer; Varnish compiles its configuration.
const START: Duration = Duration::from_secs(20);
/// Ports that were free a moment ago may be taken: so often another one is tried.
const TRIES: usize = 3;
/// An answer to a question while a server starts, or to a write.
const ANSWER: Duration = Duration::from_secs(5);
/// Writes sent at once while filling.
const FILL: usize = 100;
/// Files that a cache opens beside those that it keeps: connections and logs.
const OTHER_FILES: u64 = 512;
/// Where caches that keep files keep them in memory, if there is such a place.
const SHARED_MEMORY: &str = "/dev/shm";

/// A server that answers, with its values in place; ends with this value.
pub struct Server {
    contender: Contender,
    process: Process,
    ports: Ports,
    start: Duration,
    origin: Option<Origin>,
    /// Of a cache that keeps files.
    _files: Option<TempDir>,
}

/// Where it is asked.
#[derive(Clone, Copy, Default)]
struct Ports {
    resp: Option<SocketAddr>,
    memcached: Option<SocketAddr>,
    http: Option<SocketAddr>,
}

impl Server {
    /// Starts `contender`, whose executable is `program`, and stores every value.
    ///
    /// # Errors
    /// It doesn't start, or doesn't take the values; with its own words where there are any.
    pub fn start(contender: Contender, program: &Path, cores: &Cores, stop: &Stop) -> Result<Server, Error> {
        let failed = |why: String| Error::Server { who: contender.name(), why };
        let mut tried = 0;
        let mut server = loop {
            tried += 1;
            stop.check()?;
            match Server::started(contender, program, cores) {
                Ok(server) => break server,
                Err(Error::Server { why, .. }) if tried == TRIES => return Err(failed(why)),
                Err(Error::Server { .. }) => {}
                Err(other) => return Err(other),
            }
        };
        server.fill(stop).map_err(|error| match error {
            Error::System(error) => failed(format!("it could not be filled: {error}")),
            other => other,
        })?;
        Ok(server)
    }

    fn started(contender: Contender, program: &Path, cores: &Cores) -> Result<Server, Error> {
        let failed = |why: String| Error::Server { who: contender.name(), why };
        let home = tempfile::Builder::new().prefix("bellwether-bench-").tempdir()?;
        let port = free_port()?;
        let (mut origin, mut files) = (None, None);
        let command = match contender {
            Contender::Bellwether => bellwether(program, home.path())?,
            Contender::Redis | Contender::Valkey => redis(program, port),
            Contender::Memcached => memcached(program, port),
            Contender::Varnish => varnish(program, port, home.path(), origin.insert(Origin::start()?).port())?,
            Contender::Nginx => {
                let kept = files.insert(in_memory()?).path();
                nginx(program, port, home.path(), kept, origin.insert(Origin::start()?).port())?
            }
        };
        let begun = cores.serving(|| Process::start(command, home))?;
        let mut process = begun.map_err(|error| failed(format!("{}: {error}", program.display())))?;
        let ports = match contender {
            Contender::Bellwether => process.until(START, announced),
            _ => process.until(START, |_| answered(contender, port)),
        }
        .map_err(failed)?;
        let start = process.started.elapsed();
        Ok(Server { contender, process, ports, start, origin, _files: files })
    }

    /// Who it is.
    pub fn contender(&self) -> Contender {
        self.contender
    }

    /// From its start to its first answer; ours: until it said that it is ready.
    pub fn start_time(&self) -> Duration {
        self.start
    }

    /// Where it is asked in this language.
    ///
    /// # Errors
    /// It does not speak it.
    pub fn address(&self, wire: Wire) -> Result<SocketAddr, Error> {
        let address = match wire {
            Wire::Resp => self.ports.resp,
            Wire::Memcached => self.ports.memcached,
            Wire::Http => self.ports.http,
        };
        let why = || format!("it does not speak {}", wire.name());
        address.ok_or_else(|| Error::Server { who: self.contender.name(), why: why() })
    }

    /// CPU time that it has used so far, its children's included.
    ///
    /// # Errors
    /// It has ended.
    pub fn cpu(&self) -> Result<Duration, Error> {
        let why = || "it ended under load".to_owned();
        cpu::of(self.process.id()).ok_or_else(|| Error::Server { who: self.contender.name(), why: why() })
    }

    /// Requests that it had to pass on to its origin so far: a cache that is measured answers by itself.
    pub fn passed_on(&self) -> u64 {
        self.origin.as_ref().map_or(0, Origin::answered)
    }

    fn fill(&mut self, stop: &Stop) -> Result<(), Error> {
        for wire in [Wire::Resp, Wire::Memcached] {
            if let Ok(address) = self.address(wire) {
                return store(wire, address, stop);
            }
        }
        Load { address: self.address(Wire::Http)?, wire: Wire::Http, depth: 1, until: Until::EveryKey }.run(stop)?;
        Ok(())
    }
}

/// Writes every value.
fn store(wire: Wire, address: SocketAddr, stop: &Stop) -> Result<(), Error> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    let mut replies = BufReader::new(stream.try_clone()?);
    for first in (0..KEYS).step_by(FILL) {
        stop.check()?;
        let all: Vec<_> = (first..KEYS.min(first + FILL)).filter_map(|n| wire.set(n)).collect();
        stream.write_all(&all.iter().flat_map(|(request, _)| request).copied().collect::<Vec<u8>>())?;
        for (_, wanted) in &all {
            let mut line = Vec::new();
            replies.read_until(b'\n', &mut line)?;
            if line != *wanted {
                let said = line.escape_ascii();
                return Err(
                    io::Error::new(io::ErrorKind::InvalidData, format!("a write was answered with {said}")).into()
                );
            }
        }
    }
    Ok(())
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Whether somebody answers there.
fn answered(contender: Contender, port: u16) -> Option<Ports> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let wire = *contender.wires().first()?;
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(ANSWER)).ok()?;
    stream.write_all(wire.probe()).ok()?;
    stream.read_exact(&mut [0]).ok()?;
    let mut ports = Ports::default();
    match wire {
        Wire::Resp => ports.resp = Some(address),
        Wire::Memcached => ports.memcached = Some(address),
        Wire::Http => ports.http = Some(address),
    }
    Some(ports)
}

/// Where `bellwether serve` says that it listens, once it is ready.
fn announced(process: &Process) -> Option<Ports> {
    let said = process.said();
    said.lines().find(|line| *line == "ready")?;
    let address = |face: &str| said.lines().find_map(|line| line.strip_prefix(face)?.trim().parse().ok());
    Some(Ports { resp: address("listening redis"), memcached: None, http: address("listening http") })
}

fn bellwether(program: &Path, home: &Path) -> io::Result<Command> {
    let config = home.join("bench.toml");
    let listen = "[listen]\nredis = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n";
    let space = "[[space]]\nmatch = \"kv:{k*}\"\nttl = \"1h\"\n";
    fs::write(&config, format!("{listen}[memory]\nlimit = \"256 MiB\"\n{space}"))?;
    let mut command = Command::new(program);
    command.arg("serve").arg("--config").arg(config);
    // What the user has set for a server of theirs is not meant for this one.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("BELLWETHER__")) {
        command.env_remove(name);
    }
    Ok(command)
}

fn redis(program: &Path, port: u16) -> Command {
    let mut command = Command::new(program);
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command
}

/// One thread, as it has one core.
fn memcached(program: &Path, port: u16) -> Command {
    let mut command = Command::new(program);
    command.args(["-l", "127.0.0.1", "-p", &port.to_string(), "-U", "0", "-t", "1", "-m", "256"]);
    if getuid().is_root() {
        command.args(["-u", "root"]);
    }
    command
}

fn varnish(program: &Path, port: u16, home: &Path, origin: u16) -> io::Result<Command> {
    let rules = home.join("bench.vcl");
    let backend = format!("backend default {{ .host = \"127.0.0.1\"; .port = \"{origin}\"; }}");
    fs::write(&rules, format!("vcl 4.1;\n{backend}\nsub vcl_backend_response {{ set beresp.ttl = 1h; }}\n"))?;
    let mut command = Command::new(program);
    command.args(["-F", "-j", "none", "-a", &format!("127.0.0.1:{port}"), "-s", "malloc,256m"]);
    command.arg("-n").arg(home.join("varnish")).arg("-f").arg(rules);
    Ok(command)
}

/// Files of a cache that may stay open: all of them, as far as this process, whose limit is inherited, may have so many.
fn files_kept_open() -> u64 {
    getrlimit(Resource::Nofile).current.map_or(2 * KEYS as u64, |limit| limit.saturating_sub(OTHER_FILES).max(1))
}

/// One process, which is its worker; cached files in memory and kept open, nothing logged.
fn nginx(program: &Path, port: u16, home: &Path, files: &Path, origin: u16) -> io::Result<Command> {
    let config = home.join("nginx.conf");
    let (home_text, files, open) = (home.display(), files.display(), files_kept_open());
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("  {kind}_temp_path {home_text}/{kind};\n"))
        .concat();
    let text = format!(
        "daemon off;\nmaster_process off;\nworker_processes 1;\npid {home_text}/nginx.pid;\nerror_log stderr error;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n{paths}  access_log off;\n  sendfile on;\n  tcp_nodelay on;\n  keepalive_requests 1000000000;\n  \
         keepalive_timeout 1h;\n  open_file_cache max={open} inactive=1h;\n  open_file_cache_valid 1h;\n  \
         proxy_cache_path {files} levels=1:2 keys_zone=bench:16m max_size=256m inactive=1d use_temp_path=off;\n  \
         upstream origin {{ server 127.0.0.1:{origin}; keepalive 16; }}\n  \
         server {{\n    listen 127.0.0.1:{port};\n    location / {{\n      proxy_pass http://origin;\n      \
         proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n      proxy_cache bench;\n      \
         proxy_cache_valid 200 1h;\n    }}\n  }}\n}}\n"
    );
    fs::write(&config, text)?;
    let mut command = Command::new(program);
    command.arg("-p").arg(home).arg("-c").arg(config).args(["-e", "stderr"]);
    Ok(command)
}

/// A directory in memory, or where temporary files are.
fn in_memory() -> io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("bellwether-bench-");
    let shared = PathBuf::from(SHARED_MEMORY);
    // No such place, or not ours to write: a file that is read all the time stays in memory anyway.
    builder.tempdir_in(shared).or_else(|_| builder.tempdir())
}
