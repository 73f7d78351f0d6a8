//! Which invalidations does the shared tier not know yet? Listed, tried again, given up: on a running server.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use clap::Subcommand;
use serde_json::Value;

use crate::admin;
use crate::explain::encoded;
use crate::failure::Failure;
use crate::output::say;

/// What is to be done with invalidations that the shared tier could not be told.
#[derive(Subcommand)]
pub(crate) enum Dlq {
    /// Show them: still being retried, or dead letters
    List,
    /// Try again at once
    Retry {
        /// One key, as `list` shows it; without one, all
        key: Option<OsString>,
    },
    /// Give up: other processes may serve the older value until it ends
    Drop {
        /// One key, as `list` shows it
        #[arg(required_unless_present = "all")]
        key: Option<OsString>,
        /// All of them
        #[arg(long, conflicts_with = "key")]
        all: bool,
    },
}

pub(crate) fn dlq(what: &Dlq, url: &str) -> Result<(), Failure> {
    match what {
        Dlq::List => list(&asked(admin::get(url, "/api/dlq")?)?),
        Dlq::Retry { key } => {
            let done = asked(admin::post(url, &path("retry", key.as_deref()))?)?;
            said(&done["retried"], key.as_deref(), "tried again")?;
        }
        Dlq::Drop { key, all: _ } => {
            let done = asked(admin::post(url, &path("drop", key.as_deref()))?)?;
            said(&done["dropped"], key.as_deref(), "given up")?;
        }
    }
    Ok(())
}

fn path(verb: &str, key: Option<&OsStr>) -> String {
    let key = key.map(|key| format!("/{}", encoded(key.as_bytes()))).unwrap_or_default();
    format!("/api/dlq/{verb}{key}")
}

fn asked(answer: admin::Answer) -> Result<Value, Failure> {
    let json: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    match answer.status {
        200 => Ok(json),
        401 => Err(Failure::Run(admin::needs_password())),
        status => Err(Failure::Run(match json["error"].as_str() {
            Some(words) => words.escape_debug().to_string(),
            None => format!("the server answered {status}"),
        })),
    }
}

fn said(count: &Value, key: Option<&OsStr>, done: &str) -> Result<(), Failure> {
    match (count.as_u64().unwrap_or_default(), key) {
        (0, Some(key)) => {
            let key = key.to_string_lossy().escape_debug().to_string();
            Err(Failure::Run(format!("nothing is owed for '{key}': `bellwether dlq list` shows what is")))
        }
        (count, _) => {
            say(&format!("{count} {done}"));
            Ok(())
        }
    }
}

fn list(json: &Value) {
    let rows = json["shown"].as_array().map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        say("nothing is owed to the shared tier");
        return;
    }
    say(&format!("{:<9} {:<7} {:>6}  {:<16} key", "state", "verb", "tries", "space"));
    for row in rows {
        let text = |name: &str| row[name].as_str().unwrap_or_default().escape_debug().to_string();
        let tries = row["tries"].as_u64().unwrap_or_default();
        say(&format!("{:<9} {:<7} {tries:>6}  {:<16} {}", text("state"), text("verb"), text("space"), text("key")));
    }
    let owed = json["owed"].as_u64().unwrap_or_default();
    if owed > rows.len() as u64 {
        say(&format!("and {} more", owed - rows.len() as u64));
    }
}
