//! Who asks for keys that do not exist, and what is done about it? Space by space, as JSON.

use serde_json::{Map, Value, json};

use crate::service::{BudgetView, FilterView, PenetrationView, Service, SurgeView};

/// All spaces with an origin.
pub(super) fn json(service: &Service) -> Value {
    json!({ "spaces": service.penetration().iter().map(space).collect::<Vec<_>>() })
}

fn space(of: &PenetrationView) -> Value {
    let surges = of.surges.iter().map(|view| (view.kind.as_str().to_owned(), surge(view)));
    json!({
        "space": of.space,
        "prefix": of.prefix,
        "found_nothing": surges.collect::<Map<String, Value>>(),
        "filter": of.filter.as_ref().map(filter),
        "clients": of.clients.as_ref().map(clients),
    })
}

fn surge(view: &SurgeView) -> Value {
    let rounded = |number: f64| (number * 1000.0).round() / 1000.0;
    json!({
        "per_second": rounded(view.rate),
        "usually": rounded(view.usual_rate),
        "share": rounded(view.share),
        "usual_share": rounded(view.usual_share),
        "alert": view.alert,
    })
}

fn filter(view: &FilterView) -> Value {
    json!({
        "state": view.state.as_str(),
        "trouble": view.trouble,
        "keys": view.keys,
        "overlay_keys": view.overlay,
        "bytes": view.bytes,
        "bits_per_key": (view.bits_per_key() * 100.0).round() / 100.0,
        "age_ms": view.age.map(|age| age.0),
        "rebuild_ms": view.rebuild.0,
        "hides_ms": view.hides.map(|hides| hides.0),
        "builds": view.builds,
        "failures": view.failures,
        "took_ms": view.took.0,
        "lowered": view.lowered,
        "new_rows": view.new_rows,
    })
}

fn clients(view: &BudgetView) -> Value {
    json!({ "over": view.over, "lowered": view.lowered, "refused": view.refused })
}
