//! What does a space want most? A preset sets the knobs that follow from it; one that is set beside it wins.

use bellwether_core::policy::Policy;
use bellwether_core::time::Span;

/// What a space wants most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preset {
    /// Rather an error than something old.
    Fresh,
    /// Nobody waits at expiry; for a while rather something old than an error.
    Balanced,
    /// Whatever breaks, an answer.
    Fortress,
}

pub(super) const PRESETS: [(&str, Preset); 3] =
    [("fresh", Preset::Fresh), ("balanced", Preset::Balanced), ("fortress", Preset::Fortress)];

/// The longest that a preset serves stale while refreshes run.
const LONGEST_STALE: Span = Span::secs(3600);
/// The longest that a preset answers for an origin that is down: a night and the morning after.
const LONGEST_OUTAGE: Span = Span::secs(24 * 3600);

/// A policy with this ttl; without a preset every other knob is at its default.
pub(super) fn policy(preset: Option<Preset>, ttl: Span) -> Policy {
    let usual = Policy::ttl(ttl);
    let times = |factor: u64, longest: Span| Span(ttl.0.saturating_mul(factor)).at_most(longest);
    match preset {
        None => usual,
        Some(Preset::Fresh) => Policy {
            stale_while_revalidate: Span::ZERO,
            stale_if_error: Span::ZERO,
            // A row that has just been created should be seen soon.
            negative_ttl: Span::secs(1),
            rescue_invalidated: false,
            ..usual
        },
        Some(Preset::Balanced) => Policy {
            stale_while_revalidate: times(1, LONGEST_STALE),
            stale_if_error: times(10, LONGEST_OUTAGE),
            ..usual
        },
        Some(Preset::Fortress) => Policy {
            stale_while_revalidate: times(10, LONGEST_STALE),
            stale_if_error: LONGEST_OUTAGE,
            // Entries that were loaded together must not come due together while the origin is weak.
            jitter: 0.2,
            rescue_invalidated: true,
            ..usual
        },
    }
}
