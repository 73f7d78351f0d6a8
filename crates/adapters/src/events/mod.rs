//! How do processes hear of each other's invalidations, and what is remembered of those that could not be told?

#[cfg(feature = "disk")]
mod ledger;
#[cfg(feature = "redis")]
mod redis;

#[cfg(feature = "disk")]
pub use ledger::SqliteLedger;
#[cfg(feature = "redis")]
pub use redis::{RedisEvents, announced};
