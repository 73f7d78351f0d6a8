//! Which defences does a fleet have? The policy sets that are compared, from none to all.

use std::fmt;

use bellwether_core::policy::{Early, Policy};

use super::case::Case;

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
}

impl PolicySet {
    /// From no defence to all of them.
    pub const ALL: [PolicySet; 7] = [
        PolicySet::Naive,
        PolicySet::PerProcess,
        PolicySet::Stale,
        PolicySet::XFetch,
        PolicySet::XFetchLocal,
        PolicySet::Lease,
        PolicySet::Lead,
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
            PolicySet::Lease => "coalescing, one lease per key in the fleet, guard; no grace",
            PolicySet::Lead => "lease, grace, early refresh by lead: Bellwether's default",
        }
    }

    /// The set named `word`.
    pub fn parse(word: &str) -> Option<PolicySet> {
        PolicySet::ALL.into_iter().find(|set| set.as_str().eq_ignore_ascii_case(word))
    }

    /// Whether a process loads a key once at a time.
    pub(crate) const fn coalesces(self) -> bool {
        !matches!(self, PolicySet::Naive | PolicySet::Stale | PolicySet::XFetch)
    }

    /// Whether a fleet loads a key once at a time: with memory tiers, guard and cool-down, as the product does.
    pub(crate) const fn leases(self) -> bool {
        matches!(self, PolicySet::Lease | PolicySet::Lead)
    }

    /// The knobs of its one space.
    pub(crate) fn knobs(self, case: &Case) -> Policy {
        let knobs = Policy {
            jitter: case.jitter,
            timeout: case.timeout,
            early: match self {
                PolicySet::XFetch | PolicySet::XFetchLocal => Early::XFetch { beta: case.beta },
                PolicySet::Lead => Early::Lead,
                PolicySet::Naive | PolicySet::PerProcess | PolicySet::Stale | PolicySet::Lease => Early::Off,
            },
            ..Policy::ttl(case.ttl)
        };
        match self {
            PolicySet::Stale | PolicySet::Lead => knobs.grace(case.grace),
            _ => knobs,
        }
    }
}

impl fmt::Display for PolicySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
