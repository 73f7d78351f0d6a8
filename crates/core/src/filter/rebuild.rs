//! Is it time to build a filter anew? Because it is old, has grown, or is doubted; and not too soon after the last try.

use crate::time::Span;

/// After a try that failed the next one waits for so long, twice as long each time, and never longer than the filter's
/// own period.
const AFTER_FAILURE: Span = Span::secs(1);
/// What is not due by age waits for so long after the last try, or for this part of the period, whichever is longer:
/// whoever removes a tag, or keys that do not exist, must not make the origin tell all its keys again and again.
const LEAST_APART: Span = Span::secs(10);
const APART: f64 = 0.1;

/// How a filter stands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Standing {
    /// Since the list of keys at work began to be read; `None`: there is none.
    pub age: Option<Span>,
    /// Since the last try began; `None`: there was none.
    pub tried: Option<Span>,
    /// Tries that failed since the last that did not.
    pub failures: u32,
    /// How far the overlay has grown: see [`super::overlay::grown`].
    pub grown: f64,
    /// Something that was invalidated since keeps it from answering.
    pub doubted: bool,
}

/// Why it is built anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is none yet.
    First,
    /// It is as old as it may get.
    Age,
    /// Too many keys came after its list was made.
    Overlay,
    /// It is doubted.
    Doubt,
}

impl Reason {
    /// The word in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::First => "first",
            Reason::Age => "age",
            Reason::Overlay => "overlay",
            Reason::Doubt => "doubt",
        }
    }
}

/// Whether it is to be built anew now, and why; `every`: its period.
pub fn due(standing: &Standing, every: Span) -> Option<Reason> {
    let waited = |pause: Span| standing.tried.is_none_or(|tried| tried >= pause);
    if standing.failures > 0 && !waited(pause_after(standing.failures, every)) {
        return None;
    }
    let Some(age) = standing.age else { return Some(Reason::First) };
    if age >= every {
        return Some(Reason::Age);
    }
    let apart = Span(LEAST_APART.0.max(every.scale(APART).0)).at_most(every);
    match waited(apart) {
        true if standing.grown >= 1.0 => Some(Reason::Overlay),
        true if standing.doubted => Some(Reason::Doubt),
        _ => None,
    }
}

/// How long after a try that failed the next one begins.
fn pause_after(failures: u32, every: Span) -> Span {
    Span(AFTER_FAILURE.0 << failures.saturating_sub(1).min(16)).at_most(every)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Span = Span::secs(600);

    fn built(age: u64) -> Standing {
        Standing { age: Some(Span::secs(age)), tried: Some(Span::secs(age)), ..Standing::default() }
    }

    #[test]
    fn it_is_built_at_once_and_then_by_its_age() {
        assert_eq!(due(&Standing::default(), EVERY), Some(Reason::First));
        assert_eq!(due(&built(599), EVERY), None);
        assert_eq!(due(&built(600), EVERY), Some(Reason::Age));
    }

    #[test]
    fn what_has_grown_or_is_doubted_is_built_anew_but_not_again_and_again() {
        let grown = |age| Standing { grown: 1.0, ..built(age) };
        let doubted = |age| Standing { doubted: true, ..built(age) };
        assert_eq!((due(&grown(59), EVERY), due(&grown(60), EVERY)), (None, Some(Reason::Overlay)));
        assert_eq!((due(&doubted(59), EVERY), due(&doubted(60), EVERY)), (None, Some(Reason::Doubt)));
        assert_eq!(due(&Standing { grown: 0.9, ..built(60) }, EVERY), None);
        let short = Span::secs(60);
        assert_eq!((due(&doubted(9), short), due(&doubted(10), short)), (None, Some(Reason::Doubt)));
        assert_eq!(due(&Standing { doubted: true, ..built(2) }, Span::secs(2)), Some(Reason::Age));
    }

    #[test]
    fn a_try_that_failed_is_repeated_later_and_later_and_at_the_latest_after_a_period() {
        let failed = |failures, tried| Standing { failures, tried: Some(tried), ..Standing::default() };
        assert_eq!(due(&failed(1, Span::ms(999)), EVERY), None);
        assert_eq!(due(&failed(1, Span::secs(1)), EVERY), Some(Reason::First));
        assert_eq!(due(&failed(5, Span::secs(15)), EVERY), None);
        assert_eq!(due(&failed(5, Span::secs(16)), EVERY), Some(Reason::First));
        assert_eq!(due(&failed(u32::MAX, EVERY), EVERY), Some(Reason::First));
        let old = Standing { failures: 3, tried: Some(Span::secs(3)), ..built(900) };
        assert_eq!(due(&old, EVERY), None, "being old is no reason to hurry");
    }
}
