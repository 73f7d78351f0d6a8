//! What does a process do by itself, without being asked? It follows the fleet and keeps its copies honest.

pub(crate) mod brakes;
pub(crate) mod capacity;
pub(crate) mod follow;
pub(crate) mod heat;
pub(crate) mod pace;
pub(crate) mod react;
pub(crate) mod resync;
pub(crate) mod silence;
pub(crate) mod split;
pub(crate) mod unmet;
mod whispers;
