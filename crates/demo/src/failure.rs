//! Why could the demo not be played to its end? A claim that fails is no such reason: it is a result.

use std::io;

/// Why there is no verdict.
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
    /// Threads, sockets, signals.
    #[error("can't go on: {0}")]
    System(#[from] io::Error),
}
