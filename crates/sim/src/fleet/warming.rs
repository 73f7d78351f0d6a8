//! How far is a process with its hot list?

use bellwether_core::guard::ramp::{Mode, Ramp, WARM_LIMIT};
use bellwether_core::time::Tick;

use super::arrivals::masses;
use super::case::{Case, Popularity};

/// Keys between two looks whether that is enough: the server's.
pub(super) const STEP: u32 = 512;

/// One process's way through its list: every key, by popularity.
pub(super) struct Warming {
    pub(super) ramp: Ramp,
    pub(super) until: Tick,
    /// Processes of a fleet have the same list: each begins a step at another key.
    pub(super) shift: u32,
    pub(super) step: u32,
    pub(super) done: u32,
}

impl Warming {
    pub(super) fn new(shift: u32, now: Tick) -> Warming {
        Warming { ramp: Ramp::new(Mode::Auto, true, now), until: now + WARM_LIMIT, shift, step: 0, done: 0 }
    }
}

/// What part of all requests is for the keys of so many steps.
pub(super) fn shares(case: &Case) -> Vec<f64> {
    let below = match case.popularity {
        Popularity::Zipf(exponent) => masses(case.keys, exponent),
        Popularity::Equal => (1..=case.keys).map(f64::from).collect(),
    };
    let whole = below.last().copied().unwrap_or(1.0);
    below.chunks(STEP as usize).filter_map(|step| Some(step.last()? / whole)).collect()
}
