//! Which invalidations does the shared tier not know yet? Listed, tried again, given up: on a running server.

use std::ffi::{OsStr, OsString};

use bellwether_server::admin::Page;
use bellwether_server::admin::view::{Owed, OwedDropped, OwedRetried};
use clap::Subcommand;

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
            let done: OwedDropped = admin::json(&admin::post(url, &path(Page::DlqDrop, key.as_deref())?)?)?;
            said(done.dropped, key.as_deref(), "given up")?;
        }
    }
    Ok(())
}

fn path(page: Page, key: Option<&OsStr>) -> Result<String, Failure> {
    let key = key.map(segment).transpose()?.map(|key| format!("/{key}")).unwrap_or_default();
    Ok(format!("{}{key}", page.path()))
}

fn said(count: usize, key: Option<&OsStr>, done: &str) -> Result<(), Failure> {
    match (count, key) {
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
fn retried(done: &OwedRetried, key: Option<&OsStr>) -> Result<(), Failure> {
    if done.told > 0 || done.retried == 0 {
        said(done.told, key, "told to the shared tier")?;
    }
    let mut owed: Vec<String> = done.owed.iter().map(|(cause, keys)| format!("{keys} still owed ({cause})")).collect();
    if done.untried > 0 {
        owed.push(format!("{} not tried: too many at once, or their space is not declared here", done.untried));
    }
    if owed.is_empty() {
        return Ok(());
    }
    let advice = "the server tries them again by itself; /readyz and bellwether_shared_unwritable say how the tier is";
    Err(Failure::Run(format!("{}: {advice}", printable(&owed.join(", ")))))
}

fn list(said: &Owed) {
    let rows = &said.shown;
    if rows.is_empty() {
        say("nothing is owed to the shared tier");
        return;
    }
    say(&format!("{:<9} {:<7} {:>6}  {:<11}  {:<16} key", "state", "verb", "tries", "cause", "space"));
    for row in rows {
        let [state, verb, space, key] = [&row.state, &row.verb, &row.space, &row.key].map(|text| printable(text));
        let (tries, cause) = (row.tries, printable(row.cause.as_deref().unwrap_or_default()));
        say(&format!("{state:<9} {verb:<7} {tries:>6}  {cause:<11}  {space:<16} {key}"));
    }
    if said.owed > rows.len() {
        say(&format!("and {} more", said.owed - rows.len()));
    }
}
