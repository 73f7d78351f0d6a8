//! How do files stay within a limit? Arithmetic: what of it belongs to the log, and how much is written at once.

/// SQLite's page.
pub(super) const PAGE: u64 = 4096;
/// Below this there is no room to work in.
pub const SMALLEST_LIMIT: u64 = 16 << 20;
/// The log may take so much, or a quarter of a smaller limit.
const MOST_LOG: u64 = 64 << 20;
/// What an opening after `kill -9` has to read of the log: some milliseconds.
const MOST_TO_RECOVER: u64 = 4 << 20;
/// What an order dirties in pages at most, body apart: its row's leaf, its index's leaf, and what splits.
const BYTES_PER_ORDER: u64 = 4 * PAGE;
/// So many orders are written at once at most.
const MOST_ORDERS: u64 = 1_000;

/// How a limit is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Bytes that all files may take.
    pub(super) limit: u64,
    /// Pages of the file itself: SQLite refuses to make it larger.
    pub(super) pages: u64,
    /// The log is emptied into the file from this size on.
    pub(super) log: u64,
    /// The log may not become larger than this: nothing is stored while it can't be emptied.
    pub(super) most_log: u64,
    /// Orders written at once.
    pub(super) orders: usize,
    /// Bytes of bodies written at once; a larger body is not stored.
    pub(super) bytes: usize,
}

impl Limits {
    pub(super) fn of(limit: u64) -> Limits {
        let reserve = (limit / 4).min(MOST_LOG);
        let quarter = reserve / 4;
        Limits {
            limit,
            pages: (limit - reserve) / PAGE,
            log: quarter.min(MOST_TO_RECOVER),
            // The log's index and one batch of either kind still fit.
            most_log: quarter,
            orders: (quarter / BYTES_PER_ORDER).clamp(8, MOST_ORDERS) as usize,
            bytes: usize::try_from(quarter).unwrap_or(usize::MAX),
        }
    }

    /// From so many pages on the soonest-expiring entries go: one batch more still fits.
    pub(super) fn crowded(self) -> u64 {
        self.pages - 2 * self.bytes as u64 / PAGE
    }

    /// Until there are so few.
    pub(super) fn roomy(self) -> u64 {
        self.crowded() - self.pages / 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_and_log_fit_into_the_limit() {
        for limit in [SMALLEST_LIMIT, 100 << 20, 4 << 30, 1 << 40] {
            let limits = Limits::of(limit);
            let batch = limits.bytes as u64 + limits.orders as u64 * BYTES_PER_ORDER;
            assert!(limits.pages * PAGE + limits.most_log + batch <= limit, "{limit}: {limits:?}");
            assert!(limits.log <= limits.most_log && limits.roomy() < limits.crowded());
        }
        assert!(Limits::of(4 << 30).orders >= 500);
    }
}
