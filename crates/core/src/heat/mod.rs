//! Which keys are hot, and what is done about it? Counting, verdict and reaction, as data.

pub mod hot;
pub mod plan;
