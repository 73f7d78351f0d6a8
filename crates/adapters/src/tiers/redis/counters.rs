//! What happened to this tier? Counts to be exported.

use bellwether::shared::TierTrouble;

use crate::tiers::counters::{Count, Misread};

/// Counts of a tier, over all its nodes.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) calls: Count,
    pub(super) unreachable: Count,
    pub(super) full: Count,
    pub(super) wrong_type: Count,
    pub(super) unfit: Count,
    pub(super) failed: Count,
    pub(super) turned_away: Count,
    pub(super) connects: Count,
    pub(super) lost: Count,
    pub(super) out_of_step: Count,
    pub(super) opened: Count,
    pub(super) script_fallbacks: Count,
    pub(super) redirects: Count,
    pub(super) large: Count,
    pub(super) woken: Count,
    pub(super) misread: Misread,
}

/// What a tier has done and how its nodes are, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisCounts {
    /// Calls of the tier.
    pub calls: u64,
    /// Calls that failed because no node could be reached in time, or none that takes writes.
    pub unreachable: u64,
    /// Of these: turned away by a breaker without a word to the node.
    pub turned_away: u64,
    /// Calls refused because the engine is full and evicts nothing.
    pub full: u64,
    /// Calls for keys that hold another type.
    pub wrong_type: u64,
    /// Values too long to be stored or fetched.
    pub unfit: u64,
    /// Calls that failed in another way.
    pub failed: u64,
    /// Connections made.
    pub connects: u64,
    /// Connections lost.
    pub lost: u64,
    /// Connections given up because answers no longer belonged to their questions.
    pub out_of_step: u64,
    /// How often a breaker opened.
    pub opened: u64,
    /// Scripts sent in full because a node did not know them.
    pub script_fallbacks: u64,
    /// Answers that pointed to another node.
    pub redirects: u64,
    /// Bodies that went over the connections for large values.
    pub large: u64,
    /// Waiters woken by a node's word that their key has changed.
    pub woken: u64,
    /// Cells that are no entry of this version, by reason: foreign values were handed out, all others were misses.
    pub misread: Vec<(&'static str, u64)>,
    /// The nodes that are known.
    pub nodes: Vec<NodeState>,
}

impl RedisCounts {
    /// What happened between this process and the nodes, by words for labels.
    pub fn events(&self) -> [(&'static str, u64); 7] {
        [
            ("turned_away", self.turned_away),
            ("opened", self.opened),
            ("out_of_step", self.out_of_step),
            ("script_in_full", self.script_fallbacks),
            ("redirected", self.redirects),
            ("large", self.large),
            ("woken", self.woken),
        ]
    }
}

/// How a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeState {
    /// Where it is.
    pub address: String,
    /// Whether callers are turned away.
    pub open: bool,
    /// Whether there is a connection.
    pub connected: bool,
    /// Whether calls go to it: to a replica only where reads do.
    pub in_use: bool,
    /// What keeps it from taking writes, as far as is known; always `None` of a replica.
    pub trouble: Option<TierTrouble>,
    /// How far its clock is ahead of this machine's, in µs, and by how much that may be wrong, if it is known.
    pub clock_us: Option<(i64, u64)>,
}
