//! How can a load fail? The classes that callers, metrics and the guard tell apart.

use crate::why::Why;

/// The class of a failed load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailClass {
    /// It took longer than the origin's timeout.
    Timeout,
    /// The origin said that it is overloaded (HTTP 429 or 503, "too many connections").
    Overloaded,
    /// The origin could not be reached or turned us away.
    Refused,
    /// The origin answered with an error, or the loader panicked.
    Failed,
    /// The origin's answer was not acceptable: wrong status, type or shape.
    Rejected,
}

impl FailClass {
    /// The reason that callers see.
    pub const fn why(self) -> Why {
        match self {
            FailClass::Timeout => Why::OriginTimeout,
            FailClass::Overloaded | FailClass::Refused => Why::OriginRefused,
            FailClass::Failed => Why::OriginFailed,
            FailClass::Rejected => Why::Rejected,
        }
    }

    /// The word in replies: `-BWORIGIN <class>: …`.
    pub const fn as_str(self) -> &'static str {
        match self {
            FailClass::Timeout => "timeout",
            FailClass::Overloaded => "overloaded",
            FailClass::Refused => "refused",
            FailClass::Failed => "failed",
            FailClass::Rejected => "rejected",
        }
    }
}
