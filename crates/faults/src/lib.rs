//! What if the network misbehaves? A TCP proxy with faults to switch on.
//!
//! A [`Proxy`] listens on a free loopback port in front of a server. What is wrong with it is data ([`Faults`]), one for
//! each direction, changed at any time. With the same seed and the same chunks of bytes the same happens again.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use bellwether_faults::{Direction, Faults, Proxy};
//! # let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
//! # let address = server.local_addr().unwrap();
//! let proxy = Proxy::start(address, 42).await.unwrap();
//! proxy.set(Direction::ToClient, Faults { corrupt: 0.01, ..Faults::NONE });
//! println!("clients connect to {}", proxy.address());
//! # });
//! ```
#![forbid(unsafe_code)]

mod connection;
mod counts;
mod fault;
mod plan;
mod proxy;

pub use counts::Counts;
pub use fault::{Direction, Ending, Faults, Slice};
pub use proxy::Proxy;
