//! How did a load end? What the breaker and the limiter learn from it.

use super::breaker::Verdict;
use super::limiter::Sample;
use crate::failure::FailClass;

/// How a load that held a permit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The origin answered: a row, or that there is none.
    Answered {
        /// Microseconds of service, the wait for the permit not counted; `None`: not to be compared with other loads,
        /// as a batch is not.
        took_us: Option<u64>,
    },
    /// It failed.
    Failed {
        /// In which way.
        class: FailClass,
        /// The key's last load failed as well, a moment ago.
        again: bool,
    },
    /// It was given up before its end: nobody knows.
    GivenUp,
}

impl Ended {
    /// What a process knows of it that stood still meanwhile, if it did: neither how long the origin took nor whether it
    /// would have been in time.
    #[must_use]
    pub fn as_seen(self, stood_still: bool) -> Ended {
        match self {
            Ended::Answered { .. } if stood_still => Ended::Answered { took_us: None },
            Ended::Failed { class: FailClass::Timeout, .. } if stood_still => Ended::GivenUp,
            _ => self,
        }
    }

    /// What it tells of the origin's health. A timeout or a refusal is the origin's own. An answer that was not
    /// acceptable was an answer. A failure counts unless the key failed before, see [`Verdict::KeyAgain`].
    pub fn verdict(self) -> Verdict {
        match self {
            Ended::Answered { .. } => Verdict::Good,
            Ended::GivenUp => Verdict::Untold,
            Ended::Failed { class, again } => match class {
                FailClass::Timeout | FailClass::Overloaded | FailClass::Refused => Verdict::Bad,
                FailClass::Failed if again => Verdict::KeyAgain,
                FailClass::Failed => Verdict::Bad,
                FailClass::Rejected => Verdict::Good,
            },
        }
    }

    /// What it tells of the origin's pace. A failure may be quick or slow for reasons of its own: only those count
    /// that say "too much".
    pub fn sample(self) -> Option<Sample> {
        match self {
            Ended::Answered { took_us } => took_us.map(Sample::Took),
            Ended::Failed { class: FailClass::Timeout | FailClass::Overloaded, .. } => Some(Sample::PushedBack),
            Ended::Failed { class: FailClass::Refused | FailClass::Failed | FailClass::Rejected, .. } => None,
            Ended::GivenUp => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_stood_still_tells_nothing_of_the_origins_pace() {
        let answered = Ended::Answered { took_us: Some(2_500_000) };
        let failed = |class| Ended::Failed { class, again: false };
        assert_eq!((answered.as_seen(true).sample(), answered.as_seen(true).verdict()), (None, Verdict::Good));
        let late = failed(FailClass::Timeout).as_seen(true);
        assert_eq!((late.sample(), late.verdict()), (None, Verdict::Untold));
        for class in [FailClass::Overloaded, FailClass::Refused, FailClass::Failed, FailClass::Rejected] {
            assert_eq!(failed(class).as_seen(true), failed(class), "what the origin said is said");
        }
        // Control: without a standstill each tells what it tells.
        for ended in [answered, failed(FailClass::Timeout), Ended::GivenUp] {
            assert_eq!(ended.as_seen(false), ended);
        }
    }
}
