//! What does a running server know of a key? A table for people.

use std::ffi::OsStr;
use std::fmt::Write as _;

use bellwether_server::admin::Page;
use serde_json::Value;

use crate::admin;
use crate::failure::Failure;
use crate::key::segment;
use crate::output::{printable, say};
use crate::words::{counted, time};

/// Width of the column of names.
const NAMES: usize = 14;

pub(crate) fn explain(key: &OsStr, url: &str) -> Result<(), Failure> {
    let json: Value = admin::json(&admin::get(url, &format!("{}/{}", Page::Explain.path(), segment(key)?))?)?;
    say(table(&json).trim_end());
    Ok(())
}

fn table(json: &Value) -> String {
    let mut lines = Table::default();
    lines.row("key", shown(&json["key"]));
    lines.row("space", shown(&json["space"]));
    lines.row("would answer", shown(&json["would"]));
    let entry = &json["entry"];
    if entry.is_null() {
        lines.row("entry", "none".to_owned());
    } else {
        let value = match entry["kind"] == "value" {
            true => format!("{} bytes, ", entry["value_bytes"]),
            false => String::new(),
        };
        let held =
            format!("{} in memory, {}", entry["bytes"], counted(entry["hits"].as_u64().unwrap_or_default(), "hit"));
        lines.row("entry", format!("{}, {value}{held}", shown(&entry["kind"])));
        lines.row("  age", time(&entry["age_ms"]));
        if entry["invalidated"] == true {
            lines.row("  invalidated", "itself, its space or one of its tags: the next read loads".to_owned());
        } else {
            lines.row("  fresh for", time(&entry["fresh_for_ms"]));
            if entry["kind"] == "value" {
                lines.row("  served for", format!("{} (stale while it is refreshed)", time(&entry["served_for_ms"])));
                lines.row("  kept for", format!("{} (stale if its load fails)", time(&entry["kept_for_ms"])));
            }
        }
        lines.row("  its load took", time(&entry["cost_ms"]));
        let tags: Vec<String> = entry["tags"].as_array().into_iter().flatten().map(shown).collect();
        if !tags.is_empty() {
            lines.row("  tags", tags.join(", "));
        }
    }
    for flight in json["flights"].as_array().into_iter().flatten() {
        let reading = match &flight["reading_for_ms"] {
            Value::Null => "waits for its turn".to_owned(),
            since => format!("loads since {}", time(since)),
        };
        let overtaken = if flight["overtaken"] == true { ", overtaken by an invalidation" } else { "" };
        let class = shown(&flight["priority"]);
        lines.row("flight", format!("{reading}, {} followers, {class}{overtaken}", flight["followers"]));
    }
    let failed = &json["last_failure"];
    if !failed.is_null() {
        let cools = match &failed["cooling_for_ms"] {
            left if left == 0 => String::new(),
            left => format!(", cools for {}", time(left)),
        };
        lines.row("last failure", format!("{}, {} in a row{cools}", shown(&failed["class"]), failed["attempts"]));
    }
    reaction(&mut lines, &json["reaction"]);
    tiers(&mut lines, json);
    let origin = &json["origin"];
    let (running, waiting, most) = (&origin["running"], &origin["waiting"], &origin["max_concurrency"]);
    lines.row("origin", format!("{running} of {most} loads run, {waiting} wait{}", narrowed(origin)));
    match origin["breaker"].as_str() {
        Some("open") => {
            lines.row("  breaker", format!("open: no load before {} from now", time(&origin["probes_in_ms"])));
        }
        Some("half_open") => lines.row("  breaker", "half open: probes are on their way".to_owned()),
        _ => {}
    }
    lines.0
}

/// What is done about a hot key.
fn reaction(lines: &mut Table, hot: &Value) {
    if hot.is_null() {
        return;
    }
    let share = hot["share"].as_f64().unwrap_or_default();
    let takes = if share > 0.0 { format!(", takes {:.0} % of a node", share * 100.0) } else { String::new() };
    lines.row("heat", format!("{}, reacted to for {}{takes}", shown(&hot["stage"]), time(&hot["since_ms"])));
    let done: Vec<String> = hot["done"].as_array().into_iter().flatten().map(shown).collect();
    let done = if done.is_empty() { "nothing".to_owned() } else { done.join(", ") };
    let undoing = if hot["undoing"] == true { "; being undone" } else { "" };
    lines.row("  done", format!("{done} ({}){undoing}", shown(&hot["reason"])));
    let packed = match hot["saved_bytes"].as_u64() {
        None | Some(0) => String::new(),
        Some(bytes) => format!("; {bytes} bytes not sent, {} us of compressing", hot["cpu_us"]),
    };
    lines.row("  so far", format!("saved {} operations, cost {}{packed}", hot["saved"], hot["cost"]));
    lines.row("  adds at most", format!("{} of staleness", time(&hot["expected"]["staleness_ms"])));
}

