//! What does a policy cost a fleet's origin? Many processes in virtual time, one policy set beside the other.
//!
//! Decisions are the core's, as it is: [`decide`](bellwether_core::read::decide::decide),
//! [`stamp`](bellwether_core::write::stamp::stamp), early refresh, the walk, flights, cool-down and the
//! guard; the shared tier's cells change by the core's rules. What is built here is what surrounds them: requests, an
//! origin with a queue, the way to the tier and back.
//!
//! Time runs in steps of one millisecond, the core's own. Requests are a pure function of the seed, so
//! every policy set sees the very same ones, and leaving some out changes nothing for the others:
//! while every resident value is *calm* (plainly fresh, no draw can matter) requests are only counted.
//! That is exact, because `decide` gives the same answer for each of them, and a test compares both ways.

mod arrivals;
mod case;
mod class;
mod filter;
mod lead;
mod origin;
mod outcome;
mod pace;
mod policy_set;
mod process;
mod record;
mod strangers;
mod task;
mod tier;
mod unmet;
mod warm;
mod warming;
mod world;

pub use case::{Arrivals, Case, Fault, Memory, Popularity, Start, Trouble};
pub use outcome::{Bin, Classes, Outcome, Through, Waits};
pub use policy_set::PolicySet;
pub use task::MOST_TASKS;

pub(crate) use arrivals::{Poisson, masses};
pub(crate) use filter::bits_per_key;

use crate::parallel::side_by_side;
use arrivals::Crowd;
use world::{Calm, Fleet};

/// Processes times keys of a case.
pub const MOST_PLACES: u64 = 20_000_000;
/// Requests of a run.
pub const MOST_REQUESTS: f64 = 4e9;

/// Every policy set of `sets` under the same requests, side by side on the machine's processors.
///
/// # Errors
/// A sentence, if the case is too large or makes no sense.
pub fn compare(case: &Case, sets: &[PolicySet], seed: u64) -> Result<Vec<Outcome>, String> {
    sensible(case)?;
    let crowd = Crowd::of(case, seed);
    Ok(side_by_side(sets, |set| Fleet::new(case, *set, seed, &crowd, Calm::Counted).run()))
}

fn sensible(case: &Case) -> Result<(), String> {
    if case.processes == 0 || case.keys == 0 || case.bin.0 == 0 {
        return Err("a fleet has at least one process and one key".to_owned());
    }
    if !(case.rate.is_finite() && case.rate > 0.0) {
        return Err(format!("expected a rate above zero, found {}", case.rate));
    }
    if case.memory != Memory::None && u64::from(case.processes) * u64::from(case.keys) > MOST_PLACES {
        let (processes, keys) = (case.processes, case.keys);
        return Err(format!("{processes} processes x {keys} keys are more than the limit of {MOST_PLACES} places"));
    }
    if case.rate * case.length.0 as f64 / 1000.0 > MOST_REQUESTS {
        return Err(format!("{}/s for {} are more than the limit of 4,000,000,000 requests", case.rate, case.length));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
