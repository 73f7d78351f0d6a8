//! Where else may an entry live? The seam to a tier that several processes share.

use bellwether_core::entry::Kind;
use bellwether_core::fence::{Fence, Invalidation};
use bytes::Bytes;
use futures_util::future::BoxFuture;

/// An entry on its way to or from a shared tier. Durations travel, never moments: clocks of
/// different machines are not compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// What it says.
    pub kind: Kind,
    /// The fence of the load that made it.
    pub fence: Fence,
    /// Age in ms when it was handed over, counted from the start of its load.
    pub age_ms: u64,
    /// Fresh for this many more ms.
    pub fresh_ms: u64,
    /// Served stale while a refresh runs for this many ms after that.
    pub swr_ms: u32,
    /// Served after a failed load for this many ms after it was fresh; at least `swr_ms`.
    pub hard_ms: u32,
    /// How long its load took, in ms.
    pub cost_ms: u32,
    /// The origin's own version of the row.
    pub version: Option<u64>,
    /// The tags it was stored under.
    pub tags: Vec<String>,
    /// The encoded value; empty unless `kind` is a value.
    pub body: Bytes,
}

/// What a tier did with a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It holds it.
    Yes,
    /// It holds, or has removed, something newer.
    Outdated,
}

/// A tier could not do what it was asked. It never reaches a reader: the load goes on without it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct TierError(pub String);

/// A place that holds entries for several processes.
///
/// Every call is bounded by the cache's tier budget (50 ms a request) from outside.
pub trait Tier: Send + Sync + 'static {
    /// The entry under `key`, if any.
    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Envelope>, TierError>>;

    /// Stores `envelope` unless the tier holds or has removed something newer: the fence is compared inside the tier (G3).
    fn put<'a>(&'a self, key: &'a [u8], envelope: Envelope) -> BoxFuture<'a, Result<Stored, TierError>>;

    /// Invalidates `key` at `fence`; true if it was resident.
    fn invalidate<'a>(
        &'a self,
        key: &'a [u8],
        verb: Invalidation,
        fence: Fence,
    ) -> BoxFuture<'a, Result<bool, TierError>>;
}
