//! What was this space promised? Policy is data: the knobs of a space and of an origin.

use crate::time::Span;

/// How a space's entries live and how its callers wait.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Fresh for this long, counted from the end of the load.
    pub ttl: Span,
    /// After `ttl`: served at once while one refresh runs.
    pub stale_while_revalidate: Span,
    /// After `ttl`: served only when the load failed, timed out or was shed.
    pub stale_if_error: Span,
    /// A caller's deadline, counted from when its request was parsed.
    pub timeout: Span,
    /// How long "the row does not exist" is believed. No grace, never rescued.
    pub negative_ttl: Span,
    /// Share of the ttl that may be taken off at random, so that entries don't expire together. `0.0..=1.0`.
    pub jitter: f64,
    /// Refresh before expiry.
    pub early: Early,
    /// The class of this space's loads at the guard.
    pub priority: Priority,
    /// Loads of this space that may run at once, within what its origin bears; `None`: all of that.
    pub max_concurrency: Option<u32>,
    /// Loads of this space a second, within its origin's rate.
    pub rate: Option<f64>,
    /// Whether an expired (not a removed) body may serve when its reload fails.
    pub rescue_invalidated: bool,
    /// The staleness that reactions to hot keys may add, all of them together.
    pub staleness_budget: Span,
    /// Memory answers. False, where there is a shared tier: each read asks that one, and memory answers for hot keys for
    /// a while, within `staleness_budget`, and for all while the tier is silent.
    pub memory: bool,
}

/// When to refresh an entry that is still fresh.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Early {
    /// Never.
    Off,
    /// About 1.2 x the p99 load time ahead of expiry, where the key is asked for often enough.
    Lead,
    /// Probabilistically (Vattani, Chierichetti, Lowenstein: "Optimal Probabilistic Cache
    /// Stampede Prevention", VLDB 2015): reload if `now - cost * beta * ln(u) >= expiry`.
    XFetch {
        /// Larger = earlier. 2 to 4 is sensible.
        beta: f64,
    },
}

/// Who goes first at the guard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Priority {
    /// Refreshes and warming: nobody waits.
    Background,
    /// Shed first among those with a caller.
    Low,
    /// Unless said otherwise.
    #[default]
    Normal,
    /// Shed last.
    Critical,
}

impl Priority {
    /// From the most to the least important.
    pub const ALL: [Priority; 4] = [Priority::Critical, Priority::Normal, Priority::Low, Priority::Background];

    /// The word in configuration and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Priority::Background => "background",
            Priority::Low => "low",
            Priority::Normal => "normal",
            Priority::Critical => "critical",
        }
    }

    /// The class that `word` names, in any letter case.
    pub fn parse(word: &str) -> Option<Priority> {
        Priority::ALL.into_iter().find(|p| p.as_str().eq_ignore_ascii_case(word))
    }
}

/// What an origin may be asked to bear (G9): never exceeded, by any path.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// The most loads that may run at once.
    pub max_concurrency: u32,
    /// Whether fewer run at once while loads take longer than usual: the limit follows the origin, between 1 and
    /// `max_concurrency`.
    pub adaptive: bool,
    /// Whether an origin that fails is left alone: see [`crate::guard::breaker`].
    pub breaker: bool,
    /// Loads a second, all paths together.
    pub rate: Option<f64>,
    /// Loads a second that nobody waits for (early, background, warming); below `rate`.
    pub refresh_rate: Option<f64>,
    /// After this long a load is cut off. A caller's own timeout never cuts it.
    pub timeout: Span,
    /// The longest a load may wait for its permit.
    pub queue_wait: Span,
    /// Loads that may wait for a permit; more are shed at once.
    pub queue_limit: usize,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget {
            max_concurrency: 16,
            adaptive: true,
            breaker: true,
            rate: None,
            refresh_rate: None,
            timeout: Span::secs(2),
            queue_wait: Span::ms(500),
            queue_limit: 10_000,
        }
    }
}

impl Policy {
    /// Fresh for `ttl`, every other knob at its default.
    pub fn ttl(ttl: Span) -> Policy {
        Policy {
            ttl,
            stale_while_revalidate: Span::ZERO,
            stale_if_error: Span::ZERO,
            timeout: Span::secs(1),
            negative_ttl: Span::secs(5),
            jitter: 0.10,
            early: Early::Lead,
            priority: Priority::Normal,
            max_concurrency: None,
            rate: None,
            rescue_invalidated: false,
            staleness_budget: Span::secs(2),
            memory: true,
        }
    }

