//! Which races does an endpoint lose?
//!
//! The drill's origin holds versioned rows, so that an older value is seen to be one, and counts what it is
//! asked. An endpoint that reads through to it is raced row by row; a row's verdict comes from what the origin
//! saw and what callers were told, hardly ever from a clock.

mod preflight;
mod row;
mod rows;
mod run;
mod scale;
pub(crate) mod space;
mod stage;

pub use run::{Options, Progress, Subject, run};
pub use space::{ORIGIN, config};

/// The names of the rows with what happens in each, in the order of the table.
pub fn rows() -> impl Iterator<Item = (&'static str, &'static str)> {
    rows::all().map(|row| (row.name, row.race))
}
