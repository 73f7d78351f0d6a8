//! How would a key be answered now, and why? The cache's knowledge of it, as JSON.

use serde_json::Value;

use crate::service::{Service, no_space, shown};

/// What is known of `key`; `None` if it belongs to no space, or can't have a row.
pub(super) async fn json(service: &Service, key: &[u8]) -> Option<Value> {
    service.describe_with_disk(key).await
}

/// Why there is nothing to explain.
pub(super) fn nowhere(service: &Service, key: &[u8]) -> String {
    match service.space_of(key) {
        Some(space) => format!("'{}': a capture is not of the type that space '{space}' asks for: nil", shown(key)),
        None => no_space(key),
    }
}
