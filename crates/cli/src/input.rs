//! What stands in the environment, and how are a file's problems named?

use std::path::Path;

use bellwether_server::config::Problem;

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
