//! What is wrong with a template?

use std::fmt;

/// What is wrong with a template, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// Byte offset in the text.
    pub at: usize,
    /// What stands there.
    pub found: String,
    /// What may stand there.
    pub expected: String,
    /// What to write, where that is known.
    pub hint: Option<String>,
}

impl TemplateError {
    pub(super) fn new(at: usize, found: impl Into<String>, expected: impl Into<String>) -> TemplateError {
        TemplateError { at, found: found.into(), expected: expected.into(), hint: None }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> TemplateError {
        TemplateError { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: found {}; expected {}", self.at, self.found, self.expected)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "; hint: {hint}"))
    }
}

impl std::error::Error for TemplateError {}
