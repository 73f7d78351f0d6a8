//! How is a real client run against a server, with a limit on its time?

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use crate::process::Process;

/// A client program that is not running yet.
pub struct Client {
    command: Command,
}

/// What a client left behind.
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Client {
    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Starts it.
    #[track_caller]
    pub fn start(self) -> Process {
        Process::spawn(self.command)
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(self, limit: Duration) -> Output {
        let mut process = Process::spawn(self.command);
        let status = process.wait(limit);
        Output { status, stdout: process.stdout(), stderr: process.stderr() }
    }

    /// Runs it to its end, which must be a success; answers what it printed.
    #[track_caller]
    pub fn succeed(self, limit: Duration) -> String {
        let shown = format!("{:?}", self.command);
        let output = self.run(limit);
        assert!(output.status.success(), "{shown}: {}\n{}{}", output.status, output.stdout, output.stderr);
        output.stdout
    }
}

/// A program of this machine.
pub fn tool(program: &str) -> Client {
    Client { command: Command::new(program) }
}

/// A script of `clients/python` in the environment with the pinned clients.
#[track_caller]
pub fn python(script: &str) -> Client {
    let mut client = tool(&installed("venv/bin/python"));
    client.command.args(["-B", "-W", "ignore"]).arg(clients().join("python").join(script));
    client
}

/// A script of `clients/node`; it finds the pinned clients through `BELLWETHER_NODE_MODULES`.
#[track_caller]
pub fn node(script: &str) -> Client {
    let mut client = tool(&installed("venv/bin/node"));
    client.command.env("BELLWETHER_NODE_MODULES", installed("node/node_modules"));
    client.command.arg(clients().join("node").join(script));
    client
}

/// Cargo's target directory: test programs lie in `<target>/<profile>/deps`.
pub(crate) fn target() -> PathBuf {
    let exe = std::env::current_exe().expect("a program knows where it lies");
    exe.ancestors().nth(3).expect("a test program lies three levels deep").to_path_buf()
}

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

#[track_caller]
fn installed(what: &str) -> String {
    let path = target().join("xtask").join(what);
    assert!(path.exists(), "{} is missing: run `cargo xtask setup`", path.display());
    path.display().to_string()
}
