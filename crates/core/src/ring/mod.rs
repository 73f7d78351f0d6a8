//! Which of several nodes has a key? Placement without a table: hashes come in as data.

pub mod ketama;
pub mod rendezvous;
pub mod roster;
pub mod split;
