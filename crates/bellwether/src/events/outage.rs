//! What is said of something that fails again and again? That it began, that it is over, and now and then that it lasts.

use bellwether_core::time::{Span, Tick};

/// While it lasts, that is said again so often.
const REMIND: Span = Span::secs(300);

/// One thing that fails, or does not.
#[derive(Debug, Default)]
pub(crate) struct Outage(Option<Lasting>);

#[derive(Debug)]
struct Lasting {
    since: Tick,
    said: Tick,
    tries: u64,
}

/// What is worth a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Say {
    Began,
    Lasts { tries: u64, since: Span },
    Nothing,
}

impl Outage {
    /// It failed once more.
    pub(crate) fn failed(&mut self, now: Tick) -> Say {
        let Some(lasting) = &mut self.0 else {
            self.0 = Some(Lasting { since: now, said: now, tries: 1 });
            return Say::Began;
        };
        lasting.tries += 1;
        if now.since(lasting.said) < REMIND {
            return Say::Nothing;
        }
        lasting.said = now;
        Say::Lasts { tries: lasting.tries, since: now.since(lasting.since) }
    }

    /// It works. After how many tries, and how long, if it had failed.
    pub(crate) fn over(&mut self, now: Tick) -> Option<(u64, Span)> {
        self.0.take().map(|lasting| (lasting.tries, now.since(lasting.since)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_of_failures_each_second_is_a_dozen_lines() {
        let mut outage = Outage::default();
        assert_eq!(outage.over(Tick(0)), None, "nothing had failed");
        let said: Vec<Say> = (0..3_600).map(|second| outage.failed(Tick(second * 1_000))).collect();
        assert_eq!(said[0], Say::Began);
        assert_eq!(said[300], Say::Lasts { tries: 301, since: Span::secs(300) });
        assert_eq!(said.iter().filter(|say| **say != Say::Nothing).count(), 12);
        assert_eq!(outage.over(Tick(3_600_000)), Some((3_600, Span::secs(3_600))));
        assert_eq!(outage.failed(Tick(3_601_000)), Say::Began, "the next one is another");
    }
}
