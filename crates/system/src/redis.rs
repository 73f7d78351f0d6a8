//! How is a real redis-server run beside ours, as the measure of what clients and words should be like?

use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::time::Duration;

use crate::process::{Process, until};
use crate::resp::{Resp, Value};

/// A redis-server that keeps nothing on disk.
pub struct RedisServer {
    address: SocketAddr,
    _process: Process,
    _home: tempfile::TempDir,
}

impl RedisServer {
    /// Starts one on a free port with further `arguments` (`--requirepass`, `x`).
    #[track_caller]
    pub fn start(arguments: &[&str]) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        // Redis can't be told to choose a port itself; a port that was free a moment ago nearly always still is.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.expect("a free port");
        let mut command = Command::new("redis-server");
        command.args([
            "--port",
            &address.port().to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]);
        command.args(arguments).current_dir(home.path());
        let process = Process::spawn(command);
        until(Duration::from_secs(10), "redis-server to answer", || {
            std::net::TcpStream::connect(address).ok()?;
            let answer = Resp::connect(address).call(&["PING"]);
            (answer == Value::Simple("PONG".into()) || answer.error().is_some_and(|e| e.starts_with("NOAUTH")))
                .then_some(())
        });
        Self { address, _process: process, _home: home }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A new connection.
    #[track_caller]
    pub fn connect(&self) -> Resp {
        Resp::connect(self.address)
    }
}
