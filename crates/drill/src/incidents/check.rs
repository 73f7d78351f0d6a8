//! What comes out of an incident?

use std::borrow::Cow;

use crate::error::DrillError;

/// What became of a part of an incident: a server that can't be asked has lost it, and is no reason to leave the
/// other parts out.
pub(crate) fn part(name: &'static str, played: Result<Vec<Check>, DrillError>) -> Result<Vec<Check>, DrillError> {
    match played {
        Err(error @ DrillError::Unreachable { .. }) => Ok(vec![Check {
            name,
            what: "servers are asked".into(),
            measured: error.to_string(),
            wanted: "an answer".into(),
            ok: false,
        }]),
        played => played,
    }
}

/// One thing that was looked at, judged.
pub(crate) struct Check {
    pub(crate) name: &'static str,
    /// What was counted or measured.
    pub(crate) what: Cow<'static, str>,
    pub(crate) measured: String,
    pub(crate) wanted: Cow<'static, str>,
    pub(crate) ok: bool,
}

impl Check {
    /// None may be.
    pub(crate) fn none(name: &'static str, what: impl Into<Cow<'static, str>>, count: u64, of: u64) -> Check {
        Check {
            name,
            what: what.into(),
            measured: format!("{count}/{of}"),
            wanted: "0".into(),
            ok: count == 0 && of > 0,
        }
    }

    /// At most so many.
    pub(crate) fn most(name: &'static str, what: impl Into<Cow<'static, str>>, count: u64, most: u64) -> Check {
        let wanted = format!("<= {most}").into();
        Check { name, what: what.into(), measured: count.to_string(), wanted, ok: count <= most }
    }

    /// Some, and of a hundred at most so many: fewer than one says that what should have happened did not.
    pub(crate) fn some_of_100(
        name: &'static str,
        what: impl Into<Cow<'static, str>>,
        count: u64,
        of: usize,
        most: u64,
    ) -> Check {
        let of = of as u64;
        Check {
            name,
            what: what.into(),
            measured: format!("{:.1}", 100.0 * count as f64 / of as f64),
            wanted: format!("<= {most}").into(),
            ok: count > 0 && 100 * count <= most * of,
        }
    }

    /// The measured figure with something that is told beside it.
    pub(crate) fn note(mut self, note: impl std::fmt::Display) -> Check {
        self.measured = format!("{} ({note})", self.measured);
        self
    }
}
