//! Why is a server not there, and what is to be done about it?

use std::io;
use std::time::Duration;

/// What went wrong with a server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The program is not on this machine.
    #[error("`{program}` is not installed, or not in PATH; on Debian: apt-get install {package}")]
    Missing {
        /// What was to be run.
        program: &'static str,
        /// Which Debian package brings it.
        package: &'static str,
    },
    /// The operating system refused something.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// Its answer.
        source: io::Error,
    },
    /// A program ran and failed.
    #[error("{program} failed:\n{said}")]
    Failed {
        /// Which.
        program: String,
        /// The end of what it said.
        said: String,
    },
    /// Something did not come in time.
    #[error("waited {} s in vain for {what}", .limit.as_secs())]
    Late {
        /// What was awaited.
        what: String,
        /// How long.
        limit: Duration,
    },
    /// A server answered a command with an error, or with what can't be read.
    #[error("{command}: {answer}")]
    Refused {
        /// The command's words.
        command: String,
        /// What it answered.
        answer: String,
    },
}

impl ServerError {
    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> ServerError {
        let what = what.into();
        |source| ServerError::System { what, source }
    }
}
