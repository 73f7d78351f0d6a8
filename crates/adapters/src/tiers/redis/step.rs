//! As of when is a replica known to be in step with its primary, and who looks?

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Between two looks at one replica.
const CLOSEST: Duration = Duration::from_millis(20);
/// Of the lag that is allowed one part in so many may have passed before a replica is looked at again.
const AHEAD: u32 = 3;

/// What is known of one replica.
#[derive(Debug, Default)]
pub(super) struct Step(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// It held everything that its primary had at that moment.
    as_of: Option<Instant>,
    /// Somebody looks, or has, since.
    looked: Option<Instant>,
    looking: bool,
}

impl Step {
    /// Whether it is known to lag by no more than `lag`.
    pub(super) fn is_within(&self, lag: Duration) -> bool {
        self.0.lock().as_of.is_some_and(|as_of| as_of.elapsed() <= lag)
    }

    /// It did not do its part: nothing is known of it any more.
    pub(super) fn doubt(&self) {
        self.0.lock().as_of = None;
    }

    /// Whether the caller is to look at it, and say [`Step::looked`].
    pub(super) fn begins(&self, lag: Duration) -> bool {
        let mut known = self.0.lock();
        let due = known.as_of.is_none_or(|as_of| as_of.elapsed() >= lag / AHEAD)
            && known.looked.is_none_or(|looked| looked.elapsed() >= CLOSEST);
        let begins = due && !known.looking;
        if begins {
            (known.looking, known.looked) = (true, Some(Instant::now()));
        }
        begins
    }

    pub(super) fn looked(&self, as_of: Option<Instant>) {
        let mut known = self.0.lock();
        (known.looking, known.as_of) = (false, as_of.or(known.as_of));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_a_replica_grows_old_and_is_asked_for_before_it_is_too_old() {
        let (step, lag) = (Step::default(), Duration::from_secs(3600));
        assert!(!step.is_within(lag) && step.begins(lag));
        assert!(!step.begins(lag), "somebody looks");
        step.looked(Some(Instant::now()));
        assert!(step.is_within(lag) && !step.begins(lag), "it was looked at just now");
        assert!(!step.is_within(Duration::ZERO), "some time has passed since");
        std::thread::sleep(CLOSEST);
        assert!(step.begins(Duration::from_millis(3)), "a third of what is allowed has passed");
        step.looked(None);
        assert!(step.is_within(lag), "a look that found nothing changes nothing of what is known");
        step.doubt();
        assert!(!step.is_within(lag));
    }
}
