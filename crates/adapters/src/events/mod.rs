//! How do processes hear of each other's invalidations?

#[cfg(feature = "redis")]
pub mod redis;
