//! What does the shared tier's answer tell of the origin? How another process's load of the key ended.

use crate::guard::breaker::{Rumour, Verdict};
use crate::guard::cooldown::Cooling;
use crate::guard::ended::Ended;
use crate::read::walk::Heard;
use crate::time::{Span, Tick};

/// What `heard` tells; `None`: nothing. `failing`: a failure of this key was known here before, so that another one
/// tells of the key and not of its origin, whatever it was.
pub fn rumour(heard: &Heard, failing: bool, now: Tick) -> Option<Rumour> {
    match heard {
        Heard::Entry(seen) if seen.newer => {
            let took = Span(u64::from(seen.meta.cost_ms));
            Some(Rumour { verdict: Verdict::Good, at: seen.meta.born + took, sure: took > Span::ZERO })
        }
        Heard::Failed(left, class) => {
            let verdict = Ended::Failed { class: *class, again: failing }.verdict();
            let verdict = if failing && verdict == Verdict::Bad { Verdict::KeyAgain } else { verdict };
            Some(Rumour { verdict, at: Cooling::heard_since(*left, now), sure: true })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::FailClass;

    #[test]
    fn a_key_whose_failure_was_known_tells_nothing_new_of_its_origin() {
        let heard = Heard::Failed(Span(350), FailClass::Timeout);
        let told = |failing| rumour(&heard, failing, Tick(1_000)).map(|rumour| (rumour.verdict, rumour.at));
        assert_eq!(told(false), Some((Verdict::Bad, Tick(950))), "of a pause of 400 ms");
        assert_eq!(told(true), Some((Verdict::KeyAgain, Tick(950))));
    }

    #[test]
    fn an_answer_that_was_not_acceptable_was_an_answer() {
        let heard = Heard::Failed(Span(200), FailClass::Rejected);
        assert_eq!(rumour(&heard, false, Tick(9)).map(|rumour| rumour.verdict), Some(Verdict::Good));
        assert_eq!(rumour(&Heard::Granted, false, Tick(9)), None);
        assert_eq!(rumour(&Heard::Denied(Span(9)), false, Tick(9)), None);
    }
}