/// Where else the key lives, and how these places are.
fn tiers(lines: &mut Table, json: &Value) {
    if json["memory_off"] == true {
        lines.row("memory tier", "off: more of this space is invalidated than memory serves".to_owned());
    }
    if let Some(disk) = json["disk"].as_str() {
        let off = if disk == "on" { "" } else { ": nothing is stored or found there; see the log" };
        lines.row("disk tier", format!("{}{off}", printable(disk)));
        if disk == "on" {
            on_disk(lines, &json["on_disk"]);
        }
    }
    let shared = &json["shared"];
    if shared.is_null() {
        return;
    }
    let troubles: Vec<String> = shared["troubles"].as_array().into_iter().flatten().map(shown).collect();
    let state = if troubles.is_empty() { "up".to_owned() } else { format!("degraded: {}", troubles.join(", ")) };
    lines.row("shared tier", state);
    lines.row("  named there", shown(&json["shared_as"]));
    if shared["owed"] == true {
        lines.row("  owed", "an invalidation that it could not be told yet: its copy is not believed here".to_owned());
    }
    let copy = &json["entry"]["shared"];
    if copy.is_null() {
        return;
    }
    let known = match (&copy["fence"], &copy["compared_in_ms"]) {
        (fence, _) if fence == 0 => "not there, or not known to be".to_owned(),
        (_, Value::Null) => "the same as there".to_owned(),
        (_, left) => format!("the same as there; compared by the first read after {}", time(left)),
    };
    lines.row("  this copy", known);
}

/// What lies there, and whether it would be served.
fn on_disk(lines: &mut Table, lying: &Value) {
    if lying.is_null() {
        return lines.row("  there", "nothing".to_owned());
    }
    let kind = lying["kind"].as_str().map_or_else(|| "what can't be read".to_owned(), printable);
    let life = if lying["earlier_life"] == true { ", from before the last start" } else { "" };
    lines.row("  there", format!("{kind}, {} bytes{life}", lying["bytes"]));
    match lying["not_served"].as_str() {
        Some("ended") => lines.row("  not served", "its time is over".to_owned()),
        Some("invalidated") => {
            lines.row("  not served", "its key, space or one of its tags was invalidated".to_owned())
        }
        Some("being_invalidated") => lines.row("  not served", "it is being invalidated".to_owned()),
        Some("made_in_another_way") => {
            lines.row("  not served", "its space makes values in another way by now".to_owned());
        }
        Some(other) => lines.row("  not served", printable(other)),
        None => {
            lines.row("  age", time(&lying["age_ms"]));
            // What an earlier life left is at best stale.
            if lying["earlier_life"] != true {
                lines.row("  fresh for", time(&lying["fresh_for_ms"]));
            }
            lines.row("  kept for", time(&lying["kept_for_ms"]));
        }
    }
}

/// What there is to say where fewer loads may run than at most.
fn narrowed(origin: &Value) -> String {
    let (limit, most) = (origin["limit"].as_u64(), origin["max_concurrency"].as_u64());
    match limit.filter(|limit| most.is_some_and(|most| *limit < most)) {
        Some(limit) => format!("; slow, so at most {limit} at once"),
        None => String::new(),
    }
}

#[derive(Default)]
struct Table(String);

impl Table {
    fn row(&mut self, name: &str, value: String) {
        // Writing into a String can't fail.
        let _ = writeln!(self.0, "{name:NAMES$}  {value}");
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), printable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_table_says_what_is_known_and_nothing_that_is_not() {
        let cold = json!({ "key": "a", "space": "s", "would": "loaded", "entry": null, "flights": [],
            "last_failure": null, "origin": { "running": 0, "waiting": 1, "max_concurrency": 16 } });
        let text = table(&cold);
        assert!(text.contains("entry           none\n") && text.ends_with("0 of 16 loads run, 1 wait\n"), "{text}");
        assert!(!text.contains("null") && !text.contains("failure"), "{text}");
        let mut warm = cold;
        warm["entry"] = json!({ "kind": "value", "value_bytes": 9, "bytes": 201, "hits": 3, "age_ms": 61_234, "fresh_for_ms": 0,
            "served_for_ms": 540_000, "kept_for_ms": 8_000_000, "cost_ms": 12, "tags": ["a\u{1b}[2J"] });
        let text = table(&warm);
        for row in ["value, 9 bytes, 201 in memory, 3 hits", "61.2 s", "9 min 0 s", "2 h 13 min", "12 ms"] {
            assert!(text.contains(row), "{row}: {text}");
        }
        assert!(!text.contains('\u{1b}'), "a terminal is not written to by others");
        for absent in ["shared tier", "disk tier", "memory tier"] {
            assert!(!text.contains(absent), "a space that has none: {text}");
        }
        let mut shared = warm;
        shared["shared_as"] = json!("bw:@v2:a");
        shared["shared"] = json!({ "troubles": ["full"], "owed": true });
        (shared["memory_off"], shared["disk"]) = (json!(true), json!("off"));
        shared["entry"]["shared"] = json!({ "fence": 7, "compared_in_ms": 4_200 });
        let text = table(&shared);
        for row in [
            "shared tier     degraded: full",
            "bw:@v2:a",
            "owed",
            "after 4.2 s",
            "disk tier       off",
            "memory tier     off",
        ] {
            assert!(text.contains(row), "{row}: {text}");
        }
        shared["disk"] = json!("on");
        assert!(table(&shared).contains("  there         nothing"), "{}", table(&shared));
        shared["on_disk"] = json!({ "kind": "value", "age_ms": 5_000, "fresh_for_ms": 55_000, "kept_for_ms": 115_000,
            "bytes": 77, "earlier_life": false, "not_served": null });
        let text = table(&shared);
        for row in ["value, 77 bytes", "5.0 s", "55.0 s", "115.0 s"] {
            assert!(text.contains(row), "{row}: {text}");
        }
        shared["on_disk"]["not_served"] = json!("invalidated");
        let text = table(&shared);
        assert!(text.contains("was invalidated") && !text.contains("115.0 s"), "{text}");
    }
}
