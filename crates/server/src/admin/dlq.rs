//! What does the shared tier not know yet? Invalidations that are owed to it: listed, tried again, given up.

use bellwether::{Invalidation, Owing};
use serde_json::{Value, json};

use crate::service::{Service, shown};

/// Rows of one answer; the count beside them is of all.
const MOST_SHOWN: usize = 1_000;

/// What is owed, as JSON.
pub(super) fn list(service: &Service) -> Value {
    let owing = service.owing();
    let shown: Vec<Value> = owing.iter().take(MOST_SHOWN).map(row).collect();
    json!({ "owed": owing.len(), "shown": shown })
}

fn row(owing: &Owing) -> Value {
    let verb = match owing.verb {
        Invalidation::Remove => "remove",
        Invalidation::Expire => "expire",
    };
    json!({
        "key": shown(&owing.name),
        "space": owing.space,
        "verb": verb,
        "tries": owing.tries,
        "state": if owing.dead { "dead" } else { "retrying" },
    })
}

/// Tries again what is owed for `key`, or for all.
pub(super) fn retry(service: &Service, key: Option<&[u8]>) -> Value {
    json!({ "retried": service.retry_owed(key) })
}

/// Gives up what is owed for `key`, or for all.
pub(super) fn give_up(service: &Service, key: Option<&[u8]>) -> Value {
    json!({ "dropped": service.drop_owed(key) })
}
