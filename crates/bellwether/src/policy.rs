//! How does a program say what it wants of a space? Knobs with durations as people write them.

use std::time::Duration;

use bellwether_core::policy as core;
use bellwether_core::policy::{Early, Priority};
use bellwether_core::time::Span;

/// A length of time: "60s", "250ms", "10m" (as in the configuration), a [`Duration`] or a [`Span`].
#[derive(Clone, Debug)]
pub struct Human(pub(crate) Result<Span, String>);

impl From<&str> for Human {
    fn from(text: &str) -> Human {
        Human(Span::parse(text))
    }
}
impl From<Duration> for Human {
    fn from(duration: Duration) -> Human {
        Human(Ok(duration.into()))
    }
}
impl From<Span> for Human {
    fn from(span: Span) -> Human {
        Human(Ok(span))
    }
}

/// How a space's entries live and how its callers wait.
///
/// ```
/// use bellwether::{Policy, Priority};
/// let policy = Policy::ttl("60s").grace("6h").timeout("500ms").priority(Priority::Critical);
/// ```
#[derive(Clone, Debug)]
pub struct Policy {
    knobs: core::Policy,
    unreadable: Vec<String>,
}

impl Policy {
    /// Fresh for `ttl`; every other knob at its default.
    pub fn ttl(ttl: impl Into<Human>) -> Policy {
        Policy { knobs: core::Policy::ttl(Span::ZERO), unreadable: Vec::new() }.set("ttl", ttl, |p, span| p.ttl = span)
    }

    /// How long after its ttl a value may still be served: at once while a refresh runs, and when a load failed.
    #[must_use]
    pub fn grace(self, grace: impl Into<Human>) -> Policy {
        self.set("grace", grace, |p, span| {
            p.stale_while_revalidate = span;
            p.stale_if_error = span;
        })
    }

    /// How long after its ttl a value is served at once while one refresh runs.
    #[must_use]
    pub fn stale_while_revalidate(self, window: impl Into<Human>) -> Policy {
        self.set("stale_while_revalidate", window, |p, span| p.stale_while_revalidate = span)
    }

    /// How long after its ttl a value is served when its load failed, timed out or was shed.
    #[must_use]
    pub fn stale_if_error(self, window: impl Into<Human>) -> Policy {
        self.set("stale_if_error", window, |p, span| p.stale_if_error = span)
    }

    /// A caller's deadline, unless it brings its own. Default 1 s.
    #[must_use]
    pub fn timeout(self, timeout: impl Into<Human>) -> Policy {
        self.set("timeout", timeout, |p, span| p.timeout = span)
    }

    /// How long "the row does not exist" is believed. Default 5 s.
    #[must_use]
    pub fn negative_ttl(self, ttl: impl Into<Human>) -> Policy {
        self.set("negative_ttl", ttl, |p, span| p.negative_ttl = span)
    }

    /// Share of the ttl that may be taken off at random, `0.0..=1.0`. Default 0.10.
    #[must_use]
    pub fn jitter(mut self, share: f64) -> Policy {
        self.knobs.jitter = share;
        self
    }

    /// When to refresh what is still fresh. Default [`Early::Lead`].
    #[must_use]
    pub fn early(mut self, early: Early) -> Policy {
        self.knobs.early = early;
        self
    }

    /// The class of this space's loads at the guard. Default [`Priority::Normal`].
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Policy {
        self.knobs.priority = priority;
        self
    }

    /// Loads of this space that may run at once, within what its origin bears: so that a slow report does not take all
    /// of it. Default: no limit of its own.
    #[must_use]
    pub fn max_concurrency(mut self, loads: u32) -> Policy {
        self.knobs.max_concurrency = Some(loads);
        self
    }

    /// Loads of this space a second, within its origin's rate. Default: no rate of its own.
    #[must_use]
    pub fn rate(mut self, per_second: f64) -> Policy {
        self.knobs.rate = Some(per_second);
        self
    }

    /// Whether an expired (not a removed) value may serve when its reload fails. Default no.
    #[must_use]
    pub fn rescue_invalidated(mut self, yes: bool) -> Policy {
        self.knobs.rescue_invalidated = yes;
        self
    }

    /// The staleness that reactions to hot keys may add. Default 2 s; zero: only what adds none is done.
    #[must_use]
    pub fn staleness_budget(self, budget: impl Into<Human>) -> Policy {
        self.set("staleness_budget", budget, |p, span| p.staleness_budget = span)
    }

    /// Whether memory answers. Default yes. No, for a space in a shared tier: each read asks that one; memory answers for
    /// hot keys for a while, within the staleness budget, and for all while the tier is silent. Of no effect without a
    /// shared tier.
    #[must_use]
    pub fn memory(mut self, answers: bool) -> Policy {
        self.knobs.memory = answers;
        self
    }

    fn set(mut self, knob: &str, value: impl Into<Human>, apply: impl FnOnce(&mut core::Policy, Span)) -> Policy {
        match value.into().0 {
            Ok(span) => apply(&mut self.knobs, span),
            Err(text) => self.unreadable.push(format!("{knob}: {text}")),
        }
        self
    }

    /// The knobs, or every mistake in them.
    pub(crate) fn resolve(self) -> Result<core::Policy, Vec<String>> {
        // A ttl that could not be read was said already; that it is therefore zero is no news.
        let read = |knob: &str| !self.unreadable.iter().any(|said| said.starts_with(knob));
        let senseless = self.knobs.mistakes().into_iter().filter(|(knob, _)| read(knob));
        let mut mistakes: Vec<String> = senseless.map(|(knob, text)| format!("{knob} {text}")).collect();
        mistakes.splice(0..0, self.unreadable.iter().cloned());
        if mistakes.is_empty() { Ok(self.knobs) } else { Err(mistakes) }
    }
}

impl From<core::Policy> for Policy {
    fn from(knobs: core::Policy) -> Policy {
        Policy { knobs, unreadable: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_told_at_once_and_none_twice() {
        let mistakes = Policy::ttl("60").grace("1x").jitter(2.0).resolve().expect_err("three mistakes");
        assert_eq!(mistakes.len(), 3, "{mistakes:?}");
        assert!(mistakes[0].starts_with("ttl: expected a duration"), "{mistakes:?}");
    }
}
