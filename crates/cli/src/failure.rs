//! Why does the program end without having done its work?

use std::fmt::Display;

use bellwether_server::config::Problem;

/// Why the program ends without having done its work.
pub(crate) enum Failure {
    /// It could not start or run, or what is to be changed is not there.
    Run(String),
    /// The input is wrong: a line each. Those of a file begin with its name and line, others with this program's name.
    Input(Vec<String>),
}

impl Failure {
    /// The command line is wrong, or a file or name in it.
    pub(crate) fn input(words: impl Display) -> Failure {
        Failure::inputs([words])
    }

    /// The same, of several mistakes at once.
    pub(crate) fn inputs(lines: impl IntoIterator<Item = impl Display>) -> Failure {
        Failure::Input(lines.into_iter().map(|words| format!("bellwether: {words}")).collect())
    }
}

impl From<Vec<Problem>> for Failure {
    fn from(problems: Vec<Problem>) -> Failure {
        Failure::Input(problems.iter().map(ToString::to_string).collect())
    }
}
