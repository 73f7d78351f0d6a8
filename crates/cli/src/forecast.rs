//! Which values of a running server stop being fresh when, and how many together? A table for people.

use bellwether_server::admin::Page;
use serde_json::{Value, json};

use crate::admin;
use crate::failure::Failure;
use crate::output::{aligned, say};
use crate::words::{number, time, word};

pub(crate) fn forecast(url: &str) -> Result<(), Failure> {
    say(table(&admin::json(&admin::get(url, Page::Forecast.path())?)?).trim_end());
    Ok(())
}

fn table(json: &Value) -> String {
    let spaces = json["spaces"].as_array().map(Vec::as_slice).unwrap_or_default();
    let names = ["space", "values", "end in 1 min", "10 min", "1 h", "refreshes wait", "crowd"];
    let mut table = vec![names.map(String::from).to_vec()];
    for space in spaces {
        let count = |value: &Value| value.as_u64().map_or_else(|| "-".to_owned(), number);
        let within = |ahead: &str| count(&space["ending_within"][ahead]);
        table.push(vec![
            word(&space["space"]),
            count(&space["values"]),
            within("1m"),
            within("10m"),
            within("1h"),
            count(&space["refreshes_waiting"]),
            crowd(&space["crowd"]),
        ]);
    }
    aligned(&table, 1..6)
}

/// `31,000 keys stop being fresh together in 240.0 s`
fn crowd(crowd: &Value) -> String {
    let Some(keys) = crowd["keys"].as_u64() else { return "-".to_owned() };
    let ahead = json!(crowd["in_s"].as_u64().unwrap_or_default().saturating_mul(1000));
    match keys {
        1 => format!("1 key stops being fresh in {}", time(&ahead)),
        keys => format!("{} keys stop being fresh together in {}", number(keys), time(&ahead)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_is_told_with_its_size_and_its_moment() {
        let space = |crowd: Value| {
            json!({ "space": "product\u{1b}", "values": 31_500, "ending_within": { "1m": 5, "10m": 31_000, "1h": 31_500 },
                "refreshes_waiting": 7, "crowd": crowd })
        };
        let text = table(&json!({ "spaces": [space(json!({ "keys": 31_000, "in_s": 240 })), space(Value::Null)] }));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].ends_with("31,000 keys stop being fresh together in 4 min 0 s"), "{text}");
        assert!(lines[1].contains("31,500") && lines[2].ends_with('-') && !text.contains('\u{1b}'), "{text}");
    }
}
