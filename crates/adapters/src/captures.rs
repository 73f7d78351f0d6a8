//! What did the key's template capture? Names with typed values, ready to bind.

use std::sync::Arc;

/// One captured value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Capture {
    /// From `{x:int}`.
    Int(i64),
    /// From any other capture; UTF-8 was checked by whoever matched the key.
    Text(String),
}

impl From<i64> for Capture {
    fn from(value: i64) -> Capture {
        Capture::Int(value)
    }
}

impl From<&str> for Capture {
    fn from(value: &str) -> Capture {
        Capture::Text(value.to_owned())
    }
}

/// The captures of one key, in template order. A template has a handful, so a list beats a map.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Captures(Vec<(Arc<str>, Capture)>);

impl Captures {
    /// No captures: a template without placeholders.
    pub fn new() -> Captures {
        Captures::default()
    }

    /// Adds a capture.
    pub fn push(&mut self, name: Arc<str>, value: Capture) {
        self.0.push((name, value));
    }

    /// Adds a capture; for literals and tests.
    ///
    /// ```
    /// use bellwether_adapters::{Capture, Captures};
    /// let captures = Captures::new().with("id", 42);
    /// assert_eq!(captures.get("id"), Some(&Capture::Int(42)));
    /// ```
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Capture>) -> Captures {
        self.push(name.into(), value.into());
        self
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&Capture> {
        self.0.iter().find(|(known, _)| &**known == name).map(|(_, value)| value)
    }
}

impl FromIterator<(Arc<str>, Capture)> for Captures {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Capture)>>(pairs: I) -> Captures {
        Captures(pairs.into_iter().collect())
    }
}
