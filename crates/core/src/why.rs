//! Why did a request end as it did? The closed list behind every metric label, log, header and `explain`.

macro_rules! whys {
    ($($variant:ident $text:literal $doc:literal,)*) => {
        /// The reason of an outcome. `requests = the sum over Why`, always.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Why { $(#[doc = $doc] $variant,)* }

        impl Why {
            /// Every reason, in the order of the contract.
            pub const ALL: &'static [Why] = &[$(Why::$variant,)*];
            /// How many there are (the size of a counter array).
            pub const COUNT: usize = Why::ALL.len();

            /// The word in labels, logs and headers.
            pub const fn as_str(self) -> &'static str {
                match self { $(Why::$variant => $text,)* }
            }
        }
    };
}

whys! {
    Hit "hit" "A fresh value from a tier.",
    StaleRefreshing "stale_refreshing" "A stale value inside `stale_while_revalidate`; one refresh runs.",
    StaleError "stale_error" "A stale value because the load failed or took too long.",
    StaleShed "stale_shed" "A stale value because the guard shed the load.",
    RescuedInvalidated "rescued_invalidated" "An expired body, kept as a rescue, because the load failed (opt-in).",
    Default "default" "The space's declared default, because the load failed.",
    Negative "negative" "The row is known not to exist.",
    NegativeType "negative_type" "A capture can't be of its type: no load needed to know that it does not exist.",
    NegativeFilter "negative_filter" "The filter of existing keys does not have it, within the time that new rows may be hidden.",
    Loaded "loaded" "This caller led the load.",
    Coalesced "coalesced" "This caller followed another's load.",
    Held "held" "Another client holds the token of a plain space.",
    Lone "lone" "Loaded without a lease because the arbiter was gone.",
    Bypass "bypass" "The caller asked to pass the cache by.",
    NotCached "not_cached" "A plain space does not hold the key.",
    Suspect "suspect" "A tier's continuity could not be proven.",
    Timeout "timeout" "The caller's own deadline passed.",
    ShedQueue "shed_queue" "The guard's queue was full or the wait in it too long.",
    ShedRate "shed_rate" "The origin's rate limit.",
    ShedPriority "shed_priority" "Shed because its class is low.",
    ShedClient "shed_client" "This client has asked in vain too often.",
    BreakerOpen "breaker_open" "The origin's breaker is open.",
    Cooling "cooling" "The key's last load failed a moment ago.",
    OriginTimeout "origin_timeout" "The load took longer than the origin's timeout.",
    OriginRefused "origin_refused" "The origin could not be reached or turned us away.",
    OriginFailed "origin_failed" "The origin answered with an error, or the loader panicked.",
    Rejected "rejected" "The origin's answer was not acceptable (wrong status, type, shape).",
    TooLarge "too_large" "Delivered, but too large to keep.",
    Uncacheable "uncacheable" "Delivered, but its origin forbids keeping it.",
    NoSpace "no_space" "No space matches the key.",
    ReadOnly "read_only" "A write to a space without write mode.",
    InvalidationQueued "invalidation_queued" "The removal holds here; the shared tier will follow.",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_distinct_and_indexed_by_position() {
        let words: std::collections::HashSet<_> = Why::ALL.iter().map(|w| w.as_str()).collect();
        assert_eq!(words.len(), Why::COUNT);
        for (position, why) in Why::ALL.iter().enumerate() {
            assert_eq!(*why as usize, position);
        }
    }
}
