//! What did one side of one incident come to?

use serde::Serialize;

use crate::database::Seen;
use crate::ledger::Ledger;

/// One side's figures in one incident.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Measured {
    /// Requests.
    pub(crate) asked: u64,
    /// Queries that reached the database.
    pub(crate) queries: u64,
    /// The most at once.
    pub(crate) peak: u64,
    /// Queries for the incident's product.
    pub(crate) star_queries: u64,
    /// The most at once for it.
    pub(crate) star_peak: u64,
    /// Queries that the database answered with an error.
    pub(crate) failed_queries: u64,
    /// Requests without a page.
    pub(crate) failed: u64,
    /// Answered after their deadline.
    pub(crate) late: u64,
    /// Answered with what an acknowledged removal covers.
    pub(crate) stale: u64,
    /// Answered with another product.
    pub(crate) crossed: u64,
    /// Age of the oldest answer.
    pub(crate) oldest_ms: u64,
    /// Median of the time to the answer.
    pub(crate) p50_us: u32,
    /// 99 % were answered within this.
    pub(crate) p99_us: u32,
    /// Of the cache's requests, those answered without waiting for the database, in percent.
    pub(crate) hit_rate: f64,
    /// Requests that waited for the database.
    pub(crate) waited: u64,
    /// From the first request to the last answer.
    pub(crate) took_ms: u64,
    /// What came instead of pages, by its first word.
    pub(crate) failures: std::collections::BTreeMap<String, u64>,
}

/// What a side's cache counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    /// Answered without waiting for the database.
    pub(crate) hits: u64,
}

impl Counts {
    /// What came since `before`.
    pub(crate) fn since(self, before: Counts) -> Counts {
        Counts { requests: self.requests.saturating_sub(before.requests), hits: self.hits.saturating_sub(before.hits) }
    }

    /// In percent; 0 of nothing.
    pub(crate) fn hit_rate(self) -> f64 {
        if self.requests == 0 { 0.0 } else { 100.0 * self.hits as f64 / self.requests as f64 }
    }
}

impl Measured {
    pub(crate) fn new(ledger: &Ledger, seen: Seen, counts: Counts, took: std::time::Duration) -> Measured {
        let [p50_us, p99_us] = ledger.quantiles([0.5, 0.99]);
        let millis = |span: std::time::Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Measured {
            asked: ledger.asked,
            queries: seen.arrivals,
            peak: seen.peak,
            star_queries: seen.star_arrivals,
            star_peak: seen.star_peak,
            failed_queries: seen.failed,
            failed: ledger.failed,
            late: ledger.late,
            stale: ledger.stale,
            crossed: ledger.crossed,
            oldest_ms: millis(ledger.oldest),
            p50_us,
            p99_us,
            hit_rate: counts.hit_rate(),
            waited: counts.requests.saturating_sub(counts.hits),
            took_ms: millis(took),
            failures: ledger.words.clone(),
        }
    }
}
