//! How is a real server run for a test or a drill? On a free loopback port, in an empty directory, every wait bounded,
//! ended by its own process id.
//!
//! Every server is the leader of a process group of its own, so that a signal from the terminal reaches only whoever
//! started it. It ends when it is dropped, and also when its parent is killed: the kernel sees to that (`setpriv --pdeathsig`).
//! All calls block: async code makes them from `spawn_blocking`.
#![forbid(unsafe_code)]

mod announced;
mod certificate;
mod cluster;
mod error;
mod memcached;
mod postgres;
mod process;
mod program;
mod redis;
mod reply;
mod running;
mod sentinel;
mod wait;
mod waited;

pub use bellwether_resp::Value;

pub use announced::Announced;
pub use certificate::Certificates;
pub use cluster::{RedisCluster, slot};
pub use error::ServerError;
pub use memcached::Memcached;
pub use postgres::Postgres;
pub use redis::Redis;
pub use running::Running;
pub use sentinel::Sentinel;
pub use wait::until;
pub use waited::Waited;
