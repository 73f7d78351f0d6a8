//! What is a row of the race table?

use std::pin::Pin;

use crate::error::ClientError;
use crate::races::stage::Stage;

/// A row's run.
pub(crate) type Running<'a> = Pin<Box<dyn Future<Output = Result<Outcome, ClientError>> + Send + 'a>>;

/// One race.
pub(crate) struct Row {
    /// What `--only` takes.
    pub(crate) name: &'static str,
    /// What happens.
    pub(crate) race: &'static str,
    /// What has to come out, in words.
    pub(crate) wanted: &'static str,
    /// Runs and judges it.
    pub(crate) run: fn(&Stage) -> Running<'_>,
}

/// What came out.
pub(crate) struct Outcome {
    /// In words.
    pub(crate) measured: String,
    /// Is it what was wanted?
    pub(crate) ok: bool,
}

impl Outcome {
    pub(crate) fn new(measured: String, ok: bool) -> Outcome {
        Outcome { measured, ok }
    }

    /// So many of so many tries went wrong; none may.
    pub(crate) fn none_of(wrong: u64, tries: u64) -> Outcome {
        Outcome::new(format!("{wrong}/{tries}"), wrong == 0)
    }
}
