//! Which key of a running server will be hot? Said beforehand, so that it is prepared.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use clap::Subcommand;
use serde_json::Value;

use crate::admin;
use crate::explain::{encoded, time};
use crate::failure::Failure;
use crate::output::say;

/// What is to be said of hot keys.
#[derive(Subcommand)]
pub(crate) enum Hot {
    /// Say that a key will be hot: it is loaded and prepared before, and treated as hot to the end
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
}

pub(crate) fn hot(what: &Hot, url: &str) -> Result<(), Failure> {
    let Hot::Announce { key, at, length } = what;
    let answer = admin::post(url, &path(key, at.as_deref(), length))?;
    let json: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    match answer.status {
        200 => {
            let begins = match json["begins_in_ms"].as_u64() {
                Some(0) | None => "begins now".to_owned(),
                Some(_) => format!("begins in {}", time(&json["begins_in_ms"])),
            };
            let key = json["key"].as_str().unwrap_or_default().escape_debug();
            say(&format!("{key} is announced: {begins}, ends in {}", time(&json["ends_in_ms"])));
            Ok(())
        }
        401 => Err(Failure::Run(admin::needs_password())),
        status => {
            let words = json["error"].as_str().map(|words| words.escape_debug().to_string());
            let words = words.unwrap_or_else(|| format!("the server answered {status}"));
            // What it was asked is wrong, or it can't.
            Err(if status == 400 { Failure::Input(vec![words]) } else { Failure::Run(words) })
        }
    }
}

fn path(key: &OsStr, at: Option<&str>, length: &str) -> String {
    let at = at.map(|at| format!("at={}&", encoded(at.as_bytes()))).unwrap_or_default();
    format!("/api/hot/announce/{}?{at}for={}", encoded(key.as_bytes()), encoded(length.as_bytes()))
}
