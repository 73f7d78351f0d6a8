//! How do tests get real servers, real clients and an origin that misbehaves on demand?
//!
//! Everything here waits with a limit, and ends what it started by its own process id.

mod client;
mod http;
mod metrics;
mod origin;
mod process;
mod redis;
mod resp;
mod server;
mod shop;

pub use client::{Client, Output, node, python, tool};
pub use http::{Http, Response};
pub use metrics::Metrics;
pub use origin::{Mode, Origin};
pub use process::{Process, until};
pub use redis::RedisServer;
pub use resp::{Resp, Value, encode};
pub use server::{Bellwether, config};
pub use shop::shop_database;
