//! Does a backplane over a real Redis tell everything in order, and notice when it can't?
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by ending")]

mod checks;
mod fleet;
mod followed;
mod gaps;
mod heat;
mod moves;
mod order;
