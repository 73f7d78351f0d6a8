//! Is a key answered by the filter of those that exist? Which ones pass is drawn; what that is good for is core's.

use bellwether_core::draw::Draw;
use bellwether_core::filter::absent::{Absent, Knowledge, absent};
use bellwether_core::filter::{odds, overlay};
use bellwether_core::read::decide::Demand;
use bellwether_core::time::Span;

use super::case::Case;
use super::world::{Fleet, START};

/// Purpose of the seed.
const FALSE_POSITIVES: u64 = 0xF1;
/// How often the filter is made anew: the default.
const REBUILD: Span = Span::secs(600);
/// An overlay half as full as it gets before that.
const GROWN: f64 = 0.5;

/// Below this draw a key passes. As many of the keys pass as the odds say: ten seconds ask about fifteen that do, so that
/// one filter's luck, four of them more or less, would hide what the policy does.
pub(super) fn passes_below(case: &Case, seed: u64) -> f64 {
    let mut draws: Vec<f64> = (0..case.keys).map(|key| drawn(seed, key)).collect();
    draws.sort_by(f64::total_cmp);
    let pass = (odds::passes(GROWN) * f64::from(case.keys)).round() as usize;
    draws.get(pass).copied().unwrap_or(1.0)
}

fn drawn(seed: u64, key: u32) -> f64 {
    Draw(seed).fork(FALSE_POSITIVES).fork(u64::from(key)).unit()
}

impl Fleet<'_> {
    /// Whether a request for a key that the origin does not have ends here. The same keys pass in every process.
    pub(super) fn filter_answers(&self, key: u32) -> bool {
        let Some(passes_below) = self.strangers_pass else { return false };
        let known = Knowledge { age: self.now.since(START), rebuild: REBUILD, hides: Some(REBUILD), doubted: false };
        drawn(self.seed, key) >= passes_below && absent(known, Demand::Any) == Absent::Answers
    }
}

/// What such a filter takes of memory for each of so many keys.
pub(crate) fn bits_per_key(existing: u64) -> f64 {
    let layer = overlay::layer(0, existing);
    let overlay = layer.map_or(0.0, |layer| layer.keys as f64 * odds::bloom_bits(layer.odds));
    odds::base_bits(existing) + overlay / existing.max(1) as f64
}
