//! Does one load serve the whole fleet, whatever breaks between its processes? Many processes, one shared tier.
//!
//! Every process runs the core's walk with clocks of its own, asks a tier that keeps its cells by the core's own
//! rules, and hears of the others' invalidations by messages. Calls and answers take time, are lost, or come to a tier
//! that is frozen, was flushed, or has failed over to a replica that lags behind and whose clock differs. Processes
//! stand still and die. Each rule can be broken on purpose ([`Mutant`]), and each break must be noticed.
//!
//! ```
//! use bellwether_sim::leases::{Mutant, Scenario, run};
//! let sound = run(7, &Scenario::drawn(7), None);
//! assert!(sound.violations.is_empty(), "{sound}");
//! let caught = (0..2000).any(|seed| !run(seed, &Scenario::drawn(seed), Some(Mutant::NoFence)).violations.is_empty());
//! assert!(caught, "a late holder that may overwrite must be noticed");
//! ```

mod ask;
mod check;
mod event;
mod fleet;
mod lead;
mod mutant;
mod node;
mod process;
mod scenario;
mod tell;
mod verify;

pub use mutant::Mutant;
pub use scenario::{Faults, Scenario};

use crate::report::Report;

/// Runs one fleet from the first request until nothing is left to happen; with one rule broken, if one is named.
pub fn run(seed: u64, scenario: &Scenario, broken: Option<Mutant>) -> Report {
    fleet::Fleet::new(seed, scenario, broken).run()
}
