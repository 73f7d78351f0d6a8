//! What is the configuration, and how are its problems named? A file with the environment on top.

use std::path::Path;

use bellwether_server::config::{self, Config, Problem};

use crate::failure::Failure;

/// The configuration in `file` with the environment on top.
pub(crate) fn load(file: &Path, insecure: bool) -> Result<Config, Failure> {
    Ok(config::load(file, environment(), insecure)?)
}

/// The environment's variables, as far as they are text.
pub(crate) fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// What is found by opening knows its line, but not how the user named the file.
pub(crate) fn named(mut problems: Vec<Problem>, file: &Path) -> Vec<Problem> {
    for problem in &mut problems {
        problem.file = file.display().to_string();
    }
    problems
}
