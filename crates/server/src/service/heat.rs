//! Which keys are hot, and which values are large? One description for every face.

use bellwether::{BigKey, HeatCounts, HotKey, Measure, Rates, Stage};
use serde_json::{Value, json};

use super::{Service, shown};

impl Service {
    /// What the detector of hot keys knows of itself.
    pub fn heat(&self) -> HeatCounts {
        self.0.cache.heat()
    }

    /// The hottest keys, at most `n` of them, each as a map.
    pub fn hot_keys(&self, n: usize) -> Vec<Value> {
        self.0.cache.hot_keys(n).iter().map(hot).collect()
    }

    /// The largest values that memory holds, at most `n` of them, each as a map. Walks all of it.
    pub fn big_keys(&self, n: usize) -> Vec<Value> {
        let row =
            |big: &BigKey| json!({ "key": shown(&big.key), "space": big.space, "bytes": big.bytes, "hits": big.hits });
        self.0.cache.big_keys(n).iter().map(row).collect()
    }
}

fn hot(hot: &HotKey) -> Value {
    let done = hot.reaction.as_ref().map(|reaction| {
        let measures: Vec<&str> = reaction.reaction.measures().map(Measure::as_str).collect();
        (measures, reaction.reaction.reason.as_str(), reaction.undoing, reaction.saved, reaction.cost)
    });
    json!({
        "key": shown(&hot.key),
        "space": hot.space,
        "stage": match hot.stage {
            Stage::Hot => "hot",
            Stage::Watched => "watched",
        },
        "share": (hot.share * 1000.0).round() / 1000.0,
        "fleet": rates(&hot.fleet),
        "here": rates(&hot.here),
        "steady": rates(&hot.steady),
        "since_ms": hot.since.0,
        "held_for_ms": hot.held_for.0,
        "value_bytes": hot.value_bytes,
        "done": done.as_ref().map(|done| &done.0),
        "reason": done.as_ref().map(|done| done.1),
        "undoing": done.as_ref().map(|done| done.2),
        "saved": done.as_ref().map(|done| done.3),
        "cost": done.as_ref().map(|done| done.4),
    })
}

fn rates(rates: &Rates) -> Value {
    let whole = |rate: f64| rate.round() as u64;
    json!({
        "reads_per_s": whole(rates.reads),
        "writes_per_s": whole(rates.writes),
        "bytes_per_s": whole(rates.bytes),
    })
}
