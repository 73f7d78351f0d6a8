//! What happens to a fleet when a process, or the engine it shares, freezes, dies, or comes back?
//!
//! Each incident starts real processes: an engine, several servers over it, an origin that counts, and callers. It does
//! to them what the incident's name says, and judges by what the origin saw and what the callers were told. In place of
//! our servers naive ones can be started, which must fail.

mod check;
mod clean;
mod engine;
mod fleet;
mod herd;
mod incident;
mod kind;
mod plays;
mod pulse;
mod run;
mod scale;
pub(crate) mod space;
mod stage;

pub use incident::Incident;
pub use kind::Kind;
pub use plays::ALL;
pub use run::{Options, Progress, run};
