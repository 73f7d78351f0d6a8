//! How is something awaited that no event announces?

use std::thread;
use std::time::{Duration, Instant};

use crate::error::ServerError;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Looks until there is something; an error that says `what` once `limit` has passed.
pub fn until<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T, ServerError> {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if begun.elapsed() >= limit {
            return Err(ServerError::Late { what: what.to_owned(), limit });
        }
        thread::sleep(PAUSE);
    }
}
