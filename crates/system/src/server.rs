//! How is Bellwether's own binary started, as a user would?

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::client::target;
use crate::metrics::Metrics;
use crate::process::{Process, until};
use crate::resp::Resp;
use crate::shop::shop_database;

/// From start to `ready`; an unoptimized build on a busy machine needs part of it.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A running `bellwether serve` in a directory of its own.
pub struct Bellwether {
    /// The process, for signals and memory.
    pub process: Process,
    redis: SocketAddr,
    http: SocketAddr,
    admin: SocketAddr,
    home: tempfile::TempDir,
}

/// A configuration that listens on free ports: `listen` goes into `[listen]`, `rest` after it.
pub fn config(listen: &str, rest: &str) -> String {
    let ports = ["redis", "http", "admin"].map(|face| format!("{face} = \"127.0.0.1:0\"\n")).concat();
    format!("[listen]\n{ports}{listen}\n{rest}\n")
}

impl Bellwether {
    /// Starts `serve`, with `config` in a file or without any, and waits until it is ready.
    /// A configuration that names `shop.db` finds the database of [`shop_database`] there.
    #[track_caller]
    pub fn start(config: Option<&str>) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let mut command = Self::command(&["serve"]);
        command.current_dir(home.path());
        match config {
            Some(text) => {
                command.arg("--config").arg(Self::write(home.path(), text));
            }
            None => {
                for face in ["REDIS", "HTTP", "ADMIN"] {
                    command.env(format!("BELLWETHER__LISTEN__{face}"), "127.0.0.1:0");
                }
            }
        }
        let mut process = Process::spawn(command);
        let out = until(START_LIMIT, "bellwether to be ready", || {
            let exited = process.exited();
            let out = process.stdout();
            assert!(exited.is_none(), "serve ended with {exited:?}:\n{}", process.stderr());
            out.lines().any(|line| line == "ready").then_some(out)
        });
        let address = |face: &str| {
            let line = out.lines().find_map(|line| line.strip_prefix("listening ")?.strip_prefix(face)).map(str::trim);
            line.and_then(|text| text.parse().ok())
                .unwrap_or_else(|| panic!("no 'listening {face} ADDRESS' in:\n{out}"))
        };
        Self { redis: address("redis"), http: address("http"), admin: address("admin"), process, home }
    }

    /// The binary with `arguments`, not started yet.
    pub fn command(arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments);
        command
    }

    /// Writes a configuration, and the database if it names one; answers the file.
    #[track_caller]
    pub fn write(home: &Path, config: &str) -> PathBuf {
        let file = home.join("bellwether.toml");
        fs::write(&file, config).expect("a temporary directory can be written");
        let database = home.join("shop.db");
        if config.contains("shop.db") && !database.exists() {
            shop_database(&database);
        }
        file
    }

    /// The RESP listener.
    pub fn redis(&self) -> SocketAddr {
        self.redis
    }

    /// The HTTP listener.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// The admin listener.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Its directory.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// A new RESP connection.
    #[track_caller]
    pub fn connect(&self) -> Resp {
        Resp::connect(self.redis)
    }

    /// A scrape of `/metrics`.
    #[track_caller]
    pub fn metrics(&self) -> Metrics {
        Metrics::scrape(self.admin)
    }
}

/// What to start: `BELLWETHER_BIN`, else the development build, made first so that it is never an old one.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("BELLWETHER_BIN") {
            return path.into();
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/Cargo.toml");
        let build = Command::new(cargo).args(["build", "--quiet", "--manifest-path"]).arg(manifest).status();
        assert!(build.is_ok_and(|status| status.success()), "cargo build -p bellwether-cli failed");
        target().join("debug/bellwether")
    })
}
