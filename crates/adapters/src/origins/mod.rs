//! What can an origin do? Load one key, perhaps many at once, and say whether it is reachable.

use std::fmt;

use bellwether::{LoadError, Loaded};
use futures_util::future::BoxFuture;

use crate::{Captures, Payload};

#[cfg(feature = "http")]
pub(crate) mod http;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;

/// One load under way.
pub type LoadFuture<'a> = BoxFuture<'a, Result<Loaded<Payload>, LoadError>>;

/// A batch under way. Each answer carries the index of its key in the request; an index that
/// does not appear is a missing row.
pub type BatchFuture<'a> = BoxFuture<'a, Result<Vec<(usize, Loaded<Payload>)>, LoadError>>;

/// A reachability check under way.
pub type CheckFuture<'a> = BoxFuture<'a, Result<(), LoadError>>;

/// The origin of one space.
///
/// Futures are boxed, since origins are called on misses only. Dropping a future really stops
/// the work behind it and frees its slot; that is how the engine applies an origin's timeout.
/// Error texts never hold SQL, URLs, hosts or values: they go to clients.
pub trait Origin: Send + Sync + 'static {
    /// Loads the value of one key. `have` is the body the caller still holds, if any: an origin
    /// with validators may answer [`Loaded::not_modified`].
    fn load<'a>(&'a self, captures: Captures, have: Option<&'a Payload>) -> LoadFuture<'a>;

    /// Loads many keys in one round trip, or `None` if this space has no batch query. One bad row
    /// fails the whole batch: the caller retries key by key and finds out whose it was.
    fn load_many(&self, captures: Vec<Captures>) -> Option<BatchFuture<'_>>;

    /// Whether keys with these captures can't have a value, so that nobody needs to be asked: not
    /// even a flight is begun for them.
    fn never(&self, _captures: &Captures) -> bool {
        false
    }

    /// Can the origin be reached right now?
    fn check(&self) -> CheckFuture<'_>;
}

/// Why an origin can't be set up as configured: told to the operator at start, so it may name
/// paths, tables and columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetupError {
    problem: String,
    hint: String,
    /// The knob that is wrong, where it is not the main one.
    knob: Option<&'static str>,
}

impl SetupError {
    #[cfg(any(feature = "sqlite", feature = "http", feature = "redis", feature = "disk"))]
    pub(crate) fn new(problem: impl Into<String>, hint: impl Into<String>) -> SetupError {
        SetupError { problem: problem.into(), hint: hint.into(), knob: None }
    }

    #[cfg(any(feature = "sqlite", feature = "http"))]
    pub(crate) fn about(self, knob: &'static str) -> SetupError {
        SetupError { knob: Some(knob), ..self }
    }

    /// The knob that is wrong (`many`, `column`, `accept`), where it is not the one that says what
    /// is asked for (`query`, `get`).
    pub fn knob(&self) -> Option<&'static str> {
        self.knob
    }

    /// What is wrong.
    pub fn problem(&self) -> &str {
        &self.problem
    }

    /// What to do about it.
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.problem, self.hint)
    }
}

impl std::error::Error for SetupError {}

/// "`:a`, `:b`", or "none": for hints that list what exists.
#[cfg(any(feature = "sqlite", feature = "http"))]
pub(crate) fn listed<S: AsRef<str>>(prefix: &str, names: &[S]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.iter().map(|name| format!("{prefix}{}", name.as_ref())).collect::<Vec<_>>().join(", ")
}
