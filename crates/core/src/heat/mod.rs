//! Which keys are hot, and what is done about it? Counting, verdict and reaction, as data.

pub mod board;
#[cfg(test)]
mod board_tests;
pub mod course;
pub mod fleet;
#[cfg(test)]
mod fleet_tests;
pub mod hot;
pub mod meet;
pub mod past;
pub mod plan;
pub mod policy;
pub mod room;
pub mod sample;
pub mod sketch;
pub mod undone;
pub mod verdict;
pub mod window;
