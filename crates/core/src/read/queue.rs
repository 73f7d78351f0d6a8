//! Somebody else loads: when to look again, and when is its holder presumed gone?

use crate::draw::Draw;
use crate::lease::presumed_gone;
use crate::time::{Span, Tick};

/// How long a waiter pauses before it looks again, by how often it has looked.
pub const BACKOFF: [Span; 4] = [Span::ms(10), Span::ms(20), Span::ms(40), Span::ms(80)];
/// Of such a pause, taken off at random: waiters of many processes do not look together.
const JITTER: f64 = 0.5;
/// So long a waiter puts up with a tier that does not answer. It knows that somebody loads; a shorter silence is no
/// proof that nobody could tell it of the value.
pub const BLINK: Span = Span::ms(250);

/// What a walk must know of a shared tier.
#[derive(Clone, Copy, Debug)]
pub struct Sharing {
    /// How long a lease is: [`crate::lease::length`].
    pub lease: Span,
    /// The origin's timeout: no holder renews for longer.
    pub timeout: Span,
    /// How long a load usually takes.
    pub expected: Option<Span>,
    /// How long a value is fresh that the tier does not take: nobody would hear there of its end.
    pub unwatched: Span,
    /// The flight refreshes what is resident: only something newer will do.
    pub refresh: bool,
}

/// A walk's wait for another process's load.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Queue {
    pauses: u32,
    /// The wait as a whole ends here.
    until: Option<Tick>,
    /// The most that was ever seen left of the lease: at most its length.
    longest: Span,
    /// Since when the tier does not answer.
    silent_since: Option<Tick>,
}

impl Queue {
    pub(super) fn has_waited(&self) -> bool {
        self.pauses > 0
    }

    /// The tier answered.
    pub(super) fn answered(&mut self) {
        self.silent_since = None;
    }

    /// Whether a holder with so much left of its lease has missed two heartbeats, as far as can be told from here:
    /// `own` is how long a lease of ours would be. The tier knows the holder's, and decides.
    pub(super) fn presumes_gone(&mut self, left: Span, own: Span) -> bool {
        self.longest = self.longest.max(left);
        let lease = own.max(self.longest);
        left.0 <= lease.0 - presumed_gone(lease).0
    }

    /// The next pause; `None` once the wait as a whole took too long.
    pub(super) fn pause(&mut self, left: Span, sharing: &Sharing, now: Tick, draw: Draw) -> Option<Span> {
        let until = *self.until.get_or_insert(now + sharing.timeout + sharing.lease);
        if now >= until {
            return None;
        }
        self.longest = self.longest.max(left);
        let lease = sharing.lease.max(self.longest);
        let suspicious = Span(left.0.saturating_sub(lease.0 - presumed_gone(lease).0)).max(BACKOFF[0]);
        let pause = match self.pauses {
            0 => sharing.expected.unwrap_or(BACKOFF[0]).max(BACKOFF[0]).at_most(sharing.timeout.max(BACKOFF[0])),
            n => BACKOFF[(n as usize).min(BACKOFF.len() - 1)],
        };
        self.pauses += 1;
        Some(jittered(pause, draw).at_most(suspicious).at_most(until.since(now).max(Span(1))))
    }

    /// The tier did not answer: a pause for somebody who waits for a holder; `None`: nothing to wait for, or silent
    /// for too long.
    pub(super) fn silent(&mut self, now: Tick, draw: Draw) -> Option<Span> {
        self.until.filter(|until| now < *until)?;
        let since = *self.silent_since.get_or_insert(now);
        (now.since(since) < BLINK).then(|| jittered(BACKOFF[2], draw))
    }
}

pub(super) fn jittered(pause: Span, draw: Draw) -> Span {
    Span(pause.0 - pause.scale(JITTER * draw.unit()).0)
}
