//! Which filters hear of a key? All whose space it may belong to: of keys that others invalidated only the name is known.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bellwether_core::template::{Match, Template};

use super::Filter;

/// The filters at work, for whoever hears of keys before there is a service.
#[derive(Default)]
pub(crate) struct Known(ArcSwap<Vec<(Template, Arc<Filter>)>>);

impl Known {
    /// From now on these hear.
    pub(crate) fn are(&self, filters: impl Iterator<Item = (Template, Arc<Filter>)>) {
        self.0.store(Arc::new(filters.collect()));
    }

    /// `key` may exist from now on.
    pub(crate) fn note(&self, key: &[u8]) {
        for (template, filter) in self.0.load().iter() {
            if let Match::Yes(_) = template.match_key(key) {
                filter.note(key);
            }
        }
    }
}
