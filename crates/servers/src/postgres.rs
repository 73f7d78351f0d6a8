//! How is a PostgreSQL run, though it refuses to be root's?

use std::fs;
use std::io::Write;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::certificate::Certificates;
use crate::error::ServerError;
use crate::program::{User, in_group};
use crate::redis::owned;
use crate::running::{Place, Recipe, Running};
use crate::wait::until;

/// Where Debian puts its versions, `15/bin` and so on.
const VERSIONS: &str = "/usr/lib/postgresql";
/// Nobody waits longer for a script.
const SCRIPT_LIMIT: Duration = Duration::from_secs(60);

/// A PostgreSQL of one user, `postgres`, whom it trusts without a password. Nothing of it survives a crash of the
/// machine (`fsync` is off); it survives its own.
pub struct Postgres {
    running: Running,
    programs: PathBuf,
    tls: bool,
}

impl Postgres {
    /// Starts the newest version that is installed, and waits until it answers.
    pub fn start() -> Result<Postgres, ServerError> {
        Postgres::of(false)
    }

    /// The same, with TLS under certificates made for it; plain connections are still taken.
    pub fn start_with_tls() -> Result<Postgres, ServerError> {
        Postgres::of(true)
    }

    fn of(tls: bool) -> Result<Postgres, ServerError> {
        let programs = programs()?;
        let user = User::instead_of_root(&["postgres", "nobody"]);
        let (initdb, isready) = (programs.join("initdb"), programs.join("pg_isready"));
        let running = Running::start(Recipe {
            program: programs.join("postgres"),
            arguments: Box::new(move |place| arguments(place, tls)),
            user,
            without: None,
            // At once, but by itself: its children would take a moment to find out that it was killed.
            farewell: Some(Signal::QUIT),
            prepare: Box::new(move |home| prepare(&initdb, home, user, tls)),
            ready: Box::new(move |place| {
                let mut command = Command::new(&isready);
                command.args(["-q", "-h", "127.0.0.1", "-p", &place.port.to_string(), "-t", "1"]);
                command.stdin(Stdio::null()).status().is_ok_and(|status| status.success())
            }),
        })?;
        Ok(Postgres { running, programs, tls })
    }

    /// `postgres://postgres@127.0.0.1:PORT/postgres`
    pub fn url(&self) -> String {
        format!("postgres://postgres@{}/postgres", self.address())
    }

    /// The certificates it was started with, if any.
    pub fn certificates(&self) -> Option<Certificates> {
        self.tls.then(|| Certificates::of(self.home()))
    }

    /// Runs a script by `psql`, which ends at the first error; what it answers, one row a line, columns parted by `|`.
    pub fn exec(&self, sql: &str) -> Result<String, ServerError> {
        let mut command = Command::new(self.programs.join("psql"));
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-", &self.url()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let failed = || ServerError::system("psql can't be run");
        let mut child = command.spawn().map_err(failed())?;
        let mut input = child.stdin.take();
        let script = sql.to_owned();
        // By itself: both ends may have to wait for the other. An early end of psql is told by its status.
        let writing = thread::spawn(move || input.as_mut().map(|input| input.write_all(script.as_bytes())));
        let pid = child.id();
        let waiting = thread::spawn(move || child.wait_with_output());
        let ended = until(SCRIPT_LIMIT, "psql", || waiting.is_finished().then_some(()));
        if let Err(late) = ended {
            if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
                // Fails only if it has just ended.
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
            return Err(late);
        }
        // What it could not write, psql has not read: its status tells.
        let _ = writing.join();
        let output = waiting.join().map_err(|_| std::io::Error::other("lost")).and_then(|out| out).map_err(failed())?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(ServerError::Failed { program: "psql".into(), said });
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }
}

impl Deref for Postgres {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.running
    }
}

/// The directory of the newest version's programs.
fn programs() -> Result<PathBuf, ServerError> {
    let versions = fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let of_version = |entry: fs::DirEntry| {
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        let programs = entry.path().join("bin");
        programs.join("initdb").is_file().then_some((version, programs))
    };
    let newest = versions.filter_map(of_version).max_by_key(|(version, _)| *version).map(|(_, programs)| programs);
    let in_path = || {
        let file = crate::program::find("initdb", "postgresql").ok()?;
        file.parent().map(Path::to_owned)
    };
    newest.or_else(in_path).ok_or(ServerError::Missing { program: "initdb", package: "postgresql" })
}

fn data(home: &Path) -> PathBuf {
    home.join("data")
}

fn prepare(initdb: &Path, home: &Path, user: Option<User>, tls: bool) -> Result<(), ServerError> {
    let mut command = in_group(initdb, user);
    command.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"]).arg(data(home));
    command.current_dir(home).stdin(Stdio::null());
    let output = command.output().map_err(ServerError::system("initdb can't be run"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(ServerError::Failed { program: "initdb".into(), said });
    }
    if tls {
        let Certificates { key, .. } = Certificates::make(home)?;
        if let Some(User { uid, gid }) = user {
            // It reads a key only if it is nobody else's.
            let given = std::os::unix::fs::chown(&key, Some(uid), Some(gid));
            given.map_err(ServerError::system(key.display().to_string()))?;
        }
    }
    Ok(())
}

fn arguments(place: &Place, tls: bool) -> Vec<String> {
    let (data, port, home) = (data(&place.home), place.port.to_string(), place.home.display().to_string());
    let mut words = owned(&["-D", &data.display().to_string(), "-h", "127.0.0.1", "-p", &port, "-k", &home]);
    let mut settings = vec!["fsync=off".to_owned(), "synchronous_commit=off".into(), "full_page_writes=off".into()];
    settings.extend(["shared_buffers=32MB".to_owned(), "max_connections=200".into()]);
    if tls {
        let Certificates { certificate, key, .. } = Certificates::of(&place.home);
        settings.push("ssl=on".into());
        settings.push(format!("ssl_cert_file={}", certificate.display()));
        settings.push(format!("ssl_key_file={}", key.display()));
    }
    for setting in settings {
        words.extend(["-c".to_owned(), setting]);
    }
    words
}
