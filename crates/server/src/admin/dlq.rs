//! What does the shared tier not know yet? Invalidations that are owed to it: listed, tried again, given up.

use bellwether::shared::TierTrouble;
use bellwether::{Invalidation, Owing, Retried};
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
        "cause": owing.trouble.map(TierTrouble::as_str),
    })
}

/// Tries again what is owed for `key`, or for all, and says what came of it.
pub(super) async fn retry(service: &Service, key: Option<&[u8]>) -> Value {
    let Retried { told, owed, untried } = service.retry_owed(key).await;
    let causes: serde_json::Map<String, Value> =
        owed.iter().map(|(trouble, count)| (trouble.as_str().to_owned(), (*count).into())).collect();
    let all = told + untried + owed.values().sum::<usize>();
    json!({ "retried": all, "told": told, "owed": causes, "untried": untried })
}

/// Gives up what is owed for `key`, or for all.
pub(super) fn give_up(service: &Service, key: Option<&[u8]>) -> Value {
    json!({ "dropped": service.drop_owed(key) })
}
