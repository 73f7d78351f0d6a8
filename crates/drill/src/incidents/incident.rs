//! What is an incident?

use std::pin::Pin;
use std::time::Duration;

use crate::control::FleetFlaw;
use crate::error::DrillError;
use crate::incidents::check::Check;
use crate::incidents::kind::Kind;
use crate::incidents::stage::Stage;

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
    /// For so long a server waits for the engine's answer before it takes it for silent.
    pub(crate) budget: Duration,
    /// Whether there is a space whose keys the origin names, for a filter of those that exist.
    pub(crate) filters: bool,
    pub(crate) play: for<'a> fn(&'a mut Stage) -> Playing<'a>,
}
