//! What came out of a run? Counts that add up, quantiles, and a series over time.

use bellwether_core::time::Span;

use super::policy_set::PolicySet;

/// One policy set's run. The same case, set and seed give the same outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Which set.
    pub policy: PolicySet,
    /// Which seed.
    pub seed: u64,
    /// Requests = fresh + stale + failed + lost.
    pub requests: u64,
    /// Answered with a fresh value.
    pub fresh: u64,
    /// Answered with a stale one.
    pub stale: u64,
    /// Not answered by the caller's deadline, or with an error.
    pub failed: u64,
    /// Requests that waited for a load, whatever became of them.
    pub blocked: u64,
    /// Waiting times of all requests: half, 99 %, 99.9 % of them waited at most so long, and the longest.
    pub waits: Waits,
    /// The longest that an answer was past its ttl.
    pub oldest: Span,
    /// Loads that reached the origin.
    pub loads: u64,
    /// Of those, the ones given up or not answered.
    pub loads_failed: u64,
    /// Periods: times that a key's load began while none of it was under way.
    pub periods: u64,
    /// Loads that nothing can avoid: elapsed / mean(stamped ttl - lead), all keys together.
    pub due: f64,
    /// The most loads that began within one second (of whole seconds of the run).
    pub peak_loads: u64,
    /// The most loads that the origin had at once, those that wait there included.
    pub peak_at_origin: u64,
    /// Questions to the shared tier by leaders and by those who wait for a lease, repeated ones included.
    pub polls: u64,
    /// Requests that ended with the process that they were made of: in none of the other counts.
    pub lost: u64,
    /// From the start until nearly every request is a hit; `None`: not within the run.
    pub filled: Option<Span>,
    /// How the fleet came through a time of trouble.
    pub fault: Option<Through>,
    /// What an origin gave that was asked for too much.
    pub classes: Option<Classes>,
    /// What happened when.
    pub series: Vec<Bin>,
    /// The run was ended because it had more loads than [`super::MOST_TASKS`].
    pub cut_short: bool,
}

impl Outcome {
    /// Loads of a key between one time that none was under way and the next.
    pub fn loads_per_period(&self) -> f64 {
        self.loads as f64 / self.periods.max(1) as f64
    }

    /// Loads / loads that nothing can avoid.
    pub fn loads_ratio(&self) -> f64 {
        if self.due > 0.0 { self.loads as f64 / self.due } else { 0.0 }
    }
}

/// How classes fared, from the moment on that a case names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Classes {
    /// Requests of all classes that got a value in time, a second.
    pub goodput: f64,
    /// Share of the critical ones that did.
    pub critical: f64,
}

/// Quantiles of waiting times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// Median.
    pub p50: Span,
    /// Of 100 requests 99 waited at most so long.
    pub p99: Span,
    /// Of 1,000 requests 999.
    pub p999: Span,
    /// The longest.
    pub max: Span,
}

/// A time of trouble, seen from outside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Through {
    /// Share of the requests of that time that got a value.
    pub answered: f64,
    /// From the end of the trouble until the share of fresh answers is within 5 % of what it was before,
    /// second by second; `None`: not within the run.
    pub recovery: Option<Span>,
    /// Loads of that time / loads of an equally long time before.
    pub amplification: f64,
}

/// What happened in one stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bin {
    /// Requests that came.
    pub requests: u64,
    /// Of those that were answered in it, the fresh ones.
    pub fresh: u64,
    /// The stale ones.
    pub stale: u64,
    /// Those that got nothing.
    pub failed: u64,
    /// Those that waited for a load.
    pub blocked: u64,
    /// Loads that began.
    pub loads: u64,
    /// The most loads at the origin.
    pub at_origin: u64,
    /// Questions to the shared tier by leaders.
    pub polls: u64,
    /// 99 % of its answers waited at most so long.
    pub p99: Span,
}
