//! Which values of a running server stop being fresh when, and how many together? A table for people.

use bellwether_server::admin::Page;
use bellwether_server::admin::view::{Crowd, Forecast};

use crate::admin;
use crate::failure::Failure;
use crate::output::{aligned, printable, say};
use crate::words::{number, time};

pub(crate) fn forecast(url: &str) -> Result<(), Failure> {
    say(table(&admin::json(&admin::get(url, Page::Forecast.path())?)?).trim_end());
    Ok(())
}

fn table(said: &Forecast) -> String {
    let names = ["space", "values", "end in 1 min", "10 min", "1 h", "refreshes wait", "crowd"];
    let mut table = vec![names.map(String::from).to_vec()];
    for space in &said.spaces {
        let within = |ahead: &str| space.ending_within.get(ahead).map_or_else(|| "-".to_owned(), |keys| number(*keys));
        table.push(vec![
            printable(&space.space),
            number(space.values),
            within("1m"),
            within("10m"),
            within("1h"),
            number(space.refreshes_waiting as u64),
            space.crowd.as_ref().map_or_else(|| "-".to_owned(), crowd),
        ]);
    }
    aligned(&table, 1..6)
}

/// `31,000 keys stop being fresh together in 240.0 s`
fn crowd(crowd: &Crowd) -> String {
    let ahead = time(&crowd.in_s.saturating_mul(1000).into());
    match crowd.keys {
        1 => format!("1 key stops being fresh in {ahead}"),
        keys => format!("{} keys stop being fresh together in {ahead}", number(keys)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_crowd_is_told_with_its_size_and_its_moment() {
        let space = |crowd: Value| {
            json!({ "space": "product\u{1b}", "values": 31_500, "ending_within": { "1m": 5, "10m": 31_000, "1h": 31_500 },
                "refreshes_waiting": 7, "crowd": crowd })
        };
        let said = json!({ "spaces": [space(json!({ "keys": 31_000, "in_s": 240 })), space(Value::Null)] });
        let text = table(&serde_json::from_value(said).expect("what a server says"));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].ends_with("31,000 keys stop being fresh together in 4 min 0 s"), "{text}");
        assert!(lines[1].contains("31,500") && lines[2].ends_with('-') && !text.contains('\u{1b}'), "{text}");
    }
}
