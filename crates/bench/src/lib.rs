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
//! | `run`, `compare` | what is a run, and who is asked what in which order? |
//! | `outcome` | what is told in the end, as a table and as JSON? |
//! | `cpu`, `cores`, `stats`, `report`, `machine` | the clocks, places, spreads and tables of all measurements |
#![forbid(unsafe_code)]

pub mod compare;
pub mod contender;
mod cores;
pub mod cpu;
mod error;
mod histogram;
pub mod load;
pub mod machine;
mod origin;
mod outcome;
mod process;
pub mod report;
pub mod run;
pub mod server;
pub mod stats;
mod stop;
pub mod wire;

pub use compare::compare;
pub use contender::Contender;
pub use cores::Cores;
pub use error::Error;
pub use outcome::Comparison;
pub use run::Options;
pub use stop::Stop;