    /// Both stale windows at once.
    #[must_use]
    pub fn grace(self, grace: Span) -> Policy {
        Policy { stale_while_revalidate: grace, stale_if_error: grace, ..self }
    }

    /// What is wrong with these knobs: knob and sentence, all at once.
    pub fn mistakes(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let mut say = |knob, text: String| found.push((knob, text));
        if self.ttl == Span::ZERO {
            say("ttl", "must be longer than zero".into());
        }
        for (knob, span) in [
            ("ttl", self.ttl),
            ("stale_while_revalidate", self.stale_while_revalidate),
            ("stale_if_error", self.stale_if_error),
            ("negative_ttl", self.negative_ttl),
            ("staleness_budget", self.staleness_budget),
        ] {
            if span > Span::LONGEST {
                say(knob, format!("is longer than the limit of {}", Span::LONGEST));
            }
        }
        // Windows after the ttl are kept in 32 bits of milliseconds.
        for (knob, span) in
            [("stale_while_revalidate", self.stale_while_revalidate), ("stale_if_error", self.stale_if_error)]
        {
            if span.0 > u64::from(u32::MAX) && span <= Span::LONGEST {
                say(knob, format!("{span} is longer than the limit of 49 days"));
            }
        }
        if self.timeout == Span::ZERO {
            say("timeout", "must be longer than zero: it is how long a caller waits".into());
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            say("jitter", format!("must lie between 0% and 100%, found {}%", self.jitter * 100.0));
        }
        if self.max_concurrency == Some(0) {
            say("max_concurrency", "must be at least 1, or nothing could ever be loaded".into());
        }
        if self.rate.is_some_and(|rate| !(rate.is_finite() && rate > 0.0)) {
            say("rate", "must be above zero, for example \"100/s\"".into());
        }
        if let Early::XFetch { beta } = self.early
            && !(beta.is_finite() && beta > 0.0)
        {
            say("early", format!("beta must be above zero, found {beta}"));
        }
        found
    }
}

impl Budget {
    /// What is wrong with these knobs: knob and sentence, all at once.
    pub fn mistakes(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        if self.max_concurrency == 0 {
            found.push(("max_concurrency", "must be at least 1, or nothing could ever be loaded".to_owned()));
        }
        if self.timeout == Span::ZERO {
            found.push(("timeout", "must be longer than zero".to_owned()));
        }
        for (knob, rate) in [("rate", self.rate), ("refresh_rate", self.refresh_rate)] {
            if rate.is_some_and(|r| !(r.is_finite() && r > 0.0)) {
                found.push((knob, "must be above zero, for example \"1000/s\"".to_owned()));
            }
        }
        if let (Some(rate), Some(refresh)) = (self.rate, self.refresh_rate)
            && refresh > rate
        {
            found.push((
                "refresh_rate",
                format!("{refresh}/s is above rate = {rate}/s: refreshes may only use a part of it"),
            ));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_without_mistakes() {
        assert_eq!(Policy::ttl(Span::secs(60)).mistakes(), []);
        assert_eq!(Budget::default().mistakes(), []);
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let policy = Policy {
            jitter: 1.5,
            timeout: Span::ZERO,
            early: Early::XFetch { beta: f64::NAN },
            max_concurrency: Some(0),
            rate: Some(-1.0),
            ..Policy::ttl(Span::ZERO).grace(Span(u64::from(u32::MAX) + 1))
        };
        let knobs: Vec<_> = policy.mistakes().into_iter().map(|(knob, _)| knob).collect();
        assert_eq!(
            knobs,
            [
                "ttl",
                "stale_while_revalidate",
                "stale_if_error",
                "timeout",
                "jitter",
                "max_concurrency",
                "rate",
                "early"
            ]
        );
        let budget = Budget { max_concurrency: 0, rate: Some(5.0), refresh_rate: Some(9.0), ..Budget::default() };
        let knobs: Vec<_> = budget.mistakes().into_iter().map(|(knob, _)| knob).collect();
        assert_eq!(knobs, ["max_concurrency", "refresh_rate"]);
    }

    #[test]
    fn classes_are_ordered_by_importance() {
        assert!(Priority::Critical > Priority::Normal && Priority::Low > Priority::Background);
        assert_eq!(Priority::parse("Critical"), Some(Priority::Critical));
        assert_eq!(Priority::parse("urgent"), None);
    }
}
