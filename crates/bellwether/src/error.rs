//! What went wrong for a caller? One opaque error, cheap to clone: followers share it.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use bellwether_core::failure::FailClass;
use bellwether_core::time::Span;
use bellwether_core::why::Why;

use crate::eviction::Eviction;

/// Why a read gave no value.
///
/// ```
/// # async fn demo(users: bellwether::Space<u64, String>) {
/// # use bellwether::Loaded;
/// let name = users.get(&7).or_load(|_| async { Ok::<_, std::io::Error>(Loaded::missing()) }).await;
/// assert!(name.unwrap_err().is_missing());
/// # }
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    why: Why,
    detail: Option<String>,
    class: Option<FailClass>,
    retry_after: Option<Span>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    fn of(why: Why) -> Inner {
        Inner { why, detail: None, class: None, retry_after: None, source: None }
    }

    pub(crate) fn new(why: Why) -> Error {
        Error(Arc::new(Error::of(why)))
    }

    pub(crate) fn later(why: Why, retry_after: Option<Span>) -> Error {
        Error(Arc::new(Inner { retry_after, ..Error::of(why) }))
    }

    pub(crate) fn origin(
        class: FailClass,
        retry_after: Option<Span>,
        source: Arc<dyn StdError + Send + Sync>,
    ) -> Error {
        Error(Arc::new(Inner { class: Some(class), retry_after, source: Some(source), ..Error::of(class.why()) }))
    }

    pub(crate) fn explained(why: Why, detail: String) -> Error {
        Error(Arc::new(Inner { detail: Some(detail), ..Error::of(why) }))
    }

    /// The reason, from the closed list.
    pub fn why(&self) -> Why {
        self.0.why
    }

    /// The class of the failed load, if a load failed.
    pub fn class(&self) -> Option<FailClass> {
        self.0.class
    }

    /// When asking again makes sense.
    pub fn retry_after(&self) -> Option<Span> {
        self.0.retry_after
    }

    /// The origin has no such row. Not a failure: nil, 404, `None`.
    pub fn is_missing(&self) -> bool {
        matches!(self.0.why, Why::Negative | Why::NegativeType | Why::NegativeFilter)
    }

    /// The caller's own deadline passed.
    pub fn is_timeout(&self) -> bool {
        self.0.why == Why::Timeout
    }

    /// The guard kept the load from the origin, or the key cools down after a failure.
    pub fn is_shed(&self) -> bool {
        let of_guard = matches!(self.0.why, Why::ShedQueue | Why::ShedRate | Why::ShedPriority | Why::BreakerOpen);
        of_guard || matches!(self.0.why, Why::ShedClient | Why::Cooling)
    }

    /// The load failed at the origin.
    pub fn is_origin(&self) -> bool {
        matches!(self.0.why, Why::OriginTimeout | Why::OriginRefused | Why::OriginFailed | Why::Rejected)
    }

    /// Nothing resident, and the caller forbade a load.
    pub fn is_not_cached(&self) -> bool {
        self.0.why == Why::NotCached
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.is_timeout() || self.is_shed() || (self.is_origin() && self.0.why != Why::Rejected)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0.why {
            Why::Negative | Why::NegativeType | Why::NegativeFilter => "the row does not exist",
            Why::Timeout => "the caller's deadline passed",
            Why::Cooling => "the key's last load failed a moment ago",
            Why::NotCached => "not cached, and the caller forbade a load",
            Why::OriginTimeout => "the load took longer than the origin's timeout",
            Why::OriginRefused => "the origin could not be reached or turned us away",
            Why::OriginFailed => "the load failed",
            Why::Rejected => "the origin's answer was not acceptable",
            _ => "the load was shed to protect the origin",
        };
        write!(f, "{text} ({})", self.0.why.as_str())?;
        if let Some(detail) = &self.0.detail {
            write!(f, ": {detail}")?;
        }
        if let Some(after) = self.0.retry_after {
            write!(f, ", retry after {after}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({self}")?;
        if let Some(source) = &self.0.source {
            write!(f, ": {source}")?;
        }
        f.write_str(")")
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|source| &**source as &(dyn StdError + 'static))
    }
}

/// Turns "the row does not exist" into `None`.
pub trait OptionalExt<T> {
    /// `Ok(None)` for a missing row, every other outcome as it was.
    ///
    /// # Errors
    /// Whatever was no missing row.
    fn optional(self) -> Result<Option<T>, Error>;
}

impl<T> OptionalExt<T> for Result<T, Error> {
    fn optional(self) -> Result<Option<T>, Error> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A cache could not be built, or a space not be declared.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SetupError {
    /// A knob has a value that makes no sense; all such knobs at once.
    #[error("space '{space}': {}", .mistakes.join("; "))]
    Policy {
        /// The space.
        space: String,
        /// A sentence each, beginning with the knob.
        mistakes: Vec<String>,
    },
    /// From when on a key is hot makes no sense.
    #[error("hot keys: {}", .0.join("; "))]
    Hot(
        /// A sentence each, beginning with the knob.
        Vec<String>,
    ),
    /// An origin's budget makes no sense.
    #[error("origin '{origin}': {}", .mistakes.join("; "))]
    Budget {
        /// The origin.
        origin: String,
        /// A sentence each, beginning with the knob.
        mistakes: Vec<String>,
    },
    /// A space of that name exists with another key or value type or policy.
    #[error("space '{0}' is declared already: keep the first `Space` and clone it")]
    Twice(String),
    /// A space can't begin anew while the shared tier holds values under its name.
    #[error("space '{0}' lives in the shared tier, where its old values would be found again: give it another name")]
    Shared(String),
    /// A revision that began before another was committed.
    #[error("another revision was committed since this one began: begin again from the cache as it is now")]
    Overtaken,
    /// An origin of that name exists: in metrics the two would be one.
    #[error("origin '{0}' is declared already: keep the first `Origin` and clone it")]
    OriginTwice(String),
    /// The memory limit could not be read or is too small.
    #[error("memory limit: {0}")]
    Memory(String),
    /// A time of the shared tier could not be read.
    #[error("shared tier: {0}")]
    SharedTime(String),
    /// This build lacks the eviction policy.
    #[error(
        "eviction = \"{0}\" is not in this build: enable the cargo feature `foyer` of the crate bellwether, or use \"auto\""
    )]
    Eviction(Eviction),
    /// The loads' own runtime could not be started.
    #[error("can't start the runtime for loads: {0}")]
    Runtime(String),
}
