//! What do all measurements share? Clocks, counts, the same load for everybody, and tables.
//!
//! The method: one machine, one run, contenders interleaved round by round, CPU time per
//! operation, medians with minimum and quartiles, ratios rather than absolute numbers.

pub mod alloc;
pub mod beside;
pub mod load;
pub mod traces;

// `bellwether bench` measures with the same clocks, spreads and tables.
pub use bellwether_bench::{cpu, machine, report, stats};
