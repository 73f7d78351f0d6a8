//! What does a process do by itself, without being asked? It follows the fleet and keeps its copies honest.

pub(crate) mod fleet;
pub(crate) mod follow;
