//! How would a key be answered now, and why? One description for every face.

use bellwether::disk::{DiskState, Lying, Unserved};
use bellwether::shared::tag_hash;
use bellwether::{Explain, Kind, Priority, Sheds, Stage, Standing, Why};
use serde_json::{Map, Value, json};

use super::serving::Belongs;
use super::{Service, shown};

impl Service {
    /// What is known of `key`; `None` if it belongs to no space, or can't have a row.
    pub fn describe(&self, key: &[u8]) -> Option<Value> {
        let explain = self.explain(key)?;
        let mut described = described(key, &explain);
        if let Some(tags) = described.pointer_mut("/entry/tags") {
            self.name_tags(key, tags);
        }
        let name = self.shared_name(key).map(|name| shown(&name));
        described["shared_as"] = json!(name);
        described["shared"] = match (self.shared_state(), name) {
            (Some(state), Some(_)) => json!({ "troubles": state.troubles(), "owed": explain.pending }),
            _ => Value::Null,
        };
        described["disk"] = json!(self.disk_of(key).map(DiskState::as_str));
        Some(described)
    }

    /// The same, and what lies on disk: looked at, not taken up.
    pub async fn describe_with_disk(&self, key: &[u8]) -> Option<Value> {
        let mut described = self.describe(key)?;
        let serving = self.serving_on();
        if let Belongs::To(served, _) = serving.belongs(key)
            && served.on_disk
        {
            let lying = self.0.cache.on_disk(&served.space, &*served.stored(key)).await;
            described["on_disk"] = json!(lying.as_ref().map(on_disk));
        }
        Some(described)
    }

    /// Tags of an entry that another process loaded are known by their hashes: those that the configuration gives to the
    /// key have their names back.
    fn name_tags(&self, key: &[u8], tags: &mut Value) {
        let serving = self.serving();
        let Belongs::To(served, captures) = serving.belongs(key) else { return };
        let names: Vec<_> = served.tags(&captures).into_iter().map(|name| (hashed(&name), name)).collect();
        for tag in tags.as_array_mut().into_iter().flatten() {
            let name =
                names.iter().find(|(hash, _)| tag.as_str() == Some(hash.as_str())).map(|(_, name)| json!(&**name));
            *tag = name.unwrap_or_else(|| std::mem::take(tag));
        }
    }

    /// How the disk tier is, where the key's space has one.
    fn disk_of(&self, key: &[u8]) -> Option<DiskState> {
        let serving = self.serving();
        let Belongs::To(served, _) = serving.belongs(key) else { return None };
        if served.on_disk { self.0.cache.disk_state() } else { None }
    }
}

impl Service {
    /// The guards of all origins, by name.
    pub fn describe_origins(&self) -> Value {
        let origins = self.snapshot().origins;
        origins.iter().map(|origin| (origin.name.clone(), whole(&origin.guard))).collect::<Map<_, _>>().into()
    }
}

/// An origin's guard with all it ever turned away.
fn whole(standing: &Standing) -> Value {
    let of = |class: Priority| {
        let count = |why: &Why| (why.as_str().to_owned(), standing.sheds.of(class, *why).into());
        (class.as_str().to_owned(), Sheds::WHYS.iter().map(count).collect::<Map<_, _>>().into())
    };
    let mut told = guard(standing);
    told["adaptive"] = standing.adaptive.into();
    told["breaker_opened"] = standing.opened.into();
    told["shed"] = Priority::ALL.map(of).into_iter().collect::<Map<_, _>>().into();
    told["retries_denied"] = standing.retries_denied.into();
    told
}

/// An origin's guard, as `/api` shows it.
fn guard(standing: &Standing) -> Value {
    json!({
        "running": standing.running,
        "waiting": standing.waiting,
        "limit": standing.limit,
        "max_concurrency": standing.max_concurrency,
        "usual_load_us": standing.usual_us,
        "recent_load_us": standing.recent_us,
        "queue_share": standing.share,
        "breaker": standing.breaker.as_str(),
        "probes_in_ms": standing.probes_in.map(|span| span.0),
    })
}

