//! How do processes hear of each other's invalidations?

#[cfg(feature = "redis")]
mod redis;

#[cfg(feature = "redis")]
pub use redis::RedisEvents;
