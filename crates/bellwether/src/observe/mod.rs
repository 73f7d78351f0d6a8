//! What happened, in numbers and words.

pub(crate) mod counters;
pub(crate) mod explain;
pub(crate) mod snapshot;
