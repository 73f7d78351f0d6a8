//! What will have to be refreshed, and when? Values that stop being fresh, space by space.

use bellwether::SpaceCounts;

use super::view::{Crowd, Forecast, SpaceForecast};
use crate::service::Service;

/// What is ahead of each space.
pub(super) fn forecast(service: &Service) -> Forecast {
    let snapshot = service.snapshot();
    Forecast { spaces: snapshot.spaces.iter().filter(|space| !space.name.is_empty()).map(of).collect() }
}

fn of(space: &SpaceCounts) -> SpaceForecast {
    let held = &space.held;
    SpaceForecast {
        space: space.name.clone(),
        values: held.values,
        missing: held.nothings,
        ending_within: held.ending.iter().map(|(ahead, keys)| (ahead.to_string(), *keys)).collect(),
        crowd: held.crowd.as_ref().map(|crowd| Crowd {
            keys: crowd.keys,
            in_s: crowd.ahead.start.0 / 1000,
            until_s: crowd.ahead.end.0 / 1000,
        }),
        refreshes_waiting: space.refreshes_waiting,
        refreshes_per_second: space.refresh_pace,
    }
}
