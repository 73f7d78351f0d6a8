//! What is promised? The guarantees that a run is checked against.

/// A promise of the product, as far as one process can keep or break it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guarantee {
    /// G1: one load a key, at most two after an invalidation, none while memory can answer.
    OneLoad,
    /// G2: a read that begins after an invalidation never returns the older row.
    DeleteWins,
    /// Nobody gets an answer older than promised, or than demanded.
    NotOlderThanPromised,
    /// G3: what was loaded before an invalidation is not resident after it.
    NoLateWriter,
    /// Of two loads side by side the newer stays: by version where rows have one, else by begin.
    NewestStays,
    /// G4: every caller is answered once, by its deadline; nobody's impatience cancels a load.
    BoundedWaiting,
    /// G5: a private answer is never shared.
    ReplyBelongs,
    /// G9: concurrency and rates of the origin.
    OriginBudget,
    /// A key that failed is left alone, longer each time.
    CoolDown,
    /// No flight, permit, ticket or refresh outlives its work.
    NothingLost,
    /// Requests are the sum over their reasons, loads the origin's own count.
    CountsAddUp,
}
