//! What does the engine need of the world outside? The seams.

pub(crate) mod clock;
pub(crate) mod limit;
mod threads;
