//! What is a row of the race table?

use futures_util::future::BoxFuture;

/// One race of one contender; the drill's name and words, as far as a library can play it.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// What happens.
    pub(crate) race: &'static str,
    /// What has to come out.
    pub(crate) wanted: &'static str,
    /// Plays it; what comes out.
    pub(crate) run: fn() -> BoxFuture<'static, String>,
}
