//! What must hold for every file? Called by the fuzzer, and by a test for each input that it found.

use std::collections::BTreeSet;
use std::path::Path;

use super::{MAX_SPACES, Place, changes, parse};

/// Longer inputs find nothing that shorter ones don't, and cost more.
const MOST: usize = 16 << 10;
/// A first line such as `#env NAME=VALUE` sets a variable; so do those after it.
const VARIABLE: &str = "#env ";

/// A file and the environment over it: it is right, or every problem says where, what and what instead.
///
/// # Panics
/// If that does not hold.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(&data[..data.len().min(MOST)]) else { return };
    // A secret's file could be anything on this machine.
    if text.contains("file:") {
        return;
    }
    let variable = |line: &str| {
        let (name, value) = line.strip_prefix(VARIABLE)?.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    };
    let env: Vec<(String, String)> = text.lines().map_while(variable).collect();
    for insecure in [false, true] {
        match parse(text, "f.toml", Path::new("/etc"), env.iter().cloned(), insecure) {
            Ok(config) => {
                assert!((1..=MAX_SPACES).contains(&config.spaces.len()));
                let names: BTreeSet<&str> = config.spaces.iter().map(|space| space.name.as_str()).collect();
                assert_eq!(names.len(), config.spaces.len(), "names are told apart");
                assert!(changes(&config, &config.clone()).is_nothing(), "it is as it is");
            }
            Err(problems) => {
                assert!(!problems.is_empty(), "refused without a reason");
                let lines = text.split('\n').count();
                for problem in &problems {
                    assert!(!problem.found.is_empty() && !problem.expected.is_empty(), "{problem:?}");
                    let shown = problem.to_string();
                    assert!(!shown.chars().any(char::is_control), "more than one plain line: {shown:?}");
                    match &problem.place {
                        Place::File => assert!(shown.starts_with("f.toml: "), "{shown}"),
                        Place::Line { line, column } => {
                            assert!((1..=lines).contains(line) && *column >= 1, "{shown}");
                            assert!(shown.starts_with(&format!("f.toml:{line}:{column}: ")), "{shown}");
                        }
                        Place::Environment(variable) => {
                            assert!(env.iter().any(|(name, _)| name == variable), "{shown}");
                        }
                    }
                }
                assert!(problems.is_sorted_by(|a, b| a.place <= b.place), "in the order of the file");
            }
        }
    }
}

#[cfg(test)]
mod replay {
    #[test]
    fn every_stored_file_is_right_or_told_where_it_is_not() {
        bellwether_corpus::replay("config", super::config);
    }
}
