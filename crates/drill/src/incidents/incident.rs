//! What is an incident, and what comes out of it?

use std::borrow::Cow;
use std::pin::Pin;

use crate::control::FleetFlaw;
use crate::error::DrillError;
use crate::incidents::stage::Stage;

/// Which engine a fleet shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One Redis.
    Redis,
    /// Three primaries with a replica each.
    Cluster,
    /// One primary, two replicas, three sentinels.
    Sentinel,
    /// Four nodes, of which three are used at first.
    Memcached,
}

/// A run of an incident.
pub(crate) type Playing<'a> = Pin<Box<dyn Future<Output = Result<Vec<Check>, DrillError>> + Send + 'a>>;

/// An incident.
pub struct Incident {
    /// What `bellwether drill NAME` is called with.
    pub name: &'static str,
    /// What happens.
    pub what: &'static str,
    /// On each of these in turn.
    pub(crate) kinds: &'static [Kind],
    /// Servers of the fleet.
    pub(crate) servers: usize,
    /// Loads at once, of each server.
    pub(crate) permits: u64,
    /// Naive fleets that lose it.
    pub controls: &'static [FleetFlaw],
    /// Whether it can be held over somebody's own Redis.
    pub elsewhere: bool,
    pub(crate) play: for<'a> fn(&'a mut Stage) -> Playing<'a>,
}

/// What became of a part of an incident: a server that can't be asked has lost it, and is no reason to leave the
/// other parts out.
pub(crate) fn part(name: &'static str, played: Result<Vec<Check>, DrillError>) -> Result<Vec<Check>, DrillError> {
    match played {
        Err(error @ DrillError::Unreachable { .. }) => Ok(vec![Check {
            name,
            what: "servers are asked".into(),
            measured: error.to_string(),
            wanted: "an answer".into(),
            ok: false,
        }]),
        played => played,
    }
}

/// One thing that was looked at, judged.
pub(crate) struct Check {
    pub(crate) name: &'static str,
    /// What was counted or measured.
    pub(crate) what: Cow<'static, str>,
    pub(crate) measured: String,
    pub(crate) wanted: Cow<'static, str>,
    pub(crate) ok: bool,
}

impl Check {
    /// None may be.
    pub(crate) fn none(name: &'static str, what: impl Into<Cow<'static, str>>, count: u64, of: u64) -> Check {
        Check {
            name,
            what: what.into(),
            measured: format!("{count}/{of}"),
            wanted: "0".into(),
            ok: count == 0 && of > 0,
        }
    }

    /// At most so many.
    pub(crate) fn most(name: &'static str, what: impl Into<Cow<'static, str>>, count: u64, most: u64) -> Check {
        let wanted = format!("<= {most}").into();
        Check { name, what: what.into(), measured: count.to_string(), wanted, ok: count <= most }
    }

    /// The measured figure with something that is told beside it.
    pub(crate) fn note(mut self, note: impl std::fmt::Display) -> Check {
        self.measured = format!("{} ({note})", self.measured);
        self
    }
}
