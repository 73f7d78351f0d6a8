//! Which keys of a running server are hot, and which values large? Tables for people; the hot keys' table is live.

use std::io::IsTerminal as _;

use bellwether_server::admin::Page;
use bellwether_server::admin::view::{HotRow, Hottest, Largest};

use crate::admin;
use crate::failure::Failure;
use crate::live;
use crate::output::{aligned, printable, say};
use crate::words::number;

/// A key is seen here, or elsewhere, if that is so much of all that is seen of it.
const MOSTLY: f64 = 0.9;
/// The widest key that is shown whole.
const WIDEST_KEY: usize = 40;

/// Shows the hot keys, again and again where somebody looks at a terminal.
pub(crate) fn hotkeys(url: &str, rows: u16, once: bool) -> Result<(), Failure> {
    let look = || Ok(hot(&admin::json(&admin::get(url, &format!("{}?n={rows}", Page::Hotkeys.path()))?)?));
    if !once && std::io::stdout().is_terminal() {
        return live::watch(url, || look().map(Some));
    }
    say(look()?.trim_end());
    Ok(())
}

/// Shows the largest values.
pub(crate) fn bigkeys(url: &str, rows: u16) -> Result<(), Failure> {
    say(big(&admin::json(&admin::get(url, &format!("{}?n={rows}", Page::Bigkeys.path()))?)?).trim_end());
    Ok(())
}

fn hot(said: &Hottest) -> String {
    let keys = &said.keys;
    let announced = keys.iter().filter(|key| key.announced).count();
    let announced = if announced == 0 { String::new() } else { format!(", {announced} announced") };
    let mut text = format!(
        "{} hot, {} watched{announced}; a node bears {} operations/s ({}); {} process(es)\n\n",
        said.hot,
        said.watched,
        number(said.capacity_per_s),
        printable(&said.capacity_from),
        said.instances,
    );
    if keys.is_empty() {
        return text + "no key draws more than its share\n";
    }
    let mut table = vec![
        [
            "key",
            "space",
            "stage",
            "reads/s",
            "writes/s",
            "bytes/s",
            "of a node",
            "where",
            "since",
            "done",
            "saved",
            "cost",
        ]
        .map(String::from)
        .to_vec(),
    ];
    for key in keys {
        let done = printable(&key.done.as_deref().unwrap_or_default().join(", "));
        let undoing = if key.undoing == Some(true) { " (being undone)" } else { "" };
        table.push(vec![
            cut(&printable(&key.key)),
            printable(&key.space),
            stage(key),
            number(key.fleet.reads_per_s),
            number(key.fleet.writes_per_s),
            number(key.fleet.bytes_per_s),
            format!("{:.0} %", key.share * 100.0),
            match key.fleet.reads_per_s {
                0 => "-".to_owned(),
                all => place(key.here.reads_per_s, all).to_owned(),
            },
            since(key.since_ms),
            if done.is_empty() { "-".to_owned() } else { done + undoing },
            beside(key.saved, key.saved_bytes, " B"),
            beside(key.cost, key.cpu_us, " us"),
        ]);
    }
    text += &aligned(&table, 3..7);
    text
}

/// A count with another one beside it, unless that is nothing.
fn beside(count: Option<u64>, more: Option<u64>, unit: &str) -> String {
    let count = count.map_or_else(|| "-".to_owned(), number);
    match more {
        None | Some(0) => count,
        Some(more) => format!("{count}, {}{unit}", number(more)),
    }
}

fn big(said: &Largest) -> String {
    if said.keys.is_empty() {
        return "memory holds no value\n".to_owned();
    }
    let mut table = vec![["value bytes", "hits", "space", "key"].map(String::from).to_vec()];
    for key in &said.keys {
        let [bytes, hits] = [key.bytes, key.hits].map(|count| number(count.into()));
        table.push(vec![bytes, hits, printable(&key.space), printable(&key.key)]);
    }
    aligned(&table, 0..2)
}

/// How hot it is, and whether somebody said so before.
fn stage(key: &HotRow) -> String {
    let stage = printable(&key.stage);
    if key.announced && stage != "announced" { stage + ", announced" } else { stage }
}

/// Where most of it is seen.
fn place(here: u64, fleet: u64) -> &'static str {
    match here as f64 / (fleet as f64).max(1.0) {
        share if share >= MOSTLY => "here",
        share if share <= 1.0 - MOSTLY => "elsewhere",
        _ => "here and elsewhere",
    }
}

fn cut(key: &str) -> String {
    match key.char_indices().nth(WIDEST_KEY) {
        Some((at, _)) => format!("{}…", &key[..at]),
        None => key.to_owned(),
    }
}

fn since(ms: u64) -> String {
    match ms / 1000 {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read<T: serde::de::DeserializeOwned>(said: Value) -> T {
        serde_json::from_value(said).expect("what a server says")
    }

    #[test]
    fn a_table_shows_what_is_known_and_a_dash_for_what_is_not() {
        let rates = |reads: u64| json!({ "reads_per_s": reads, "writes_per_s": 0, "bytes_per_s": 1_234_567 });
        let key = |done: Value, saved: Value| {
            json!({
                "key": "product:42\u{1b}[31m", "space": "product", "stage": "hot", "share": 0.62,
                "fleet": rates(61_500), "here": rates(1_200), "since_ms": 75_000,
                "done": done, "undoing": false, "saved": saved, "cost": saved,
                "saved_bytes": if saved.is_null() { Value::Null } else { json!(7_340_032) }, "cpu_us": 0,
            })
        };
        let keys = json!([key(json!(["promote", "worker"]), json!(120_000)), key(Value::Null, Value::Null)]);
        let all = json!({
            "hot": 2, "watched": 0, "instances": 50, "capacity_per_s": 100_000, "capacity_from": "measured", "keys": keys,
        });
        let text = hot(&read(all));
        for part in [
            "2 hot, 0 watched",
            "100,000",
            "measured",
            "61,500",
            "62 %",
            "elsewhere",
            "1 min",
            "promote, worker",
            "120,000, 7,340,032 B",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let last = text.lines().last().unwrap_or_default();
        assert!(
            last.ends_with("-      -        -") || last.split_whitespace().rev().take(3).all(|cell| cell == "-"),
            "{last}"
        );
        assert!(!text.contains('\u{1b}'), "no key draws on the terminal");
        let none = json!({ "hot": 0, "watched": 0, "instances": 1, "capacity_per_s": 1, "capacity_from": "assumed", "keys": [] });
        assert!(hot(&read(none)).contains("no key draws more than its share"));
    }

    #[test]
    fn the_largest_values_are_listed() {
        let text =
            big(&read(json!({ "keys": [{ "key": "page:home", "space": "page", "bytes": 1_048_576, "hits": 3 }] })));
        assert!(text.contains("1,048,576") && text.contains("page:home"), "{text}");
        assert!(big(&read(json!({}))).contains("holds no value"));
    }
}
