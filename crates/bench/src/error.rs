//! Why is there no comparison?

use std::io;

/// Why there is no comparison.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It was asked to stop.
    #[error("stopped before it was done: nothing was measured to its end")]
    Stopped,
    /// A server could not be used.
    #[error("{who}: {why}")]
    Server {
        /// Its name.
        who: &'static str,
        /// What happened, in its own words where there are any.
        why: String,
    },
    /// This system has no `/proc`.
    #[error("CPU time of other processes is read from /proc: this needs Linux")]
    NoProc,
    /// Threads, files, ports.
    #[error("{0}")]
    System(#[from] io::Error),
}