/// What is done about a hot key, why, and what it has saved and cost.
fn hot(hot: &bellwether::ExplainReaction) -> Value {
    let reaction = &hot.reaction;
    let measures: Vec<&str> = reaction.measures().map(bellwether::Measure::as_str).collect();
    json!({
        "stage": match hot.stage {
            Some(Stage::Hot) => "hot",
            Some(Stage::Watched) => "watched",
            None => "announced",
        },
        "share": hot.share,
        "reason": reaction.reason.as_str(),
        "done": measures,
        "undoing": hot.undoing,
        "since_ms": hot.since.0,
        "promote_ms": reaction.promote.map(|span| span.0),
        "longer_fresh_ms": reaction.extend.map(|extend| extend.fresh.0),
        "longer_kept_ms": reaction.extend.map(|extend| extend.most.0),
        "gather_ms": reaction.coalesce.map(|span| span.0),
        "copies": reaction.copies,
        "expected": {
            "reads_saved_per_second": hot.estimate.reads_saved,
            "writes_added_per_second": hot.estimate.writes_added,
            "bytes_held": hot.estimate.bytes_held,
            "staleness_ms": hot.estimate.staleness.0,
        },
        "saved": hot.saved,
        "cost": hot.cost,
        "saved_bytes": hot.saved_bytes,
        "cpu_us": hot.cpu_us,
    })
}

/// What lies on disk, and why it is not served.
fn on_disk(lying: &Lying) -> Value {
    json!({
        "kind": lying.kind.map(kind),
        "age_ms": lying.age.map(|age| age.0),
        "fresh_for_ms": lying.fresh.0,
        "kept_for_ms": lying.kept.0,
        "bytes": lying.bytes,
        "earlier_life": lying.earlier,
        "not_served": lying.unserved.map(Unserved::as_str),
    })
}

/// A tag whose name is not known here, as the library shows it.
fn hashed(tag: &str) -> String {
    format!("#{:016x}", tag_hash(tag))
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Value => "value",
        Kind::Negative => "negative",
        Kind::HitForMiss => "hit_for_miss",
    }
}

fn described(key: &[u8], explain: &Explain) -> Value {
    let entry = explain.entry.as_ref().map(|entry| {
        json!({
            "kind": kind(entry.kind),
            "age_ms": entry.age.0,
            "fresh_for_ms": entry.fresh_for.0,
            "served_for_ms": entry.served_for.0,
            "kept_for_ms": entry.kept_for.0,
            "cost_ms": entry.cost.0,
            "hits": entry.hits,
            "value_bytes": entry.value_bytes,
            "bytes": entry.bytes,
            "fence": entry.fence,
            "version": entry.version,
            "tags": entry.tags,
            "invalidated": entry.invalidated,
            "shared": entry.shared.map(|shared| {
                json!({ "fence": shared.fence, "compared_in_ms": shared.compared_in.map(|span| span.0) })
            }),
        })
    });
    let flight = |flight: &bellwether::ExplainFlight| {
        json!({
            "reading_for_ms": flight.reading_for.map(|span| span.0),
            "overtaken": flight.overtaken,
            "followers": flight.followers,
            "priority": flight.priority,
        })
    };
    let failed = explain
        .failed
        .map(|(class, attempts, left)| json!({ "class": class, "attempts": attempts, "cooling_for_ms": left.0 }));
    json!({
        "key": shown(key),
        "space": explain.space,

        "would": explain.would.as_str(),
        "entry": entry,
        "floor": { "removed": explain.floor_removed, "expired": explain.floor_expired },
        "flights": explain.flights.iter().map(flight).collect::<Vec<_>>(),
        "last_failure": failed,
        "reaction": explain.reaction.as_ref().map(hot),
        "memory_off": explain.memory_off,
        "origin": guard(&explain.origin),
    })
}
