//! Is every configuration read as it is meant, and every mistake told where it stands?

mod addresses;
mod change;
mod heat;
mod knobs;
mod spaces;
mod strangers;
mod tiers;
mod whole;

use super::*;

/// Two origins, so that a test writes only what it is about. Eight lines.
const ORIGINS: &str = "\
[origin.shop]
sql = \"sqlite://shop.db\"
[origin.api]
http = \"https://api.internal\"



";

fn read_with(text: &str, env: &[(&str, &str)], insecure: bool) -> Result<Config, Vec<Problem>> {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    parse(text, "b.toml", Path::new("/etc/bw"), env, insecure)
}

fn read(text: &str) -> Result<Config, Vec<Problem>> {
    read_with(text, &[], false)
}

fn valid(text: &str) -> Config {
    read(text).unwrap_or_else(|problems| panic!("{text}\n{}", said(&problems)))
}

fn said(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

/// All that is wrong with `text`, a line each.
fn wrong(text: &str) -> String {
    said(&read(text).expect_err(text))
}

/// The one problem of `text`, which must contain all `words`.
#[track_caller]
fn one(text: &str, words: &[&str]) {
    one_with(text, &[], words);
}

#[track_caller]
fn one_with(text: &str, env: &[(&str, &str)], words: &[&str]) {
    let problems = read_with(text, env, false).expect_err(text);
    let said = said(&problems);
    assert_eq!(problems.len(), 1, "{text}\n{said}");
    for word in words {
        assert!(said.contains(word), "no {word:?} in: {said}");
    }
}

/// A plain space with `knobs`; its `match` is line 2, the knobs begin on line 4.
fn plain(knobs: &str) -> String {
    format!("[[space]]\nmatch = \"session:{{id}}\"\nttl = \"30m\"\n{knobs}\n")
}

/// An SQL space whose `match` is line 9; `knobs` begin on line 12.
fn sql(knobs: &str) -> String {
    format!("{ORIGINS}[[space]]\nmatch = \"product:{{id:int}}\"\norigin = \"shop\"\nttl = \"60s\"\n{knobs}\n")
}

/// An HTTP space; `knobs` begin on line 12.
fn http(knobs: &str) -> String {
    format!("{ORIGINS}[[space]]\nmatch = \"page:{{path*}}\"\norigin = \"api\"\nttl = \"60s\"\n{knobs}\n")
}

/// A valid query for [`sql`].
const QUERY: &str = "query = \"SELECT name FROM products WHERE id = :id\"\n";
