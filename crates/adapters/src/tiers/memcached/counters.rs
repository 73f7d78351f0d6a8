//! What happened to this tier? Counts to be exported.

use bellwether::shared::TierTrouble;

use crate::tiers::counters::{Count, Misread};

/// Counts of a tier, over all its servers.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) calls: Count,
    pub(super) unreachable: Count,
    pub(super) full: Count,
    pub(super) unfit: Count,
    pub(super) failed: Count,
    pub(super) contended: Count,
    pub(super) untrusted: Count,
    pub(super) misread: Misread,
}

/// What a tier has done and how its servers are, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemcachedCounts {
    /// Requests sent, or turned away.
    pub calls: u64,
    /// Requests that failed because a server could not be reached in time, or was left alone.
    pub unreachable: u64,
    /// Requests that a full server refused.
    pub full: u64,
    /// Values that are too long for a server.
    pub unfit: u64,
    /// Requests that failed in another way.
    pub failed: u64,
    /// Steps that were taken again because somebody was quicker.
    pub contended: u64,
    /// Values passed over because their keys lived on another server since.
    pub untrusted: u64,
    /// Cells that are no entry of this version, by reason: foreign values were handed out, all others were misses.
    pub misread: Vec<(&'static str, u64)>,
    /// Whether these servers are others than it was opened with, because the fleet uses them.
    pub follows: bool,
    /// Servers that are used, and whether they can be asked.
    pub servers: Vec<(String, bool)>,
    /// Of these: those that take no writes, and what keeps them from it.
    pub troubles: Vec<(String, TierTrouble)>,
}

impl MemcachedCounts {
    /// What happened between this process and the servers, by words for labels.
    pub fn events(&self) -> [(&'static str, u64); 2] {
        [("contended", self.contended), ("untrusted", self.untrusted)]
    }
}
