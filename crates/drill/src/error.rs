//! Why could a drill not be held, and what is to be done about it?

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bellwether_resp::ReplyError;

/// What went wrong between the drill and an endpoint.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody accepts connections.
    #[error("no connection: {0}")]
    Connect(io::Error),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    /// What came is no RESP.
    #[error("what it answers is no RESP: {0}")]
    Protocol(#[from] ReplyError),
    /// It takes too long.
    #[error("no answer in {} s", .0.as_secs())]
    Silent(Duration),
    /// It refused AUTH or SELECT.
    #[error("{command} was refused: {answer}{}", login_hint(.answer))]
    Refused {
        /// Which command.
        command: &'static str,
        /// Its error.
        answer: String,
    },
}

/// What to do where somebody is not let in.
fn login_hint(answer: &str) -> &'static str {
    if ["NOAUTH", "WRONGPASS"].iter().any(|code| answer.starts_with(code)) {
        "; put its password into the URL, or into BELLWETHER_DRILL_PASSWORD"
    } else {
        ""
    }
}

/// What may be the matter where somebody is there and no answer can be read.
fn tls_hint(error: &ClientError) -> &'static str {
    match error {
        ClientError::Broken(_) | ClientError::Protocol(_) | ClientError::Silent(_) => {
            "; a drill speaks without TLS: does this port want it?"
        }
        ClientError::Connect(_) | ClientError::Refused { .. } => "",
    }
}

/// Why a drill was not held. A row that fails is none: see [`Report`](crate::Report).
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// `--only` names no row.
    #[error("--only {name}: no such row{}; `bellwether drill list` shows them all", hint(*.meant))]
    UnknownRow {
        /// What was asked for.
        name: String,
        /// The closest row.
        meant: Option<&'static str>,
    },
    /// `--against` is no URL that a drill understands.
    #[error("--against {shown}: {wrong}; expected redis://[[USER]:PASSWORD@]HOST:PORT[/DB]")]
    BadTarget {
        /// The URL without a password.
        shown: String,
        /// What is wrong with it.
        wrong: &'static str,
    },
    /// The origin can't listen.
    #[error("the drill's origin can't listen at {address}: {source}{}", port_hint(.source))]
    Origin {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The endpoint can't be spoken to.
    #[error("{target}: {error}{}", tls_hint(.error))]
    Unreachable {
        /// Which.
        target: String,
        /// Why.
        error: ClientError,
    },
    /// The endpoint does not do what a drill needs.
    #[error("{target} does not read through to the drill's origin at {origin}: {found}\n{advice}")]
    NotReadThrough {
        /// Which endpoint.
        target: String,
        /// The origin's address.
        origin: SocketAddr,
        /// What was seen instead.
        found: String,
        /// What to do.
        advice: &'static str,
    },
    /// The incident has no such control.
    #[error("--control {control}: {drill} has no such control; expected {known}")]
    NoControl {
        /// Which incident.
        drill: &'static str,
        /// What was asked for.
        control: &'static str,
        /// What it has.
        known: String,
    },
    /// The incident can't be held over somebody's own engine.
    #[error("--against: {drill} kills nodes of an engine of its own; leave --against away")]
    OwnEngine {
        /// Which incident.
        drill: &'static str,
    },
    /// The drill's own server did not start.
    #[error("the drill's own server did not start: {0}")]
    Server(String),
    /// A signal came; what was started has been ended.
    #[error(
        "interrupted; no verdict. What the drill had started has ended; a server that was named by --against may have keys \
         bw-drill-… for another ten minutes, until they end"
    )]
    Interrupted,
}

impl DrillError {
    /// Is it what was typed, rather than what was met?
    pub fn is_input(&self) -> bool {
        matches!(
            self,
            DrillError::UnknownRow { .. }
                | DrillError::BadTarget { .. }
                | DrillError::NoControl { .. }
                | DrillError::OwnEngine { .. }
        )
    }
}

fn hint(meant: Option<&str>) -> String {
    meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default()
}

fn port_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; name another with --origin HOST:PORT",
        io::ErrorKind::AddrNotAvailable => "; it must be an address of this machine",
        _ => "",
    }
}
