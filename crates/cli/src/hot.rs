//! Which key of a running server will be hot? Said beforehand, so that it is prepared; shown, and taken back.

use std::ffi::{OsStr, OsString};

use bellwether_core::moment;
use bellwether_core::time::Span;
use bellwether_server::admin::Page;
use bellwether_server::admin::view::{Announced, Heard as By, Taken, Withdrawn};
use clap::Subcommand;

use crate::admin;
use crate::failure::Failure;
use crate::key::{encoded, segment};
use crate::output::{aligned, complain, printable, say};
use crate::words::time;

/// What is to be said of hot keys.
#[derive(Subcommand)]
pub(crate) enum Hot {
    /// Show which keys are announced, those that begin later as well
    List,
    /// Say that a key will be hot: it is loaded and prepared half a minute before, and treated as hot to the end.
    /// Processes of a fleet hear of it over the backplane; without one say it to each, or write [[hot.announce]] in the
    /// file that all read
    Announce {
        /// The key, as in GET
        key: OsString,
        /// From when on, such as 2026-12-01T18:00:00Z; without it, now
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
        /// For how long, such as 2h
        #[arg(long = "for", value_name = "DURATION")]
        length: String,
    },
    /// Take it back, in the whole fleet: what was prepared is undone, unless the key is hot
    Withdraw {
        /// The key, as `list` shows it
        key: OsString,
    },
}

pub(crate) fn hot(what: &Hot, url: &str) -> Result<(), Failure> {
    match what {
        Hot::List => {
            let said: Announced = admin::json(&admin::get(url, Page::Announced.path())?)?;
            say(list(&said).trim_end());
            if let Some(trouble) = &said.trouble {
                complain(&format!("not all that the fleet announces holds here: {}", printable(trouble)));
            }
            Ok(())
        }
        Hot::Announce { key, at, length } => {
            terms(at.as_deref(), length)?;
            let taken: Taken = admin::json(&admin::post(url, &path(key, at.as_deref(), length)?)?)?;
            let (begins, ends) = (begins(taken.begins_in_ms), time(&taken.ends_in_ms.into()));
            say(&format!("{} is announced: {begins}, ends in {ends}", printable(&taken.key)));
            say(&match heard(&taken.heard) {
                Heard::Fleet => "every process that uses the same backplane prepares it".to_owned(),
                Heard::Later(why) => {
                    format!("the process behind {url} knows, the others are told once the backplane answers: {why}")
                }
                Heard::Here => format!(
                    "only to the process behind {url}, which has no backplane: in a fleet announce it to each, or in the file ([[hot.announce]])"
                ),
            });
            Ok(())
        }
        Hot::Withdraw { key } => {
            let answer = admin::delete(url, &format!("{}/{}", Page::Announce.path(), segment(key)?))?;
            if answer.status == 404 {
                let key = printable(&key.to_string_lossy());
                return Err(Failure::Run(format!("'{key}' is not announced: `bellwether hot list` shows what is")));
            }
            let withdrawn: Withdrawn = admin::json(&answer)?;
            let back = match withdrawn.in_configuration {
                true => "; its configuration announces it too: a reload takes it up again",
                false => "",
            };
            let whom = match heard(&withdrawn.heard) {
                Heard::Fleet => " by any process of the fleet".to_owned(),
                Heard::Later(why) => format!(" here, by the others once the backplane answers ({why})"),
                Heard::Here => String::new(),
            };
            say(&format!("{} is announced no more{whom}{back}", printable(&withdrawn.key)));
            Ok(())
        }
    }
}

/// What is typed wrong is told before anybody is asked.
fn terms(at: Option<&str>, length: &str) -> Result<(), Failure> {
    if let Some(Err(expected)) = at.map(moment::parse) {
        let at = printable(at.unwrap_or_default());
        return Err(Failure::input(format!("--at: expected {expected}, found '{at}'")));
    }
    match Span::parse(length) {
        Err(words) => Err(Failure::input(format!("--for: {words}"))),
        Ok(Span::ZERO) => Err(Failure::input("--for: expected a duration above zero, such as 2h")),
        Ok(_) => Ok(()),
    }
}

/// Who knows of it by now.
enum Heard {
    Here,
    Fleet,
    Later(String),
}

fn heard(by: &By) -> Heard {
    match &*by.fleet {
        "told" => Heard::Fleet,
        "later" => Heard::Later(printable(by.why_later.as_deref().unwrap_or("-"))),
        _ => Heard::Here,
    }
}

fn begins(in_ms: u64) -> String {
    match in_ms {
        0 => "has begun".to_owned(),
        ms => format!("begins in {}", time(&ms.into())),
    }
}

fn list(said: &Announced) -> String {
    if said.announced.is_empty() {
        return "no key is announced".to_owned();
    }
    let mut table = vec![["key", "space", "begins", "ends", "said by"].map(String::from).to_vec()];
    for row in &said.announced {
        let by = match (row.in_configuration, row.in_fleet) {
            (true, _) => "configuration",
            (false, true) => "command, to the fleet",
            (false, false) => "command",
        };
        let ends = format!("in {}", time(&row.ends_in_ms.into()));
        table.push(vec![printable(&row.key), printable(&row.space), begins(row.begins_in_ms), ends, by.to_owned()]);
    }
    aligned(&table, 0..0)
}

fn path(key: &OsStr, at: Option<&str>, length: &str) -> Result<String, Failure> {
    let at = at.map(|at| format!("at={}&", encoded(at.as_bytes()))).unwrap_or_default();
    Ok(format!("{}/{}?{at}for={}", Page::Announce.path(), segment(key)?, encoded(length.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn announcements_are_listed_with_who_said_them() {
        assert_eq!(list(&Announced::default()), "no key is announced");
        let row = |key: &str, begins: u64, file: bool| json!({ "key": key, "space": "product", "begins_in_ms": begins, "ends_in_ms": 90_000, "in_configuration": file });
        let said = json!({ "announced": [row("product:1\u{1b}", 0, true), row("product:22", 60_000, false)] });
        let text = list(&serde_json::from_value(said).expect("what a server says"));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].contains("has begun") && lines[1].ends_with("configuration"), "{text}");
        assert!(lines[2].contains("begins in 60.0 s") && lines[2].ends_with("command"), "{text}");
        assert!(!text.contains('\u{1b}'), "no key draws on the terminal");
    }
}
