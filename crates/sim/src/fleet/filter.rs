//! Is a key answered by the filter of those that exist? Its bits are drawn by their odds; what they are good for is core's.

use bellwether_core::draw::Draw;
use bellwether_core::filter::absent::{Absent, Knowledge, absent};
use bellwether_core::filter::{odds, overlay};
use bellwether_core::read::decide::Demand;
use bellwether_core::time::Span;

use super::world::{Fleet, START};

/// Purpose of the seed.
const FALSE_POSITIVES: u64 = 0xF1;
/// How often the filter is made anew: the default.
const REBUILD: Span = Span::secs(600);
/// An overlay half as full as it gets before that.
const GROWN: f64 = 0.5;

impl Fleet<'_> {
    /// Whether a request for a key that the origin does not have ends here. The same keys pass in every process.
    pub(super) fn filter_answers(&self, key: u32) -> bool {
        let filters = self.set.filters() && self.case.existing.is_some() && self.case.missing;
        let known = Knowledge { age: self.now.since(START), rebuild: REBUILD, hides: Some(REBUILD), doubted: false };
        let lacks = || Draw(self.seed).fork(FALSE_POSITIVES).fork(u64::from(key)).unit() >= odds::passes(GROWN);
        filters && lacks() && absent(known, Demand::Any) == Absent::Answers
    }
}

/// What such a filter takes of memory for each of so many keys.
pub(crate) fn bits_per_key(existing: u64) -> f64 {
    let layer = overlay::layer(0, existing);
    let overlay = layer.map_or(0.0, |layer| layer.keys as f64 * odds::bloom_bits(layer.odds));
    odds::base_bits(existing) + overlay / existing.max(1) as f64
}
