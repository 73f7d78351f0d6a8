//! Why does the program end without having done its work?

use bellwether_server::config::Problem;

/// Why the program ends without having done its work.
pub(crate) enum Failure {
    /// It could not start or run.
    Run(String),
    /// The input is wrong: a line each.
    Input(Vec<String>),
}

impl From<Vec<Problem>> for Failure {
    fn from(problems: Vec<Problem>) -> Failure {
        Failure::Input(problems.iter().map(ToString::to_string).collect())
    }
}
