//! Is it time to build a filter anew? Because it is old, has grown, or is doubted; and not too soon after the last try.

use crate::time::Span;

/// After a try that failed the next one waits for so long, twice as long each time, and never longer than the filter's
/// own period.
const AFTER_FAILURE: Span = Span::secs(1);
/// What is not due by age waits for so long after the last try, or for this part of the period, whichever is longer:
/// whoever removes a tag, or keys that do not exist, must not make the origin tell all its keys again and again.
const LEAST_APART: Span = Span::secs(10);
const APART: f64 = 0.1;
/// Processes that start together spread their first lists over so long, or over this part of the period if that is less.
const FIRST_WITHIN: Span = Span::secs(10);
/// In a fleet everything comes earlier by up to so much of itself, by a draw of each process and try: an origin is not
/// asked for all its keys by all of them in the same second, however they began.
const EARLIER: f64 = 0.25;

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
    /// Since when something that was invalidated keeps it from answering, if anything does.
    pub doubted: Option<Span>,
    /// Since this process began to keep it.
    pub kept: Span,
    /// Where in the crowd of its fellows this process comes with this try, from 0 to below 1, by a draw. `None`: it has none.
    pub place: Option<f64>,
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
    let place = standing.place.unwrap_or_default();
    let earlier = 1.0 - EARLIER * place;
    if standing.failures > 0 && !waited(pause_after(standing.failures, every).scale(earlier)) {
        return None;
    }
    let Some(age) = standing.age else {
        let first = FIRST_WITHIN.at_most(every.scale(APART)).scale(place);
        return (standing.kept >= first || standing.tried.is_some()).then_some(Reason::First);
    };
    if age >= every.scale(earlier) {
        return Some(Reason::Age);
    }
    let apart = Span(LEAST_APART.0.max(every.scale(APART).0)).at_most(every);
    // What was written or invalidated all of them hear of in the same moment.
    match waited(apart) {
        true if standing.grown >= earlier => Some(Reason::Overlay),
        true if standing.doubted.is_some_and(|doubted| doubted >= apart.scale(place)) => Some(Reason::Doubt),
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
        let doubted = |age| Standing { doubted: Some(Span::ZERO), ..built(age) };
        assert_eq!((due(&grown(59), EVERY), due(&grown(60), EVERY)), (None, Some(Reason::Overlay)));
        assert_eq!((due(&doubted(59), EVERY), due(&doubted(60), EVERY)), (None, Some(Reason::Doubt)));
        assert_eq!(due(&Standing { grown: 0.9, ..built(60) }, EVERY), None);
        let short = Span::secs(60);
        assert_eq!((due(&doubted(9), short), due(&doubted(10), short)), (None, Some(Reason::Doubt)));
        assert_eq!(due(&Standing { doubted: Some(Span::ZERO), ..built(2) }, Span::secs(2)), Some(Reason::Age));
    }

    /// A thousand processes that are in one state at once: when each of them asks its origin, from then on.
    fn times(of: impl Fn(f64, Span) -> Standing) -> Vec<u64> {
        let places = (0..1_000).map(|at| f64::from(at) / 1_000.0);
        places
            .map(|place| (0..).find(|s| due(&of(place, Span::secs(*s)), EVERY).is_some()).unwrap_or(u64::MAX))
            .collect()
    }

    #[test]
    fn a_fleet_does_not_ask_its_origin_for_all_keys_in_the_same_second_whatever_makes_it_ask() {
        let with = |place: f64, standing: Standing| Standing { place: Some(place), ..standing };
        let first = times(|place, kept| with(place, Standing { kept, ..Standing::default() }));
        let age = times(|place, age| with(place, Standing { age: Some(age), tried: Some(age), ..Standing::default() }));
        let doubt = times(|place, doubted| with(place, Standing { doubted: Some(doubted), ..built(100) }));
        let failed = times(|place, tried| {
            with(place, Standing { failures: 8, tried: Some(tried), kept: tried, ..Standing::default() })
        });
        for (times, what, from, to) in
            [(first, "first", 0, 10), (age, "age", 450, 600), (doubt, "doubt", 0, 60), (failed, "failed", 96, 128)]
        {
            let (least, most) = (times.iter().min().copied(), times.iter().max().copied());
            assert!(least >= Some(from) && most <= Some(to), "{what}: {least:?} to {most:?}");
            let mut at = vec![0; to as usize + 1];
            times.iter().for_each(|second| at[*second as usize] += 1);
            let (peak, even) = (at.iter().max().copied().unwrap_or_default(), 1_000 / (to - from));
            assert!(peak <= even + 2, "{what}: {peak} in a second, {even} if they came evenly");
        }
        // The control: alone it waits for nobody.
        let alone = |standing: Standing| due(&standing, EVERY);
        assert_eq!(alone(Standing::default()), Some(Reason::First));
        assert_eq!((alone(built(599)), alone(built(600))), (None, Some(Reason::Age)));
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
