//! How do entries outlive their process, or the memory that has no room for them? The seam to a tier on this
//! machine's disk.
//!
//! It belongs to one process at a time and orders by that process's own fences: entries are written behind, when there
//! is time for it, while an invalidation is acknowledged once it survives `kill -9`. What an earlier life of the
//! process has left is told as such ([`Held::earlier`]): nothing of it may be served as fresh.

use bellwether_core::entry::Kind;
use bellwether_core::fence::Fence;
pub use bellwether_core::read::shelf::OnRestart;
use bellwether_core::time::Span;
use futures_util::future::BoxFuture;

use crate::shared::{Envelope, TierError};

/// What an invalidation of many entries covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All entries of a space, by the number that they were put under.
    Space(u64),
    /// All entries under a tag, by [`tag_hash`](crate::shared::tag_hash).
    Tag(u64),
}

/// What the disk holds under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The entry, its ages and windows as of now. Never expired, never covered by an invalidation that was
    /// acknowledged.
    pub envelope: Envelope,
    /// An earlier life of the process stored it.
    pub earlier: bool,
}

/// What lies on disk under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lying {
    /// What the entry says; `None`: it can't be read any more.
    pub kind: Option<Kind>,
    /// Time since its load began; `None` as above.
    pub age: Option<Span>,
    /// Freshness left by its own ttl.
    pub fresh: Span,
    /// Time left until it is expired.
    pub kept: Span,
    /// Bytes of its value.
    pub bytes: u64,
    /// An earlier life of the process stored it: nothing of it is served as fresh.
    pub earlier: bool,
    /// Why nobody is served it; `None`: it may be served.
    pub unserved: Option<Unserved>,
}

/// Why something on disk is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unserved {
    /// Its time is over.
    Ended,
    /// A removal of its key, space or one of its tags covers it.
    Invalidated,
    /// The same, and the disk is being told of it at this moment.
    BeingInvalidated,
    /// The values of its space are made in another way by now.
    Remade,
    /// It is damaged.
    Unreadable,
}

impl Unserved {
    /// The word in explanations.
    pub const fn as_str(self) -> &'static str {
        match self {
            Unserved::Ended => "ended",
            Unserved::Invalidated => "invalidated",
            Unserved::BeingInvalidated => "being_invalidated",
            Unserved::Remade => "made_in_another_way",
            Unserved::Unreadable => "unreadable",
        }
    }
}

/// Whether the tier works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DiskState {
    /// It stores and answers.
    On,
    /// The disk failed: nothing is stored or found, memory serves. Tried again every so often.
    Off,
}

impl DiskState {
    /// The word in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            DiskState::On => "on",
            DiskState::Off => "off",
        }
    }
}

/// What a disk tier has done since it was opened, and how it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskCounts {
    /// Whether it works.
    pub state: DiskState,
    /// What an operator must know of: why it is off, or that a damaged file was set aside. In words.
    pub alert: Option<String>,
    /// Bytes that entries take in the file.
    pub used: u64,
    /// Bytes that its files may take.
    pub limit: u64,
    /// Found.
    pub hits: u64,
    /// Of these, left by an earlier life of the process.
    pub hits_earlier: u64,
    /// Not found, or not to be served.
    pub misses: u64,
    /// Not looked for: the tier is off, or too many asked at once.
    pub skipped: u64,
    /// Stored.
    pub stored: u64,
    /// Not stored: the queue was full, or the tier off.
    pub dropped: u64,
    /// Not stored: an invalidation or something newer came first.
    pub outdated: u64,
    /// Not stored: too large for this tier.
    pub too_large: u64,
    /// Deleted by the invalidation of their key.
    pub removed: u64,
    /// Deleted because they had expired.
    pub expired: u64,
    /// Deleted to keep the limit, soonest-expiring first.
    pub evicted: u64,
    /// Found damaged: a miss, and deleted.
    pub unreadable: u64,
    /// How often the file was found damaged and begun anew.
    pub set_aside: u64,
    /// How often the disk failed.
    pub failures: u64,
}

/// A place on this machine's disk for entries of one process.
///
/// What is removed or raised is covered for whoever asks from the moment of the call on, under whatever fence up to the
/// one given it was made; once the future says so, the process may end in any way and it stays covered. The futures
/// need not be polled for it to happen sooner or later, unless the tier's queue is full.
pub trait Disk: Send + Sync + 'static {
    /// What becomes of entries of an earlier life.
    fn on_restart(&self) -> OnRestart;

    /// What is under `key`, if it was put there under this number of its space and may still be served. `None` as well
    /// when nobody can tell soon.
    fn get<'a>(&'a self, key: &'a [u8], space: u64) -> BoxFuture<'a, Option<Held>>;

    /// What lies under `key`, whether it may be served or not; for whoever explains. Changes nothing and counts nothing.
    /// `None` as well when nobody can tell, or where the tier has no answer to this.
    fn look<'a>(&'a self, _key: &'a [u8], _space: u64) -> BoxFuture<'a, Option<Lying>> {
        Box::pin(std::future::ready(None))
    }

    /// Stores it when there is time: `envelope` was made under this process's `fence`. `space` names the space and how
    /// its values are made. Never waits; false if there is no room to queue it.
    fn put(&self, key: &[u8], space: u64, fence: Fence, envelope: Envelope) -> bool;

    /// Removes what was made under `fence` or before. True if a value was there that could still have been served. Waits
    /// for room in the queue and for the disk.
    fn remove(&self, key: &[u8], fence: Fence) -> BoxFuture<'static, Result<bool, TierError>>;

    /// Removes all that `scope` covers and was made under `fence` or before, however much that is, in one small write.
    fn raise(&self, scope: Scope, fence: Fence) -> BoxFuture<'static, Result<(), TierError>>;

    /// Returns once all that was put before is on disk, or was dropped.
    fn flush(&self) -> BoxFuture<'static, ()>;

    /// What it has done, and how it is.
    fn counts(&self) -> DiskCounts;
}
