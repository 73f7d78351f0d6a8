//! What do all SQL databases have in common? The text of a query, what must hold of it, and how rows become a body.

#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) mod body;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) mod check;
#[cfg_attr(not(any(feature = "sqlite", feature = "postgres")), allow(dead_code))]
mod query;
#[cfg_attr(not(any(feature = "sqlite", feature = "postgres")), allow(dead_code))]
pub(crate) mod scan;

pub use self::query::{Rows, SqlQuery};
pub use self::scan::{Dialect, Token, TokenKind, tokens};

/// Keys of one batch, at most.
pub const MAX_BATCH: usize = 500;
/// A whole batch may be as large as this many bodies; beyond, its keys are loaded one by one.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) const BATCH_BODIES: usize = 4;
/// The values of all keys of a batch, in `many`: one name, whatever the capture is called.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) const LIST: &str = "ids";
/// Tables named in a hint, at most.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) const TABLES_LISTED: u32 = 20;
