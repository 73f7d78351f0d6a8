//! What does a loader say? A value with its own terms, "missing", "not modified", or why it failed.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use bellwether_core::failure::FailClass;
use bellwether_core::time::Span;

/// What a loader found, with terms that override the space's policy for this answer alone.
#[derive(Debug)]
pub struct Loaded<V> {
    pub(crate) found: Found<V>,
    pub(crate) terms: Terms,
}

#[derive(Debug)]
pub(crate) enum Found<V> {
    Value(V),
    Missing,
    NotModified,
}

/// Terms of one answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Terms {
    pub(crate) ttl: Option<Span>,
    pub(crate) tags: Vec<Arc<str>>,
    pub(crate) version: Option<u64>,
    pub(crate) keep: Keep,
}

/// Whether an answer may be kept, and shared with callers who asked at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Keep {
    #[default]
    Yes,
    /// Not kept; those who already follow this load share it.
    No,
    /// Not kept and never shared: each follower loads for itself.
    Private,
}

impl<V> Loaded<V> {
    fn of(found: Found<V>) -> Loaded<V> {
        Loaded { found, terms: Terms::default() }
    }

    /// The origin has this value.
    pub fn value(value: V) -> Loaded<V> {
        Loaded::of(Found::Value(value))
    }

    /// The origin has no such row: remembered for `negative_ttl`.
    pub fn missing() -> Loaded<V> {
        Loaded::of(Found::Missing)
    }

    /// The value that [`crate::LoadCtx::stale`] showed is still right: its freshness starts anew.
    pub fn not_modified() -> Loaded<V> {
        Loaded::of(Found::NotModified)
    }

    /// Overrides the space's ttl for this answer. Zero means: do not keep it.
    #[must_use]
    pub fn ttl(mut self, ttl: impl Into<Span>) -> Loaded<V> {
        self.terms.ttl = Some(ttl.into());
        self
    }

    /// Adds a tag, for [`crate::Cache::expire_tag`].
    #[must_use]
    pub fn tag(mut self, tag: impl Into<Arc<str>>) -> Loaded<V> {
        self.terms.tags.push(tag.into());
        self
    }

    /// The origin's own version of the row: of two loads side by side the greater version is kept.
    #[must_use]
    pub fn version(mut self, version: u64) -> Loaded<V> {
        self.terms.version = Some(version);
        self
    }

    /// This answer must not be kept. Those who already follow the load share it; for the next
    /// ten seconds callers of this key load side by side.
    #[must_use]
    pub fn uncacheable(mut self) -> Loaded<V> {
        self.terms.keep = Keep::No;
        self
    }

    /// This answer is for one caller alone: neither kept nor shared.
    #[must_use]
    pub fn private(mut self) -> Loaded<V> {
        self.terms.keep = Keep::Private;
        self
    }

    /// The value, if there is one.
    pub fn as_value(&self) -> Option<&V> {
        match &self.found {
            Found::Value(value) => Some(value),
            Found::Missing | Found::NotModified => None,
        }
    }

    /// Is this [`Loaded::missing`]?
    pub fn is_missing(&self) -> bool {
        matches!(self.found, Found::Missing)
    }

    /// Is this [`Loaded::not_modified`]?
    pub fn is_not_modified(&self) -> bool {
        matches!(self.found, Found::NotModified)
    }

    /// Must this answer not be kept? True for private ones too.
    pub fn is_uncacheable(&self) -> bool {
        self.terms.keep != Keep::Yes
    }

    /// Is this answer for one caller alone?
    pub fn is_private(&self) -> bool {
        self.terms.keep == Keep::Private
    }

    /// The same answer with another value type.
    pub fn map<W>(self, f: impl FnOnce(V) -> W) -> Loaded<W> {
        let found = match self.found {
            Found::Value(value) => Found::Value(f(value)),
            Found::Missing => Found::Missing,
            Found::NotModified => Found::NotModified,
        };
        Loaded { found, terms: self.terms }
    }
}

impl<V> From<V> for Loaded<V> {
    fn from(value: V) -> Loaded<V> {
        Loaded::value(value)
    }
}

/// Why a loader failed. Any error converts into one (class `Failed`); the constructors name a
/// finer class, which decides the [`Why`](crate::Why) that callers see.
#[derive(Clone)]
pub struct LoadError {
    pub(crate) class: FailClass,
    pub(crate) source: Arc<dyn StdError + Send + Sync>,
}

impl LoadError {
    /// An error of the given class; `source` may be a plain string.
    pub fn new(class: FailClass, source: impl Into<Box<dyn StdError + Send + Sync>>) -> LoadError {
        LoadError { class, source: Arc::from(source.into()) }
    }

    /// The origin could not be reached or turned us away.
    pub fn refused(source: impl Into<Box<dyn StdError + Send + Sync>>) -> LoadError {
        LoadError::new(FailClass::Refused, source)
    }

    /// The origin's answer was not acceptable.
    pub fn rejected(source: impl Into<Box<dyn StdError + Send + Sync>>) -> LoadError {
        LoadError::new(FailClass::Rejected, source)
    }

    /// The class.
    pub fn class(&self) -> FailClass {
        self.class
    }
}

impl fmt::Debug for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LoadError({}: {})", self.class.as_str(), self.source)
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class.as_str(), self.source)
    }
}

// Like anyhow, this type is no `std::error::Error` itself, so that `?` works on any error.
impl<E: StdError + Send + Sync + 'static> From<E> for LoadError {
    fn from(error: E) -> LoadError {
        LoadError::new(FailClass::Failed, error)
    }
}
