//! What is a run? What is asked for, in which lane, and what came of it.

use std::path::PathBuf;
use std::time::Duration;

use crate::contender::Contender;
use crate::wire::Wire;

/// What is to be compared, and how thoroughly.
#[derive(Clone, Debug)]
pub struct Options {
    /// The `bellwether` executable.
    pub program: PathBuf,
    /// How often everybody has their turn.
    pub rounds: usize,
    /// Of each run.
    pub seconds: f64,
    /// The others that are wanted; none named: all that are installed.
    pub only: Vec<Contender>,
}

/// One measured run.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// CPU of the server per request, in us.
    pub cpu_us: f64,
    /// Thousand requests a second.
    pub rate: f64,
    /// Latency of a batch, in ms.
    pub p50_ms: f64,
    /// The same, 99th percentile.
    pub p99_ms: f64,
}

/// A way in which a server was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lane {
    pub(crate) wire: Wire,
    pub(crate) depth: usize,
}

/// One server's figures of one round.
pub(crate) struct Measured {
    pub(crate) start: Duration,
    pub(crate) runs: Vec<(Lane, Run)>,
}
