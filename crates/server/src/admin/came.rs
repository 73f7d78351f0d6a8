//! What did requests come to, in few words? The closed list of reasons, for who has no time for all of them.

use bellwether::Why;

/// What a request came to, for who has no time for all the reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// A fresh answer without a load, "there is no such row" included.
    Hit,
    /// To a load, the caller's own or another's.
    Load,
    /// An answer past its freshness, or in place of a better one.
    Stale,
    /// No answer, for any reason.
    Error,
    /// Nothing that anybody waits for: a plain space without the key, a write that was refused.
    Other,
}

/// What a request of this outcome came to.
pub const fn came(why: Why) -> Came {
    match why {
        Why::Hit | Why::Negative | Why::NegativeType | Why::NegativeFilter => Came::Hit,
        Why::Loaded | Why::Coalesced | Why::Lone | Why::Bypass | Why::TooLarge | Why::Uncacheable => Came::Load,
        Why::StaleRefreshing
        | Why::StaleError
        | Why::StaleShed
        | Why::RescuedInvalidated
        | Why::Default
        | Why::Suspect => Came::Stale,
        Why::Timeout
        | Why::ShedQueue
        | Why::ShedRate
        | Why::ShedPriority
        | Why::ShedClient
        | Why::BreakerOpen
        | Why::Cooling
        | Why::OriginTimeout
        | Why::OriginRefused
        | Why::OriginFailed
        | Why::Rejected
        | Why::NoSpace => Came::Error,
        Why::Held | Why::NotCached | Why::ReadOnly | Why::InvalidationQueued => Came::Other,
    }
}
