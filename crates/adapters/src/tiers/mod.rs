//! Where can entries live beside memory? Engines that processes share, and this machine's disk.

#[cfg(any(feature = "redis", feature = "memcached"))]
pub mod address;
#[cfg(any(feature = "redis", feature = "memcached"))]
mod breaker;
#[cfg(any(feature = "redis", feature = "memcached"))]
mod counters;
#[cfg(feature = "disk")]
pub mod disk;
#[cfg(any(feature = "redis", feature = "memcached"))]
mod health;
#[cfg(feature = "memcached")]
pub mod memcached;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(any(feature = "redis", feature = "memcached", feature = "disk"))]
mod wire;
