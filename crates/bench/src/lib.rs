//! How fast is Bellwether on this machine, beside what is installed on it?
//!
//! Every server is started here, on a free port of the loopback address and in an empty directory, pinned to one core
//! and driven from another by the same loader; rounds are interleaved, and what counts is CPU time per operation, read
//! from `/proc`, as a ratio within one run. `bellwether bench` shows the report; the benches in `benches/` use the
//! servers and the figures with loaders of other people.
//!
//! | module | question |
//! |---|---|
//! | `contender` | who is there, and what is it called? |
//! | `server` | how is each started, filled and ended? |
//! | `wire`, `load` | how is a request said, and how are many of them kept going? |
//! | `compare` | who is asked what, in which order? |
//! | `outcome` | what is told in the end, as a table and as JSON? |
//! | `cpu`, `cores`, `stats`, `report`, `machine` | the clocks, places, spreads and tables of all measurements |
#![forbid(unsafe_code)]

pub mod compare;
pub mod contender;
mod cores;
pub mod cpu;
mod histogram;
pub mod load;
pub mod machine;
mod origin;
mod outcome;
mod process;
pub mod report;
pub mod server;
pub mod stats;
mod stop;
pub mod wire;

pub use compare::{Options, compare};
pub use contender::Contender;
pub use cores::Cores;
pub use outcome::Comparison;
pub use stop::Stop;

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
