//! What can an origin do? Load one key, perhaps many at once, and say whether it is reachable.

use std::fmt;

use bellwether::{LoadError, Loaded};
use futures_util::future::BoxFuture;

use crate::{Captures, Payload};

#[cfg(feature = "http")]
pub(crate) mod http;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
pub(crate) mod sql;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;

/// One load under way.
pub type LoadFuture<'a> = BoxFuture<'a, Result<Loaded<Payload>, LoadError>>;

/// A batch under way. Each answer carries the index of its key in the request; an index that
/// does not appear is a missing row.
pub type BatchFuture<'a> = BoxFuture<'a, Result<Vec<(usize, Loaded<Payload>)>, LoadError>>;

/// A reachability check under way.
pub type CheckFuture<'a> = BoxFuture<'a, Result<(), LoadError>>;

/// Getting ready under way.
pub type ReadyFuture<'a> = BoxFuture<'a, Result<(), NotReady>>;

/// Takes the captures of one key after another, in the order of the template; false: that is enough.
pub type KeySink = Box<dyn FnMut(Vec<String>) -> bool + Send>;

/// A list of keys under way.
pub type KeysFuture<'a> = BoxFuture<'a, Result<(), LoadError>>;

/// Which keys has an origin? One space's, in the order in which it names them.
pub trait Keys: Send + Sync + 'static {
    /// Names them to `sink`. Nothing is collected here. Takes ten minutes at most.
    fn each(&self, sink: KeySink) -> KeysFuture<'_>;
}

/// Bytes of one value, unless a space says otherwise.
pub(crate) const MAX_VALUE_BYTES: usize = 8 << 20;

/// Naming all keys may take so long.
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "http"))]
pub(crate) const KEYS_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(600);

/// Which column of a statement that names keys holds which capture.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) fn key_columns(captures: &[std::sync::Arc<str>], columns: &[String]) -> Result<Vec<usize>, SetupError> {
    // The one column of the one capture may be called as it likes.
    if captures.len() == 1 && columns.len() == 1 {
        return Ok(vec![0]);
    }
    let column = |name: &std::sync::Arc<str>| columns.iter().position(|column| **column == **name);
    captures.iter().map(|name| column(name).ok_or(name)).collect::<Result<_, _>>().map_err(|name| {
        let found = format!("`keys` returns no column \"{name}\": it returns {}", listed("", columns));
        SetupError::new(found, "a column for each capture, under its name (AS), tells which keys there are")
            .about("keys")
    })
}

/// Why an origin is not ready for its first load.
#[derive(Clone, Debug)]
pub enum NotReady {
    /// What is said of the origin itself is wrong: a user, a database, a certificate.
    Origin(SetupError),
    /// What this space asks of it is wrong.
    Space(SetupError),
    /// It can't be asked now, which may pass: the first load gets it ready then.
    Later(LoadError),
}

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

    /// Does ahead of the first load whatever only a reachable origin can do, such as preparing statements, and finds
    /// out what is wrong with them. `None` if there is nothing of the kind. Takes no longer than a load may.
    fn ready(&self) -> Option<ReadyFuture<'_>> {
        None
    }
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
    #[cfg(any(
        feature = "sqlite",
        feature = "http",
        feature = "redis",
        feature = "disk",
        feature = "postgres",
        feature = "memcached"
    ))]
    pub(crate) fn new(problem: impl Into<String>, hint: impl Into<String>) -> SetupError {
        SetupError { problem: problem.into(), hint: hint.into(), knob: None }
    }

    #[cfg(any(feature = "sqlite", feature = "http", feature = "postgres", feature = "memcached"))]
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
#[cfg(any(feature = "sqlite", feature = "http", feature = "postgres"))]
pub(crate) fn listed<S: AsRef<str>>(prefix: &str, names: &[S]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.iter().map(|name| format!("{prefix}{}", name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// A connection that could not be made. Of the cause only its kind is told: its text may hold the
/// host's name or address.
#[cfg(any(feature = "http", feature = "postgres"))]
pub(crate) fn cannot_be_reached(error: &(dyn std::error::Error + 'static), who: &str) -> LoadError {
    use std::io;
    let mut cause = Some(error);
    let mut kind = None;
    while let Some(error) = cause {
        if error.is::<rustls::Error>() {
            return LoadError::refused("the TLS handshake failed");
        }
        let io = error.downcast_ref::<io::Error>();
        kind = io.map(io::Error::kind).or(kind);
        // What an I/O error wraps is not its source.
        let wrapped = io.and_then(io::Error::get_ref).map(|inner| inner as &(dyn std::error::Error + 'static));
        cause = wrapped.or_else(|| error.source());
    }
    match kind {
        Some(kind @ (io::ErrorKind::ConnectionRefused | io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable)) => {
            LoadError::refused(format!("{who} can't be reached: {kind}"))
        }
        _ => LoadError::refused(format!("{who} can't be reached")),
    }
}
