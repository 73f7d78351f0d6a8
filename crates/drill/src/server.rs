//! How is `bellwether serve` started beside the drill, and surely ended?

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::DrillError;

/// From start to `ready`; an unoptimized build on a busy machine needs part of it.
const START_LIMIT: Duration = Duration::from_secs(20);
/// Lines of its log that are shown if it does not start.
const LOG_LINES: usize = 10;
/// Settings in the environment, which would reach the child's configuration.
const SETTINGS: &str = "BELLWETHER__";

/// A running server in a directory of its own; killed by its own id when dropped.
pub(crate) struct Server {
    child: Child,
    redis: SocketAddr,
    _home: tempfile::TempDir,
}

impl Server {
    /// Starts `program serve` with this configuration on free ports, and waits until it is ready.
    pub(crate) fn start(program: &Path, config: &str) -> Result<Server, DrillError> {
        let failed = |what: &str, error: std::io::Error| DrillError::Server(format!("{what}: {error}"));
        let home = tempfile::Builder::new().prefix("bellwether-drill-").tempdir();
        let home = home.map_err(|error| failed("no temporary directory", error))?;
        let (file, log) = (home.path().join("drill.toml"), home.path().join("log"));
        fs::write(&file, config).map_err(|error| failed("its configuration can't be written", error))?;
        let stderr = File::create(&log).map_err(|error| failed("its log can't be written", error))?;
        let mut command = Command::new(program);
        command.arg("serve").arg("--config").arg(&file).current_dir(home.path());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with(SETTINGS)) {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        let child = command.spawn().map_err(|error| failed(&program.display().to_string(), error))?;
        // From here on a return ends the child.
        let mut server = Server { child, redis: SocketAddr::from(([0, 0, 0, 0], 0)), _home: home };
        let said = server.child.stdout.take().map(read_start).unwrap_or_default();
        let redis = said.iter().find_map(|line| line.strip_prefix("listening redis ")?.parse().ok());
        match redis.filter(|_| said.iter().any(|line| line == "ready")) {
            Some(redis) => server.redis = redis,
            None => return Err(DrillError::Server(last_lines(&log))),
        }
        Ok(server)
    }

    /// The RESP listener.
    pub(crate) fn redis(&self) -> SocketAddr {
        self.redis
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines up to `ready`, or to the end, or to the limit.
fn read_start(stdout: ChildStdout) -> Vec<String> {
    let (sender, lines) = mpsc::sync_channel(16);
    thread::spawn(move || {
        // Reads on after `ready`, so that the server never waits for a reader.
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = sender.try_send(line);
        }
    });
    let (begun, mut said) = (Instant::now(), Vec::new());
    loop {
        match lines.recv_timeout(START_LIMIT.saturating_sub(begun.elapsed())) {
            Ok(line) => {
                said.push(line);
                if said.last().is_some_and(|line| line == "ready") {
                    return said;
                }
            }
            Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => return said,
        }
    }
}

fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let shown = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
    if shown.is_empty() { format!("not ready within {} s, and its log is empty", START_LIMIT.as_secs()) } else { shown }
}
