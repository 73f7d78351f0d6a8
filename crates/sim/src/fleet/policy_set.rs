//! Which defences does a fleet have? The policy sets that are compared, from none to all.

use std::fmt;

use bellwether_core::policy::{Early, Policy};
use bellwether_core::time::Span;

use super::case::Case;

/// For how long it is believed that a key does not exist: the default.
const NEGATIVE_TTL: Span = Span::secs(5);
/// Of a fixed ramp.
const RAMP: Span = Span::secs(300);

/// What a fleet does about a popular key's expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PolicySet {
    /// Cache-aside on a shared cache: whoever finds nothing loads.
    Naive,
    /// The same with loads coalesced in each process.
    PerProcess,
    /// Stale-while-revalidate alone: whoever sees a stale value refreshes it.
    Stale,
    /// XFetch alone, without coalescing or lease.
    XFetch,
    /// XFetch with loads coalesced in each process.
    XFetchLocal,
    /// Coalescing, a fleet lease, memory and shared tier, guard and cool-down; no grace.
    Lease,
    /// The lease with grace and early refresh by lead.
    Lead,
    /// All of that, with refreshes that are due together paced over their grace, and a guard that follows its origin.
    Full,
    /// A lock in the shared cache without a heartbeat; who does not get it looks again and again.
    Lock,
    /// The lease in a fleet that lets requests in by and by.
    Ramp,
    /// Every read is one of the shared tier.
    Direct,
    /// Copies in each process, and each reader who finds one too old asks the shared tier himself.
    Apart,
}

impl PolicySet {
    /// From no defence to all of them: what an expiry is compared under.
    pub const ALL: [PolicySet; 8] = [
        PolicySet::Naive,
        PolicySet::PerProcess,
        PolicySet::Stale,
        PolicySet::XFetch,
        PolicySet::XFetchLocal,
        PolicySet::Lease,
        PolicySet::Lead,
        PolicySet::Full,
    ];

    /// The word on the command line and in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            PolicySet::Naive => "naive",
            PolicySet::PerProcess => "per-process",
            PolicySet::Stale => "swr",
            PolicySet::XFetch => "xfetch",
            PolicySet::XFetchLocal => "xfetch-local",
            PolicySet::Lease => "lease",
            PolicySet::Lead => "lead",
            PolicySet::Full => "full",
            PolicySet::Lock => "lock",
            PolicySet::Ramp => "ramp",
            PolicySet::Direct => "direct",
            PolicySet::Apart => "apart",
        }
    }

    /// What it does, in a line.
    pub const fn says(self) -> &'static str {
        match self {
            PolicySet::Naive => "cache-aside on a shared cache: whoever finds nothing loads",
            PolicySet::PerProcess => "cache-aside, loads coalesced in each process",
            PolicySet::Stale => "stale-while-revalidate alone: whoever sees a stale value refreshes it",
            PolicySet::XFetch => "XFetch alone: probabilistic early loads, nobody coordinates them",
            PolicySet::XFetchLocal => "XFetch, loads coalesced in each process",
            PolicySet::Lease => {
                "coalescing, one lease per key in the fleet, a fixed number of permits a process; no grace"
            }
            PolicySet::Lead => "lease, grace, early refresh by lead",
            PolicySet::Full => "lead, pacer, adaptive limit and breaker: all of Bellwether, as it is by default",
            PolicySet::Lock => "a lock in the shared cache (SET NX), no heartbeat; who does not get it polls",
            PolicySet::Ramp => "the lease, and a fixed ramp: requests are let in over 5 minutes",
            PolicySet::Direct => "no memory tier: every read is one of the shared tier",
            PolicySet::Apart => "a memory tier, but everybody who finds a copy too old asks the shared tier himself",
        }
    }

    /// Whether a process loads a key once at a time.
    pub(crate) const fn coalesces(self) -> bool {
        !matches!(self, PolicySet::Naive | PolicySet::Stale | PolicySet::XFetch | PolicySet::Lock)
            && !matches!(self, PolicySet::Direct | PolicySet::Apart)
    }

    /// Whether a fleet loads a key once at a time: with memory tiers, guard and cool-down, as the product does.
    pub(crate) const fn leases(self) -> bool {
        matches!(self, PolicySet::Lease | PolicySet::Lead | PolicySet::Full | PolicySet::Ramp)
    }

    /// Whether somebody who finds nothing asks the shared tier who may load.
    pub(crate) const fn asks_tier(self) -> bool {
        self.leases() || self.polls() || matches!(self, PolicySet::Apart)
    }

    /// Whether those who wait poll, for a lock that nobody takes from a holder that is gone.
    pub(crate) const fn polls(self) -> bool {
        matches!(self, PolicySet::Lock)
    }

    /// Whether each process has copies of its own.
    pub(crate) const fn remembers(self) -> bool {
        self.leases() || matches!(self, PolicySet::Apart)
    }

    /// Whether refreshes that are due together are spread over their grace.
    pub(crate) const fn paces(self) -> bool {
        matches!(self, PolicySet::Full)
    }

    /// Whether the guard follows its origin: an adaptive limit, and a breaker.
    pub(crate) const fn guards(self) -> bool {
        matches!(self, PolicySet::Full)
    }

    /// Whether there is a filter of the keys that exist, and somebody has said how long it may hide a new one.
    pub(crate) const fn filters(self) -> bool {
        matches!(self, PolicySet::Full)
    }

    /// Over how long requests are let in by and by.
    pub(crate) const fn ramp(self) -> Option<Span> {
        match self {
            PolicySet::Ramp => Some(RAMP),
            _ => None,
        }
    }

    /// The knobs of its one space.
    pub(crate) fn knobs(self, case: &Case) -> Policy {
        let knobs = Policy {
            jitter: case.jitter,
            timeout: case.timeout,
            // Without a defence nobody remembers that something does not exist.
            negative_ttl: if self == PolicySet::Naive { Span::ms(1) } else { NEGATIVE_TTL },
            early: match self {
                PolicySet::XFetch | PolicySet::XFetchLocal => Early::XFetch { beta: case.beta },
                PolicySet::Lead | PolicySet::Full => Early::Lead,
                PolicySet::Naive | PolicySet::PerProcess | PolicySet::Stale | PolicySet::Lock => Early::Off,
                PolicySet::Lease | PolicySet::Ramp | PolicySet::Direct | PolicySet::Apart => Early::Off,
            },
            ..Policy::ttl(case.ttl)
        };
        match self {
            PolicySet::Stale | PolicySet::Lead | PolicySet::Full => knobs.grace(case.grace),
            _ => knobs,
        }
    }
}

impl fmt::Display for PolicySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
