//! Why could the demo not be played to its end? A claim that fails is no such reason: it is a result.

use std::io;
use std::path::PathBuf;

/// Why there is no verdict, or no report of it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Ctrl-C, or told to end.
    #[error("interrupted: no verdict")]
    Interrupted,
    /// The database could not be made or changed.
    #[error("the shop's database can't be used: {0}")]
    Shop(String),
    /// A server could not start.
    #[error("{0}")]
    Start(String),
    /// Too few files may be open at once.
    #[error(
        "only {files} files may be open at once, the demo needs {needed}: raise the limit with `ulimit -n {needed}`, \
         as root with `ulimit -Hn {needed}` before it"
    )]
    FewFiles {
        /// May be open.
        files: u64,
        /// Are needed.
        needed: u64,
    },
    /// A cache could not be filled before an incident.
    #[error("{side} could not be warmed: {words}")]
    Warm {
        /// Which side.
        side: &'static str,
        /// What it answered instead.
        words: String,
    },
    /// The report could not be written; the verdict was told all the same.
    #[error("the report {} can't be written: {source}; nothing is left there that was not there before", path.display())]
    Report {
        /// Where to.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Threads, sockets, signals.
    #[error("can't go on: {0}")]
    System(#[from] io::Error),
}
