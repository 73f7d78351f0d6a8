//! What happened? In numbers and in words.

pub(crate) mod counters;
pub(crate) mod explain;
pub(crate) mod shared;
pub(crate) mod snapshot;
