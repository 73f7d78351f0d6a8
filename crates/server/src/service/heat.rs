//! Which keys are hot, and which values are large? One description for every face.

use bellwether::{BigKey, ExplainReaction, HeatCounts, HotKey, Measure, Rates, Stage};
use serde_json::{Value, json};

use super::{Service, shown};

impl Service {
    /// What the detector of hot keys knows of itself.
    pub fn heat(&self) -> HeatCounts {
        self.0.cache.heat()
    }

    /// The hottest keys, then those that are reacted to because they are announced, at most `n` of them, each as a map.
    pub fn hot_keys(&self, n: usize) -> Vec<Value> {
        let cache = &self.0.cache;
        let announced = cache.announced();
        let is_announced =
            |space: &str, key: &[u8]| announced.iter().any(|said| said.space == space && *said.key == *key);
        let found = cache.hot_keys(n);
        let mut rows: Vec<Value> = found.iter().map(|key| hot(key, is_announced(&key.space, &key.key))).collect();
        for (space, key, reaction) in cache.reactions() {
            let is_found = found.iter().any(|found| *found.space == *space && found.key == key);
            if rows.len() < n && !is_found && is_announced(&space, &key) {
                rows.push(prepared(&space, &key, &reaction));
            }
        }
        rows
    }

    /// The largest values that memory holds, at most `n` of them, each as a map. Walks all of it.
    pub fn big_keys(&self, n: usize) -> Vec<Value> {
        let row =
            |big: &BigKey| json!({ "key": shown(&big.key), "space": big.space, "bytes": big.bytes, "hits": big.hits });
        self.0.cache.big_keys(n).iter().map(row).collect()
    }
}

fn hot(hot: &HotKey, announced: bool) -> Value {
    let stage = match hot.stage {
        Stage::Hot => "hot",
        Stage::Watched => "watched",
    };
    let row = json!({
        "key": shown(&hot.key),
        "space": hot.space,
        "stage": stage,
        "announced": announced,
        "share": (hot.share * 1000.0).round() / 1000.0,
        "fleet": rates(&hot.fleet),
        "here": rates(&hot.here),
        "steady": rates(&hot.steady),
        "since_ms": hot.since.0,
        "held_for_ms": hot.held_for.0,
        "value_bytes": hot.value_bytes,
    });
    with_reaction(row, hot.reaction.as_ref())
}

/// A key that draws nothing yet, or too little to be watched, and is reacted to because it is announced.
fn prepared(space: &str, key: &[u8], reaction: &ExplainReaction) -> Value {
    let none = rates(&Rates::default());
    let row = json!({
        "key": shown(key),
        "space": space,
        "stage": "announced",
        "announced": true,
        "share": (reaction.share * 1000.0).round() / 1000.0,
        "fleet": none,
        "here": none,
        "steady": none,
        "since_ms": reaction.since.0,
        "held_for_ms": null,
        "value_bytes": null,
    });
    with_reaction(row, Some(reaction))
}

/// The row with what is done about its key, and what that saved and cost.
fn with_reaction(mut row: Value, reaction: Option<&ExplainReaction>) -> Value {
    let measures = |reaction: &ExplainReaction| reaction.reaction.measures().map(Measure::as_str).collect::<Vec<_>>();
    row["done"] = json!(reaction.map(measures));
    row["reason"] = json!(reaction.map(|reaction| reaction.reaction.reason.as_str()));
    row["undoing"] = json!(reaction.map(|reaction| reaction.undoing));
    row["saved"] = json!(reaction.map(|reaction| reaction.saved));
    row["cost"] = json!(reaction.map(|reaction| reaction.cost));
    row["saved_bytes"] = json!(reaction.map(|reaction| reaction.saved_bytes));
    row["cpu_us"] = json!(reaction.map(|reaction| reaction.cpu_us));
    row
}

fn rates(rates: &Rates) -> Value {
    let whole = |rate: f64| rate.round() as u64;
    json!({
        "reads_per_s": whole(rates.reads),
        "writes_per_s": whole(rates.writes),
        "bytes_per_s": whole(rates.bytes),
    })
}
