//! What if? A recorded trace, asked of the real memory tier under other limits, ttls, graces and evictions.

mod be32;
mod csv;
mod format;
mod lines;
mod lis;
mod open;
mod trace;
mod whatif;
mod zstd;

pub use format::Format;
pub use open::{ReadError, read};
pub use trace::{MOST_REQUESTS, MOST_SHOWN, Malformed, Op, Request, Trace};
pub use whatif::{Figures, Setup, run, run_all};
pub(crate) use whatif::{Watched, watched};

// What setups are made of.
pub use bellwether::{Eviction, Span};
