//! The seams to the outside world.

pub(crate) mod clock;
pub(crate) mod tier;
