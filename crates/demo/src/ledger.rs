//! What did the callers get? Written as answers come in, read by the view and the verdict.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

/// Different words of failure that are kept apart; further ones are counted together.
const MOST_WORDS: usize = 16;

/// A product's page, as far as the demo reads it.
#[derive(Deserialize)]
pub(crate) struct Page {
    pub(crate) id: u32,
    /// Grows with each change: an older page is known by it.
    pub(crate) price: u64,
    /// When its query began, in the database's milliseconds.
    pub(crate) read_at: u64,
}

/// A request under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) id: u32,
    /// When it was asked for.
    pub(crate) at: std::time::Instant,
    /// The price before which an answer is stale: that of the newest removal acknowledged before it was asked.
    pub(crate) price: u64,
}

/// One side's answers in one incident.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) asked: u64,
    pub(crate) values: u64,
    /// An error, nil, nonsense, or nothing at all until the end.
    pub(crate) failed: u64,
    /// After the deadline and its slack, or never.
    pub(crate) late: u64,
    /// Older than a removal that was acknowledged before the request was made.
    pub(crate) stale: u64,
    /// Another product than was asked for.
    pub(crate) crossed: u64,
    /// Age of the oldest answer.
    pub(crate) oldest: Duration,
    /// In microseconds, in order of arrival.
    latencies: Vec<u32>,
    /// First words of what came instead of values.
    pub(crate) words: BTreeMap<String, u64>,
}

impl Ledger {
    /// A page arrived for `asked`; `now_ms` by the database's clock.
    pub(crate) fn page(&mut self, asked: &Asked, took: Duration, late_after: Duration, body: &[u8], now_ms: u64) {
        self.answered(took, late_after);
        let Ok(page) = serde_json::from_slice::<Page>(body) else { return self.failed_with("no page") };
        self.values += 1;
        if page.id != asked.id {
            self.crossed += 1;
        }
        if page.price < asked.price {
            self.stale += 1;
        }
        self.oldest = self.oldest.max(Duration::from_millis(now_ms.saturating_sub(page.read_at)));
    }

    /// Something else arrived.
    pub(crate) fn error(&mut self, took: Duration, late_after: Duration, words: &str) {
        self.answered(took, late_after);
        self.failed_with(words);
    }

    /// Nothing arrived, and nobody waits any more.
    pub(crate) fn gone(&mut self) {
        self.late += 1;
        self.failed_with("no answer");
    }

    fn answered(&mut self, took: Duration, late_after: Duration) {
        self.latencies.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        if took > late_after {
            self.late += 1;
        }
    }

    fn failed_with(&mut self, words: &str) {
        self.failed += 1;
        let first = words.split_whitespace().next().unwrap_or("nothing").to_owned();
        let first = if self.words.len() < MOST_WORDS { first } else { "others".to_owned() };
        *self.words.entry(first).or_default() += 1;
    }

    /// The latencies at these shares (0.5 = median), in microseconds; zeros before the first answer.
    pub(crate) fn quantiles<const N: usize>(&self, shares: [f64; N]) -> [u32; N] {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        shares.map(|share| {
            let at = (share * sorted.len() as f64).ceil() as usize;
            sorted.get(at.saturating_sub(1)).copied().unwrap_or_default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    const LIMIT: Duration = Duration::from_secs(1);

    fn page(id: u32, price: u64, read_at: u64) -> Vec<u8> {
        format!("{{\"id\":{id},\"name\":\"x\",\"price\":{price},\"read_at\":{read_at}}}").into_bytes()
    }

    #[test]
    fn each_answer_is_judged_by_what_was_asked() {
        let asked = Asked { id: 3, at: Instant::now(), price: 10 };
        let mut ledger = Ledger::default();
        ledger.page(&asked, Duration::from_millis(2), LIMIT, &page(3, 10, 400), 1_000);
        ledger.page(&asked, Duration::from_secs(2), LIMIT, &page(3, 9, 900), 1_000);
        ledger.page(&asked, Duration::from_millis(4), LIMIT, &page(4, 11, 1_000), 1_000);
        ledger.error(Duration::from_millis(9), LIMIT, "BWTIMEOUT after 1s");
        ledger.page(&asked, Duration::from_millis(1), LIMIT, b"<html>", 1_000);
        ledger.gone();
        let found = (ledger.values, ledger.failed, ledger.late, ledger.stale, ledger.crossed);
        assert_eq!(found, (3, 3, 2, 1, 1));
        assert_eq!(ledger.oldest, Duration::from_millis(600));
        assert_eq!(ledger.words.get("BWTIMEOUT"), Some(&1));
        assert_eq!(ledger.quantiles([0.5, 0.99]), [4_000, 2_000_000]);
        assert_eq!(Ledger::default().quantiles([0.99]), [0]);
    }
}
