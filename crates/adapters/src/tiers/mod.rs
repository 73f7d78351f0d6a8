//! Where can entries live beside memory? Engines that processes share, and this machine's disk.

#[cfg(any(feature = "redis", feature = "memcached"))]
mod breaker;
#[cfg(feature = "disk")]
pub mod disk;
#[cfg(any(feature = "redis", feature = "memcached"))]
mod health;
#[cfg(feature = "memcached")]
pub mod memcached;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(any(feature = "redis", feature = "memcached", feature = "disk"))]
#[allow(dead_code, reason = "not every tier needs all of it")]
mod wire;
