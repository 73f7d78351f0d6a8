//! Does a running server hold when callers race, leave and write at the worst moment?
//!
//! A drill drives real processes over real sockets and judges them from outside: by what an origin of its
//! own saw, and by what clients were answered. It knows nothing of the server's inside, so any endpoint can
//! be put in its place.
//!
//! Invariants: only keys under a throw-away prefix are touched; every wait has a limit; what a drill starts
//! it ends by its own process id, whatever happens.
#![forbid(unsafe_code)]

mod answer;
mod blocking;
mod catalogue;
mod client;
mod control;
mod error;
pub mod incidents;
mod interrupt;
mod key;
mod origin;
pub mod races;
mod report;
mod server;
mod target;

pub use catalogue::{Drill, drills};
pub use control::{Flaw, FleetFlaw, Nodes, serve_fleet};
pub use error::DrillError;
pub use origin::{Mode, Origin, Seen};
pub use report::{Judged, Report};
pub use target::{PASSWORD, Target};
