//! Do the guarantees hold whatever breaks? Bellwether's core in virtual time, with faults injected.
//!
//! One simulated process runs [`bellwether_core`] exactly as it is; only the shell around it (what
//! the engine does with locks, tasks and timers) is rebuilt here, each of its critical sections one
//! event. Events of the same millisecond happen in an order that the seed draws, so a few thousand
//! seeds try a few thousand interleavings. The same seed gives the same [`Report`], byte by byte.
//!
//! Every rule of the shell can be broken on purpose ([`Rule`]): a simulator that can't tell a
//! broken cache from a sound one proves nothing.
//!
//! ```
//! use bellwether_sim::{Rule, Rules, Scenario, run};
//! let sound = run(7, &Scenario::drawn(7), &Rules::SOUND);
//! assert!(sound.violations.is_empty(), "{sound}");
//! let caught = (0..2000).any(|seed| {
//!     let broken = Rules::without(Rule::Overtake);
//!     !run(seed, &Scenario::drawn(seed), &broken).violations.is_empty()
//! });
//! assert!(caught, "joining a load that a removal overtook must be noticed");
//! ```
#![forbid(unsafe_code)]

mod check;
pub mod fleet;
mod guarantee;
pub mod leases;
mod origin;
mod parallel;
mod process;
pub mod replay;
mod report;
mod rules;
mod scenario;
pub mod scenarios;
pub mod show;
mod world;

pub use guarantee::Guarantee;
pub use report::{Report, Violation};
pub use rules::{Rule, Rules};
pub use scenario::{Faults, Scenario};

/// Runs one simulated process from the first request until nothing is left to happen.
pub fn run(seed: u64, scenario: &Scenario, rules: &Rules) -> Report {
    process::Process::new(seed, scenario, *rules).run()
}
