//! How do several processes share what they hold? The tier between them: opened, named, encoded, looked after.

pub(super) mod announced;
pub(super) mod backplane;
pub(super) mod codec;
mod identity;
pub(super) mod marker;
pub(super) mod naming;
mod start;
pub(super) mod tier;

pub(super) use start::{Fleet, open, seen};
pub use tier::SharedState;
