//! What will have to be refreshed, and when? Values that stop being fresh, space by space, as JSON.

use serde_json::{Map, Value, json};

use crate::service::Service;

/// What is ahead of each space.
pub(super) fn json(service: &Service) -> Value {
    let snapshot = service.snapshot();
    let spaces = snapshot.spaces.iter().filter(|space| !space.name.is_empty()).map(|space| {
        let ending = space.held.ending.iter().map(|(ahead, keys)| (ahead.to_string(), json!(keys)));
        let crowd = space.held.crowd.as_ref().map(|crowd| {
            json!({
                "keys": crowd.keys,
                "in_s": crowd.ahead.start.0 / 1000,
                "until_s": crowd.ahead.end.0 / 1000,
            })
        });
        json!({
            "space": space.name,
            "values": space.held.values,
            "missing": space.held.nothings,
            "ending_within": ending.collect::<Map<String, Value>>(),
            "crowd": crowd,
            "refreshes_waiting": space.refreshes_waiting,
            "refreshes_per_second": space.refresh_pace,
        })
    });
    json!({ "spaces": spaces.collect::<Vec<_>>() })
}
