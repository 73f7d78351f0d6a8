//! Is a key answered by the filter of those that exist? Which ones pass is drawn; what that is good for is core's.

use bellwether_core::filter::absent::{Absent, Knowledge, absent};
use bellwether_core::filter::{odds, overlay};
use bellwether_core::read::decide::Demand;
use bellwether_core::time::Span;

use super::strangers::drawn;
use super::world::{Fleet, START};

/// How often the filter is made anew: the default.
const REBUILD: Span = Span::secs(600);

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
