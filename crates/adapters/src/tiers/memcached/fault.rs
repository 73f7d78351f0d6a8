//! Why did a node bring no answer? A closed list, and what it means for who asked.

use bellwether::shared::{TierError, TierTrouble};

/// Why a request brought no answer of use.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// The node is left alone: it was not asked.
    Down(String),
    /// The connection broke.
    Lost(String),
    /// No answer in time.
    Silent,
    /// It is full, and may evict nothing.
    Full(String),
    /// It takes no value of this length.
    TooLarge,
    /// Any other error.
    Refused(String),
}

impl Fault {
    /// What `SERVER_ERROR` says.
    pub(super) fn told(text: &str) -> Fault {
        if text.contains("too large") {
            Fault::TooLarge
        } else if text.contains("out of memory") {
            Fault::Full(text.to_owned())
        } else {
            Fault::Refused(text.to_owned())
        }
    }

    /// For the engine, with where it happened.
    pub(super) fn into_error(self, node: &str) -> TierError {
        let (kind, text) = match self {
            Fault::Down(why) => (TierTrouble::Unreachable, format!("{node} can't be reached: {why}")),
            Fault::Lost(why) => (TierTrouble::Unreachable, format!("no connection to {node}: {why}")),
            Fault::Silent => (TierTrouble::Unreachable, format!("{node}: no answer in time")),
            Fault::Full(why) => (TierTrouble::Full, format!("{node} is full: {why}")),
            Fault::TooLarge => (
                TierTrouble::Unfit,
                format!("{node} takes no value of this length (1 MiB unless memcached was started with -I)"),
            ),
            Fault::Refused(why) => (TierTrouble::Failed, format!("{node}: {why}")),
        };
        TierError { kind, text }
    }
}
