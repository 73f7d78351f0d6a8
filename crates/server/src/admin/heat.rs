//! Which keys are hot, and which values are large? As JSON.

use super::view::{Hottest, Largest};
use crate::service::{Service, shown};

/// Rows of an answer unless `?n=` says otherwise, and the most it may say.
const ROWS: usize = 20;
const MOST_ROWS: usize = 1_000;

/// The hot and watched keys, the hottest first, and what they are measured against.
pub(super) fn hot(service: &Service, rows: usize) -> Hottest {
    let counts = service.heat();
    Hottest {
        hot: counts.hot,
        watched: counts.watched,
        instances: counts.instances,
        capacity_per_s: counts.capacity.round() as u64,
        capacity_from: counts.capacity_source.as_str().to_owned(),
        keys: service.hot_keys(rows),
    }
}

/// The largest values that memory holds, the largest first.
pub(super) fn big(service: &Service, rows: usize) -> Largest {
    Largest { keys: service.big_keys(rows) }
}

/// How many rows a query asks for; the error says what was expected.
pub(super) fn rows(query: Option<&str>) -> Result<usize, String> {
    let Some(query) = query.filter(|query| !query.is_empty()) else { return Ok(ROWS) };
    let number = query.strip_prefix("n=").and_then(|number| number.parse().ok());
    number
        .filter(|rows| (1..=MOST_ROWS).contains(rows))
        .ok_or_else(|| format!("'?{}' is not understood: ?n=NUMBER, from 1 to {MOST_ROWS}", shown(query.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_many_rows_is_a_number_within_bounds() {
        assert_eq!((rows(None), rows(Some("")), rows(Some("n=7"))), (Ok(ROWS), Ok(ROWS), Ok(7)));
        for query in ["n=0", "n=1001", "n=-1", "n=", "n", "m=3", "n=99999999999999999999"] {
            assert!(rows(Some(query)).is_err_and(|said| said.contains("from 1 to 1000")), "{query}");
        }
    }
}
