//! What do the HTTP listeners answer to raw bytes on a real socket?

mod admin;
mod keys;
mod raw;
mod server;
