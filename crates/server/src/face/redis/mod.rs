//! How do Redis clients speak to Bellwether? RESP2 and RESP3 on one connection after another.
//!
//! `conn` turns bytes into commands and replies without a socket, `socket` moves the bytes.
//! `dispatch` begins a command for a `client`, `turns` in the `order` of those that name its key; `commands` are what there
//! is, `replies` keeps theirs in order. `company` looks GETs of several clients up together, and answers them.

mod client;
mod clients;
mod commands;
mod company;
mod conn;
mod dispatch;
mod following;
mod glob;
mod held;
mod info;
mod order;
mod pushes;
mod replies;
mod socket;
#[cfg(test)]
mod tests;
mod turns;

pub use clients::{Clients, MAX_CLIENTS};
pub use company::keep as keep_company;
pub use socket::serve_connection;
