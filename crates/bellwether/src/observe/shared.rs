//! What was asked of the shared tier, and what came of it?

use std::sync::atomic::{AtomicU64, Ordering};

use crate::shared::TierTrouble;

macro_rules! tally {
    ($($field:ident $doc:literal,)*) => {
        /// What a cache asked of its shared tier. Counters, but for `pending`.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct SharedCounts {
            $(#[doc = $doc] pub $field: u64,)*
            /// Invalidations that hold here and that the tier could not be told yet.
            pub pending: u64,
        }

        /// The counters behind [`SharedCounts`].
        #[derive(Default)]
        pub(crate) struct Tally {
            $(pub(crate) $field: AtomicU64,)*
        }

        impl Tally {
            pub(crate) fn counts(&self, pending: u64) -> SharedCounts {
                SharedCounts { $($field: self.$field.load(Ordering::Relaxed),)* pending }
            }
        }
    };
}

tally! {
    gets "Keys that were read.",
    hits "Of them: an entry was there.",
    adopted "Entries taken over from the tier.",
    granted "Leases that were granted.",
    backups "Of them: in place of a holder that had gone.",
    denied "Leases that somebody else had.",
    waits "Times that a load paused for another process's.",
    published "Values and markers that were stored.",
    refused "Those that were not: their token was void.",
    released "Leases given back without a value.",
    lone "Loads without a lease because the tier was gone.",
    verified "Copies compared with the tier.",
    dropped "Of them: dropped, because the tier holds something else or nothing.",
    told "Invalidations that the tier was told.",
    retried "Tries to tell it that came after a first one had failed.",
    overtaken "Values that were written here while the tier was away, and not told: somebody else did something later.",
    forgotten "Invalidations that were not tried again, because too many waited already.",
    unreachable "Calls that were not answered within their time, or not at all.",
    stood_still "Calls during which this process was stopped or got no processor: not counted against the tier.",
    full "Calls that found the tier full.",
    read_only "Calls that found a replica where writes go.",
    turned_away "Calls that the tier answered by turning us away: rights are missing.",
    not_ready "Calls that found the tier starting, or without a majority.",
    wrong_type "Calls for keys that hold another type of the engine.",
    too_large "Values, or keys, that the tier can't hold.",
    failed "Calls that were answered by another error.",
}

impl Tally {
    pub(crate) fn trouble(&self, trouble: TierTrouble) {
        let count = match trouble {
            TierTrouble::Unreachable => &self.unreachable,
            TierTrouble::Full => &self.full,
            TierTrouble::ReadOnly => &self.read_only,
            TierTrouble::Denied => &self.turned_away,
            TierTrouble::NotReady => &self.not_ready,
            TierTrouble::WrongType => &self.wrong_type,
            TierTrouble::Unfit => &self.too_large,
            TierTrouble::Failed => &self.failed,
        };
        add(count);
    }
}

/// One more.
pub(crate) fn add(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}
