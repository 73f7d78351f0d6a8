//! What does each command do? A file per family; `table` knows them all.

mod batch;
mod channels;
pub(super) mod command;
mod connection;
mod keyspace;
mod lifetime;
mod meta;
mod own;
pub(super) mod read;
mod server;
pub(super) mod table;
mod tracking;
mod ttl;
pub(super) mod words;
mod write;
