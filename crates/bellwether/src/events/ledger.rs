//! What does a process still owe the shared tier when it is killed? The seam to a place that remembers it.

use bellwether_core::fence::Invalidation;
use futures_util::future::BoxFuture;

/// An invalidation of which the shared tier could not be told yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Debt {
    /// The key, as it is named in the shared tier.
    pub name: Vec<u8>,
    /// Hard or soft: of several the harder one.
    pub verb: Invalidation,
    /// How often it was tried.
    pub tries: u32,
}

/// Remembers debts across restarts: one row per key.
pub trait Ledger: Send + Sync + 'static {
    /// Remembers a debt, in place of an older one of the same key. Ends once it is kept, or could not be: that is the
    /// ledger's to count and to log.
    fn owe(&self, debt: Debt) -> BoxFuture<'_, ()>;

    /// The tier knows now. Does not wait.
    fn paid(&self, name: &[u8]);

    /// What was owed when the process before this one ended. Called once, before anything else; it may block.
    fn debts(&self) -> Vec<Debt>;
}
