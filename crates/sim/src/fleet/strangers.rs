//! Which of the keys that do not exist pass a filter of those that do?

use bellwether_core::draw::Draw;
use bellwether_core::filter::odds;

use super::case::Case;

/// Purpose of the seed.
const FALSE_POSITIVES: u64 = 0xF1;
/// An overlay half as full as it gets before the filter is made anew.
const GROWN: f64 = 0.5;

/// Below this draw a key passes. As many of the keys pass as the odds say: ten seconds ask about fifteen that do, so that
/// one filter's luck, four of them more or less, would hide what the policy does.
pub(super) fn passes_below(case: &Case, seed: u64) -> f64 {
    let mut draws: Vec<f64> = (0..case.keys).map(|key| drawn(seed, key)).collect();
    draws.sort_by(f64::total_cmp);
    let pass = (odds::passes(GROWN) * f64::from(case.keys)).round() as usize;
    draws.get(pass).copied().unwrap_or(1.0)
}

/// What decides whether a key passes.
pub(super) fn drawn(seed: u64, key: u32) -> f64 {
    Draw(seed).fork(FALSE_POSITIVES).fork(u64::from(key)).unit()
}
