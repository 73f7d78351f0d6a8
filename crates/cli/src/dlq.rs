//! Which invalidations does the shared tier not know yet? Listed, tried again, given up: on a running server.

use std::ffi::{OsStr, OsString};

use bellwether_server::admin::Page;
use clap::Subcommand;
use serde_json::Value;

use crate::admin;
use crate::failure::Failure;
use crate::key::segment;
use crate::output::{printable, say};

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
    #[command(group(clap::ArgGroup::new("which").required(true).args(["key", "all"])))]
    Drop {
        /// One key, as `list` shows it
        key: Option<OsString>,
        /// All of them
        #[arg(long)]
        all: bool,
    },
}

pub(crate) fn dlq(what: &Dlq, url: &str) -> Result<(), Failure> {
    match what {
        Dlq::List => list(&admin::json(&admin::get(url, Page::Dlq.path())?)?),
        Dlq::Retry { key } => {
            let done = admin::json(&admin::post(url, &path(Page::DlqRetry, key.as_deref())?)?)?;
            retried(&done, key.as_deref())?;
        }
        Dlq::Drop { key, all: _ } => {
            let done = admin::json(&admin::post(url, &path(Page::DlqDrop, key.as_deref())?)?)?;
            said(&done["dropped"], key.as_deref(), "given up")?;
        }
    }
    Ok(())
}

fn path(page: Page, key: Option<&OsStr>) -> Result<String, Failure> {
    let key = key.map(segment).transpose()?.map(|key| format!("/{key}")).unwrap_or_default();
    Ok(format!("{}{key}", page.path()))
}

fn said(count: &Value, key: Option<&OsStr>, done: &str) -> Result<(), Failure> {
    match (count.as_u64().unwrap_or_default(), key) {
        (0, Some(key)) => {
            let key = printable(&key.to_string_lossy());
            Err(Failure::Run(format!("nothing is owed for '{key}': `bellwether dlq list` shows what is")))
        }
        (count, _) => {
            say(&format!("{count} {done}"));
            Ok(())
        }
    }
}

/// What came of another try; some of it still owed is a failure, said with its cause.
fn retried(done: &Value, key: Option<&OsStr>) -> Result<(), Failure> {
    let count = |value: &Value| value.as_u64().unwrap_or_default();
    let (told, untried) = (count(&done["told"]), count(&done["untried"]));
    if told > 0 || count(&done["retried"]) == 0 {
        said(&done["told"], key, "told to the shared tier")?;
    }
    let causes = done["owed"].as_object().into_iter().flatten();
    let mut owed: Vec<String> = causes.map(|(cause, keys)| format!("{keys} still owed ({cause})")).collect();
    if untried > 0 {
        owed.push(format!("{untried} not tried: too many at once, or their space is not declared here"));
    }
    if owed.is_empty() {
        return Ok(());
    }
    let advice = "the server tries them again by itself; /readyz and bellwether_shared_unwritable say how the tier is";
    Err(Failure::Run(format!("{}: {advice}", printable(&owed.join(", ")))))
}

fn list(json: &Value) {
    let rows = json["shown"].as_array().map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        say("nothing is owed to the shared tier");
        return;
    }
    say(&format!("{:<9} {:<7} {:>6}  {:<11}  {:<16} key", "state", "verb", "tries", "cause", "space"));
    for row in rows {
        let text = |name: &str| printable(row[name].as_str().unwrap_or_default());
        let tries = row["tries"].as_u64().unwrap_or_default();
        let (state, verb, cause) = (text("state"), text("verb"), text("cause"));
        say(&format!("{state:<9} {verb:<7} {tries:>6}  {cause:<11}  {:<16} {}", text("space"), text("key")));
    }
    let owed = json["owed"].as_u64().unwrap_or_default();
    if owed > rows.len() as u64 {
        say(&format!("and {} more", owed - rows.len() as u64));
    }
}
