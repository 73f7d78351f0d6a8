//! What does a process remember? All of its mutable state lives here.

pub(crate) mod fleet;
pub(crate) mod flights;
pub(crate) mod gate;
pub(crate) mod gate_log;
pub(crate) mod heat;
pub(crate) mod memory;
pub(crate) mod paced;
pub(crate) mod pending;
pub(crate) mod plan;
pub(crate) mod shelf;
pub(crate) mod silence;
pub(crate) mod space;
pub(crate) mod spread;
pub(crate) mod stale;
pub(crate) mod sync;
pub(crate) mod tags;
