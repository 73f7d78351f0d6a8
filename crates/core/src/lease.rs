//! How long is the right to load a key, and when is its holder presumed gone?

use crate::time::Span;

/// The shortest lease that follows from load times.
pub const SHORTEST: Span = Span::ms(500);
/// The longest one.
pub const LONGEST: Span = Span::secs(10);
/// While load times are unknown: at most this long.
const UNKNOWN: Span = Span::secs(2);
/// So many load times of p99 are a lease.
const LOADS: u64 = 3;
/// A heartbeat is due after a lease's such part.
const BEATS: u64 = 3;

/// What a lease is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// There is nothing to serve: granted unless somebody holds it, or something fresh has come.
    Miss,
    /// What is there is served meanwhile: granted unless somebody holds it, or something newer than what the
    /// asker holds has come.
    Early,
    /// The holder is presumed gone: granted as well when it missed two heartbeats; its token is void then.
    Backup,
}

/// How long a lease is: three loads of p99, between 500 ms and 10 s; while load times are unknown the origin's
/// timeout, at most 2 s.
pub fn length(p99: Option<Span>, timeout: Span) -> Span {
    match p99 {
        Some(p99) => Span(p99.0.saturating_mul(LOADS)).max(SHORTEST).at_most(LONGEST),
        None => timeout.at_most(UNKNOWN).max(SHORTEST),
    }
}

/// How often its holder renews a lease.
pub fn heartbeat(lease: Span) -> Span {
    Span((lease.0 / BEATS).max(1))
}

/// After so long without a heartbeat a backup writer is let in: two are missed.
pub fn presumed_gone(lease: Span) -> Span {
    Span(lease.0.saturating_mul(BEATS - 1) / BEATS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_three_slow_loads_within_its_bounds() {
        let timeout = Span::secs(5);
        assert_eq!(length(Some(Span(400)), timeout), Span(1200));
        assert_eq!(length(Some(Span(1)), timeout), SHORTEST);
        assert_eq!(length(Some(Span(u64::MAX)), timeout), LONGEST);
        assert_eq!(length(None, timeout), Span(2000));
        assert_eq!(length(None, Span(700)), Span(700));
        assert_eq!(length(None, Span(20)), SHORTEST);
    }

    #[test]
    fn a_holder_beats_twice_before_it_is_presumed_gone() {
        let lease = Span(1200);
        assert!(Span(heartbeat(lease).0 * 2) <= presumed_gone(lease));
        assert!(presumed_gone(lease) < lease);
    }
}
