//! Where is a program, as whom does it run, and does it end with its parent?

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::ServerError;

/// Looked at after PATH: where Debian puts servers that users seldom call.
const MORE_PLACES: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// A user without rights, for servers that refuse root.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl User {
    /// Whoever of `names` is known here first; none if this process is not root's, and so needs nobody else.
    pub(crate) fn instead_of_root(names: &[&str]) -> Option<User> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let passwd = fs::read_to_string("/etc/passwd").ok()?;
        let find = |name: &&str| {
            let mut parts = passwd.lines().find(|line| line.split(':').next() == Some(name))?.split(':').skip(2);
            Some(User { uid: parts.next()?.parse().ok()?, gid: parts.next()?.parse().ok()? })
        };
        names.iter().find_map(find)
    }
}

/// The program's file.
pub(crate) fn find(program: &'static str, package: &'static str) -> Result<PathBuf, ServerError> {
    which(program).ok_or(ServerError::Missing { program, package })
}

fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(MORE_PLACES.iter().map(PathBuf::from));
    places.map(|place| place.join(program)).find(|file| file.is_file())
}

/// `program` as the leader of a process group of its own, killed by the kernel when the thread that starts it is gone.
///
/// A group, not a session: Linux shares the processors out between sessions before it does among what is in them
/// (`sched_autogroup`), and a server that had one to itself was kept waiting for 5.5 s by four busy loops. Those who
/// ask it took that for silence.
///
/// The small program that sees to the end becomes the server itself: it comes before it in the same process. It is of
/// util-linux, which every Debian has; where it is missing the server runs without what it does.
pub(crate) fn in_group(program: &Path, user: Option<User>) -> Command {
    let mut words: Vec<String> = Vec::new();
    if let Some(setpriv) = which("setpriv") {
        words.push(setpriv.display().to_string());
        words.extend(["--pdeathsig", "KILL"].map(str::to_owned));
        if let Some(User { uid, gid }) = user {
            words.extend([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".into()]);
        }
        words.push("--".into());
    }
    words.push(program.display().to_string());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).process_group(0);
    command
}
